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
    """A name's value in one block; `span` is where the block bound it, None for what the language brings."""

    value: Any
    span: Span | None
    overridden: bool = False


@dataclass(slots=True)
class Scope:
    """The names of one block, and the block around it."""

    outer: Scope | None = None
    names: dict[str, Binding] = field(default_factory=dict)
    is_open: bool = False  # something that could not be read binds names here: which, nobody knows

    def find(self, name: str) -> Binding | None:
        """Return the innermost binding of `name`."""
        scope: Scope | None = self
        is_open = False
        while scope is not None:
            if (binding := scope.names.get(name)) is not None:
                return binding
            is_open = is_open or scope.is_open
            scope = scope.outer
        return Binding(UNKNOWN, None) if is_open else None

    def bind(self, name: str, value: Any, span: Span | None) -> None:
        """Bind `name` in this block, whatever it was."""
        self.names[name] = Binding(value, span)

    def override(self, name: str, value: Any) -> None:
        """Let `name` stand for `value` from here to the end of this block."""
        found = self.find(name)
        self.names[name] = Binding(value, found.span if found else None, overridden=name not in self.names)

    def as_it_stands(self) -> Scope:
        """Return a scope with the names that are visible here, which later ones in these blocks don't reach."""
        if self.outer is None:
            return self  # the language's own names never change
        return Scope(self.outer.as_it_stands(), dict(self.names), self.is_open)

    def visible(self) -> Iterator[str]:
        """Yield every name that can be used here, inner ones first."""
        scope: Scope | None = self
        while scope is not None:
            yield from scope.names
            scope = scope.outer
