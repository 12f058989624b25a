"""Saved models in a plain diffusers program, without any code of this project.

`python plain_saved.py FOLDER...` loads each as a whole, copies its weights into fresh memory, and prints the SHA-256 of
the picture that it makes.
"""

from __future__ import annotations

import hashlib
import os
import sys
from typing import Any


def paint(folder: str, seed: int = 7) -> bytes:
    """Return the pixels of one picture."""
    import torch
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            copy_afresh(part)
    call: dict[str, Any] = {"prompt": "a red cat", "num_inference_steps": 2, "width": 64, "height": 64}
    image = pipeline(**call, generator=torch.Generator("cpu").manual_seed(seed)).images[0]
    return bytes(image.convert("RGB").tobytes())


def copy_afresh(module: Any) -> None:
    """Move weights out of the mapped file: a matrix product on a CPU rounds by where its operands start."""
    import bitsandbytes as bnb

    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.clone()
        if getattr(tensor, "CB", None) is not None:
            tensor.CB = tensor.data
    for layer in module.modules():
        if isinstance(layer, bnb.nn.Linear4bit):
            # With AVX512-BF16 bitsandbytes fails on layers that its packing can't divide.
            layer.support_avx512bf16_for_cpu &= layer.in_features % 64 == 0 and layer.out_features % 32 == 0


def allow_bitsandbytes_on_a_cpu() -> None:
    """Leave out diffusers' check for a GPU, which it makes for stored models of bitsandbytes too."""
    from diffusers.quantizers.bitsandbytes import bnb_quantizer

    quantizers: Any = bnb_quantizer
    for quantizer in (quantizers.BnB4BitDiffusersQuantizer, quantizers.BnB8BitDiffusersQuantizer):
        quantizer.validate_environment = lambda self, *args, **kwargs: None
        quantizer.update_device_map = lambda self, device_map: {"": "cpu"}


if __name__ == "__main__":
    os.environ["SDNQ_USE_TORCH_COMPILE"] = "0"
    import sdnq  # noqa: F401  # before transformers loads anything
    import torch

    torch.set_num_threads(1)
    allow_bitsandbytes_on_a_cpu()
    for each in sys.argv[1:]:
        print(hashlib.sha256(paint(each)).hexdigest(), flush=True)
