"""The order in which tasks run: that which loads least, then that which holds least, then the script's.

Several orders are made and each is judged by what it really comes to, with the evictions of `eviction`; the script's
own is one of them. Groups of tasks are found in `groups`, their order in `sequence`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from aquatint.plan.scheduling.bounds import Score, at_least, floor_of
from aquatint.plan.scheduling.demand import demand_of
from aquatint.plan.scheduling.emission import emit
from aquatint.plan.scheduling.eviction import decide
from aquatint.plan.scheduling.graph import Graph, Weights
from aquatint.plan.scheduling.groups import Groups, grouped, singletons
from aquatint.plan.scheduling.residency import peak
from aquatint.plan.scheduling.sequence import FEW, Judge, best_sequence
from aquatint.plan.scheduling.tasks import Budget, DoesNotFit, Item, Task

MOST_GROUPS = 1000
"""With more groups than that, tasks wait for each other at every turn: the script's order stays."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """Tasks by id, in the order in which they run, and what that comes to; `score` is None if it can't be run."""

    tasks: tuple[str, ...]
    score: Score | None


def order(tasks: Iterable[Task], items: Iterable[Item], budget: Budget) -> list[str]:
    """Return the ids of `tasks` in the order in which they should run.

    It never costs more than the script's order, nor has more loads; where both are equal its peak is no higher. Raises
    `ValueError` for tasks that can't be put in any order.
    """
    return list(ordered(tasks, items, budget).tasks)


def ordered(tasks: Iterable[Task], items: Iterable[Item], budget: Budget) -> Ordered:
    """Return the order of `order` with what it comes to."""
    known = sorted(tasks, key=lambda task: task.position)
    graph = Graph(known, Weights(items, budget))
    script = _Script(graph, budget)
    best: Sequence[int] | None = None
    best_score: Score | None = None
    if script.least > script.floor or script.score != script.floor:
        for candidate, found in _candidates(script):
            if script.is_worse_than(found) and (best_score is None or found < best_score):
                best, best_score = candidate, found
            if best_score == script.floor:
                break
    if best is None:
        best, best_score = script.order, script.score
    return Ordered(tuple([known[task].id for task in best]), best_score)


class _Judged(NamedTuple):
    score: Score
    results: int  # the most bytes of results that are held at a time


def _judged(graph: Graph, order: Sequence[int], budget: Budget) -> _Judged | None:
    """Return what an order comes to; None if a task doesn't fit."""
    demand = demand_of(graph, order, budget)
    if isinstance(demand, DoesNotFit):
        return None
    decision = decide(demand)
    return _Judged((*decision.price, peak(demand, decision.fates)), demand.results)


class _Script:
    """The script's own order, and what is known of it; what it comes to is worked out when it has to be."""

    def __init__(self, graph: Graph, budget: Budget) -> None:
        self.graph = graph
        self.budget = budget
        self.order = graph.script_order()
        self.floor = floor_of(graph)
        self.least = at_least(graph, self.order, budget, self.floor)

    @cached_property
    def score(self) -> Score | None:
        judged = _judged(self.graph, self.order, self.budget)
        return None if judged is None else judged.score

    def is_worse_than(self, found: Score) -> bool:
        """Return whether an order that comes to `found` is better, with no more loads."""
        if found[1] <= self.least[1] and found < self.least:
            return True
        return self.score is None or (found[1] <= self.score[1] and found < self.score)

    def most_loads(self) -> int | None:
        """Return how many loads another order may have; None if that isn't known yet and would take long."""
        return self.score[1] if len(self.order) <= FEW and self.score is not None else None


def _candidates(script: _Script) -> Iterator[tuple[list[int], Score]]:
    """Yield orders that may be better than the script's, and what they come to; each is made when it is asked for."""
    graph, budget = script.graph, script.budget
    groups = grouped(graph, script.order)
    if len(groups.classes) > MOST_GROUPS:
        return
    sequence = best_sequence(Judge(graph, groups, budget, script.most_loads()))
    whole = emit(graph, groups.of_task, sequence)
    assert whole is not None  # groups don't wait for each other in a circle, so one round does it
    judged = _judged(graph, whole, budget)
    if judged is not None:
        yield whole, judged.score
    # Where results take little of the memory, there is nothing to gain from holding fewer of them.
    if judged is None or judged.score[0] > script.floor[0] or 2 * judged.results >= judged.score[2]:
        for room in _rooms(graph, groups, budget):
            part = emit(graph, groups.of_task, sequence, room)
            if part is not None and (judged := _judged(graph, part, budget)) is not None:
                yield part, judged.score
    if len(script.order) <= FEW:
        # So few that each can be moved alone.
        alone = best_sequence(Judge(graph, singletons(graph), budget, script.most_loads()))
        if (judged := _judged(graph, alone, budget)) is not None:
            yield alone, judged.score


def _rooms(graph: Graph, groups: Groups, budget: Budget) -> list[int]:
    """Return how many bytes of results may be held at a time, where all of them may be too many."""
    total = sum(size for *_, size in groups.flows)
    if not total:
        return []
    if budget.device is None:
        return [0]
    # A task that frees no results may take the room with its own.
    largest = max(
        graph.class_bytes[kind] + claim - (0 if any(graph.results[name] for name in before) else result)
        for kind, claim, before, result in zip(graph.classes, graph.claims, graph.before, graph.results, strict=True)
    )
    beside_all = budget.device - max(graph.claims) - sum(graph.weights.bytes)
    return [room for room in dict.fromkeys([budget.device - largest, max(0, beside_all)]) if 0 <= room < total]
