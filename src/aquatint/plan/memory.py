"""How much of each device's memory a plan's weights take, at each of its moments and at most.

Of a component it is what `Component.held` says, which was estimated from the headers of its files. What is taken beside
weights while a step runs, a rougher estimate, is counted apart.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from aquatint.catalog.hardware import memory_of
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


def memories(plan: Plan) -> list[str]:
    """Return the memories that the weights of `plan` are in, by the names of their devices, that of the plan's first.

    "cpu" is the computer's own.
    """
    own = memory_of(plan.device)
    found = {memory_of(each.device) for each in plan.components.values() if each.dtype is not None}
    return sorted(found, key=lambda name: (name != own, name))


def taken(plan: Plan, resident: AbstractSet[str] = frozenset()) -> ByteRange | None:
    """Return the most that weights and work take together of the plan's device, None for a plan that takes none of it.

    What is on other devices is left out.
    """
    own = memory_of(plan.device)
    best: ByteRange | None = None
    known: dict[tuple[str, str, str, int, tuple[str, ...]], int] = {}
    found = sizes(plan.steps)
    generates = {step.id: step for step in plan.steps if isinstance(step, Generate)}
    for step, size in zip(plan.steps, moments(plan, resident, own), strict=True):
        needed = 0
        # What is done already is not loaded for.
        if size.most and isinstance(step, Generate | Phase):
            generate = generates[step.generate if isinstance(step, Phase) else step.id]
            used = [role for role, key in uses(step, plan.pipelines).items()
                    if memory_of(plan.components[key].device) == own]  # fmt: skip
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


def moments(plan: Plan, resident: AbstractSet[str] = frozenset(), memory: str | None = None) -> list[ByteRange]:
    """Return what is held after each step of `plan`, in all memories or in the one called `memory`.

    Of components in `resident` those count that the plan uses.
    """
    counted = {key for key, each in plan.components.items() if memory in (None, memory_of(each.device))}
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
        sizes = [held(plan.components[key]) for key in live & counted]
        found.append(ByteRange(sum(size.least for size in sizes), sum(size.most for size in sizes)))
    return found


def peak(plan: Plan, resident: AbstractSet[str] = frozenset(), memory: str | None = None) -> Peak | None:
    """Return when most is held, by what it may be at most; None for a plan that loads nothing with weights.

    With `memory` it is that of one memory.
    """
    best: Peak | None = None
    for step, size in zip(plan.steps, moments(plan, resident, memory), strict=True):
        if isinstance(step, Load | Return) and size.most > (best.held.most if best is not None else 0):
            best = Peak(size, step.place)
    return best
