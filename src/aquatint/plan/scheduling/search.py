"""The best order and the best evictions of a few stages, found among all of them.

A stage is a segment or some tasks. After the same stages, with the same items in the same places, only the cheapest way
to get there matters; so the ways are followed stage by stage, for each state the best one (dynamic programming). What
leaves the device is paid for when it leaves. Nothing is evicted before it has to be, and never more than has to be:
what is held can still be dropped later, at the same cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from aquatint.plan.scheduling.graph import Weights
from aquatint.plan.scheduling.tasks import Budget


class Turn(NamedTuple):
    """A stage that may come next: the items that it needs, a bit each, and the bytes that it takes beside them."""

    stage: int
    needs: int
    base: int


class Way(NamedTuple):
    """The cheapest way found to a state; compares by cost, loads and peak. The sets of items are bits."""

    cost: float
    loads: int
    peak: int
    stage: int
    device: int
    host: int
    back: int  # those that this stage brought back
    last: Way | None

    def stages(self) -> list[Way]:
        """Return the ways that led here, the first stage first."""
        found: list[Way] = []
        way: Way | None = self
        while way is not None and way.stage >= 0:
            found.append(way)
            way = way.last
        return found[::-1]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a way may come to, and how many states may be looked at."""

    cost: float = math.inf
    loads: int | None = None
    looks: int = 20_000


def search(
    following: Callable[[int], list[Turn]],
    needed_after: Callable[[int], int],
    stages: int,
    weights: Weights,
    budget: Budget,
    limits: Limits,
) -> Way | None:
    """Return the best way through all stages within `limits`; None if there is none, or if it took too many looks.

    Of stages that are done, a bit each, `following` says what may come next, and `needed_after` which items will be
    needed. The cost is that without the first load of each item, which is the same for all ways.
    """
    memory = _Memory(weights, budget)
    layer: dict[tuple[int, int, int], list[Way]] = {(0, 0, 0): [Way(0.0, 0, 0, -1, 0, 0, 0, None)]}
    looks = limits.looks
    for _ in range(stages):
        reached: dict[tuple[int, int, int], list[Way]] = {}
        for (done, _, _), ways in layer.items():
            for turn in following(done):
                after = done | 1 << turn.stage
                needed = needed_after(after)
                for way in ways:
                    for found in memory.enter(way, turn, needed):
                        looks -= 1
                        if looks < 0:
                            return None
                        if found.cost > limits.cost or (limits.loads is not None and found.loads > limits.loads):
                            continue
                        _keep(reached.setdefault((after, found.device, found.host), []), found)
        layer = reached
    ways = [way for found in layer.values() for way in found]
    return min(ways, key=lambda way: way[:3], default=None)


def _keep(ways: list[Way], new: Way) -> None:
    """Add a way to those of its state, unless one of them is as good in cost and in loads; those that it beats go."""
    for way in ways:
        if way.cost <= new.cost and way.loads <= new.loads and (way[:2] != new[:2] or way.peak <= new.peak):
            return
    ways[:] = [way for way in ways if not (new.cost <= way.cost and new.loads <= way.loads)]
    ways.append(new)


class _Memory:
    """What may be in which memory, and what it costs."""

    def __init__(self, weights: Weights, budget: Budget) -> None:
        self.weights = weights
        self.device = math.inf if budget.device is None else budget.device
        self.host = math.inf if budget.host is None else budget.host
        self.movable = sum(1 << item for item, movable in enumerate(weights.movable) if movable) if self.host else 0
        self.bytes = _Sums(weights.bytes)
        self.host_bytes = _Sums(weights.host_bytes)
        self.subsets: dict[tuple[int, float, bool], list[int]] = {}

    def enter(self, way: Way, turn: Turn, needed: int) -> Iterator[Way]:
        """Return the ways on from `way` by `turn`, after which the items of `needed` will be needed."""
        rest = way.device & ~turn.needs
        room = self.device - turn.base - self.bytes[turn.needs]
        if room < 0:
            return
        for kept in self._fitting(rest, room, on_host=False):
            gone = rest & ~kept
            peak = max(way.peak, self.bytes[kept | turn.needs] + turn.base)
            device = (kept | turn.needs) & needed
            # With those that this turn brings back: room is made for them first, unless they were dropped before.
            pool = way.host | (gone & self.movable)
            for host in self._fitting(pool, self.host, on_host=True):
                cost, loads = way.cost, way.loads
                for item in _bits(gone | (pool & ~host)):
                    if host >> item & 1:
                        cost += self.weights.back[item]
                        continue
                    loads += 1
                    cost += self.weights.load[item] - (0 if gone >> item & 1 else self.weights.back[item])
                yield Way(cost, loads, peak, turn.stage, device, host & ~turn.needs, host & turn.needs, way)

    def _fitting(self, items: int, room: float, *, on_host: bool) -> list[int]:
        """Return the sets of `items` that fit into `room` and to which none can be added."""
        sums = self.host_bytes if on_host else self.bytes
        if sums[items] <= room:
            return [items]
        key = (items, room, on_host)
        if key not in self.subsets:
            sizes = self.weights.host_bytes if on_host else self.weights.bytes
            self.subsets[key] = list(_maximal(sorted(_bits(items), key=lambda item: (-sizes[item], item)), sizes, room))
        return self.subsets[key]


def _maximal(items: list[int], sizes: list[int], room: float) -> Iterator[int]:
    """Return the sets of `items`, largest first, that fit into `room` and to which none can be added."""

    def choose(place: int, chosen: int, left: float, smallest_out: float) -> Iterator[int]:
        if place == len(items):
            if smallest_out > left:
                yield chosen
            return
        size = sizes[items[place]]
        if size <= left:
            yield from choose(place + 1, chosen | 1 << items[place], left - size, smallest_out)
        yield from choose(place + 1, chosen, left, min(smallest_out, size))

    return choose(0, 0, room, math.inf)


class _Sums(dict[int, int]):
    """Total sizes of sets of items, worked out when they are asked for."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.sizes = sizes

    def __missing__(self, items: int) -> int:
        total = self[items] = sum(self.sizes[item] for item in _bits(items))
        return total


def _bits(items: int) -> Iterator[int]:
    while items:
        low = items & -items
        yield low.bit_length() - 1
        items ^= low
