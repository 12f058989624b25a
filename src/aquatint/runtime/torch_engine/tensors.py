"""Tensors between calls: out of torch when a call has ended, and into it for the call that goes on with them.

As bytes they are the same wherever they were made and go, in the computer's memory, and no weights hang on them.
"""

from __future__ import annotations

from typing import Any

from aquatint.catalog.tensor_files import Tensor
from aquatint.runtime.engine import EngineError

_TYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
"""Torch's names of types, and those of safetensors files."""


def kept(torch: Any, tensor: Any) -> Tensor:
    """Return a live tensor's values, type and shape. Raises `EngineError` for a type that no file has."""
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in _TYPES:
        raise EngineError(f"a tensor of the type {name} can't be handed on")
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return Tensor(_TYPES[name], tuple(tensor.shape), plain.view(torch.uint8).numpy().tobytes())


def live(torch: Any, value: Any, device: str) -> Any:
    """Return an argument of a call with live tensors on `device` for those in it, alone or in a list."""
    match value:
        case Tensor():
            names = {short: name for name, short in _TYPES.items()}
            if value.dtype not in names:
                raise EngineError(f"a tensor of the type {value.dtype} can't be handed on")
            flat = torch.frombuffer(bytearray(value.data), dtype=getattr(torch, names[value.dtype]))
            return flat.reshape(value.shape).to(device)
        case list() if any(isinstance(item, Tensor) for item in value):
            return [live(torch, item, device) for item in value]
    return value
