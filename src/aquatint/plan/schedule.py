"""When the steps of a plan run, and what is loaded and released for them.

The order and what goes where memory is short are found in `scheduling`, which knows tasks and items; `planner` makes
tasks of steps, and steps of what was found. Here is what is tried, and what is taken where memory is short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aquatint.plan.planner import Order, Planner
from aquatint.plan.scheduling.moves import Move
from aquatint.plan.scheduling.tasks import Budget, DoesNotFit
from aquatint.plan.steps import Component, Limit, Pipeline, Step

__all__ = ["ORDERS", "Order", "Schedule", "Shortfall", "schedule"]

ORDERS: tuple[Order, ...] = ("least", "script")

FEW = 500
"""Up to so many steps each is put in order alone."""

BUNDLED = 32
"""Of more steps, so many that are alike and follow one another are put in order as one, while memory has no limit.

In phases, what waits of them for the next one takes that many times the room, which is little beside weights.
"""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A step that doesn't fit into the memory that there is: `needed` bytes of `memory`.

    With `is_estimated` its weights do fit, and what it is estimated to take for its work doesn't.
    """

    step: str
    needed: int
    memory: int
    is_estimated: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps with their loads and releases. If weights don't fit, they are as if there were no limit."""

    steps: list[Step]
    shortfall: Shortfall | None = None
    limit: Limit | None = None


def schedule(
    steps: Sequence[Step],
    pipelines: Mapping[str, Pipeline],
    components: Mapping[str, Component],
    *,
    keep: bool,
    order: Order = "least",
    memory: int | None = None,
    host: int | None = 0,
    program: int = 0,
) -> Schedule:
    """Return `steps` in the order in which they run, with the loads and releases that they need.

    `memory` is in bytes, for weights, what waits between phases, and work, and for the `program` bytes that it takes
    itself; `host` is what weights that don't fit there may take of the computer's memory, None for any amount. With
    `keep` the order is the script's, and nothing is released: a session goes on with it.
    """
    bundled = 1 if keep or len(steps) <= FEW else BUNDLED
    planner = Planner(steps, pipelines, components, fine=False, bundled=bundled)
    if keep:
        return Schedule(list(planner.emitted(planner.kept())))
    # A limit that isn't reached must not change anything: the plan is that without one.
    unlimited = planner.moves(order, Budget())
    assert not isinstance(unlimited, DoesNotFit)
    if memory is None or planner.peak(unlimited) + program <= memory:
        return Schedule(list(planner.emitted(unlimited)))
    budget = Budget(device=max(0, memory - program), host=host)
    short: Shortfall | None = None
    for working in (True, False):
        coarse, finer = (Planner(steps, pipelines, components, fine=fine, working=working) for fine in (False, True))
        limit = Limit(memory, coarse.lru_traffic(budget), host, program)
        found = _least(coarse, finer, order, budget)
        if not isinstance(found, DoesNotFit):
            by, moves = found
            return Schedule(list(by.emitted(moves)), short, limit)
        # Of an estimate nothing is refused: what is known may fit.
        short = Shortfall(finer.step_of(found.task), found.needed + program, memory, is_estimated=working)
    return Schedule(list(planner.emitted(unlimited)), short)


def _least(
    coarse: Planner, finer: Planner, order: Order, budget: Budget
) -> tuple[Planner, Sequence[Move]] | DoesNotFit:
    """Return what costs least within `budget`, and whose moves it is."""
    best: tuple[Planner, Sequence[Move]] | None = None
    for each in (coarse, finer):
        found = each.moves(order, budget)
        if not isinstance(found, DoesNotFit) and (best is None or each.cost(found) < best[0].cost(best[1])):
            best = each, found
    if best is not None:
        return best
    # Statement by statement, each in phases, takes the least.
    last = finer.one_by_one(budget)
    return last if isinstance(last, DoesNotFit) else (finer, last)
