"""Names and what they stand for, block by block.

A block sees the names of the blocks around it. Binding a name twice in a block is refused by `evaluate`; overriding one
is how `override` works.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aquatint.source import Span


class Unknown:
    """The value of what could not be evaluated; its reason has been reported, and what comes of it is not."""

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN = Unknown()


@dataclass(slots=True)
class Binding:
    """A name's value in one block; `span` is where the block bound it, None for what the language brings.

    `age` is how many snapshots of the block there were by then, `before` what the name stood for in the last of them.
    """

    value: Any
    span: Span | None
    overridden: bool = False
    age: int = 0
    before: Binding | None = None


@dataclass(slots=True)
class Scope:
    """The names of one block, and the block around it."""

    outer: Scope | None = None
    names: dict[str, Binding] = field(default_factory=dict)
    is_open: bool = False  # something that could not be read binds names here: which, nobody knows
    age: int = 0  # snapshots that were taken
    original: Scope | None = None  # of a snapshot: the block as it stood at the age of this one

    def find(self, name: str) -> Binding | None:
        """Return the innermost binding of `name`."""
        scope: Scope | None = self
        is_open = False
        while scope is not None:
            if (binding := scope.names.get(name)) is not None:
                return binding
            if scope.original is not None:
                binding = _at(scope.original.names.get(name), scope.age)
                if binding is not None:
                    return binding
            is_open = is_open or scope.is_open
            scope = scope.outer
        return Binding(UNKNOWN, None) if is_open else None

    def bind(self, name: str, value: Any, span: Span | None) -> None:
        """Bind `name` in this block, whatever it was."""
        self.names[name] = Binding(value, span, False, self.age, self._before(name) if self.age else None)

    def override(self, name: str, value: Any) -> None:
        """Let `name` stand for `value` from here to the end of this block."""
        found = self.find(name)
        self.names[name] = Binding(
            value, found.span if found else None, name not in self.names, self.age, self._before(name)
        )

    def _before(self, name: str) -> Binding | None:
        """Return what `name` stood for at the last snapshot."""
        binding = self.names.get(name)
        return binding if binding is None or binding.age < self.age else binding.before

    def as_it_stands(self) -> Scope:
        """Return a scope with the names that are visible here, which later ones in these blocks don't reach."""
        if self.outer is None or self.original is not None:
            return self  # the language's own names never change, nor does what stands still already
        # No copy: a script of functions would take memory by the square of their number.
        self.age += 1
        return Scope(self.outer.as_it_stands(), {}, self.is_open, self.age - 1, self.original or self)

    def continued(self, outer: Scope) -> Scope:
        """Return a scope that begins with this one's names, inside of `outer`."""
        return Scope(outer, dict(self.names), age=self.age)

    def visible(self, *, of_language: bool = True) -> Iterator[str]:
        """Yield every name that can be used here, inner ones first, with those `of_language` or without."""
        scope: Scope | None = self
        while scope is not None and (of_language or scope.outer is not None):
            yield from scope.names
            if scope.original is not None:
                yield from (name for name, found in scope.original.names.items() if _at(found, scope.age))
            scope = scope.outer


def _at(binding: Binding | None, age: int) -> Binding | None:
    """Return what the name of `binding` stood for when its block was of that `age`."""
    while binding is not None and binding.age > age:
        binding = binding.before
    return binding
