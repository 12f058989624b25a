"""LoRAs with random weights for the tiny pipelines, made by peft and written by diffusers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAME = "pytorch_lora_weights.safetensors"
"""The file that diffusers writes."""

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
CLIP = ["q_proj", "k_proj", "v_proj", "out_proj"]


def write(
    pipeline: Any, folder: Path, seed: int, roles: Sequence[str], rank: int = 4, dtype: str = "float32",
    dora: bool = False,
) -> Path:  # fmt: skip
    """Write a LoRA for those components of a live `pipeline` into `folder`, and return that; none stays on them.

    As a `dora` it has the lengths of columns, too.
    """
    import torch
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    layers = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for role in roles:
            targets = CLIP if role.startswith("text_encoder") else ATTENTION
            config = LoraConfig(r=rank, lora_alpha=2 * rank, init_lora_weights=False, target_modules=targets,
                                use_dora=dora)  # fmt: skip
            module = getattr(pipeline, role)
            module.add_adapter(config, adapter_name="made")
            weights = get_peft_model_state_dict(module, adapter_name="made")
            layers[f"{role}_lora_layers"] = {
                name: (tensor / 4).to(getattr(torch, dtype)).clone() for name, tensor in weights.items()
            }  # fmt: skip
    pipeline.save_lora_weights(folder, **layers)
    pipeline.unload_lora_weights()
    return folder


def write_for(module: Any, role: str, file: Path, seed: int, rank: int = 4, every: int = 3) -> Path:
    """Write a LoRA in diffusers' form for a live `module` in `role`, and return its file.

    It changes one of `every` so many linear layers of attention, or of all where none is called so.
    """
    import torch
    from safetensors.torch import save_file

    linear = {name: each for name, each in module.named_modules() if isinstance(each, torch.nn.Linear)}
    chosen = {name: each for name, each in linear.items() if "attn" in name or "attention" in name} or linear
    drawing = torch.Generator().manual_seed(seed)
    made = {}
    for name, layer in list(chosen.items())[::every]:
        for half, shape in (("A", (rank, layer.in_features)), ("B", (layer.out_features, rank))):
            made[f"{role}.{name}.lora_{half}.weight"] = torch.randn(shape, generator=drawing) / 8
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(made, file)
    return file


def pairs(layers: dict[str, tuple[int, int]], halves: tuple[str, str], seed: int, rank: int = 4) -> dict[str, Any]:
    """Return the two matrices of a LoRA for each of `layers`, of so many inputs and outputs, called by `halves`.

    Those that are called `lora_down` have an alpha beside them, as other programs write them.
    """
    import torch

    drawing = torch.Generator().manual_seed(seed)
    made = {}
    for name, (inputs, outputs) in layers.items():
        for half, shape in zip(halves, ((rank, inputs), (outputs, rank)), strict=True):
            made[f"{name}.{half}.weight"] = torch.randn(shape, generator=drawing) / 8
        if halves[0] == "lora_down":
            made[f"{name}.alpha"] = torch.tensor(2.0)
    return made


A_AND_B, DOWN_AND_UP = ("lora_A", "lora_B"), ("lora_down", "lora_up")


_WAN = {"attn1": "self_attn", "attn2": "cross_attn", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "o",
        "net.0.proj": "0", "net.2": "2"}  # fmt: skip
_TWO = {"double_blocks.0.img_attn.qkv": 3, "double_blocks.0.txt_attn.proj": 1}
# Layers of one block of FLUX, and how often they make what they take.


def in_form(form: str, module: Any, seed: int) -> dict[str, Any]:
    """Return a LoRA for a live denoiser in another program's form: see the cases here."""
    import torch

    linear = {name: (each.in_features, each.out_features) for name, each in module.named_modules()
              if isinstance(each, torch.nn.Linear)}  # fmt: skip
    own = {name: sides for name, sides in linear.items() if "attn" in name or "attention" in name}
    match form:
        case "diffusion_model":
            return pairs({f"diffusion_model.{name}": sides for name, sides in own.items()}, A_AND_B, seed)
        case "flat":
            return pairs({_flat(name): sides for name, sides in own.items()}, DOWN_AND_UP, seed)
        case "bare":
            return pairs(own, DOWN_AND_UP, seed)
        case "original Wan":
            layers = {f"diffusion_model.{_renamed(name, _WAN)}": sides for name, sides in own.items()}
            drawing = torch.Generator().manual_seed(seed)
            biases = {f"{name}.diff_b": torch.randn(side, generator=drawing) / 8 for name, (_, side) in layers.items()}
            return pairs(layers, A_AND_B, seed) | biases
        case "musubi Wan":
            inner = {name: sides for name, sides in linear.items() if name.startswith("blocks.")}
            return pairs({_flat(_renamed(name, _WAN)): sides for name, sides in inner.items()}, DOWN_AND_UP, seed)
        case "original FLUX.2":
            return pairs({f"diffusion_model.{name}": sides for name, sides in _of_two(module).items()}, A_AND_B, seed)
        case "ComfyUI's FLUX.1":
            layers = {f"diffusion_model.{name}": sides for name, sides in _of_two(module).items()}
            return pairs(layers, DOWN_AND_UP, seed)
        case "original FLUX.1" | "kohya FLUX.2":
            return pairs({_flat(name): sides for name, sides in _of_two(module).items()}, DOWN_AND_UP, seed)
        case "original Hunyuan Video":
            layers = {name.replace("attn.", "attn_"): sides for name, sides in _of_two(module).items()}
            return pairs({f"transformer.{name}": sides for name, sides in layers.items()}, A_AND_B, seed)
    raise ValueError(form)


def _of_two(module: Any) -> dict[str, tuple[int, int]]:
    side = module.config.attention_head_dim * module.config.num_attention_heads
    return {name: (side, times * side) for name, times in _TWO.items()}


def _flat(name: str) -> str:
    return f"lora_unet_{name.replace('.', '_')}"


def _renamed(name: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        name = name.replace(ours, theirs)
    return name
