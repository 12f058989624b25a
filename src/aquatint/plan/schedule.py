"""When components are loaded and released: each just before its first use, and right after its last.

The order of the other steps is the script's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aquatint.plan.steps import Generate, Load, Pipeline, Release, Step


def schedule(steps: Sequence[Step], pipelines: Mapping[str, Pipeline], *, keep: bool) -> list[Step]:
    """Return `steps` with the loads that they need, and, unless `keep`, with a release after each last use."""
    last_use: dict[str, int] = {}
    for index, step in enumerate(steps):
        if isinstance(step, Generate):
            for key in _needed(pipelines[step.pipeline]):
                last_use[key] = index
    scheduled: list[Step] = []
    loaded: set[str] = set()
    for index, step in enumerate(steps):
        if not isinstance(step, Generate):
            scheduled.append(step)
            continue
        needed = _needed(pipelines[step.pipeline])
        for key in needed:
            if key not in loaded:
                loaded.add(key)
                scheduled.append(Load(id=f"l{len(loaded)}", component=key, place=step.place))
        scheduled.append(step)
        if not keep:
            scheduled += [Release(id=f"r-{key[:8]}", component=key) for key in needed if last_use[key] == index]
    return scheduled


def _needed(pipeline: Pipeline) -> list[str]:
    return list(dict.fromkeys(key for key in pipeline.parts.values() if key is not None))
