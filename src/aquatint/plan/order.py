"""The order in which tasks run: that which loads least, then that which holds least, then the script's.

Several orders are made and each is judged by what it really comes to, with the evictions of `eviction`; the script's
own is one of them. Groups of tasks are found in `groups`, their order in `sequence`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from aquatint.plan.demand import demand_of
from aquatint.plan.emission import emit
from aquatint.plan.eviction import decide
from aquatint.plan.graph import Graph, Weights
from aquatint.plan.groups import Groups, grouped, singletons
from aquatint.plan.residency import peak
from aquatint.plan.sequence import FEW, Judge, Score, best_sequence
from aquatint.plan.tasks import Budget, DoesNotFit, Item, Task

MOST_GROUPS = 3000
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
    script = graph.script_order()
    best, best_score = script, score(graph, script, budget)
    floor = _floor(graph)
    most_loads = None if best_score is None else best_score[1]
    if best_score is None or best_score > floor:
        for candidate in _candidates(graph, script, budget, most_loads):
            found = score(graph, candidate, budget)
            if found is None or (most_loads is not None and found[1] > most_loads):
                continue
            if best_score is None or found < best_score:
                best, best_score = candidate, found
            if best_score == floor:
                break
    return Ordered(tuple(known[task].id for task in best), best_score)


def score(graph: Graph, order: Sequence[int], budget: Budget) -> Score | None:
    """Return the cost, the loads and the peak of an order; None if a task doesn't fit."""
    demand = demand_of(graph, order, budget)
    if isinstance(demand, DoesNotFit):
        return None
    decision = decide(demand)
    return (*decision.price, peak(demand, decision.fates))


def _floor(graph: Graph) -> Score:
    """Return what no order can go below."""
    used = sorted({item for kind in set(graph.classes) for item in graph.needs[kind]})
    needed = [graph.class_bytes[kind] + claim for kind, claim in zip(graph.classes, graph.claims, strict=True)]
    return (math.fsum(graph.weights.load[item] for item in used), len(used), max(needed, default=0))


def _candidates(graph: Graph, script: list[int], budget: Budget, most_loads: int | None) -> Iterator[list[int]]:
    """Yield orders that may be better than the script's, each made only if it is asked for."""
    if len(script) <= FEW:
        # So few that each task can be moved alone.
        yield best_sequence(Judge(graph, singletons(graph), budget, most_loads))
    groups = grouped(graph, script)
    if len(groups.classes) > MOST_GROUPS:
        return
    sequence = best_sequence(Judge(graph, groups, budget, most_loads))
    whole = emit(graph, groups.of_task, sequence)
    assert whole is not None  # groups don't wait for each other in a circle, so one round does it
    yield whole
    for room in _rooms(graph, groups, budget):
        if (found := emit(graph, groups.of_task, sequence, room)) is not None:
            yield found


def _rooms(graph: Graph, groups: Groups, budget: Budget) -> list[int]:
    """Return how many bytes of results may be held at a time, where all of them may be too many."""
    total = sum(size for *_, size in groups.flows)
    if not total:
        return []
    if budget.device is None:
        return [0]
    largest = max(graph.class_bytes[kind] + claim for kind, claim in zip(graph.classes, graph.claims, strict=True))
    work = max(graph.claims)
    beside_all = budget.device - work - sum(graph.weights.bytes)
    return [room for room in dict.fromkeys([budget.device - largest, max(0, beside_all)]) if 0 <= room < total]
