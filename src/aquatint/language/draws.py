"""What tells one drawing of chance in a script from every other, so that a plan stays the same.

A place is known by its number among the strings and verbs of its script, not by its offset: a comment more, or another
layout, changes nothing that is drawn.
"""

from __future__ import annotations

from aquatint.plan.keys import digest
from aquatint.plan.steps import Json
from aquatint.source import Source
from aquatint.syntax import nodes as n

Turn = tuple[Json, ...]
"""Which turn of the loops around a place it is, and through which calls and includes it was reached."""


class Draws:
    """The drawings of one script and of the files that it includes.

    `before` is how many steps the earlier scripts of its session came to.
    """

    def __init__(self, plan_seed: int, before: int) -> None:
        self.plan_seed = plan_seed
        self.before = before
        self._scripts: dict[Source, tuple[dict[int, Json], dict[tuple[int, int], Json]]] = {}

    def add(self, script: n.Script) -> None:
        """Make the places of `script` known: those of the script itself before those of what it includes."""
        if script.source not in self._scripts:
            self._scripts[script.source] = _numbered(script, len(self._scripts))

    def seed(self, node: n.String | n.Action, turn: Turn) -> int:
        """Return a seed of 32 bits for `node` at `turn`."""
        places, _ = self._scripts[node.span.source]
        return int(digest(["draw", self.plan_seed, self.before, places[node.span.start], turn], 4), 16)

    def way(self, node: n.Call | n.Include) -> Json:
        """Return what a turn says of having gone through `node`."""
        _, ways = self._scripts[node.span.source]
        return ways[node.span.start, node.span.end]


def _numbered(script: n.Script, file: int) -> tuple[dict[int, Json], dict[tuple[int, int], Json]]:
    starts: set[int] = set()
    through: set[tuple[int, int]] = set()
    # Not by recursion: a long chain of operators is a deep tree.
    waiting: list[object] = [script.statements]
    while waiting:
        item = waiting.pop()
        if isinstance(item, tuple):
            waiting += item
        elif isinstance(item, n.Node):
            if isinstance(item, n.String | n.Action):
                starts.add(item.span.start)
            elif isinstance(item, n.Call | n.Include):
                through.add((item.span.start, item.span.end))
            waiting += (getattr(item, field) for field in item.__struct_fields__)
    places = {start: [file, number] if file else number for number, start in enumerate(sorted(starts))}
    return places, {place: ["by", file, number] for number, place in enumerate(sorted(through))}
