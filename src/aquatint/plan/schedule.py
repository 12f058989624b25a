"""When components are loaded and released: each just before its first use, and right after its last.

The order of the other steps is the script's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aquatint.plan.steps import Generate, Load, Pipeline, Release, Save, Step
from aquatint.plan.uses import uses


def schedule(steps: Sequence[Step], pipelines: Mapping[str, Pipeline], *, keep: bool) -> list[Step]:
    """Return `steps` with the loads that they need, and, unless `keep`, with a release after each last use."""
    used = [list(dict.fromkeys(uses(step, pipelines).values())) for step in steps]
    last_use = {key: index for index, keys in enumerate(used) for key in keys}
    scheduled: list[Step] = []
    loaded: set[str] = set()
    for index, step in enumerate(steps):
        if not isinstance(step, Generate | Save):
            scheduled.append(step)
            continue
        for key in used[index]:
            if key not in loaded:
                loaded.add(key)
                scheduled.append(Load(id=f"l{len(loaded)}", component=key, place=step.place))
        scheduled.append(step)
        if not keep:
            scheduled += [Release(id=f"r-{key[:8]}", component=key) for key in used[index] if last_use[key] == index]
    return scheduled
