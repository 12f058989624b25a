"""Denoisers from GGUF files: weights that stay as they are stored, and are unpacked layer by layer to be computed with.

diffusers makes the module and its layers; the tensors are read here, one at a time, into memory of their own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from aquatint.catalog import checkpoints
from aquatint.catalog.gguf_files import PACKAGE, PLAIN
from aquatint.plan.steps import Component
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine.libraries import Libraries, require

_DTYPES = {"F32": "float32", "F16": "float16"}


def module(libraries: Libraries, component: Component, found: Any, folder: Path) -> tuple[Any, int]:
    """Return the module of the class `found` with the weights of `component`'s file, and how many tensors were read.

    `folder` is the one with the configurations. Raises `EngineError`.
    """
    torch = libraries.torch
    assert component.single_file is not None and component.dtype is not None
    if component.quantization is not None:
        raise EngineError(f"`{component.single_file}` is quantized already", "leave its quantizer out")
    require(PACKAGE, "a GGUF file", "gguf")
    from diffusers import GGUFQuantizationConfig

    dtype = getattr(torch, component.dtype)
    tensors = _read(torch, component.single_file)
    count = len(tensors)
    made = found.from_single_file(
        tensors, config=str(folder), subfolder=component.subfolder, local_files_only=True, torch_dtype=dtype,
        quantization_config=GGUFQuantizationConfig(compute_dtype=dtype), device=component.device,
    )  # fmt: skip
    missing = sorted(name for name, tensor in made.state_dict().items() if tensor.is_meta)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise EngineError(f"`{component.single_file}` lacks the weights `{missing[0]}`{more}",
                          "the file may be of another kind of model than its configuration")  # fmt: skip
    return made, count


def is_quantized(layer: Any) -> bool:
    """Return whether a layer has weights as a GGUF file has them."""
    return type(layer).__name__ == "GGUFLinear"


def _read(torch: Any, source: str) -> dict[str, Any]:
    """Return the tensors of a file: those of quantized types as diffusers' parameters of bytes, row by row."""
    from diffusers.quantizers.gguf.utils import GGUFParameter
    from gguf import GGMLQuantizationType

    try:
        header = checkpoints.single_header(source)
    except checkpoints.CheckpointError as error:
        raise EngineError(error.message, error.help) from error
    made: dict[str, Any] = {}
    with open(checkpoints.single_file(source), "rb", buffering=0) as stream:
        for declared in header:
            blank = torch.empty(declared.end - declared.start, dtype=torch.uint8)
            _fill(stream.fileno(), memoryview(blank.numpy()), declared.start, source)
            if declared.dtype in PLAIN:
                made[declared.name] = blank.view(getattr(torch, _DTYPES[declared.dtype])).reshape(declared.shape)
            else:
                rows = blank.reshape(*declared.shape[:-1], -1)
                made[declared.name] = GGUFParameter(rows, quant_type=GGMLQuantizationType[declared.dtype])
    return made


def _fill(descriptor: int, view: memoryview, at: int, source: str) -> None:
    while view:
        count = os.preadv(descriptor, [view], at)
        if count == 0:
            raise EngineError(f"`{source}` is damaged: it ends inside a tensor", "fetch or write that file again")
        view, at = view[count:], at + count
