"""Tensors that are made of others when they are asked for: diffusers' conversions, run before anything is read.

A conversion of a single file renames tensors, and now and then takes one apart or turns it. Run on `Derived` tensors it
computes with shapes alone, and what comes out remembers how it is made, so that a component is still loaded tensor by
tensor. Which conversion is for which component is `single_files`' business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aquatint.runtime.torch_engine.streaming import Slice
from aquatint.runtime.torch_engine.tensor_files import DTYPES


class Derived:
    """A tensor that isn't there yet: `meta` has its shape and type, `make` returns it."""

    def __init__(self, meta: Any, make: Callable[[], Any]) -> None:
        self.meta = meta
        self.make = make

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Return what `function` gives, as tensors that aren't there yet."""
        return _applied(function, tuple(args), dict(kwargs or {}))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self.meta, name)
        if callable(found):
            return lambda *args, **kwargs: _applied(_method(name), (self, *args), kwargs)
        if isinstance(found, type(self.meta)):  # such as `.T`
            return _applied(lambda tensor: getattr(tensor, name), (self,), {})
        return found

    def __getitem__(self, index: Any) -> Any:
        return _applied(lambda tensor: tensor[index], (self,), {})


def _method(name: str) -> Callable[..., Any]:
    return lambda tensor, *args, **kwargs: getattr(tensor, name)(*args, **kwargs)


def _applied(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    shapes = function(*_each(args, _meta), **_each(kwargs, _meta))

    def make() -> Any:
        return function(*_each(args, _made), **_each(kwargs, _made))

    if isinstance(shapes, tuple | list):
        return type(shapes)(Derived(shape, _item(make, number)) for number, shape in enumerate(shapes))
    return Derived(shapes, make) if hasattr(shapes, "dtype") and hasattr(shapes, "numel") else shapes


def _item(make: Callable[[], Any], number: int) -> Callable[[], Any]:
    return lambda: make()[number]


def _meta(value: Any) -> Any:
    return value.meta if isinstance(value, Derived) else value


def _made(value: Any) -> Any:
    return value.make() if isinstance(value, Derived) else value


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {name: _each(each, change) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_each(each, change) for each in value)
    return change(value)


class DerivedSlice(Slice):
    """A tensor that a conversion made, with what the libraries ask of one that is in a file."""

    __slots__ = ("_derived",)

    def __init__(self, derived: Derived) -> None:
        self._derived = derived

    def read(self) -> Any:
        """Return the tensor, made now, in memory of its own."""
        made = self._derived.make()
        return made if made.untyped_storage().nbytes() == made.nbytes else made.clone()

    def get_dtype(self) -> str:
        """Return the format's name of the type, such as `F16`."""
        name = str(self._derived.meta.dtype).removeprefix("torch.")
        return next(kind for kind, each in DTYPES.items() if each == name)

    def get_shape(self) -> list[int]:
        """Return the sides."""
        return list(self._derived.meta.shape)


def derived(torch: Any, slices: Mapping[str, Slice]) -> dict[str, Any]:
    """Return the tensors of a file as ones that aren't there yet."""
    return {
        name: Derived(
            torch.empty(each.get_shape(), dtype=getattr(torch, DTYPES[each.get_dtype()]), device="meta"), each.read
        )
        for name, each in slices.items()
    }


def as_slices(tensors: Mapping[str, Any]) -> dict[str, Slice]:
    """Return what a conversion gave as tensors of a file; one that is there already is kept as it is."""
    return {
        name: DerivedSlice(each if isinstance(each, Derived) else Derived(each.to("meta"), _constant(each)))
        for name, each in tensors.items()
    }  # fmt: skip


def _constant(tensor: Any) -> Callable[[], Any]:
    return lambda: tensor
