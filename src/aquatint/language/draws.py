"""What tells one drawing of chance in a script from every other, so that a plan stays the same.

A place is known by its number among the strings and verbs of its script, not by its offset: a comment more, or another
layout, changes nothing that is drawn.
"""

from __future__ import annotations

from functools import cached_property

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
        self._scripts: dict[Source, _Numbers] = {}

    def add(self, script: n.Script) -> None:
        """Make the places of `script` known: those of the script itself before those of what it includes."""
        if script.source not in self._scripts:
            self._scripts[script.source] = _Numbers(script, len(self._scripts))

    def seed(self, node: n.String | n.Action | n.Call, turn: Turn) -> int:
        """Return a seed of 32 bits for `node` at `turn`."""
        # Calls are counted by themselves: one more changes nothing that the strings and verbs draw.
        numbers = self._scripts[node.span.source]
        place = self.way(node) if isinstance(node, n.Call) else numbers.places[node.span.start]
        return int(digest(["draw", self.plan_seed, self.before, place, turn], 4), 16)

    def way(self, node: n.Call | n.Include) -> Json:
        """Return what a turn says of having gone through `node`."""
        return self._scripts[node.span.source].ways[node.span.start, node.span.end]


class _Numbers:
    """The numbers of a script's places, counted once they are needed: most scripts draw nothing."""

    def __init__(self, script: n.Script, file: int) -> None:
        self.script = script
        self.file = file

    @cached_property
    def places(self) -> dict[int, Json]:
        """By where they start: the strings and verbs."""
        starts = sorted({node.span.start for node in n.walk(self.script) if isinstance(node, n.String | n.Action)})
        return {start: [self.file, number] if self.file else number for number, start in enumerate(starts)}

    @cached_property
    def ways(self) -> dict[tuple[int, int], Json]:
        """By where they start and end: the calls and includes."""
        passed = (node.span for node in n.walk(self.script) if isinstance(node, n.Call | n.Include))
        found = {(span.start, span.end) for span in passed}
        return {place: ["by", self.file, number] for number, place in enumerate(sorted(found))}
