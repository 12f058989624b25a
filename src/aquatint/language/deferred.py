"""Strings and numbers that are known only when the plan runs: finding them in values, and writing them into texts.

What they are is in `values`, what becomes of them in `plan.texts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aquatint.language.values import ATOMS, Deferred, quoted, shown
from aquatint.plan import texts
from aquatint.plan.steps import Hole, Line, Text


class NotYet(Exception):
    """Something was to be done that needs the value of `deferred`, while the plan is made."""

    def __init__(self, deferred: Deferred) -> None:
        super().__init__()
        self.deferred = deferred

    @property
    def message(self) -> str:
        return f"this depends on {self.deferred.of}, which is known only when the plan runs"


HELP = "it can be passed on, printed, and put into a template, with the filters " + ", ".join(
    f"`{name}`" for name in sorted(texts.OPERATIONS)
)
"""What can be done with a deferred value."""


def deferred_in(value: Any) -> Deferred | None:
    """Return the first deferred value that is `value` or in it, or None."""
    if type(value) in ATOMS:
        return None
    if isinstance(value, Deferred):
        return value
    if isinstance(value, tuple | list | Mapping):
        # Lists that share their items can hold more than memory does: each is looked into once.
        seen: set[int] = set()
        waiting: list[Any] = [value]
        while waiting:
            item = waiting.pop()
            if isinstance(item, Deferred):
                return item
            if isinstance(item, tuple | list | Mapping) and id(item) not in seen:
                seen.add(id(item))
                waiting += reversed(list(item.values()) if isinstance(item, Mapping) else item)
    return None


def joined(values: Sequence[Any], separator: Any = "") -> Any:
    """Return what `values`, at least one of which is deferred, are as one string, each as `print` writes it."""
    first = deferred_in([*values, separator])
    assert first is not None
    parts: list[str | Hole] = []
    for number, value in enumerate(values):
        if number:
            parts += pieces(separator)
        parts += pieces(value)
    return written(parts, first)


def written(parts: Iterable[str | Hole], like: Deferred) -> Any:
    """Return the string of `parts`: a deferred one that depends on what `like` does, unless no part is a hole."""
    line = texts.text_of(list(parts))
    return line if isinstance(line, str) else Deferred("string", tuple(line.parts), like.of, like.span, like.name)


def operated(value: Deferred, name: str, arguments: Sequence[Any]) -> Deferred:
    """Return `value` with one of `texts.OPERATIONS` done on it. Raises `ValueError` with the reason why it can't be."""
    if (wrong := texts.problem(name, value.kind == "number", arguments)) is not None:
        raise ValueError(wrong)
    operation = [name, *arguments]
    match value.parts:
        case (Hole() as hole,):
            changed = Hole(hole.ref, [*hole.operations, operation])
        case _:
            changed = Hole(Text(list(value.parts)), [operation])
    return Deferred(value.kind, (changed,), value.of, value.span, value.name)


def line_of(value: Any) -> Line:
    """Return `value` as `print` and labels write it."""
    return texts.text_of(pieces(value)) if deferred_in(value) is not None else shown(value)


def pieces(value: Any, inside: bool = False) -> list[str | Hole]:
    """Return what `shown` writes for `value`, with holes for what isn't known; `inside` of a list it quotes strings."""
    match value:
        case Deferred():
            mark = '"' if inside and value.kind == "string" else ""
            return [mark, *value.parts, mark]
        case tuple() if deferred_in(value) is not None:
            parts: list[str | Hole] = ["["]
            for number, item in enumerate(value):
                parts += [", "] if number else []
                parts += pieces(item, inside=True)
            return [*parts, "]"]
        case Mapping() if deferred_in(value) is not None:
            parts = ["{"]
            for number, (key, item) in enumerate(value.items()):
                parts += [", "] if number else []
                parts += [f"{quoted(key)}: ", *pieces(item, inside=True)]
            return [*parts, "}"]
    return [quoted(value) if inside else shown(value)]
