"""What a sequence of moves comes to, found by carrying it out on paper.

It trusts nothing: a sequence that couldn't be carried out is refused. What decides about moves shares no code with it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import assert_never

from aquatint.plan.scheduling.moves import Drop, Evict, Load, Move, Return, Run
from aquatint.plan.scheduling.tasks import Budget, Item, Task


class InvalidMovesError(ValueError):
    """A sequence of moves can't be carried out; the message says which move and why."""


@dataclass(frozen=True, slots=True)
class Report:
    """Totals of a sequence of moves; `cost` is in the unit of the items' costs."""

    cost: float
    loads: int
    returns: int
    evictions: int  # an item leaves the device, to the computer's memory or away, and is needed again
    releases: int  # an item leaves the device for good
    bytes_loaded: int
    bytes_evicted: int  # moved from the device into the computer's memory
    bytes_returned: int
    peak_device: int  # items, results and work
    peak_host: int


def replay(moves: Sequence[Move], tasks: Iterable[Task], items: Iterable[Item], budget: Budget) -> Report:
    """Return what `moves` come to.

    Raises `InvalidMovesError` where a task runs without something that it needs, before a task that it comes after,
    twice or never; where something is moved that isn't there; and where more is held than `budget` has.
    """
    paper = _Paper(tasks, items, budget)
    needed = Counter(key for task in paper.tasks.values() for key in dict.fromkeys(task.needs))
    paper.needed = needed
    for number, move in enumerate(moves):
        if (fault := paper.carry_out(move)) is not None:
            raise InvalidMovesError(f"move {number}, {move}: {fault}")
    if missing := [name for name in paper.tasks if name not in paper.done]:
        raise InvalidMovesError(f"{missing[0]} never runs")
    return paper.report()


class _Paper:
    def __init__(self, tasks: Iterable[Task], items: Iterable[Item], budget: Budget) -> None:
        self.tasks = {task.id: task for task in tasks}
        self.items = {item.key: item for item in items}
        self.device_limit = math.inf if budget.device is None else budget.device
        self.host_limit = math.inf if budget.host is None else budget.host
        self.waiting = Counter(name for task in self.tasks.values() for name in dict.fromkeys(task.after))
        self.needed: Counter[str] = Counter()
        self.device: dict[str, int] = {}
        self.host: dict[str, int] = {}
        self.done: set[str] = set()
        self.held = self.hosted = self.results = 0
        self.peak_device = self.peak_host = 0
        self.costs: list[float] = []
        self.totals: Counter[str] = Counter()

    def carry_out(self, move: Move) -> str | None:
        """Do a move; return what forbids it."""
        if isinstance(move, Run):
            return self._run(self.tasks[move.task])
        item = self.items[move.item]
        match move:
            case Load(key):
                if key in self.device or key in self.host:
                    return "it is loaded already"
                self.costs.append(item.load_cost)
                self.totals.update(loads=1, bytes_loaded=item.bytes)
                return self._arrive(item)
            case Return(key):
                if key not in self.host:
                    return "it isn't in the computer's memory"
                self.hosted -= self.host.pop(key)
                self.costs.append(item.return_cost)
                self.totals.update(returns=1, bytes_returned=item.bytes)
                return self._arrive(item)
            case Evict(key):
                if item.host_bytes is None:
                    return "it can't be moved"
                if (fault := self._leave(key)) is not None:
                    return fault
                self.totals["bytes_evicted"] += item.bytes
                self.host[key] = item.host_bytes
                self.hosted += item.host_bytes
                self.peak_host = max(self.peak_host, self.hosted)
                return "the computer's memory is full" if self.hosted > self.host_limit else None
            case Drop(key):
                if key in self.host:
                    self.hosted -= self.host.pop(key)
                    return None
                return self._leave(key)
            case _:
                assert_never(move)

    def report(self) -> Report:
        return Report(
            cost=math.fsum(self.costs),
            loads=self.totals["loads"],
            returns=self.totals["returns"],
            evictions=self.totals["evictions"],
            releases=self.totals["releases"],
            bytes_loaded=self.totals["bytes_loaded"],
            bytes_evicted=self.totals["bytes_evicted"],
            bytes_returned=self.totals["bytes_returned"],
            peak_device=self.peak_device,
            peak_host=self.peak_host,
        )

    def _arrive(self, item: Item) -> str | None:
        self.device[item.key] = item.bytes
        self.held += item.bytes
        return self._hold(0)

    def _leave(self, key: str) -> str | None:
        if key not in self.device:
            return "it isn't on the device"
        self.held -= self.device.pop(key)
        self.totals["evictions" if self.needed[key] else "releases"] += 1
        return None

    def _run(self, task: Task) -> str | None:
        if task.id in self.done:
            return "it has run"
        for key in dict.fromkeys(task.needs):
            if key not in self.device:
                return f"{key} isn't on the device"
            self.needed[key] -= 1
        if (fault := self._hold(max(task.working, task.result))) is not None:
            return fault
        for name in dict.fromkeys(task.after):
            if name not in self.done:
                return f"{name} hasn't run"
            self.waiting[name] -= 1
            if not self.waiting[name]:
                self.results -= self.tasks[name].result
        if self.waiting[task.id]:
            self.results += task.result
        self.done.add(task.id)
        return None

    def _hold(self, working: int) -> str | None:
        total = self.held + self.results + working
        self.peak_device = max(self.peak_device, total)
        return f"{total} bytes are held" if total > self.device_limit else None
