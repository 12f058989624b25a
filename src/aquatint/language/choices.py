"""Which names of a script stand for what others decide: its parameters, its environment, the caller of a function.

By names alone, wherever they are bound: one that is such in one block is taken for such in all. `lint` asks this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from aquatint.language.builtins import prelude
from aquatint.language.reading import READERS
from aquatint.syntax import nodes as n

_OUTSIDE = frozenset({"device", "env"})
"""Names of the language whose values depend on where a script is run."""

Mentions = Callable[[n.Node], set[str]]
"""Returns every name that a node uses."""


class Choices:
    """What others decide in a script; `mentions` tells which names a node uses."""

    def __init__(self, statements: tuple[n.Statement, ...], mentions: Mentions) -> None:
        self._mentions = mentions
        self._language = frozenset(prelude(READERS).names) - _OUTSIDE
        self._chosen: set[str] = set(_OUTSIDE)
        users: dict[str, set[str]] = {}
        for names, node in _bound(statements):
            if node is None:
                self._chosen |= names
            for used in set() if node is None else mentions(node):
                users.setdefault(used, set()).update(names)
        # What an included file binds may depend on its parameters.
        bound = {name for names, _ in _bound(statements) for name in names}
        self._chosen |= users.keys() - bound - self._language
        self._known = bound | self._language
        waiting = list(self._chosen)
        while waiting:
            for name in users.get(waiting.pop(), set()) - self._chosen:
                self._chosen.add(name)
                waiting.append(name)

    def decide(self, node: n.Node) -> bool:
        """Return whether what `node` comes to may depend on a choice."""
        return any(name in self._chosen or name not in self._known for name in self._mentions(node))


def _bound(statements: tuple[n.Statement, ...]) -> Iterator[tuple[set[str], n.Node | None]]:
    """Yield the names that each place in `statements` binds, and what they are made of, None for a choice."""
    waiting: list[n.Node] = list(statements)
    while waiting:
        node = waiting.pop()
        waiting += n.children(node)
        match node:
            case n.Let():
                yield {name.text for name in node.names}, node.value
            case n.Clause():
                yield {name.text for name in node.names}, node.values
            case n.Declare() | n.Derive() | n.Function() | n.Procedure():
                yield {node.name.text}, node
            case n.Override(name=n.Word() as name):
                yield {name.text}, node.block
            case n.Param() | n.Parameter():
                yield {node.name.text}, None
            case n.Include(alias=n.Word() as alias):
                yield {alias.text}, None
