"""What one order of tasks comes to where weights are in several memories: each is decided alone, for the same order.

What is in one memory takes no room of another, so that only the order ties them together, and what of the computer's
memory is taken both by weights that compute there and by those that were moved there from a GPU. How a plan on one
device comes about is the same, with one memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from aquatint.catalog.hardware import memory_of
from aquatint.plan.planner import Order, Planner
from aquatint.plan.scheduling.moves import Load, Move, Run
from aquatint.plan.scheduling.tasks import Budget, DoesNotFit
from aquatint.plan.steps import Traffic

Planners = Mapping[str, Planner]
"""Planners of the same steps by memory, that of the plan's device first."""

_HOST = memory_of("cpu")


@dataclass(frozen=True, slots=True)
class Limits:
    """The bytes that may be taken of each memory, of one that isn't there any amount.

    `host` is what may be taken of the computer's by what was moved there from a device, None for any amount.
    """

    memories: Mapping[str, int]
    host: int | None


@dataclass(frozen=True, slots=True)
class Found:
    """The moves by which an order runs, what they cost, the loads among them, and the peak of each memory."""

    planners: Planners
    moves: tuple[Move, ...]
    cost: float
    peaks: Mapping[str, int]

    @property
    def rank(self) -> tuple[float, int, tuple[int, ...]]:
        """What is less of a better one."""
        return self.cost, sum(isinstance(move, Load) for move in self.moves), tuple(self.peaks.values())


@dataclass(frozen=True, slots=True)
class Misfit:
    """A task that can't run, since it takes `needed` bytes of a memory."""

    task: str
    memory: str
    needed: int


def best(planners: Planners, order: Order, limits: Limits) -> Found | Misfit:
    """Return what the best order comes to of those that are best for one of the memories; a misfit if none fits."""
    orders = dict.fromkeys(
        tuple(planner.ordered(order, Budget(limits.memories.get(name), limits.host)))
        for name, planner in planners.items()
    )
    found = [carried_out(planners, each, limits) for each in orders]
    fitting = [each for each in found if isinstance(each, Found)]
    # With one order there is nothing to compare.
    return found[0] if not fitting or len(found) == 1 else min(fitting, key=lambda each: each.rank)


def carried_out(planners: Planners, order: Sequence[str], limits: Limits) -> Found | Misfit:
    """Return what it comes to that the tasks with these ids run in this order; the first misfit if they don't fit."""
    own: dict[str, Sequence[Move]] = {}
    peaks: dict[str, int] = {}
    cost = 0.0
    host = limits.host
    # What computes in the computer's memory has it first.
    for name in sorted(planners, key=lambda name: name != _HOST):
        planner, size = planners[name], limits.memories.get(name)
        moves = planner.moves(order, Budget(size, host))
        if isinstance(moves, DoesNotFit):
            return Misfit(moves.task, name, moves.needed)
        own[name], peaks[name] = moves, planner.peak(moves)
        cost += planner.cost(moves)
        if host is not None and len(planners) > 1:
            host = max(0, host - (peaks[name] if name == _HOST else planner.hosted(moves)))
    return Found(planners, tuple(_merged(list(own.values()), order)), cost, {name: peaks[name] for name in planners})


def traffic(planners: Planners, limits: Limits) -> Traffic | None:
    """Return what the script's order comes to where what was used least recently goes; None if that doesn't fit."""
    found = [each.lru_traffic(Budget(limits.memories.get(name), limits.host)) for name, each in planners.items()]
    whole = [each for each in found if each is not None]
    if len(whole) < len(found):
        return None
    weightless = next(iter(planners.values())).weightless
    return Traffic(
        loads=weightless + sum(each.loads for each in whole),
        evictions=sum(each.evictions for each in whole),
        moved=sum(each.moved for each in whole),
    )


def _merged(own: Sequence[Sequence[Move]], order: Sequence[str]) -> Iterator[Move]:
    """Yield the moves for each memory, each task once: after what all of them do before it."""
    streams = [iter(moves) for moves in own]
    for task in order:
        for stream in streams:
            for move in stream:
                if isinstance(move, Run):
                    break
                yield move
        yield Run(task)
    for stream in streams:
        yield from stream
