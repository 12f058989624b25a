"""Where items are in the gaps between their uses, what that costs, and the moves that it comes to.

An item is kept on the device through a gap, or kept for some segments and then moved to the computer's memory, or
dropped right after its use. A list of numbers, one for each gap, says which: the first segment of the gap in which the
item isn't on the device any more, the gap's end if it is kept, or `AWAY`. In the segment at whose beginning an item
comes back, it still counts in the computer's memory: room is made on the device before anything comes there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from aquatint.plan.scheduling.demand import Demand
from aquatint.plan.scheduling.graph import Graph
from aquatint.plan.scheduling.moves import Drop, Evict, Load, Move, Return, Run

AWAY = -1

Fates = list[int]


class Price(NamedTuple):
    """What fates cost; compares by cost, then by loads."""

    cost: float
    loads: int


def least(demand: Demand) -> Price:
    """Return what no fates can go below: each item is loaded once."""
    return Price(math.fsum(demand.weights.load[item] for item in demand.used), len(demand.used))


def price(demand: Demand, fates: Fates) -> Price:
    """Return what `fates` cost with the first load of each item."""
    load, back = demand.weights.load, demand.weights.back
    costs = [load[item] for item in demand.used]
    loads = len(demand.used)
    for gap, fate in zip(demand.gaps, fates, strict=True):
        if fate == AWAY:
            costs.append(load[gap.item])
            loads += 1
        elif fate < gap.end:
            costs.append(back[gap.item])
    # fsum: equal costs are equal whatever they are summed up from first.
    return Price(math.fsum(costs), loads)


def peak(demand: Demand, fates: Fates) -> int:
    """Return the bytes on the device at most."""
    size = demand.weights.bytes
    change = [0] * (len(demand.segments) + 1)
    for gap, fate in zip(demand.gaps, fates, strict=True):
        if fate > gap.start + 1:
            change[gap.start + 1] += size[gap.item]
            change[fate] -= size[gap.item]
    most = spanning = 0
    for number, segment in enumerate(demand.segments):
        spanning += change[number]
        most = max(most, spanning + segment.base + demand.needed[number])
    return most


def moves_of(demand: Demand, fates: Fates, graph: Graph, order: Sequence[int]) -> list[Move]:
    """Return the moves by which `order`, whose demand is `demand`, runs with `fates`.

    An item arrives right before the first task that needs it, and what is dropped is dropped right after its last.
    """
    keys = demand.weights.keys
    leaving: list[list[int]] = [[] for _ in demand.segments]  # items that go to the computer's memory, by segment
    fate_after: dict[tuple[int, int], int] = {}
    for gap, fate in zip(demand.gaps, fates, strict=True):
        fate_after[gap.item, gap.start] = fate
        if fate not in (AWAY, gap.end):
            leaving[fate].append(gap.item)
    last_use = {item: number for number, segment in enumerate(demand.segments) for item in segment.needs}
    device: set[int] = set()
    host: set[int] = set()
    moves: list[Move] = []
    for number, segment in enumerate(demand.segments):
        coming = [item for item in sorted(segment.needs) if item not in device]
        for item in leaving[number]:
            moves.append(Evict(keys[item]))
            device.remove(item)
            host.add(item)
        for item in coming:
            moves.append(Return(keys[item]) if item in host else Load(keys[item]))
            host.discard(item)
            device.add(item)
        dropped: dict[int, list[int]] = {}  # place -> items
        for item in sorted(segment.needs):
            if last_use[item] == number or fate_after.get((item, number)) == AWAY:
                dropped.setdefault(segment.ends[item], []).append(item)
        end = demand.segments[number + 1].start if number + 1 < len(demand.segments) else len(order)
        for place in range(segment.start, end):
            moves.append(Run(graph.tasks[order[place]].id))
            for item in dropped.get(place, ()):
                moves.append(Drop(keys[item]))
                device.remove(item)
    return moves
