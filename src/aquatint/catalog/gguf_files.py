"""The headers of GGUF files: which tensors one declares, of which type, and where; nothing of a weight is read.

A small reader of its own, since a plan is made without the package, and since the file comes from outside: every count
in it is held against the bytes that are there.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".gguf"
PACKAGE = "gguf"
"""What diffusers reads such weights with; an extra of this program."""

TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 20: ("IQ4_NL", 32, 18), 23: ("IQ4_XS", 256, 136),
    30: ("BF16", 1, 2),
}  # fmt: skip
"""The types that diffusers computes with, by their numbers: name, and the numbers and bytes of a block."""

PLAIN = ("F32", "F16")
"""Those that are tensors of torch as they are."""

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # of values beside the tensors
_STRING, _ARRAY, _UINT32 = 8, 9, 4
_LIMIT = 1 << 20  # tensors, values, and characters of a name
_SIDES = 4


class Malformed(Exception):
    """A file is no GGUF file that can be read; the message says why."""


class Unsupported(Exception):
    """A file has weights of a type that nobody here computes with; the message names it."""


Declared = tuple[str, str, tuple[int, ...], int, int]
"""A tensor's name, type, shape, and where its bytes begin and end."""


def is_gguf(source: str | Path | None) -> bool:
    """Return whether a file, if it is one, is called as GGUF files are."""
    return source is not None and str(source).lower().endswith(SUFFIX)


@lru_cache(maxsize=256)
def declared(name: str, size: int, _mtime: int, _inode: int) -> tuple[Declared, ...]:
    """Return what the file called `name` declares, which has `size` bytes. Raises `Malformed` and `Unsupported`."""
    with open(name, "rb") as stream:
        try:
            return tuple(_Reader(stream, size).tensors())
        except (struct.error, UnicodeDecodeError, OverflowError):
            raise Malformed("its header is cut short or can't be read") from None


def usual_type(types: Iterable[str]) -> str:
    """Return the quantized type that most of the tensors are of, where none is quantized the usual half precision."""
    counts = Counter(types)
    for others in ((*PLAIN, "BF16"), PLAIN[:1]):
        found = sorted(counts.keys() - set(others))
        if found:
            return max(found, key=lambda name: counts[name])
    return PLAIN[0]


class _Reader:
    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream = stream
        self.size = size
        self.alignment = 32

    def tensors(self) -> list[Declared]:
        if self.stream.read(4) != _MAGIC:
            raise Malformed("it is no GGUF file")
        (version,) = self._numbers("<I")
        if version not in _VERSIONS:
            raise Malformed(f"it is of version {version} of the format")
        count, values = self._numbers("<QQ")
        if max(count, values) > _LIMIT:
            raise Malformed("it declares more than any model has")
        for _ in range(values):
            self._value(self._string())
        found = [self._tensor() for _ in range(count)]
        base = -(-self.stream.tell() // self.alignment) * self.alignment
        return [self._placed(base, *each) for each in found]

    def _placed(self, base: int, name: str, number: int, shape: tuple[int, ...], offset: int) -> Declared:
        if number not in TYPES:
            raise Unsupported(f"`{name}` is of type {number} of the format")
        kind, block, width = TYPES[number]
        if not shape or shape[-1] % block:
            raise Malformed(f"`{name}` is no whole number of blocks wide")
        start = base + offset
        end = start + prod(shape) // block * width
        if end > self.size:
            raise Malformed(f"it has {self.size:,} bytes where its header promises {end:,}")
        return name, kind, shape, start, end

    def _numbers(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, self.stream.read(struct.calcsize(form)))

    def _string(self) -> str:
        (length,) = self._numbers("<Q")
        if length > _LIMIT:
            raise Malformed("a name in its header is too long")
        text = self.stream.read(length)
        if len(text) < length:
            raise Malformed("its header is cut short")
        return text.decode("utf-8")

    def _value(self, name: str) -> None:
        (kind,) = self._numbers("<I")
        if name == "general.alignment" and kind == _UINT32:
            (self.alignment,) = self._numbers("<I")
            if self.alignment == 0 or self.alignment & (self.alignment - 1):
                raise Malformed("its alignment is no power of two")
            return
        self._skip(kind)

    def _skip(self, kind: int) -> None:
        if kind == _STRING:
            self._pass(self._numbers("<Q")[0])
        elif kind == _ARRAY:
            inner, count = self._numbers("<IQ")
            if inner in _WIDTHS:
                self._pass(_WIDTHS[inner] * count)
            elif inner == _STRING and count <= self.size:
                for _ in range(count):
                    self._skip(inner)
            else:
                raise Malformed("a list in its header can't be read")
        elif kind in _WIDTHS:
            self._pass(_WIDTHS[kind])
        else:
            raise Malformed("a value in its header is of no known type")

    def _pass(self, count: int) -> None:
        if count > self.size - self.stream.tell():
            raise Malformed("its header is cut short")
        self.stream.seek(count, 1)

    def _tensor(self) -> tuple[str, int, tuple[int, ...], int]:
        name = self._string()
        (sides,) = self._numbers("<I")
        if not 0 < sides <= _SIDES:
            raise Malformed(f"`{name}` has {sides} sides")
        shape = self._numbers(f"<{sides}Q")[::-1]
        number, offset = self._numbers("<IQ")
        if prod(shape) > 8 * self.size or offset > self.size:
            raise Malformed(f"`{name}` is larger than the file")
        return name, number, shape, offset
