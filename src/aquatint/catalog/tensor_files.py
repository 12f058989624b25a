"""Tensors in safetensors files, as bytes: what a pipeline makes for another one, and what scripts hand to one.

Nothing here knows torch: a tensor is its type, its shape and its values' bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

BYTES_LIMIT = 1 << 30
"""Bytes of a file of tensors that a script names."""

SUFFIX = ".safetensors"

TEXTS = "__metadata__"
"""The header's entry that is no tensor: texts by name."""


class NoTensors(Exception):
    """A file holds no tensors that can be taken; the message ends a sentence that begins with its name."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """`dtype` by the format's name for it, such as `F32`; `data` has the values, the last axis first to move."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes = field(repr=False)


def packed(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> bytes:
    """Return a safetensors file; the same tensors and texts give the same bytes.

    By hand, since the library's own writer puts texts in an order that changes from run to run.
    """
    header: dict[str, object] = {TEXTS: dict(sorted(texts.items()))} if texts else {}
    place = 0
    for name, tensor in sorted(tensors.items()):
        end = place + len(tensor.data)
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(tensor.data for _, tensor in sorted(tensors.items()))


def unpacked(body: bytes) -> dict[str, Tensor]:
    """Return the tensors in a safetensors file, by name, sorted. Raises `NoTensors`."""
    from safetensors import SafetensorError, deserialize

    try:
        found = deserialize(body)  # type: ignore[no-untyped-call]
    except SafetensorError:
        raise NoTensors("is damaged, or no safetensors file") from None
    if not found:
        raise NoTensors("holds no tensor")
    return {
        name: Tensor(each["dtype"], tuple(each["shape"]), bytes(each["data"]))
        for name, each in sorted(found, key=lambda item: item[0])
    }


def chosen(tensors: Mapping[str, object], name: str) -> str:
    """Return which of a file's tensors is meant where one called `name` is wanted. Raises `NoTensors`."""
    if name in tensors:
        return name
    if len(tensors) > 1:
        listed = ", ".join(f"`{each}`" for each in tensors)
        raise NoTensors(f"holds several tensors and none is called `{name}`: {listed}")
    return next(iter(tensors))
