"""What tells one drawing of chance in a script from every other, so that a plan stays the same.

A place is known by its number among the strings and verbs of its script, not by its offset: a comment more, or another
layout, changes nothing that is drawn.
"""

from __future__ import annotations

from functools import cached_property

from aquatint.plan.keys import digest
from aquatint.syntax import nodes as n


class Draws:
    """The drawings of one script; `before` is how many steps the earlier scripts of its session came to."""

    def __init__(self, script: n.Script, plan_seed: int, before: int) -> None:
        self.script = script
        self.plan_seed = plan_seed
        self.before = before

    def seed(self, node: n.String | n.Action, turn: tuple[int, ...]) -> int:
        """Return a seed of 32 bits for `node` at that turn of the loops around it."""
        number = self._numbers[node.span.start]
        return int(digest(["draw", self.plan_seed, self.before, number, turn], 4), 16)

    @cached_property
    def _numbers(self) -> dict[int, int]:
        starts: set[int] = set()
        # Not by recursion: a long chain of operators is a deep tree.
        waiting: list[object] = [self.script.statements]
        while waiting:
            item = waiting.pop()
            if isinstance(item, tuple):
                waiting += item
            elif isinstance(item, n.Node):
                if isinstance(item, n.String | n.Action):
                    starts.add(item.span.start)
                waiting += (getattr(item, field) for field in item.__struct_fields__)
        return {start: number for number, start in enumerate(sorted(starts))}
