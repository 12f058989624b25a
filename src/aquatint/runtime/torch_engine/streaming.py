"""Loading that holds one tensor in full precision at a time: the libraries' own `from_pretrained`, fed by our reader.

diffusers and transformers both quantize a tensor when they come to it; what they hold meanwhile is the mapped file. For
the time of a load the name by which each of them opens a safetensors file is given another meaning: tensors that are
read when they are asked for. All else, from the skip lists to tied weights and renamed keys, stays theirs, and so the
bits are theirs.

Which classes and devices are loaded this way is decided in `loading`; the bytes are `tensor_files`' business.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, ValuesView
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aquatint.catalog.pickle_files import is_pickle
from aquatint.runtime.torch_engine.pickled import PickledFile
from aquatint.runtime.torch_engine.read_ahead import ReadAhead, read_ahead
from aquatint.runtime.torch_engine.tensor_files import Check, TensorFile

Readable = TensorFile | PickledFile
"""A file of weights, open."""

# The names are the process's, not a thread's.
_ONE_AT_A_TIME = threading.RLock()


@dataclass(slots=True)
class Streamed:
    """What went through the reader: `tensors` and `bytes` of them, a tensor that was read twice counted twice."""

    tensors: int = 0
    bytes: int = 0
    before_each: Callable[[int], None] = field(default=lambda _: None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, size: int) -> None:
        """Count a tensor of `size` bytes that is about to be read; transformers reads in several threads."""
        with self._lock:
            self.tensors += 1
            self.bytes += size
            self.before_each(size)


class Slice:
    """One tensor that is not read yet, with what transformers asks of safetensors' own slices."""

    __slots__ = ("_ahead", "_file", "_name", "_streamed")

    def __init__(self, file: Readable, name: str, streamed: Streamed, ahead: ReadAhead | None = None) -> None:
        self._file = file
        self._ahead = ahead
        self._name = name
        self._streamed = streamed

    def read(self) -> Any:
        """Return the tensor, read now."""
        declared = self._file.tensors[self._name]
        self._streamed.count(declared.end - declared.start)
        return (self._ahead or self._file).read(self._name)

    def __getitem__(self, index: Any) -> Any:
        return self.read()[index]

    def get_dtype(self) -> str:
        """Return the format's name of the type, such as `F16`."""
        return self._file.tensors[self._name].dtype

    def get_shape(self) -> list[int]:
        """Return the sides."""
        return list(self._file.tensors[self._name].shape)


class StateDict(dict[str, Any]):
    """A state dict whose tensors are read each time that they are asked for, and kept by nobody.

    A dict for diffusers, which asks with `isinstance`. Inside are `Slice`s; whatever is put in is given back as it is.
    """

    def __iter__(self) -> Iterator[str]:
        # Being defined here it keeps `dict(...)` and `{**...}` from taking the slices for tensors.
        return super().__iter__()

    def __getitem__(self, name: str) -> Any:
        return _read(super().__getitem__(name))

    def get(self, name: str, default: Any = None) -> Any:
        """Return the tensor called `name`, read now."""
        return _read(super().get(name, default))

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # dict's own views are final
        """Return pairs whose tensors are read as the iteration comes to them."""
        return ItemsView(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]  # dict's own views are final
        """Return tensors that are read as the iteration comes to them."""
        return ValuesView(self)

    def slices(self) -> dict[str, Any]:
        """Return what is inside, nothing read: names can be changed and parts taken out without reading them."""
        return {name: super(StateDict, self).__getitem__(name) for name in self}

    def below(self, prefix: str) -> dict[str, Any]:
        """Return the tensors whose names begin with `prefix`, read now."""
        return {name: self[name] for name in self if name.startswith(prefix)}


def _read(value: Any) -> Any:
    return value.read() if isinstance(value, Slice) else value


class _Opened:
    """A file as transformers sees one that `safetensors.safe_open` has opened."""

    def __init__(self, slices: Mapping[str, Slice]) -> None:
        self._slices = slices

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the file open: the load that reads it closes it."""

    def keys(self) -> list[str]:
        return sorted(self._slices)

    def get_slice(self, name: str) -> Slice:
        return self._slices[name]

    def get_tensor(self, name: str) -> Any:
        return self._slices[name].read()

    def metadata(self) -> dict[str, str]:
        return {"format": "pt"}


@dataclass(frozen=True, slots=True)
class Standin:
    """A `file` of weights that a library looks for in another `place`, with other tensors: those `converted` gives."""

    place: Path
    file: Path
    converted: Callable[[Mapping[str, Slice]], dict[str, Slice]]


@contextmanager
def streaming(
    torch: Any,
    library: str,
    files: Iterable[Path],
    before_each: Callable[[int], None] = lambda _: None,
    check: Check | None = None,
    ahead: bool = False,
    stand_in: Standin | None = None,
) -> Iterator[Streamed]:
    """Run the body, in which `library` loads `files` onto the CPU, with their tensors read one at a time.

    `library` is "diffusers" or "transformers". Yields the count of what was read so far; one that is still zero at the
    end tells that the library took another way. Other files than `files` are opened as ever. `before_each` is called
    with a tensor's size before it is read; `check` sees each tensor's bytes before anyone else. With `ahead` the files
    are read from the start by threads of their own (`read_ahead`), which is for those whose tensors stay as they are.
    With `stand_in` its file is read where the library opens its place. Raises `EngineError` for a damaged file, and
    whatever `check` does.
    """
    streamed = Streamed(before_each=before_each)
    ours = {file.resolve() for file in files}
    places = set() if stand_in is None else {stand_in.place.resolve()}
    with _ONE_AT_A_TIME, ExitStack() as stack:
        opened = {file: stack.enter_context(TensorFile(torch, file, check)) for file in ours} if ahead else {}
        reading = stack.enter_context(read_ahead(opened.values())) if ahead else {}

        def slices(file: Path) -> dict[str, Slice]:
            if stand_in is not None and file == stand_in.place.resolve():
                return stand_in.converted(slices(stand_in.file.resolve()))
            found: Readable | None = opened.get(file)
            if found is None:
                found = _opened(torch, file, check)
                stack.push(found.__exit__)
            return {name: Slice(found, name, streamed, reading.get(file)) for name in found.tensors}

        for place, name, of in _OPENERS[library]:
            module = importlib.import_module(place)
            original = getattr(module, name)
            stack.callback(setattr, module, name, original)
            setattr(module, name, of(original, ours | places, slices))
        yield streamed


def _opened(torch: Any, file: Path, check: Check | None) -> TensorFile | PickledFile:
    return PickledFile(torch, file) if is_pickle(file) else TensorFile(torch, file, check)


_Slices = Callable[[Path], dict[str, Slice]]


def _load_state_dict(original: Callable[..., Any], ours: set[Path], slices: _Slices) -> Callable[..., Any]:
    def load_state_dict(checkpoint_file: Any, *args: Any, **options: Any) -> Any:
        # diffusers passes the dict of a single file through a second time.
        if not isinstance(checkpoint_file, dict):
            file = Path(checkpoint_file).resolve()
            if file in ours:
                return StateDict(slices(file))
        return original(checkpoint_file, *args, **options)

    return load_state_dict


def _safe_open(original: Callable[..., Any], ours: set[Path], slices: _Slices) -> Callable[..., Any]:
    def safe_open(filename: Any, *args: Any, **options: Any) -> Any:
        file = Path(filename).resolve()
        return _Opened(slices(file)) if file in ours else original(filename, *args, **options)

    return safe_open


_OPENERS: Mapping[str, tuple[tuple[str, str, Callable[..., Callable[..., Any]]], ...]] = {
    "diffusers": (
        ("diffusers.models.modeling_utils", "load_state_dict", _load_state_dict),
        ("diffusers.models.model_loading_utils", "load_state_dict", _load_state_dict),
    ),
    "transformers": (("transformers.modeling_utils", "safe_open", _safe_open),),
}
"""Where each library opens a safetensors file: module, name, and what stands there during a load."""
