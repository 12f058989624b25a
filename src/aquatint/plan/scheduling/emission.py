"""An order of groups, told as an order of tasks.

A group's tasks run in the script's order. Where more results would be held than there is room for, a group is left in
its middle: what uses the results runs first, and the groups are gone through again.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from aquatint.plan.scheduling.graph import Graph
from aquatint.plan.scheduling.groups import FREE

ROUNDS = 1000
"""How often the groups are gone through at most."""


def emit(graph: Graph, of_task: Sequence[int], sequence: Sequence[int], room: int | None = None) -> list[int] | None:
    """Return the tasks by groups, in an order that keeps to `room` bytes of results where it can.

    Tasks in no group run as soon as they can if results are held for them, and otherwise where the script has them
    among the tasks that run around them. None: it would take too many rounds.
    """
    emission = _Emission(graph, of_task, len(sequence), room)
    for _ in range(ROUNDS):
        for group in sequence:
            emission.run_group(group)
        emission.run_rest()
        if len(emission.order) == len(of_task):
            return emission.order
        if not emission.progress:
            emission.force()
        emission.progress = False
    return None


class _Emission:
    def __init__(self, graph: Graph, of_task: Sequence[int], groups: int, room: int | None) -> None:
        self.graph = graph
        self.of_task = of_task
        self.room = room
        self.order: list[int] = []
        self.live = 0
        self.progress = False
        self.missing = [len(names) for names in graph.before]
        self.waiting = [len(names) for names in graph.dependents]
        self.ready: list[list[int]] = [[] for _ in range(groups)]
        self.left = [0] * groups  # tasks that haven't run
        for group in of_task:
            if group != FREE:
                self.left[group] += 1
        self.urgent: list[int] = []  # in no group, and results are held for them
        self.free: list[int] = []  # in no group
        for task, count in enumerate(self.missing):
            if not count:
                self._enter(task)

    def run_group(self, group: int) -> None:
        """Run what can be run of a group, and what comes in between."""
        ready = self.ready[group]
        while True:
            if self.urgent:
                self._run(heapq.heappop(self.urgent))
            elif self.free and (self.free[0] < ready[0] if ready else self.left[group]):
                self._run(heapq.heappop(self.free))
            elif ready and (self.room is None or self._growth(ready[0]) <= max(0, self.room - self.live)):
                self.left[group] -= 1
                self._run(heapq.heappop(ready))
            else:
                return

    def run_rest(self) -> None:
        """Run the tasks in no group, once all others have run."""
        if not any(self.left):
            while waiting := self.urgent or self.free:
                self._run(heapq.heappop(waiting))

    def force(self) -> None:
        """Run one task although there is no room for its result: that which takes least."""
        heads = [(self._growth(ready[0]), ready[0], group) for group, ready in enumerate(self.ready) if ready]
        *_, group = min(heads)
        self.left[group] -= 1
        self._run(heapq.heappop(self.ready[group]))

    def _enter(self, task: int) -> None:
        group = self.of_task[task]
        if group != FREE:
            heapq.heappush(self.ready[group], task)
        elif any(self.graph.results[name] for name in self.graph.before[task]):
            heapq.heappush(self.urgent, task)
        else:
            heapq.heappush(self.free, task)

    def _growth(self, task: int) -> int:
        """Return by how much more is held after a task than before."""
        results, waiting = self.graph.results, self.waiting
        return results[task] - sum(results[name] for name in self.graph.before[task] if waiting[name] == 1)

    def _run(self, task: int) -> None:
        self.progress = True
        self.order.append(task)
        if self.room is not None:
            self.live += self._growth(task)
            for name in self.graph.before[task]:
                self.waiting[name] -= 1
        for name in self.graph.dependents[task]:
            self.missing[name] -= 1
            if not self.missing[name]:
                self._enter(name)
