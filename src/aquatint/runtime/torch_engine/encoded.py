"""What a text encoder returned, as files: its tensors, and how they go together as JSON. No pickle.

Read back, it is what a clone of it is: the same classes, bits, types, shapes and order in memory. What a language model
would go on writing with is left out: pipelines that encode a prompt have no use for it, and it is as large as the rest.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from aquatint.plan.steps import Json
from aquatint.runtime.engine import EngineError
from aquatint.runtime.store import Damaged
from aquatint.runtime.torch_engine.libraries import Libraries
from aquatint.runtime.torch_engine.tensor_files import TensorFile

FORMAT = 1
FORM, TENSORS = "form.json", "tensors.safetensors"


class Unknown(Exception):
    """A value has a type that isn't known here, so that nobody knows what a copy of it would be."""


class Encoded:
    """The parts of an output of the module class `found`: its tensors by name, clones, and its `form`.

    Raises `Unknown` if it can't be written. `bytes` are those of the tensors.
    """

    def __init__(self, libraries: Libraries, found: Any, output: Any) -> None:
        self.tensors: dict[str, Any] = {}
        self._libraries = libraries
        self._found = found
        self._seen: dict[int, str] = {}
        self.form = self._formed(output)
        self.bytes = sum(int(tensor.nbytes) for tensor in self.tensors.values())

    def write(self, folder: Path) -> None:
        """Write it into the empty `folder`."""
        from safetensors.torch import save_file

        save_file({name: tensor.contiguous() for name, tensor in self.tensors.items()}, folder / TENSORS)
        (folder / FORM).write_bytes(msgspec.json.encode(self.form))

    def _formed(self, value: Any) -> Json:
        libraries = self._libraries
        if isinstance(value, libraries.torch.Tensor):
            return self._tensor(value)
        if isinstance(value, libraries.transformers.Cache):
            return {"left out": None}
        match value:
            case None | bool() | int() | str():
                return {"value": value}
            case float() if math.isfinite(value):
                return {"value": value}
            case list() | tuple() if type(value) in (list, tuple):
                return {type(value).__name__: [self._formed(item) for item in value]}
            case dict() if type(value) is dict and all(isinstance(name, str) for name in value):
                return {"dict": {name: self._formed(item) for name, item in value.items()}}
            case dict() if _output_class(libraries, self._found, type(value).__name__) is type(value):
                return {"output": type(value).__name__, "items": {n: self._formed(item) for n, item in value.items()}}
            case _:
                raise Unknown(type(value).__name__)

    def _tensor(self, tensor: Any) -> Json:
        if type(tensor) is not self._libraries.torch.Tensor or tensor.layout is not self._libraries.torch.strided:
            raise Unknown(type(tensor).__name__)
        # One that is in two places, as a last state is among all of them, is written once.
        if id(tensor) not in self._seen:
            self._seen[id(tensor)] = str(len(self._seen))
            self.tensors[self._seen[id(tensor)]] = tensor.clone()
        name = self._seen[id(tensor)]
        return {"tensor": name, "stride": list(self.tensors[name].stride()), "device": str(tensor.device)}


def read(libraries: Libraries, found: Any, folder: Path, again: Callable[[], Any]) -> Any:
    """Return the output of the module class `found` that is in `folder`; raise `Damaged` if there is none.

    `again` computes it: it is called, once, if somebody asks for what was left out.
    """
    try:
        form = msgspec.json.decode((folder / FORM).read_bytes(), type=dict[str, Any])
        with TensorFile(libraries.torch, folder / TENSORS) as file:
            return _Reader(libraries, found, file, cache(again)).value(form, ())
    except (EngineError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise Damaged(f"`{FORM}` is not the one of `{TENSORS}`") from error


class _Reader:
    def __init__(self, libraries: Libraries, found: Any, file: TensorFile, again: Callable[[], Any]) -> None:
        self.libraries = libraries
        self.found = found
        self.file = file
        self.again = again

    def value(self, form: Mapping[str, Any], path: tuple[str | int, ...]) -> Any:
        """Return what `form` says, which is at `path` inside of the output."""
        match form:
            case {"value": value}:
                return value
            case {"tensor": name, "stride": stride, "device": device}:
                stored = self.file.read(name)
                # Products round by the order in memory, too.
                placed = self.libraries.torch.empty_strided(stored.shape, stride, dtype=stored.dtype)
                return placed.copy_(stored).to(device)
            case {"list": list(items)}:
                return [self.value(item, (*path, index)) for index, item in enumerate(items)]
            case {"tuple": list(items)}:
                return tuple(self.value(item, (*path, index)) for index, item in enumerate(items))
            case {"dict": dict(items)}:
                return {name: self.value(item, (*path, name)) for name, item in items.items()}
            case {"output": name, "items": dict(items)}:
                kind = _output_class(self.libraries, self.found, name)
                return kind(**{name: self.value(item, (*path, name)) for name, item in items.items()})
            case {"left out": None}:
                return LeftOut(self.again, path)
            case _:
                raise ValueError


class LeftOut:
    """What was not kept of an output: whoever asks for anything of it has the output computed."""

    def __init__(self, again: Callable[[], Any], path: tuple[str | int, ...]) -> None:
        self.__again = again
        self.__path = path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the protocols of copying and comparing
            raise AttributeError(name)
        return getattr(self._computed(), name)

    def __len__(self) -> int:
        return len(self._computed())

    def __iter__(self) -> Any:
        return iter(self._computed())

    def __getitem__(self, index: Any) -> Any:
        return self._computed()[index]

    def __bool__(self) -> bool:
        return True

    def _computed(self) -> Any:
        value = self.__again()
        for step in self.__path:
            value = value[step]
        return value


def _output_class(libraries: Libraries, found: Any, name: str) -> Any:
    """Return the class of outputs called `name` that modules of the class `found` return.

    No file's word is taken for where a class is: it is one of the usual ones, or is beside the module's own.
    """
    for place in (libraries.transformers.modeling_outputs, sys.modules.get(found.__module__)):
        kind = getattr(place, name, None)
        if isinstance(kind, type) and issubclass(kind, libraries.transformers.utils.ModelOutput):
            return kind
    return None
