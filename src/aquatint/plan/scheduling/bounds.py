"""What can't be undercut: by any order of tasks, and by one that is given.

They are cheap to find, and spare the dear judging of an order that is known to be worse than another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from aquatint.plan.scheduling.graph import Graph
from aquatint.plan.scheduling.tasks import Budget

Score = tuple[float, int, int]
"""Cost, loads and peak of an order; less is better."""


def floor_of(graph: Graph) -> Score:
    """Return what no order of the tasks can go below."""
    used = sorted({item for kind in set(graph.classes) for item in graph.needs[kind]})
    needed = (graph.class_bytes[kind] + claim for kind, claim in zip(graph.classes, graph.claims, strict=True))
    return math.fsum(graph.weights.load[item] for item in used), len(used), max(needed, default=0)


def at_least(graph: Graph, order: Sequence[int], budget: Budget, floor: Score) -> Score:
    """Return what `order` can't go below; `floor` is that of all orders."""
    weights = graph.weights
    kinds = [graph.classes[task] for task in order]
    cheapest = [min(load, back) if weights.movable[item] else load
                for item, (load, back) in enumerate(zip(weights.load, weights.back, strict=True))]  # fmt: skip
    by_byte = min((cost / max(1, size) for cost, size in zip(cheapest, weights.bytes, strict=True)), default=0.0)
    stretches, excess = _overflows(graph, kinds, budget)
    # A hair less: the product is rounded otherwise than the sum of costs that it is compared with.
    cost, loads = max(floor[0], excess * by_byte * (1 - 1e-9)), floor[1]
    if not any(weights.movable):
        loads = max(loads, stretches)
    # Where something comes back for nothing, it may leave for a while at the same cost.
    held = _kept(graph, kinds) if min(cheapest, default=1.0) > 0 else 0
    return cost, loads, max(floor[2], held)


def _overflows(graph: Graph, kinds: Sequence[int], budget: Budget) -> tuple[int, int]:
    """Return how many stretches of an order need more than fits, and by how many bytes in all.

    So much has to be loaded or brought back in each: what is there when it begins is no more than fits.
    """
    if budget.device is None:
        return 0, 0
    size = graph.weights.bytes
    stretches = excess = total = 0
    seen: set[int] = set()
    latest = -1
    for kind in kinds:
        if kind == latest:
            continue
        latest = kind
        for item in graph.needs[kind]:
            if item not in seen:
                seen.add(item)
                total += size[item]
        if total > budget.device:
            stretches += 1
            excess += total - budget.device
            seen = set()
            total = 0
    return stretches, excess


def _kept(graph: Graph, kinds: Sequence[int]) -> int:
    """Return the most that is held where each item stays from its first use to its last, without results and work."""
    last = dict(zip(kinds, range(len(kinds)), strict=True))
    first = dict(zip(reversed(kinds), range(len(kinds) - 1, -1, -1), strict=True))
    spans: dict[int, tuple[int, int]] = {}
    for kind in sorted(last):
        for item in graph.needs[kind]:
            begin, end = spans.get(item, (len(kinds), -1))
            spans[item] = (min(begin, first[kind]), max(end, last[kind]))
    # At one place, what comes counts before what goes.
    changes = [(begin, 0, graph.weights.bytes[item]) for item, (begin, _) in spans.items()]
    changes += [(end, 1, -graph.weights.bytes[item]) for item, (_, end) in spans.items()]
    held = most = 0
    for *_, change in sorted(changes):
        held += change
        most = max(most, held)
    return most
