"""Values as templates see them, and back.

A template works on plain strings, numbers and lists; the rest it sees through views, which let it ask for members, and
for nothing of Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aquatint.language.deferred import HELP, NotYet, deferred_in
from aquatint.language.values import Builtin, Deferred, Result, Routine, Unavailable, members, shown, type_name

METHODS_OF_MAPS = ("get", "items", "keys", "values")


class TemplateProblem(Exception):
    """A template can't be rendered; `word` is the part of its text that is to blame, if that is known."""

    def __init__(
        self, message: str, help: str | None = None, word: str | None = None, deferred: Deferred | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        self.word = word
        self.deferred = deferred  # what the template would have to know, and is known only when the plan runs


def not_yet(problem: NotYet) -> TemplateProblem:
    """Return what a template that needs a deferred value says."""
    return TemplateProblem(problem.message, HELP, deferred=problem.deferred)


class View:
    """A value of the language that Python has no like of: a template sees its members."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __getattr__(self, name: str) -> Any:
        known = members(self._value) or {}
        if name in known:
            return view(known[name])
        raise AttributeError(name)

    def __str__(self) -> str:
        return shown(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, View) and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash(str(self))


class MapView(View):
    """A map: its keys are its members, before the methods that Jinja's users look for in a map."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name in self._value:
            return self[name]
        if name in METHODS_OF_MAPS:
            return getattr({key: view(item) for key, item in self._value.items()}, name)
        raise AttributeError(name)

    def __getitem__(self, key: Any) -> Any:
        return view(self._value[key])

    def __iter__(self) -> Iterator[Any]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)


class ItemsView(View):
    """A result of `generate`: its images are its items, and it has members of its own."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        found = self._value.images[index]
        return view(found)

    def __iter__(self) -> Iterator[Any]:
        return iter([view(image) for image in self._value.images])

    def __len__(self) -> int:
        return len(self._value.images)


class DeferredView(View):
    """A string or number that isn't there yet: it can be written, and nothing be asked of it."""

    __slots__ = ()

    def __bool__(self) -> bool:
        raise not_yet(NotYet(self._value))


class FunctionView:
    """A function of the language, as templates call it."""

    __slots__ = ("_function",)

    def __init__(self, function: Builtin | Routine) -> None:
        self._function = function

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        function = self._function
        assert isinstance(function, Builtin), "the environment carries out what scripts define"
        if not function.lazy and (found := deferred_in([unview(v) for v in (*arguments, *named.values())])) is not None:
            raise not_yet(NotYet(found))
        if function.outside:
            raise TemplateProblem(f"a template can't call `{function.name}`, which looks outside of the script",
                                  f"call it before: `let text = {function.name}(...)`", function.name)  # fmt: skip
        try:
            return view(function.call(*map(unview, arguments), **{k: unview(v) for k, v in named.items()}))
        except ValueError as problem:
            raise TemplateProblem(f"`{function.name}` {problem}", word=function.name) from None
        except TypeError:
            form = f"its form is `{function.name}{function.signature}`"
            raise TemplateProblem(f"`{function.name}` can't be called like this", form, function.name) from None


def view(value: Any) -> Any:
    """Return `value` as templates see it."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Unavailable):
        raise TemplateProblem(value.message, value.help)
    if isinstance(value, tuple):
        return [view(item) for item in value]
    if isinstance(value, Builtin | Routine):
        return FunctionView(value)
    if isinstance(value, Deferred):
        return DeferredView(value)
    if isinstance(value, Result):
        return ItemsView(value)
    return MapView(value) if isinstance(value, Mapping) else View(value)


def unview(value: Any) -> Any:
    """Return the language's value that a template's is; raise `TemplateProblem` if it is none or isn't there."""
    match value:
        case None | str() | bool() | int() | float():
            return value
        case list() | tuple():
            return tuple(unview(item) for item in value)
        case dict():
            return {unview(key): unview(item) for key, item in value.items()}
        case View():
            return value._value
        case FunctionView():
            return value._function
    if hasattr(type(value), "problem"):
        raise value.problem()
    raise TemplateProblem("this template uses something as a value that is none")


def written(value: Any) -> str:
    """Return what a template writes for `value`: what `print` would."""
    return shown(unview(value))


def kind_of(value: Any) -> str:
    """Return what messages call the type of a template's value, with its article."""
    return type_name(unview(value))
