"""Pickled weights: whether they may be read, and what such a file declares, told without torch and running nothing.

The permission is the process's, given on the command line alone: no script, plan or picture can ask for it. Even then
nothing of a pickle is called: here its instructions are followed with names for everything that they would make, and
the engine has torch read it with `weights_only`.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

SUFFIXES = (".bin", ".ckpt", ".pt", ".pth")
OPTION = "--allow-pickles"

_OF_LIBRARIES = ("diffusion_pytorch_model", "pytorch_model")
# How the libraries' own pickled weights begin in a component's folder; beside them lies what others have left.

_STORAGES = {
    "DoubleStorage": ("F64", 8), "FloatStorage": ("F32", 4), "HalfStorage": ("F16", 2), "BFloat16Storage": ("BF16", 2),
    "LongStorage": ("I64", 8), "IntStorage": ("I32", 4), "ShortStorage": ("I16", 2), "CharStorage": ("I8", 1),
    "ByteStorage": ("U8", 1), "BoolStorage": ("BOOL", 1),
}  # fmt: skip
_LIMIT = 16 << 20  # bytes of the instructions: they have names and shapes, and no weights
_DEPTH = 4  # of state dicts in one another

_allowed = False


def are_allowed() -> bool:
    """Return whether pickled weights may be read."""
    return _allowed


@contextmanager
def allowed(is_allowed: bool = True) -> Iterator[None]:
    """Run the body, in which pickled weights may be read, or as before."""
    global _allowed
    before = _allowed
    _allowed = before or is_allowed
    try:
        yield
    finally:
        _allowed = before


def is_pickle(source: str | Path | None) -> bool:
    """Return whether a file, if it is one, is called as pickled weights are."""
    return source is not None and str(source).lower().endswith(SUFFIXES)


def is_of_library(name: str) -> bool:
    """Return whether a file in a component's folder is what the libraries read as its pickled weights."""
    return name.endswith(".bin") and name.startswith(_OF_LIBRARIES)


class Malformed(Exception):
    """A file holds no weights that are read; the message says why."""


Declared = tuple[str, str, tuple[int, ...], int, int]
"""A tensor's name, type, shape, and where its bytes begin and end if all lay one behind the other."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    kind: str
    width: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Named:
    """What a pickle asks for by name, which nobody looks up."""

    name: str

    def __call__(self, *arguments: Any) -> Any:
        if self.name == "torch._utils._rebuild_tensor_v2" and len(arguments) >= 3:
            storage, _, shape = arguments[:3]
            if isinstance(storage, _Named) and _is_shape(shape):
                kind, width = _STORAGES[storage.name]
                return _Tensor(kind, width, shape)
        if self.name == "torch._utils._rebuild_parameter" and arguments and isinstance(arguments[0], _Tensor):
            return arguments[0]
        raise Malformed(f"it asks for `{self.name}`, which is no weight")


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(side, int) and 0 <= side < 1 << 40 for side in value)


class _Follower(pickle._Unpickler):  # the one in Python: that in C takes as much memory as a pickle says
    """Follows the instructions of a pickle and makes nothing but dicts, lists, numbers, texts and tensors' shapes."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        return _Named(f"{module}.{name}")

    def persistent_load(self, told: Any) -> Any:
        if isinstance(told, tuple) and len(told) == 5 and told[0] == "storage" and isinstance(told[1], _Named):
            name = told[1].name.rpartition(".")[2]
            if name in _STORAGES:
                return _Named(name)
        raise Malformed("it has weights of a type that isn't read")


@lru_cache(maxsize=256)
def declared(name: str, _size: int, _mtime: int, _inode: int) -> tuple[Declared, ...]:
    """Return what the file called `name` declares. Raises `Malformed`."""
    try:
        with zipfile.ZipFile(name) as archive:
            inside = next((each for each in archive.infolist() if each.filename.endswith("/data.pkl")), None)
            if inside is None or inside.file_size > _LIMIT:
                raise Malformed("it is no file of weights")
            with archive.open(inside) as stream:
                found = _Follower(stream).load()
    except Malformed:
        raise
    except zipfile.BadZipFile:
        raise Malformed("it is cut short, or in the form of before torch 1.6") from None
    except Exception:  # whatever instructions that nobody has looked at come to
        raise Malformed("its instructions can't be followed") from None
    return tuple(_placed(_tensors(found)))


def innermost(found: Any) -> Any:
    """Return the state dict that is in others, as training programs put it there.

    One that has nothing but others in it, as that of an IP-Adapter, is theirs together: `outer.inner` is a name then.
    """
    for _ in range(_DEPTH):
        if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
            found = found["state_dict"]
    if isinstance(found, dict) and found and all(isinstance(each, dict) for each in found.values()):
        return {f"{name}.{inner}": value for name, each in found.items() for inner, value in each.items()}
    return found


def _tensors(found: Any) -> dict[str, _Tensor]:
    found = innermost(found)
    if not isinstance(found, dict):
        raise Malformed("it holds no weights by name")
    return {name: each for name, each in found.items() if isinstance(name, str) and isinstance(each, _Tensor)}


def _placed(tensors: dict[str, _Tensor]) -> Iterator[Declared]:
    at = 0
    for name, tensor in tensors.items():
        end = at + prod(tensor.shape) * tensor.width
        yield name, tensor.kind, tensor.shape, at, end
        at = end
