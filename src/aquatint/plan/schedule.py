"""When the steps of a plan run, and what is loaded and released for them.

The order and what goes where memory is short are found in `scheduling`, which knows tasks and items; `planner` makes
tasks of steps, and steps of what was found; `apart` puts together what was found for each of several memories. Here is
what is tried, and what is taken where memory is short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import UNSET

from aquatint.catalog.hardware import memory_of
from aquatint.plan.apart import Found, Limits, Misfit, Planners, best, carried_out, traffic
from aquatint.plan.planner import Order, Planner
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
    """A step that doesn't fit into the memory of `device`: it takes `needed` bytes, and there are `memory`.

    With `is_estimated` its weights do fit, and what it is estimated to take for its work doesn't.
    """

    step: str
    needed: int
    memory: int
    is_estimated: bool = False
    device: str = ""


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
    device: str | None = None,
    beside: Mapping[str, int] | None = None,
) -> Schedule:
    """Return `steps` in the order in which they run, with the loads and releases that they need.

    `memory` is in bytes, for what is on `device`: weights, what waits between phases, and work, and the `program` bytes
    that it takes itself; `beside` is the same of other devices. `host` is what weights that don't fit on one may take
    of the computer's memory, None for any amount. `device` is, unless it is given, that of the first component with
    weights. With `keep` the order is the script's, and nothing is released: a
    session goes on with it.
    """
    bundled = 1 if keep or len(steps) <= FEW else BUNDLED
    planner = Planner(steps, pipelines, components, fine=False, bundled=bundled)
    if keep:
        return Schedule(list(planner.emitted(planner.kept())))
    places = [each.device for each in components.values() if each.dtype is not None]
    here = device or next(iter(places), "cpu")
    own = memory_of(here)
    names = {memory_of(each) for each in places} - {own}
    given = {} if memory is None else {own: memory}
    given |= {name: size for name, size in (beside or {}).items() if name in names}

    def planners(fine: bool, working: bool = True, bundled: int = 1) -> Planners:
        return {
            name: Planner(steps, pipelines, components, fine=fine, bundled=bundled, working=working,
                          memory=name if names else None)
            for name in (own, *sorted(names))
        }  # fmt: skip

    # A limit that isn't reached must not change anything: the plan is that without one.
    free = planners(False, bundled=bundled)
    unlimited = best(free, order, Limits({}, None))
    assert isinstance(unlimited, Found)
    taken = {name: most + (program if name == own else 0) for name, most in unlimited.peaks.items()}
    if all(taken[name] <= size for name, size in given.items()):
        return Schedule(list(planner.emitted(unlimited.moves)))
    limits = Limits({name: max(0, size - (program if name == own else 0)) for name, size in given.items()}, host)
    short: Shortfall | None = None
    for working in (True, False):
        coarse, finer = (planners(fine, working) for fine in (False, True))
        limit = Limit(memory, traffic(coarse, limits), host, program, _beside(given, own) or UNSET)
        found = _least(coarse, finer, order, limits)
        if isinstance(found, Found):
            emitter = next(iter(found.planners.values()))
            return Schedule(list(emitter.emitted(found.moves)), short, limit)
        # Of an estimate nothing is refused: what is known may fit.
        step = next(iter(finer.values())).step_of(found.task)
        more = program if found.memory == own else 0
        short = Shortfall(step, found.needed + more, given[found.memory], is_estimated=working,
                          device=here if found.memory == own else found.memory)  # fmt: skip
    return Schedule(list(planner.emitted(unlimited.moves)), short)


def _beside(given: Mapping[str, int], own: str) -> dict[str, int]:
    return {name: size for name, size in given.items() if name != own}


def _least(coarse: Planners, finer: Planners, order: Order, limits: Limits) -> Found | Misfit:
    """Return what costs least within `limits`."""
    cheapest: Found | None = None
    for each in (coarse, finer):
        found = best(each, order, limits)
        if isinstance(found, Found) and (cheapest is None or found.cost < cheapest.cost):
            cheapest = found
    # Statement by statement, each in phases, takes the least.
    return cheapest or carried_out(finer, next(iter(finer.values())).one_by_one(), limits)
