"""How much of the device's memory a plan's weights take, at each of its moments and at most.

Of a component it is what `Component.held` says, which was estimated from the headers of its files. What is taken beside
weights while a step runs, a rougher estimate, is counted apart.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from aquatint.plan.batches import largest, sizes
from aquatint.plan.steps import (
    ByteRange,
    Component,
    Evict,
    Generate,
    Load,
    Phase,
    Place,
    Plan,
    Release,
    Return,
    Upscale,
)
from aquatint.plan.uses import uses
from aquatint.plan.working import rewriting, work


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that is held at one time, and the statement for which it is."""

    held: ByteRange
    place: Place


def taken(plan: Plan, resident: AbstractSet[str] = frozenset()) -> ByteRange | None:
    """Return the most that weights and work take together, None for a plan that loads nothing with weights."""
    best: ByteRange | None = None
    known: dict[tuple[str, str, str, int, tuple[str, ...]], int] = {}
    found = sizes(plan.steps)
    generates = {step.id: step for step in plan.steps if isinstance(step, Generate)}
    for step, size in zip(plan.steps, moments(plan, resident), strict=True):
        needed = 0
        # What is done already is not loaded for.
        if size.most and isinstance(step, Generate | Phase):
            generate = generates[step.generate if isinstance(step, Phase) else step.id]
            used = uses(step, plan.pipelines)
            width, height = (str(generate.arguments.get(side)) for side in ("width", "height"))
            together = largest(generate, found)
            alike = step.pipeline, width, height, together, tuple(used)
            if alike not in known:
                known[alike] = work(generate, used, plan.pipelines[step.pipeline], plan.components, together)
            needed = known[alike]
        elif size.most and isinstance(step, Upscale):
            needed = rewriting(step, uses(step, plan.pipelines).values(), plan.components)
        if size.most + needed > (best.most if best is not None else 0):
            best = ByteRange(size.least + needed, size.most + needed)
    return best


def held(component: Component) -> ByteRange:
    """Return the bytes of weights of a component once it is loaded."""
    return component.held or ByteRange(component.bytes, component.bytes)


def moments(plan: Plan, resident: AbstractSet[str] = frozenset()) -> list[ByteRange]:
    """Return what is held after each step of `plan`; of components in `resident` those count that the plan uses."""
    live = set(resident) & set(plan.components)
    found = []
    for step in plan.steps:
        match step:
            case Load(component=key) | Return(component=key):
                live.add(key)
            case Release(component=key) | Evict(component=key):
                live.discard(key)
            case _:
                pass
        sizes = [held(plan.components[key]) for key in live]
        found.append(ByteRange(sum(size.least for size in sizes), sum(size.most for size in sizes)))
    return found


def peak(plan: Plan, resident: AbstractSet[str] = frozenset()) -> Peak | None:
    """Return when most is held, by what it may be at most; None for a plan that loads nothing with weights."""
    best: Peak | None = None
    for step, size in zip(plan.steps, moments(plan, resident), strict=True):
        if isinstance(step, Load | Return) and size.most > (best.held.most if best is not None else 0):
            best = Peak(size, step.place)
    return best
