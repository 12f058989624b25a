"""IP-Adapters with random weights for the tiny pipelines, in the layout in which they are published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

NAME = "ip-adapter.safetensors"
"""What the file is called here."""

WIDTH = 128
"""Of what the image encoder of `write` makes, and of its layers."""


def write(
    pipeline: Any, folder: Path, seed: int, kind: str = "plain", dtype: str = "float32", pickled: bool = False,
    has_encoder: bool = True,
) -> Path:  # fmt: skip
    """Write an IP-Adapter for the denoiser of a live `pipeline` into `folder`, an image encoder beside it.

    `kind` is `plain`, `plus`, `full` or `face`, as the published ones are called, or `timed` for Stable Diffusion 3.
    Returns the file.
    """
    import torch
    from safetensors.torch import save_file

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = _timed_attention(pipeline) if kind == "timed" else _attention(pipeline)
        if kind == "face":
            layers |= _loras(pipeline.unet)
        halves = {"image_proj": _projection(pipeline, kind), "ip_adapter": layers}
        halves = {half: {name: tensor.to(getattr(torch, dtype)) for name, tensor in tensors.items()}
                  for half, tensors in halves.items()}  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        if has_encoder:
            _image_encoder(kind).save_pretrained(folder / "image_encoder", safe_serialization=True)
    if pickled:
        file = folder / Path(NAME).with_suffix(".bin")
        torch.save(halves, file)
        return file
    save_file({f"{half}.{name}": each for half, tensors in halves.items() for name, each in tensors.items()},
              folder / NAME)  # fmt: skip
    return folder / NAME


def _width(pipeline: Any) -> int:
    config = (getattr(pipeline, "unet", None) or pipeline.transformer).config
    return int(config.get("cross_attention_dim") or config["joint_attention_dim"])


def _projection(pipeline: Any, kind: str) -> dict[str, Any]:
    import torch
    from diffusers.models import embeddings

    width = _width(pipeline)
    match kind:
        case "plain":
            norm = torch.nn.LayerNorm(width).state_dict(prefix="norm.")
            return torch.nn.Linear(WIDTH, 4 * width).state_dict(prefix="proj.") | norm
        case "face":
            made = embeddings.IPAdapterFaceIDImageProjection(
                image_embed_dim=WIDTH, cross_attention_dim=width, mult=2, num_tokens=4
            ).state_dict()
            places = {"ff.net.0.proj": "proj.0", "ff.net.2": "proj.2"}
            return {_renamed(name, places): tensor for name, tensor in made.items()}
        case "timed":
            made = embeddings.IPAdapterTimeImageProjection(
                embed_dim=WIDTH, output_dim=pipeline.transformer.inner_dim, hidden_dim=64, heads=1, num_queries=4,
                timestep_in_dim=32,
            ).state_dict()  # fmt: skip
            places = {
                ".ln0.": ".0.norm1.", ".ln1.": ".0.norm2.", ".attn.to_out.0.": ".0.to_out.", ".attn.to_": ".0.to_",
                ".adaln_norm.": ".1.0.", ".ff.net.0.proj.": ".1.1.", ".ff.net.2.": ".1.3.", ".adaln_proj.": ".2.1.",
            }  # fmt: skip
            return {_renamed(name, places): tensor for name, tensor in made.items()}
        case "full":
            made = embeddings.IPAdapterFullImageProjection(WIDTH, width).state_dict()
            places = {"ff.net.0.proj": "proj.0", "ff.net.2": "proj.2", "norm": "proj.3"}
            return {_renamed(name, places): tensor for name, tensor in made.items()}
        case _:
            made = embeddings.IPAdapterPlusImageProjection(
                embed_dims=WIDTH, output_dims=width, hidden_dims=64, depth=4, heads=1, num_queries=4
            ).state_dict()
            places = {
                ".ln0.": ".0.norm1.", ".ln1.": ".0.norm2.", ".attn.to_out.0.": ".0.to_out.", ".attn.to_": ".0.to_",
                ".ff.0.": ".1.0.", ".ff.1.net.0.proj.": ".1.1.", ".ff.1.net.2.": ".1.3.",
            }  # fmt: skip
            named = {_renamed(name, places): tensor for name, tensor in made.items()}
            for name in [name for name in named if name.endswith(".to_k.weight")]:
                both = named.pop(name), named.pop(name.replace(".to_k.", ".to_v."))
                named[name.replace(".to_k.", ".to_kv.")] = torch.cat(both)
            return named


def _renamed(name: str, places: dict[str, str]) -> str:
    for ours, theirs in places.items():
        name = name.replace(ours, theirs, 1)
    return name


def _attention(pipeline: Any) -> dict[str, Any]:
    import torch

    denoiser, width = getattr(pipeline, "unet", None), _width(pipeline)
    if denoiser is None:
        blocks, side = pipeline.transformer.config.num_layers, pipeline.transformer.inner_dim
        layers, has_bias = {number: side for number in range(blocks)}, True
    else:
        attending = [name for name in denoiser.attn_processors if name.endswith("attn2.processor")]
        sides = [denoiser.get_submodule(name.removesuffix(".processor")).to_k.out_features for name in attending]
        layers, has_bias = {2 * number + 1: side for number, side in enumerate(sides)}, False
    return {
        name: tensor
        for number, side in layers.items()
        for part in ("to_k_ip", "to_v_ip")
        for name, tensor in torch.nn.Linear(width, side, bias=has_bias).state_dict(prefix=f"{number}.{part}.").items()
    }


def _loras(denoiser: Any) -> dict[str, Any]:
    import torch

    made = {}
    for number, name in enumerate(denoiser.attn_processors):
        attention = denoiser.get_submodule(name.removesuffix(".processor"))
        for part, layer in (("q", attention.to_q), ("k", attention.to_k), ("v", attention.to_v),
                            ("out", attention.to_out[0])):  # fmt: skip
            place = f"{number}.to_{part}_lora"
            made[f"{place}.down.weight"] = torch.randn(4, layer.in_features) / 8
            made[f"{place}.up.weight"] = torch.randn(layer.out_features, 4) / 8
    return made


def _timed_attention(pipeline: Any) -> dict[str, Any]:
    from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0

    config, side = pipeline.transformer.config, pipeline.transformer.inner_dim
    return {
        name: tensor
        for number in range(len(pipeline.transformer.attn_processors))
        for name, tensor in SD3IPAdapterJointAttnProcessor2_0(side, side, config.attention_head_dim, 64)
        .state_dict(prefix=f"{number}.")
        .items()
    }


def _image_encoder(kind: str) -> Any:
    from support.tiny import texts

    return texts.siglip() if kind == "timed" else texts.image_encoder()
