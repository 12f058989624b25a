"""What components take beside their weights while they compute, beside the estimate (`aquatint.catalog.working`).

    .venv/bin/python benchmarks/working.py [CASE ...]

Each case is a component with random weights, of a well-known class but with fewer layers (what is live at a time does
not depend on their number), called once in a process of its own with one thread. `measured` is the most anonymous
memory above that before the call (`RssAnon`, sampled every 2 ms). The last line is what the program takes (`PROGRAM`):
all pages of a process that has drawn a picture with both backends, without weights and work.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processes import measured

from aquatint.catalog.checkpoints import Tensor
from aquatint.catalog.layers import Network
from aquatint.catalog.magicprompt import MAGICPROMPT
from aquatint.catalog.working import PROGRAM, working

MIB = 2**20
PROMPT = "a lighthouse on a cliff in a storm, oil on canvas"
"""What language models write on from."""

SCRIPT = """
quantizer a { backend: sdnq, weights_dtype: int8 }
quantizer b { backend: bnb, bits: 4 }
model m { source: "builtin:shapes", unet { quantizer: a }, text_encoder { quantizer: b } }
generate m { prompt: "a red circle", seed: 1, num_inference_steps: 2, output: "a.png" }
"""


def _unet(dtype: str, side: int) -> tuple[str, Any, Callable[[Any], Any]]:
    """SDXL's, of half the width and with one layer in each stack; two samples of `side` positions to a side."""
    import diffusers
    import torch

    import shapes

    kind = getattr(torch, dtype)
    module = diffusers.UNet2DConditionModel.from_config(shapes._unet(160, (1, 1, 1)))
    given = torch.randn(2, 4, side, side, dtype=kind), torch.tensor(500), torch.randn(2, 77, 2048, dtype=kind)
    more = {"text_embeds": torch.randn(2, 1280, dtype=kind), "time_ids": torch.zeros(2, 6, dtype=kind)}
    return "unet", module, lambda made: made(*given, added_cond_kwargs=more)


def _decoder(dtype: str, side: int) -> tuple[str, Any, Callable[[Any], Any]]:
    """SDXL's decoder, whole; one picture of `side` positions to a side."""
    import diffusers
    import torch

    module = diffusers.AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    latents = torch.randn(1, 4, side, side, dtype=getattr(torch, dtype))
    return "vae", module, lambda made: made.decode(latents)


def _flux(dtype: str, side: int) -> tuple[str, Any, Callable[[Any], Any]]:
    """FLUX.1's transformer, of a quarter of the width, with three layers; one sample, packed, and 512 tokens."""
    import diffusers
    import torch

    kind = getattr(torch, dtype)
    module = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=64, num_layers=1, num_single_layers=2, attention_head_dim=128,
        num_attention_heads=6, joint_attention_dim=4096, pooled_projection_dim=768, guidance_embeds=True,
        axes_dims_rope=(16, 56, 56),
    )  # fmt: skip
    tokens = side * side // 4
    given = {
        "hidden_states": torch.randn(1, tokens, 64, dtype=kind),
        "encoder_hidden_states": torch.randn(1, 512, 4096, dtype=kind),
        "pooled_projections": torch.randn(1, 768, dtype=kind), "timestep": torch.tensor([0.5], dtype=kind),
        "guidance": torch.tensor([3.5], dtype=kind), "txt_ids": torch.zeros(512, 3),
        "img_ids": torch.zeros(tokens, 3),
    }  # fmt: skip
    return "transformer", module, lambda made: made(**given)


def _sd3(dtype: str, side: int) -> tuple[str, Any, Callable[[Any], Any]]:
    """Stable Diffusion 3's transformer, of a third of the width, with two layers; two samples."""
    import diffusers
    import torch

    kind = getattr(torch, dtype)
    module = diffusers.SD3Transformer2DModel(
        sample_size=128, patch_size=2, in_channels=16, num_layers=2, attention_head_dim=64, num_attention_heads=8,
        joint_attention_dim=4096, caption_projection_dim=512, pooled_projection_dim=2048, out_channels=16,
        pos_embed_max_size=192,
    )  # fmt: skip
    given = {
        "hidden_states": torch.randn(2, 16, side, side, dtype=kind),
        "encoder_hidden_states": torch.randn(2, 333, 4096, dtype=kind),
        "pooled_projections": torch.randn(2, 2048, dtype=kind), "timestep": torch.tensor([500, 500]),
    }  # fmt: skip
    return "transformer", module, lambda made: made(**given)


def _clip(dtype: str, _: int) -> tuple[str, Any, Callable[[Any], Any]]:
    """CLIP-bigG's width, two layers, 77 tokens."""
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(hidden_size=1280, intermediate_size=5120, num_hidden_layers=2, num_attention_heads=20)
    tokens = torch.ones(1, 77, dtype=torch.long)
    return "text_encoder", CLIPTextModel(config), lambda made: made(tokens, output_hidden_states=True)


def _t5(dtype: str, _: int) -> tuple[str, Any, Callable[[Any], Any]]:
    """Half of T5-XXL's width, two layers, 512 tokens."""
    import torch
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        d_model=2048, d_ff=5120, num_heads=32, d_kv=64, num_layers=2, feed_forward_proj="gated-gelu", vocab_size=512
    )
    tokens = torch.ones(1, 512, dtype=torch.long)
    return "text_encoder", T5EncoderModel(config), lambda made: made(tokens)


def _gpt2(dtype: str, strings: int) -> tuple[str, Any, Callable[[Any], Any]]:
    """GPT-2, whole, as the default model of `magicprompt` is one."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return "llm", GPT2LMHeadModel(GPT2Config()), _rewriting(strings)


def _llama(dtype: str, strings: int) -> tuple[str, Any, Callable[[Any], Any]]:
    """TinyLlama's width, with four of its layers."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=2048, intermediate_size=5632, num_hidden_layers=4, num_attention_heads=32, num_key_value_heads=4,
    )  # fmt: skip
    return "llm", LlamaForCausalLM(config), _rewriting(strings)


def _rewriting(strings: int) -> Callable[[Any], Any]:
    """Return what lets `magicprompt` make as many strings of one prompt, each with as many tokens as there may be."""
    from transformers import AutoTokenizer

    from aquatint.catalog.checkpoints import builtins_folder
    from aquatint.runtime.engine import Rewriting
    from aquatint.runtime.torch_engine import magicprompt
    from aquatint.runtime.torch_engine.libraries import libraries

    # It knows few of the model's words, and leaves the others out of what it decodes.
    tokenizer = AutoTokenizer.from_pretrained(builtins_folder() / "captions")
    tokenizer.chat_template = tokenizer.eos_token = None
    found, asked = libraries(), Rewriting(MAGICPROMPT.canonical({}), [PROMPT], strings, 1)

    def rewrite(made: Any) -> Any:
        made.generation_config.eos_token_id = None
        return magicprompt.rewrite(found, {"llm": made, "llm_tokenizer": tokenizer}, asked)

    return rewrite


CASES: dict[str, tuple[Callable[[str, int], tuple[str, Any, Callable[[Any], Any]]], str, int]] = {
    "unet 256": (_unet, "float32", 32),
    "unet 512": (_unet, "float32", 64),
    "unet 1024": (_unet, "float32", 128),
    "vae 256": (_decoder, "float32", 32),
    "vae 512": (_decoder, "float32", 64),
    "vae 768": (_decoder, "float32", 96),
    "flux 512": (_flux, "float32", 64),
    "flux 768": (_flux, "float32", 96),
    "flux 512 bfloat16": (_flux, "bfloat16", 64),
    "sd3 512": (_sd3, "float32", 64),
    "sd3 1024": (_sd3, "float32", 128),
    "clip": (_clip, "float32", 0),
    "t5": (_t5, "float32", 0),
    "t5 bfloat16": (_t5, "bfloat16", 0),
    "gpt2 1": (_gpt2, "float32", 1),
    "gpt2 24": (_gpt2, "float32", 24),
    "gpt2 50": (_gpt2, "float32", 50),
    "llama 1": (_llama, "float32", 1),
    "llama 24": (_llama, "float32", 24),
}


def main() -> None:
    """Print the table, or be one of the processes that it is made of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("cases", metavar="CASE", nargs="*", help=", ".join(CASES))
    parser.add_argument("--part", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part is not None:
        _part(given.part)
        return
    print(f"{'':<20}{'estimate MiB':>14}{'measured MiB':>14}{'measured / estimate':>21}")
    for name in given.cases or CASES:
        told, (peak,) = measured([sys.executable, __file__, "--part", name], ["RssAnon"])
        estimate = told["estimate"]
        print(f"{name:<20}{estimate / MIB:>14.0f}{peak / MIB:>14.0f}{peak / estimate:>21.2f}", flush=True)
    told, (rss,) = measured([sys.executable, __file__, "--part", ""], ["VmRSS"], whole=True)
    rss -= told["weights"]
    print(f"{'the program':<20}{PROGRAM / MIB:>14.0f}{rss / MIB:>14.0f}{rss / PROGRAM:>21.2f}")


def _part(name: str) -> None:
    """Do one line of the table in this process."""
    if not name:
        _draw()
        return
    import torch

    make, dtype, side = CASES[name]
    role, module, call = make(dtype, side)
    module = module.to(getattr(torch, dtype)).eval()
    estimate = _estimate(role, module, dtype, side)
    print("ready", flush=True)
    sys.stdin.readline()
    with torch.inference_mode():
        call(module)
    print(json.dumps({"estimate": estimate}), flush=True)


def _estimate(role: str, module: Any, dtype: str, side: int) -> int:
    """Return the bytes that are estimated for a call of two samples, as pipelines make it with guidance."""
    width = module.dtype.itemsize
    tensors = [
        Tensor(name, "F32", tuple(value.shape), 0, value.numel() * width)
        for name, value in module.state_dict().items()
    ]  # fmt: skip
    library = "transformers" if role in ("text_encoder", "llm") else "diffusers"
    config = json.loads(json.dumps(dict(module.config) if library == "diffusers" else module.config.to_dict()))
    found = working(role, Network(library, type(module).__name__, dtype, config), tensors, 0, False)
    if role == "llm":
        return found.rewriting(*MAGICPROMPT.extent(MAGICPROMPT.canonical({}), [len(PROMPT)], side))
    return found.fixed + found.each * (side * found.scale) ** 2 if found.scale else found.fixed + found.each * side**2


def _draw() -> None:
    from aquatint.interface.cli import main as command

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("a.aqt").write_text(SCRIPT, encoding="utf-8")
        print("ready", flush=True)
        sys.stdin.readline()
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            code = command(["run", "--no-store", "--json", "a.aqt"])
        assert code == 0, told.getvalue()
    peak = json.loads(told.getvalue().splitlines()[-1])["predicted_peak"]["most"]
    print(json.dumps({"weights": peak}), flush=True)


if __name__ == "__main__":
    main()
