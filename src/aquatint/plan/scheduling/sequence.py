"""The order of groups that loads least and then holds least.

Of a few groups all orders are tried, with all evictions. Of more, some orders that suggest themselves are judged, and
the best is changed, group by group, as long as that helps and for a bounded number of tries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from aquatint.plan.scheduling.bounds import Score, floor_of
from aquatint.plan.scheduling.demand import Demand, segments_of
from aquatint.plan.scheduling.graph import Graph
from aquatint.plan.scheduling.groups import Groups
from aquatint.plan.scheduling.residency import least, price
from aquatint.plan.scheduling.rules import weighted_furthest
from aquatint.plan.scheduling.search import Limits, Turn, search
from aquatint.plan.scheduling.tasks import Budget

FEW = 10
"""Of so many groups all orders are tried."""

EFFORT = 30_000
"""How many groups are looked at when orders are judged, each time counted."""


class Judge:
    """Judges orders of groups, and counts how many it has judged."""

    def __init__(self, graph: Graph, groups: Groups, budget: Budget, most_loads: int | None) -> None:
        self.graph = graph
        self.groups = groups
        self.budget = budget
        self.most_loads = most_loads
        self.judged = 0
        self.floor = floor_of(graph)

    def left(self) -> bool:
        """Return whether there is effort left for another order."""
        return self.judged * len(self.groups.classes) < EFFORT

    def score(self, sequence: Sequence[int]) -> Score:
        """Return what an order of groups comes to; its peak is that without evictions, which tells how tight it is."""
        self.judged += 1
        groups = self.groups
        place = [0] * len(sequence)
        for turn, group in enumerate(sequence):
            place[group] = turn
        change = [0] * (len(sequence) + 1)
        for group, users, size in groups.flows:
            change[place[group] + 1] += size
            change[max(place[user] for user in _bits(users)) + 1] -= size
        taken = []
        live = 0
        for turn, group in enumerate(sequence):
            live += change[turn]
            taken.append((groups.classes[group], live + groups.base[group]))
        needed = max((self.graph.class_bytes[kind] + base for kind, base in taken), default=0)
        if self.budget.device is not None and needed > self.budget.device:
            return (math.inf, 0, needed)
        demand = Demand(segments_of(taken, self.graph.needs), self.graph.weights, self.budget)
        peak = demand.kept_peak()
        if self.budget.device is None or peak <= self.budget.device:
            return (*least(demand), peak)
        return (*price(demand, weighted_furthest(demand)), peak)


def best_sequence(judge: Judge) -> list[int]:
    """Return the best order of groups found."""
    count = len(judge.groups.classes)
    if count <= FEW and (found := _searched(judge)) is not None:
        return found
    best: list[int] = []
    best_score: Score | None = None
    for sequence in (
        _as_written(judge.groups),
        _to_the_end(judge.groups),
        _greedy(judge, cost_first=True),
        _greedy(judge, cost_first=False),
    ):
        score = judge.score(sequence)
        if best_score is None or score < best_score:
            best, best_score = sequence, score
    improving = True
    while improving and best_score != judge.floor:
        improving = False
        for group in list(best):
            for sequence in _moved(best, group, judge.groups):
                if not judge.left():
                    return best
                score = judge.score(sequence)
                if best_score is not None and score < best_score:
                    best, best_score, improving = sequence, score, True
                    break
    return best


def _searched(judge: Judge) -> list[int] | None:
    """Return the best of all orders; None if there are too many."""
    groups, weights = judge.groups, judge.graph.weights
    needs = [sum(1 << item for item in judge.graph.needs[kind]) for kind in groups.classes]
    first_loads = len({item for kind in groups.classes for item in judge.graph.needs[kind]})
    limits = Limits(loads=None if judge.most_loads is None else judge.most_loads - first_loads)
    numbers = range(len(needs))

    def following(done: int) -> list[Turn]:
        live = groups.live(done)
        return [
            Turn(group, needs[group], live + groups.base[group])
            for group in numbers
            if not done >> group & 1 and not groups.before[group] & ~done
        ]

    def needed_after(done: int) -> int:
        needed = 0
        for group in numbers:
            if not done >> group & 1:
                needed |= needs[group]
        return needed

    way = search(following, needed_after, len(needs), weights, judge.budget, limits)
    return None if way is None else [step.stage for step in way.stages()]


def _as_written(groups: Groups) -> list[int]:
    """Return the groups in the order of their first tasks, as far as they wait for none that comes later."""
    done = 0
    sequence: list[int] = []
    left = list(range(len(groups.classes)))
    while left:
        group = next(group for group in left if not groups.before[group] & ~done)
        left.remove(group)
        sequence.append(group)
        done |= 1 << group
    return sequence


def _to_the_end(groups: Groups) -> list[int]:
    """Return the groups in an order where what has begun is finished first: next comes what waited for the latest."""
    done = 0
    turns: dict[int, int] = {}
    left = list(range(len(groups.classes)))
    while left:
        ready = [group for group in left if not groups.before[group] & ~done]
        latest = {group: max((turns[other] for other in _bits(groups.before[group])), default=-1) for group in ready}
        group = min(ready, key=lambda group: (-latest[group], group))
        left.remove(group)
        turns[group] = len(turns)
        done |= 1 << group
    return list(turns)


def _greedy(judge: Judge, *, cost_first: bool) -> list[int]:
    """Return the groups in an order where next comes what needs least loaded, or what makes the peak rise least.

    What is on the device, as this sees it, is what is still needed of what was used last, as much as fits.
    """
    groups, weights, device = judge.groups, judge.graph.weights, judge.budget.device
    needs = [judge.graph.needs[kind] for kind in groups.classes]
    uses = [0] * len(weights.bytes)
    for items in needs:
        for item in items:
            uses[item] += 1
    held: dict[int, int] = {}  # item -> bytes, the last used last
    done = peak = 0
    sequence: list[int] = []
    left = list(range(len(needs)))
    while left:
        live, total = groups.live(done), sum(held.values())
        options = []
        for group in left:
            if groups.before[group] & ~done:
                continue
            missing = [item for item in needs[group] if item not in held]
            cost = sum(weights.load[item] for item in missing)
            during = total + sum(weights.bytes[item] for item in missing) + live + groups.base[group]
            freed = sum(weights.bytes[item] for item in needs[group] if uses[item] == 1)
            after = during - freed
            rise = max(peak, during)
            options.append(((cost, rise, after, group) if cost_first else (rise, cost, after, group), during))
        (*_, group), during = min(options)
        peak = max(peak, during)
        left.remove(group)
        sequence.append(group)
        done |= 1 << group
        for item in needs[group]:
            held.pop(item, None)
            uses[item] -= 1
            if uses[item]:
                held[item] = weights.bytes[item]
        while device is not None and held and sum(held.values()) + groups.live(done) > device:
            del held[next(iter(held))]
    return sequence


def _moved(sequence: list[int], group: int, groups: Groups) -> Iterator[list[int]]:
    """Yield the orders in which `group` alone has another place, those near its own first."""
    place = sequence.index(group)
    first = max((turn + 1 for turn, other in enumerate(sequence) if groups.before[group] >> other & 1), default=0)
    last = min(
        (turn - 1 for turn, other in enumerate(sequence) if groups.before[other] >> group & 1),
        default=len(sequence) - 1,
    )
    rest = sequence[:place] + sequence[place + 1 :]
    for turn in sorted(range(first, last + 1), key=lambda turn: (abs(turn - place), turn)):
        if turn != place:
            yield [*rest[:turn], group, *rest[turn:]]


def _bits(groups: int) -> Iterator[int]:
    while groups:
        low = groups & -groups
        yield low.bit_length() - 1
        groups ^= low
