"""Estimates of well-known models, beside figures that others have published of them.

    .venv/bin/python benchmarks/estimates.py --folder /var/tmp/headers

Writes checkpoints that have the configurations and headers of FLUX.1-dev, Stable Diffusion XL and Stable Diffusion 3.5
large, and no weights: the files are holes of the right size. Then prints a table in Markdown. Torch is needed to write
them, for the names and shapes of the tensors; the estimates themselves read headers only.
"""

from __future__ import annotations

import argparse
import json
import math
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aquatint.catalog import checkpoints
from aquatint.catalog.inspection import Inspection, inspect
from aquatint.catalog.quantizers import canonical, parse_uri

GIB = 2**30


@dataclass(frozen=True)
class Kind:
    """A component's class and configuration."""

    library: str
    class_name: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """Bytes of weights after loading that were published, in GiB: under a quantizer for some components.

    `widened` is (role, part of names) of what the libraries of that time kept in float32, and those of now don't.
    """

    uri: str | None
    roles: tuple[str, ...]
    gib: float
    source: str
    widened: tuple[str, str] | None = None


_CLIP_L = Kind("transformers", "CLIPTextModel", {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "vocab_size": 49408, "projection_dim": 768,
})  # fmt: skip
_CLIP_L_2 = Kind("transformers", "CLIPTextModelWithProjection", _CLIP_L.config)
_CLIP_G = Kind("transformers", "CLIPTextModelWithProjection", {
    "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20,
    "vocab_size": 49408, "projection_dim": 1280,
})  # fmt: skip
_T5_XXL = Kind("transformers", "T5EncoderModel", {
    "d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_heads": 64, "num_layers": 24, "vocab_size": 32128,
    "feed_forward_proj": "gated-gelu",
})  # fmt: skip
_VAE = {
    "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}  # fmt: skip
_VAE_SDXL = Kind("diffusers", "AutoencoderKL", {**_VAE, "latent_channels": 4, "scaling_factor": 0.13025})


def _vae_16(scaling_factor: float, shift_factor: float) -> Kind:
    return Kind("diffusers", "AutoencoderKL", {
        **_VAE, "latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False,
        "scaling_factor": scaling_factor, "shift_factor": shift_factor,
    })  # fmt: skip


MODELS: dict[str, tuple[str, str, dict[str, Kind]]] = {
    "FLUX.1-dev": ("FluxPipeline", "bfloat16", {
        "text_encoder": _CLIP_L, "text_encoder_2": _T5_XXL,
        "transformer": Kind("diffusers", "FluxTransformer2DModel", {
            "patch_size": 1, "in_channels": 64, "num_layers": 19, "num_single_layers": 38, "attention_head_dim": 128,
            "num_attention_heads": 24, "joint_attention_dim": 4096, "pooled_projection_dim": 768,
            "guidance_embeds": True, "axes_dims_rope": [16, 56, 56],
        }),
        "vae": _vae_16(0.3611, 0.1159),
    }),
    "SDXL": ("StableDiffusionXLPipeline", "float16", {
        "text_encoder": _CLIP_L, "text_encoder_2": _CLIP_G,
        "unet": Kind("diffusers", "UNet2DConditionModel", {
            "sample_size": 128, "in_channels": 4, "out_channels": 4, "layers_per_block": 2,
            "block_out_channels": [320, 640, 1280],
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            "transformer_layers_per_block": [1, 2, 10], "attention_head_dim": [5, 10, 20], "cross_attention_dim": 2048,
            "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        }),
        "vae": _VAE_SDXL,
    }),
    "SD 3.5 large": ("StableDiffusion3Pipeline", "bfloat16", {
        "text_encoder": _CLIP_L_2, "text_encoder_2": _CLIP_G, "text_encoder_3": _T5_XXL,
        "transformer": Kind("diffusers", "SD3Transformer2DModel", {
            "sample_size": 128, "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 38,
            "num_attention_heads": 38, "attention_head_dim": 64, "caption_projection_dim": 2432,
            "joint_attention_dim": 4096, "pooled_projection_dim": 2048, "pos_embed_max_size": 192,
            "qk_norm": "rms_norm",
        }),
        "vae": _vae_16(1.5305, 0.0609),
    }),
}  # fmt: skip

QUANTIZERS = ("sdnq;type=int8", "sdnq;type=uint4", "bnb;bits=8", "bnb;bits=4;bits4-quant-type=nf4")

_BLOG = "https://huggingface.co/blog/diffusers-quantization"
_TWO = ("transformer", "text_encoder_2")
PUBLISHED = {
    "FLUX.1-dev": (
        Figure(None, (), 31.447, _BLOG),
        # transformers 4 did so for any quantized T5; its successor does for float16 only.
        Figure("bnb;bits=8", _TWO, 19.273, _BLOG, ("text_encoder_2", "wo")),
        Figure("bnb;bits=4;bits4-quant-type=nf4", _TWO, 12.584, _BLOG, ("text_encoder_2", "wo")),
    ),
}  # fmt: skip


def write(name: str, folder: Path) -> Path:
    """Write the checkpoint called `name` below `folder`, without weights, and return it."""
    pipeline, dtype, kinds = MODELS[name]
    home = folder / name.replace(" ", "-")
    index: dict[str, Any] = {"_class_name": pipeline}
    for role, kind in kinds.items():
        index[role] = [kind.library, kind.class_name]
        there = tensors(kind)
        (home / role).mkdir(parents=True, exist_ok=True)
        named = "_class_name" if kind.library == "diffusers" else "architectures"
        of_class = kind.class_name if kind.library == "diffusers" else [kind.class_name]
        (home / role / "config.json").write_text(json.dumps({named: of_class, **kind.config}))
        _write_header(home / role / "model.safetensors", there, dtype)
    (home / "model_index.json").write_text(json.dumps(index))
    return home


def tensors(kind: Kind) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of what `save_pretrained` would write."""
    import diffusers
    import torch
    import transformers

    with torch.device("meta"):
        if kind.library == "diffusers":
            model = getattr(diffusers, kind.class_name).from_config(dict(kind.config))
        else:
            found = getattr(transformers, kind.class_name)
            model = found(found.config_class(**kind.config))
    shared = set(getattr(model, "all_tied_weights_keys", {}))
    return {name: tuple(value.shape) for name, value in model.state_dict().items() if name not in shared}


def _write_header(file: Path, tensors: Mapping[str, tuple[int, ...]], dtype: str) -> None:
    label = {"bfloat16": "BF16", "float16": "F16"}[dtype]
    entries: dict[str, Any] = {}
    start = 0
    for name, shape in tensors.items():
        end = start + 2 * math.prod(shape)
        entries[name] = {"dtype": label, "shape": shape, "data_offsets": [start, end]}
        start = end
    header = json.dumps(entries).encode()
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + start)


def estimated(found: Inspection, uri: str | None, roles: tuple[str, ...]) -> int:
    """Return the bytes of all weights with a quantizer on the components of `roles`."""
    used = [
        each.under[uri] if uri is not None and each.role in roles else each.now
        for each in found.components if each.now is not None
    ]  # fmt: skip
    return sum(estimate.most for estimate in used if estimate is not None)


def widened(home: Path, role: str, part: str) -> int:
    """Return the bytes by which the tensors with `part` in their names are more in float32 than in half precision."""
    tensors = checkpoints.tensors(home, role, None)
    return sum(2 * tensor.numel for tensor in tensors if part in tensor.name.split("."))


def main() -> None:
    """Write the checkpoints that are missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, required=True, help="where the checkpoints are written")
    folder = parser.parse_args().folder
    quantizers = [(uri, name, canonical(name, options)) for uri in QUANTIZERS for name, options in [parse_uri(uri)]]
    print(f"| weights, GiB | unquantized | {' | '.join(f'`{uri}`' for uri in QUANTIZERS)} | CPU s |")
    print("| --- |" + " ---: |" * (len(QUANTIZERS) + 2))
    inspected = {}
    for name in MODELS:
        home = folder / name.replace(" ", "-")
        if not (home / "model_index.json").is_file():
            write(name, folder)
        began = time.process_time()
        inspected[name] = found = inspect(str(home), None, None, None, quantizers)
        took = time.process_time() - began
        for each in found.components:
            if each.now is not None:
                sizes = [each.now.most, *(each.under[uri].most for uri in QUANTIZERS)]
                print(f"| {name}, `{each.role}` | {' | '.join(f'{size / GIB:.3f}' for size in sizes)} | |")
        totals = [found.totals(uri)[1] for uri in (None, *QUANTIZERS)]
        print(f"| {name}, all | {' | '.join(f'{size / GIB:.3f}' for size in totals)} | {took:.2f} |")
    print("\n| model | quantizer | on | published, GiB | estimated | as the libraries did then |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    for name, figures in PUBLISHED.items():
        for figure in figures:
            size = estimated(inspected[name], figure.uri, figure.roles)
            then = size + (widened(folder / name.replace(" ", "-"), *figure.widened) if figure.widened else 0)
            which = f"`{figure.uri}`" if figure.uri else "none"
            roles = ", ".join(f"`{role}`" for role in figure.roles)
            beside = " | ".join(
                f"{each / GIB:.3f} ({100 * (each / GIB / figure.gib - 1):+.1f} %)" for each in (size, then)
            )
            print(f"| {name} | {which} | {roles} | [{figure.gib}]({figure.source}) | {beside} |")


if __name__ == "__main__":
    main()
