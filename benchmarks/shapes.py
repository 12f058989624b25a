"""Checkpoints of the size and shape of well-known denoisers, with random weights: what memory is measured with.

    .venv/bin/python benchmarks/shapes.py --shape sdxl-unet --folder /var/tmp/shapes

`sdxl-unet` has the 2.6 billion parameters of Stable Diffusion XL's UNet in float16, `flux-transformer` the 11.9 billion
of FLUX.1-dev's transformer in bfloat16, in files of at most 10 GB; `flux-blocks` has four of its 57 blocks, and
`small-unet` is SDXL's UNet with an eighth of its width: they take seconds. Written tensor by tensor: the memory that
this takes is that of the largest one.
"""

from __future__ import annotations

import argparse
import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_LIMIT = 10 * 10**9  # bytes of one file, as `save_pretrained` divides them


@dataclass(frozen=True)
class Shape:
    """A class of diffusers with its configuration, and the type that its weights are stored in."""

    role: str
    class_name: str
    dtype: str
    config: dict[str, Any]


def _unet(width: int, blocks: tuple[int, int, int]) -> dict[str, Any]:
    return {
        "sample_size": 128, "in_channels": 4, "out_channels": 4, "layers_per_block": 2,
        "block_out_channels": [width, 2 * width, 4 * width],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": list(blocks), "attention_head_dim": [5, 10, 20], "cross_attention_dim": 2048,
        "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    }  # fmt: skip


_FLUX: dict[str, Any] = {
    "patch_size": 1, "in_channels": 64, "num_layers": 19, "num_single_layers": 38, "attention_head_dim": 128,
    "num_attention_heads": 24, "joint_attention_dim": 4096, "pooled_projection_dim": 768, "guidance_embeds": True,
    "axes_dims_rope": [16, 56, 56],
}  # fmt: skip

SHAPES = {
    "small-unet": Shape("unet", "UNet2DConditionModel", "float16", _unet(160, (1, 1, 3))),
    "sdxl-unet": Shape("unet", "UNet2DConditionModel", "float16", _unet(320, (1, 2, 10))),
    "flux-transformer": Shape("transformer", "FluxTransformer2DModel", "bfloat16", _FLUX),
    "flux-blocks": Shape(
        "transformer", "FluxTransformer2DModel", "bfloat16", _FLUX | {"num_layers": 1, "num_single_layers": 3}
    ),
}  # fmt: skip


def make(name: str, folder: Path) -> Path:
    """Write the checkpoint called `name` below `folder` unless it is there, and return its folder."""
    shape = SHAPES[name]
    home = folder / name / shape.role
    if (home / "config.json").is_file():
        return home.parent
    import accelerate
    import diffusers
    import torch

    with accelerate.init_empty_weights():
        model = getattr(diffusers, shape.class_name).from_config(shape.config)
    tensors = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    write_weights(home, "diffusion_pytorch_model", tensors, shape.dtype, torch.Generator().manual_seed(0))
    (home.parent / "model_index.json").write_text(
        json.dumps({"_class_name": "DiffusionPipeline", shape.role: ["diffusers", shape.class_name]})
    )
    # Last: it says that the checkpoint is whole.
    model.save_config(home)
    return home.parent


def write_weights(home: Path, stem: str, tensors: dict[str, tuple[int, ...]], dtype: str, generator: Any) -> None:
    """Write random values for `tensors`, by name and shape, into files of `home` that are called after `stem`."""
    import torch

    home.mkdir(parents=True, exist_ok=True)
    type_ = getattr(torch, dtype)
    files = list(_divided(list(tensors.items()), type_.itemsize))
    where: dict[str, str] = {}
    for number, inside in enumerate(files, 1):
        place = "" if len(files) == 1 else f"-{number:05}-of-{len(files):05}"
        file = home / f"{stem}{place}.safetensors"
        where |= dict.fromkeys(inside, file.name)
        with file.open("wb") as stream:
            stream.write(_header(inside, dtype, type_.itemsize))
            for key, sides in inside.items():
                values = _weight(torch, key, sides, generator).to(type_)
                stream.write(memoryview(values.contiguous().view(-1).view(torch.uint8).numpy()))
    if len(files) > 1:
        size = sum(map(math.prod, tensors.values())) * type_.itemsize
        index = {"metadata": {"total_size": size}, "weight_map": where}
        (home / f"{stem}.safetensors.index.json").write_text(json.dumps(index, indent=1))


def _divided(tensors: list[tuple[str, tuple[int, ...]]], size: int) -> Iterator[dict[str, tuple[int, ...]]]:
    inside: dict[str, tuple[int, ...]] = {}
    filled = 0
    for key, sides in tensors:
        bytes_ = math.prod(sides) * size
        if inside and filled + bytes_ > FILE_LIMIT:
            yield inside
            inside, filled = {}, 0
        inside[key] = sides
        filled += bytes_
    yield inside


def _header(inside: dict[str, tuple[int, ...]], dtype: str, size: int) -> bytes:
    name = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}[dtype]
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for key, sides in inside.items():
        end = start + math.prod(sides) * size
        entries[key] = {"dtype": name, "shape": sides, "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _weight(torch: Any, key: str, sides: tuple[int, ...], generator: Any) -> Any:
    """Return values that keep what goes through them finite: of a layer's weight, by its number of inputs."""
    if len(sides) < 2:
        return (torch.zeros if key.endswith("bias") else torch.ones)(sides)
    return torch.randn(sides, generator=generator) / math.sqrt(math.prod(sides[1:]))


def main() -> None:
    """Write one checkpoint and print its folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    print(make(given.shape, given.folder))


if __name__ == "__main__":
    main()
