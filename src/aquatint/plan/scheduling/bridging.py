"""Better fates from fates: gaps that can be bridged are, and dear ones take the place of cheap ones.

Seen by gaps, eviction is packing: a gap that is bridged saves a load, and takes the item's bytes in each segment of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from aquatint.plan.scheduling.demand import Demand
from aquatint.plan.scheduling.residency import AWAY, Fates, Price, price

WORK = 1_000_000
"""How many segments and gaps may be looked at; beyond that, what was found so far has to do."""


def improved(demand: Demand, fates: Fates, most_loads: int) -> Fates:
    """Return fates that cost no more than `fates`, with no more loads than those or than `most_loads`."""
    work = WORK - len(demand.gaps) - sum(gap.end - gap.start for gap in demand.gaps)
    if work < 0:
        return fates
    packing = _Packing(demand, list(fates))
    packing.bridge(range(len(fates)))
    best = price(demand, packing.fates)
    improving = True
    while improving:
        improving = False
        missed = [index for index, fate in enumerate(packing.fates) if fate < demand.gaps[index].end]
        for index in packing.dearest(missed):
            work -= 4 * (len(demand.gaps) + len(demand.segments))
            if work < 0:
                return packing.fates
            trial = packing.copy()
            if not trial.force(index):
                continue
            now = price(demand, trial.fates)
            if now < best and now.loads <= max(most_loads, best.loads):
                packing, best, improving = trial, Price(*now), True
    return packing.fates


class _Packing:
    """Fates, with the room that they leave in each segment."""

    def __init__(self, demand: Demand, fates: Fates) -> None:
        self.demand = demand
        self.fates = fates
        device, host = demand.budget.device, demand.budget.host
        total = sum(demand.weights.bytes)
        # Without a limit there is room for all.
        self.room = [
            total if device is None else device - segment.base - needed
            for segment, needed in zip(demand.segments, demand.needed, strict=True)
        ]
        self.host_room = [sum(demand.weights.host_bytes) if host is None else host] * len(demand.segments)
        for index, fate in enumerate(fates):
            self._take(index, fate, 1)

    def copy(self) -> _Packing:
        other = _Packing.__new__(_Packing)
        other.demand, other.fates = self.demand, self.fates.copy()
        other.room, other.host_room = self.room.copy(), self.host_room.copy()
        return other

    def dearest(self, indices: Iterable[int]) -> list[int]:
        """Return gaps, those first whose item costs most to get back."""
        return sorted(indices, key=lambda index: (-self._cost(index), index))

    def bridge(self, indices: Iterable[int]) -> None:
        """Keep what there is room for, and move what can't be kept; that first which saves most by bytes and time."""
        weights = self.demand.weights

        def saving(index: int) -> float:
            item, start, end = self.demand.gaps[index]
            return self._cost(index) / ((end - start) * max(1, weights.bytes[item]))

        for index in sorted(indices, key=lambda index: (-saving(index), index)):
            gap, fate = self.demand.gaps[index], self.fates[index]
            if fate == gap.end:
                continue
            self._take(index, fate, -1)
            self.fates[index] = self._best(index)
            self._take(index, self.fates[index], 1)

    def force(self, index: int) -> bool:
        """Keep a gap's item at the cost of others; return whether that can be worth it."""
        size = self.demand.weights.bytes
        gap = self.demand.gaps[index]
        gain = self._cost(index)
        self._take(index, self.fates[index], -1)
        removed: list[int] = []
        for segment in range(gap.start + 1, gap.end):
            while self.room[segment] < size[gap.item]:
                over = [
                    other
                    for other, (_, start, end) in enumerate(self.demand.gaps)
                    if start < segment < end and self.fates[other] > segment and other != index
                ]
                if not over:
                    return False
                least = min(
                    over, key=lambda other: (self._cost(other) / max(1, size[self.demand.gaps[other].item]), other)
                )
                gain -= self._cost(least, moved=True)
                if gain <= 0:
                    return False
                self._take(least, self.fates[least], -1)
                self.fates[least] = AWAY
                removed.append(least)
        self.fates[index] = gap.end
        self._take(index, gap.end, 1)
        self.bridge(removed)
        self.bridge(other for other, fate in enumerate(self.fates) if fate < self.demand.gaps[other].end)
        return True

    def _cost(self, index: int, moved: bool = False) -> float:
        """Return what not keeping a gap's item costs; with `moved`, at least."""
        item, weights = self.demand.gaps[index].item, self.demand.weights
        hosted = moved and weights.movable[item]
        return (
            weights.back[item]
            if hosted or self.fates[index] not in (AWAY, self.demand.gaps[index].end)
            else weights.load[item]
        )

    def _best(self, index: int) -> int:
        """Return the cheapest fate that there is room for."""
        item, start, end = self.demand.gaps[index]
        weights = self.demand.weights
        leaves = start + 1
        while leaves < end and self.room[leaves] >= weights.bytes[item]:
            leaves += 1
        if leaves == end or not weights.movable[item]:
            return end if leaves == end else AWAY
        # As late as possible: the computer's memory is free for others until then.
        fits = min(self.host_room[leaves : end + 1]) >= weights.host_bytes[item]
        return leaves if fits else AWAY

    def _take(self, index: int, fate: int, sign: int) -> None:
        item, start, end = self.demand.gaps[index]
        if fate == AWAY:
            return
        taken = sign * self.demand.weights.bytes[item]
        for segment in range(start + 1, fate):
            self.room[segment] -= taken
        if fate < end:
            taken = sign * self.demand.weights.host_bytes[item]
            for segment in range(fate, end + 1):
                self.host_room[segment] -= taken
