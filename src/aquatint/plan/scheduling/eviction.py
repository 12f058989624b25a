"""What is loaded, evicted and brought back so that tasks run in a given order, within a budget.

The order itself is found in `order`; what it demands of memory is in `demand`, the rules in `rules`, what they leave to
gain in `bridging`, and all ways that there are in `search`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aquatint.plan.scheduling.bridging import improved
from aquatint.plan.scheduling.demand import Demand, demand_of
from aquatint.plan.scheduling.graph import Graph, Weights
from aquatint.plan.scheduling.moves import Move
from aquatint.plan.scheduling.residency import AWAY, Fates, Price, least, moves_of, price
from aquatint.plan.scheduling.rules import furthest_in_future, least_recently_used, weighted_furthest
from aquatint.plan.scheduling.search import Limits, Turn, Way, search
from aquatint.plan.scheduling.tasks import Budget, DoesNotFit, Item, Task

SMALL_ITEMS = 24
SMALL_SEGMENTS = 64
"""Up to so many items and segments, all ways are tried, unless those are too many."""


@dataclass(frozen=True, slots=True)
class Eviction:
    """The moves by which tasks run; `proven` if no others cost less with no more loads than LRU's."""

    moves: tuple[Move, ...]
    proven: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """Fates with their price; `proven` as in `Eviction`."""

    fates: Fates
    price: Price
    proven: bool


def evict(ordered: Sequence[Task], items: Iterable[Item], budget: Budget) -> Eviction | DoesNotFit:
    """Return the moves by which `ordered` runs; it costs no more than `lru`, and has no more loads."""
    graph = Graph(ordered, Weights(items, budget))
    order = range(len(ordered))
    demand = demand_of(graph, order, budget)
    if isinstance(demand, DoesNotFit):
        return demand
    decision = decide(demand)
    return Eviction(tuple(moves_of(demand, decision.fates, graph, order)), decision.proven)


def lru(ordered: Sequence[Task], items: Iterable[Item], budget: Budget) -> Eviction | DoesNotFit:
    """Return the moves by which `ordered` runs if the least recently used item is evicted, for comparison.

    It moves what it evicts to the computer's memory if that is cheaper and there is room, and gives back what is needed
    no more.
    """
    graph = Graph(ordered, Weights(items, budget))
    order = range(len(ordered))
    demand = demand_of(graph, order, budget)
    if isinstance(demand, DoesNotFit):
        return demand
    fates = least_recently_used(demand)
    return Eviction(tuple(moves_of(demand, fates, graph, order)), price(demand, fates) == least(demand))


def decide(demand: Demand) -> Decision:
    """Return the best fates found; they cost no more than LRU's, and have no more loads."""
    floor = least(demand)
    if demand.budget.device is None or demand.kept_peak() <= demand.budget.device:
        return Decision([gap.end for gap in demand.gaps], floor, True)
    recent = least_recently_used(demand)
    most_loads = price(demand, recent).loads
    best = improved(demand, recent, most_loads)
    for rule in (furthest_in_future, weighted_furthest):
        fates = improved(demand, rule(demand), most_loads)
        found = price(demand, fates)
        if found.loads <= most_loads and found < price(demand, best):
            best = fates
    cost = price(demand, best)
    if cost == floor:
        return Decision(best, cost, True)
    if len(demand.used) > SMALL_ITEMS or len(demand.segments) > SMALL_SEGMENTS:
        return Decision(best, cost, False)
    # The search adds costs up in another order than `price`: a hair more, so that the best isn't lost to rounding.
    over = (cost.cost - floor.cost) * (1 + 1e-9)
    way = search_segments(demand, Limits(cost=over, loads=most_loads - floor.loads))
    if way is None:
        return Decision(best, cost, False)
    fates = _fates(demand, way)
    found = price(demand, fates)
    return Decision(fates, found, demand.exact) if found < cost else Decision(best, cost, demand.exact)


def search_segments(demand: Demand, limits: Limits) -> Way | None:
    """Return the best way through the segments as they stand."""
    turns = [
        Turn(number, sum(1 << item for item in segment.needs), segment.base)
        for number, segment in enumerate(demand.segments)
    ]
    needed = [0] * (len(turns) + 1)
    for turn in reversed(turns):
        needed[turn.stage] = needed[turn.stage + 1] | turn.needs
    return search(
        lambda done: [turns[done.bit_length()]],
        lambda done: needed[done.bit_length()],
        len(turns),
        demand.weights,
        demand.budget,
        limits,
    )


def _fates(demand: Demand, way: Way) -> Fates:
    """Return the fates of gaps on a way through the segments."""
    after = way.stages()
    fates = []
    for gap in demand.gaps:
        item = 1 << gap.item
        leaves = gap.start + 1
        while leaves < gap.end and after[leaves].device & item:
            leaves += 1
        hosted = leaves < gap.end and after[gap.end].back & item
        fates.append(leaves if leaves == gap.end or hosted else AWAY)
    return fates
