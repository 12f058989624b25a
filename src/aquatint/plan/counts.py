"""What a plan costs in numbers: loads, quantizations, reuses, releases and images.

This is the arithmetic alone; a run counts the same things where they happen, and tests hold the two equal.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from aquatint.plan.memory import held
from aquatint.plan.steps import Evict, Generate, Load, Phase, Plan, Record, Release, Return, Save, Upscale
from aquatint.plan.uses import uses


class Counts(Record, frozen=True, kw_only=True):
    """Totals of a plan.

    `reuses` counts, for every generate, phase, upscale and save step, the components that it uses and that were not
    loaded for this very step, that is, by a load since the one before it. A part left out of the pipeline is not
    counted; a component that is two parts of a pipeline counts twice. `evictions` are of what leaves the device,
    to the computer's memory or away, and comes again; `moved` are the bytes of weights that are loaded, moved to that
    memory, and brought back.
    """

    loads: int = 0
    quantizations: int = 0
    reuses: int = 0
    releases: int = 0
    images: int = 0
    evictions: int = 0
    moved: int = 0


def counts(plan: Plan, resident: AbstractSet[str] = frozenset()) -> Counts:
    """Return what running `plan` to its end comes to when the components with keys in `resident` are loaded already."""
    live = set(resident)
    fresh: set[str] = set()
    seen = set(resident)
    hosted: set[str] = set()
    loads = quantizations = reuses = releases = images = evictions = moved = 0
    for step in plan.steps:
        match step:
            case Load(component=key) if key not in live:
                loads += 1
                evictions += key in seen
                seen.add(key)
                moved += held(plan.components[key]).most
                quantizations += plan.components[key].quantization is not None
                live.add(key)
                fresh.add(key)
            case Generate() | Phase() | Upscale() | Save():
                reuses += sum(key in live and key not in fresh for key in uses(step, plan.pipelines).values())
                fresh.clear()
                images += len(step.outputs) if isinstance(step, Generate) else 0
            case Release(component=key) if key in live or key in hosted:
                releases += 1
                live.discard(key)
                hosted.discard(key)
                fresh.discard(key)
            case Evict(component=key) if key in live:
                moved += held(plan.components[key]).most
                live.remove(key)
                hosted.add(key)
                fresh.discard(key)
            case Return(component=key) if key in hosted:
                evictions += 1
                moved += held(plan.components[key]).most
                hosted.remove(key)
                live.add(key)
            case _:
                pass
    return Counts(
        loads=loads, quantizations=quantizations, reuses=reuses, releases=releases, images=images,
        evictions=evictions, moved=moved,
    )  # fmt: skip
