"""Rules that say, where there is no room, which item goes: the least recently used one, or one needed late.

Each is carried through an order from its beginning to its end. What that leaves to gain is in `bridging`.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

from aquatint.plan.scheduling.demand import Demand
from aquatint.plan.scheduling.residency import AWAY, Fates

LOOKED_AT = 16
"""How many of the items that are needed last the weighted rule chooses from, in a short order."""

LOOKS = 400_000
"""How many it looks at in all: in a very long order it chooses from fewer."""


def least_recently_used(demand: Demand) -> Fates:
    """Return the fates by LRU, which also gives back what is needed no more, and moves what it evicts where it can.

    Giving back what is needed no more never costs it a load: what it holds are the items used last, as many as fit.
    """
    # Gaps are numbered by the use before them.
    return _carried_out(demand, lambda gap: gap, None, 1)


def furthest_in_future(demand: Demand) -> Fates:
    """Return the fates by Belady's rule: of what is held, that goes which is needed last.

    Least loads for items of one size and one cost. L. A. Belady, "A study of replacement algorithms for a
    virtual-storage computer", IBM Systems Journal 5(2), 1966.
    """
    return _carried_out(demand, lambda gap: -demand.gaps[gap].end, None, 1)


def weighted_furthest(demand: Demand) -> Fates:
    """Return the fates by Belady's rule, weighted: that goes which takes most bytes for longest, for the least cost.

    Sizes and costs make the problem NP-hard, so this is a rule of thumb: the time until an item is needed, times bytes,
    by cost of getting it back. Cost by byte is how GreedyDual-Size values what it holds (P. Cao and S. Irani,
    "Cost-aware WWW proxy caching algorithms", USITS 1997, after N. Young, "The k-server dual and loose competitiveness
    for paging", Algorithmica 11, 1994), where the future isn't known; here it is.
    """
    weights = demand.weights

    def worth(gap: int, segment: int, hosted: bool) -> float:
        item, _, end = demand.gaps[gap]
        cost = weights.back[item] if hosted else weights.load[item]
        return (end - segment) * weights.bytes[item] / cost if cost > 0 else math.inf

    looked_at = max(1, min(LOOKED_AT, LOOKS // max(1, len(demand.gaps))))
    return _carried_out(demand, lambda gap: -demand.gaps[gap].end, worth, looked_at)


def _carried_out(
    demand: Demand,
    turn: Callable[[int], int],
    worth: Callable[[int, int, bool], float] | None,
    looked_at: int,
) -> Fates:
    """Return fates where, of the `looked_at` gaps of least `turn`, that of most `worth` gives way."""
    weights, device, host = demand.weights, demand.budget.device, demand.budget.host
    fates = [gap.end for gap in demand.gaps]
    if device is None:
        return fates
    heap: list[tuple[int, int]] = []
    spanning = hosted = 0

    def fits_host(item: int) -> bool:
        return weights.movable[item] and (host is None or hosted + weights.host_bytes[item] <= host)

    for number, segment in enumerate(demand.segments):
        for index in demand.closes[number]:
            if fates[index] == number:
                spanning -= weights.bytes[demand.gaps[index].item]
        room = device - segment.base - demand.needed[number]
        while spanning > room:
            held: list[tuple[int, int]] = []
            while heap and len(held) < looked_at:
                entry = heapq.heappop(heap)
                if demand.gaps[entry[1]].end > number:
                    held.append(entry)
            chosen = held[0]
            if worth is not None:
                values = [worth(index, number, fits_host(demand.gaps[index].item)) for _, index in held]
                chosen = held[values.index(max(values))]
            for entry in held:
                if entry is not chosen:
                    heapq.heappush(heap, entry)
            item = demand.gaps[chosen[1]].item
            spanning -= weights.bytes[item]
            fates[chosen[1]] = AWAY
            if fits_host(item):
                fates[chosen[1]] = number
                hosted += weights.host_bytes[item]
        for index in demand.closes[number]:
            if AWAY < fates[index] < number:
                hosted -= weights.host_bytes[demand.gaps[index].item]
        for index in demand.opens[number]:
            spanning += weights.bytes[demand.gaps[index].item]
            heapq.heappush(heap, (turn(index), index))
    return fates
