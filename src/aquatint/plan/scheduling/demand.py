"""What an order of tasks demands of memory: segments, and the gaps between two uses of an item.

A segment is a stretch of tasks for which nothing has to be moved in between: whatever is on the device for its first
task can stay until its last, and moving something in the middle would gain nothing over moving it at the start. All
that is left to decide is what becomes of an item in each gap; that is `residency`.

With one exception: what comes back from the computer's memory makes room there, so that in the middle more may be moved
there than at the start. Where that memory is limited, a task that takes more than those before it begins a segment, as
long as the order is short.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from aquatint.plan.scheduling.graph import Graph, Weights
from aquatint.plan.scheduling.tasks import Budget, DoesNotFit

SHORT = 64
"""The tasks of an order that is short."""


class Segment:
    """A stretch of tasks that need the same items or some of them, with the most that they take beside items."""

    __slots__ = ("base", "ends", "needs", "start")

    def __init__(self, start: int, needs: tuple[int, ...], base: int) -> None:
        self.start = start  # its first task, counted in the order
        self.needs = needs  # in the order of their last uses
        self.base = base
        self.ends: dict[int, int] = dict.fromkeys(needs, start)  # item -> the last task of the segment that needs it


class Gap(NamedTuple):
    """An item is used in segment `start` and next in `end`, with others between them."""

    item: int
    start: int
    end: int


class Demand:
    """Segments and gaps of an order of tasks, under a budget."""

    def __init__(
        self, segments: list[Segment], weights: Weights, budget: Budget, *, results: int = 0, exact: bool = False
    ) -> None:
        self.segments = segments
        self.exact = exact  # nothing is lost by deciding for segments rather than for tasks
        self.results = results  # the most bytes of results that are held at a time
        self.weights = weights
        self.budget = budget
        self.needed = [sum(weights.bytes[item] for item in segment.needs) for segment in segments]
        last: dict[int, tuple[int, int]] = {}  # item -> the segment of its last use so far, and its turn there
        found = []
        for number, segment in enumerate(segments):
            for turn, item in enumerate(segment.needs):
                if item in last and last[item][0] + 1 < number:
                    found.append((*last[item], Gap(item, last[item][0], number)))
                last[item] = (number, turn)
        # By time of the use before: a gap's number says how recently its item was used.
        self.gaps = [gap for *_, gap in sorted(found)]
        self.used = sorted(last)
        self.opens: list[list[int]] = [[] for _ in segments]  # numbers of gaps, by segment
        self.closes: list[list[int]] = [[] for _ in segments]
        for index, gap in enumerate(self.gaps):
            self.opens[gap.start].append(index)
            self.closes[gap.end].append(index)

    def kept_peak(self) -> int:
        """Return what is held at most if every item stays from its first use to its last."""
        spanning = peak = 0
        for number, segment in enumerate(self.segments):
            spanning -= sum(self.weights.bytes[self.gaps[gap].item] for gap in self.closes[number])
            peak = max(peak, spanning + segment.base + self.needed[number])
            spanning += sum(self.weights.bytes[self.gaps[gap].item] for gap in self.opens[number])
        return peak


def demand_of(graph: Graph, order: Sequence[int], budget: Budget) -> Demand | DoesNotFit:
    """Return the demand of `order`, or the first task that doesn't fit even if nothing but its needs is loaded."""
    results, claims, before = graph.results, graph.claims, graph.before
    classes, class_bytes = graph.classes, graph.class_bytes
    waiting = [len(after) for after in graph.dependents]
    live = most = 0
    taken = []
    for task in order:
        base = live + claims[task]
        kind = classes[task]
        taken.append((kind, base))
        if budget.device is not None and class_bytes[kind] + base > budget.device:
            return DoesNotFit(graph.tasks[task].id, class_bytes[kind] + base, live, budget.device)
        live += results[task]
        if live > most:
            most = live
        for name in before[task]:
            waiting[name] -= 1
            if not waiting[name]:
                live -= results[name]
    limited = budget.host is not None and budget.host > 0 and any(graph.weights.movable)
    rising = not limited or len(taken) > SHORT
    segments = segments_of(taken, graph.needs, rising=rising)
    return Demand(segments, graph.weights, budget, results=most, exact=not (limited and rising))


def segments_of(
    taken: Iterable[tuple[int, int]], needs: Sequence[tuple[int, ...]], *, rising: bool = True
) -> list[Segment]:
    """Return the segments of tasks given by their class and what each takes beside items; `needs` are the classes'.

    A task that needs the same and takes more than those before it goes into their segment if `rising`.
    """
    segments: list[Segment] = []
    first = latest = -1  # the classes of the segment's first task and of the one before this
    within: frozenset[int] = frozenset()
    place = -1
    for place, (kind, base) in enumerate(taken):
        fits = bool(segments) and (base <= segments[-1].base or (rising and kind == first))
        if fits and base > segments[-1].base:
            segments[-1].base = base
        if fits and kind == latest:
            continue
        if segments:
            _used(segments[-1], needs[latest], place - 1)
        if not fits or not within.issuperset(needs[kind]):
            segments.append(Segment(place, needs[kind], base))
            first, within = kind, frozenset(needs[kind])
        latest = kind
    if segments:
        _used(segments[-1], needs[latest], place)
    return segments


def _used(segment: Segment, needs: tuple[int, ...], place: int) -> None:
    """Note that the task at `place` used `needs`."""
    segment.ends.update(dict.fromkeys(needs, place))
    segment.needs = (*(item for item in segment.needs if item not in needs), *needs)
