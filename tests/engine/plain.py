"""The same pictures as a plain diffusers program makes them, without any code of this project.

It loads part by part, copies the weights into fresh memory, and calls the pipeline. Also a script:
`python plain.py FOLDER KIND` prints the picture's SHA-256.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

CALL = {"prompt": "a red cat", "num_inference_steps": 2, "width": 64, "height": 64}
KINDS = ("none", "bnb8", "nf4", "sdnq-int8", "sdnq-uint4")


def paint(folder: Path, kind: str | Mapping[str, str], seed: int = 7, **call: Any) -> bytes:
    """Return the pixels of one picture; `kind` is for all parts but the VAE, or each part's own by its role."""
    import torch

    made = assembled(folder, kind)(**CALL | call, generator=torch.Generator("cpu").manual_seed(seed))
    return _pixels(made.images[0])


def paint_together(folder: Path, kind: str, seeds: Sequence[int], **call: Any) -> list[bytes]:
    """Return the pixels of the pictures of one call, with a generator for each."""
    import torch

    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    made = assembled(folder, kind)(**CALL | call, generator=generators)
    return list(map(_pixels, made.images))


def _pixels(image: Image) -> bytes:
    return image.convert("RGB").tobytes()


def assembled(folder: Path, kind: str | Mapping[str, str], skipped: Sequence[str] = ()) -> Any:
    """Return a pipeline, made part by part; modules that are called as one of `skipped` aren't quantized."""
    from diffusers import DiffusionPipeline, pipelines

    index = DiffusionPipeline.load_config(folder)
    made = getattr(importlib.import_module("diffusers"), index["_class_name"])
    beside = made.__module__.rpartition(".")[0]
    parts: dict[str, Any] = {}
    for role, entry in index.items():
        if isinstance(entry, list) and all(isinstance(each, str | None) for each in entry):
            of_part = kind if isinstance(kind, str) else kind.get(role, "none")
            parts[role] = part(folder, role, *entry, of_part, beside, skipped) if entry[0] else None
    plain_arguments = {role: value for role, value in index.items() if not role.startswith("_") and role not in parts}
    pipeline = made(**parts, **plain_arguments)
    assert isinstance(pipeline, pipelines.DiffusionPipeline)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def part(
    folder: Path, role: str, library: str, class_name: str, kind: str, beside: str = "diffusers",
    skipped: Sequence[str] = (),
) -> Any:  # fmt: skip
    """Return one part of the pipeline, quantized unless it is the VAE.

    In `beside`, where the pipeline's own class is, are some that checkpoints call transformers'.
    """
    import torch
    import transformers

    # Some parts' classes are beside their pipeline's own.
    at = library if library in ("diffusers", "transformers") else f"diffusers.pipelines.{library}"
    # Checkpoints name packages that this diffusers has moved.
    at = at if importlib.util.find_spec(at) else f"diffusers.pipelines.deprecated.{library}"
    home = importlib.import_module(at)
    found = getattr(home if hasattr(home, class_name) else importlib.import_module(beside), class_name)
    if not issubclass(found, torch.nn.Module):
        return found.from_pretrained(folder / role)
    # Those that are beside a pipeline may be either's.
    is_transformers = issubclass(found, transformers.PreTrainedModel)
    options: dict[str, Any] = {} if is_transformers else {"low_cpu_mem_usage": True}
    if role != "vae" and kind.startswith("sdnq"):
        import sdnq

        left = {"modules_to_not_convert": [*skipped]} if skipped else {}
        weights_dtype = kind.removeprefix("sdnq-")
        options["quantization_config"] = sdnq.SDNQConfig(weights_dtype=weights_dtype, quant_conv=True, **left)
    if role != "vae" and kind in ("bnb8", "nf4") and is_transformers:
        from transformers import BitsAndBytesConfig

        how: dict[str, Any] = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
        how = {"load_in_8bit": True} if kind == "bnb8" else how
        how |= {"llm_int8_skip_modules": [*skipped]} if skipped else {}
        options["quantization_config"] = BitsAndBytesConfig(**how)
    module = found.from_pretrained(folder / role, torch_dtype=torch.float32, **options)
    if role != "vae" and kind in ("bnb8", "nf4") and not is_transformers:
        # diffusers refuses this on a CPU, so it is done by hand with bitsandbytes itself.
        replace_linears(module, kind, (*(getattr(module, "_keep_in_fp32_modules", None) or ()), *skipped))
    module.eval()
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.clone()
        if getattr(tensor, "CB", None) is not None:
            tensor.CB = tensor.data
    return module


def replace_linears(module: Any, kind: str, kept: Sequence[str] | None = None) -> None:
    """Put a layer of bitsandbytes in the place of every Linear but those that the model's class keeps in 32 bits."""
    import bitsandbytes as bnb
    import torch

    if kept is None:
        kept = getattr(module, "_keep_in_fp32_modules", None) or ()
    for name, child in list(module.named_children()):
        if name in kept:
            continue
        if not isinstance(child, torch.nn.Linear):
            replace_linears(child, kind, kept)
            continue
        sizes = child.in_features, child.out_features, child.bias is not None
        if kind == "bnb8":
            new = bnb.nn.Linear8bitLt(*sizes, has_fp16_weights=False, threshold=6.0)
            new.weight = bnb.nn.Int8Params(child.weight.data, requires_grad=False, has_fp16_weights=False)
        else:
            # Nested scales are bitsandbytes' default, not diffusers'.
            four: Any = {"quant_type": "nf4", "compress_statistics": False}
            new = bnb.nn.Linear4bit(*sizes, compute_dtype=torch.float32, **four)
            new.weight = bnb.nn.Params4bit(child.weight.data, requires_grad=False, module=new, **four)
            # With AVX512-BF16 bitsandbytes fails on layers that its packing can't divide.
            new.support_avx512bf16_for_cpu &= child.in_features % 64 == 0 and child.out_features % 32 == 0
        new.bias = child.bias
        setattr(module, name, new.to("cpu"))


if __name__ == "__main__":
    os.environ["SDNQ_USE_TORCH_COMPILE"] = "0"
    import sdnq  # noqa: F401  # before transformers loads anything
    import torch

    torch.set_num_threads(1)
    print(hashlib.sha256(paint(Path(sys.argv[1]), sys.argv[2])).hexdigest())
