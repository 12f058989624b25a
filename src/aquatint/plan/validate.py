"""Whether a plan that came from outside hangs together: every reference in it leads somewhere.

Its shape has been checked on reading; what its files hold is checked when they are loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from aquatint.catalog import pipelines
from aquatint.catalog.models import OFFLOADS
from aquatint.catalog.quantizers import problems
from aquatint.plan.steps import Component, Generate, Grid, Load, Pipeline, Plan, PlanError, Release, Save
from aquatint.plan.uses import uses


def validate(plan: Plan) -> None:
    """Raise `PlanError` with the first reference or quantizer of `plan` that is wrong."""
    for key, component in plan.components.items():
        if key != component.key:
            raise PlanError(f"component `{key}` calls itself `{component.key}`")
        _check_component(component)
    for key, pipeline in plan.pipelines.items():
        if key != pipeline.key:
            raise PlanError(f"pipeline `{key}` calls itself `{pipeline.key}`")
        for role, part in pipeline.parts.items():
            if part is not None and part not in plan.components:
                raise PlanError(f"pipeline `{key}` has an unknown component `{part}` as `{role}`")
        _check_offload(plan, pipeline)
    _check_steps(plan)


def _check_offload(plan: Plan, pipeline: Pipeline) -> None:
    """Hold a pipeline and its components to one way of offloading, that hooks don't reach others' live modules."""
    if pipeline.offload not in (None, *OFFLOADS):
        raise PlanError(f"pipeline `{pipeline.key}` is offloaded as `{pipeline.offload}`; ways: {', '.join(OFFLOADS)}")
    for role, key in pipeline.parts.items():
        component = None if key is None else plan.components[key]
        if component is not None and component.dtype is not None and component.offload != pipeline.offload:
            raise PlanError(f"pipeline `{pipeline.key}` isn't offloaded in the way of its `{role}`")


def _check_component(component: Component) -> None:
    if pipelines.library(component.library) != component.library or not component.class_name.isidentifier():
        raise PlanError(
            f"component `{component.role}` is of `{component.library}.{component.class_name}`, which is never loaded"
        )
    if component.quantization is not None:
        found = problems(component.quantization.backend, component.quantization.options)
        if found:
            raise PlanError(f"the quantizer of `{component.role}`: {found[0].message}")


def _check_steps(plan: Plan) -> None:
    images: dict[str, int] = {}
    loaded: set[str] = set()
    seen: set[str] = set()
    for step in plan.steps:
        if step.id in seen:
            raise PlanError(f"two steps are called `{step.id}`")
        seen.add(step.id)
        match step:
            case Load():
                if step.component not in plan.components:
                    raise PlanError(f"step `{step.id}` loads an unknown component `{step.component}`")
                loaded.add(step.component)
            case Generate() | Save():
                if step.pipeline not in plan.pipelines:
                    raise PlanError(f"step `{step.id}` uses an unknown pipeline `{step.pipeline}`")
                used = uses(step, plan.pipelines)
                if missing := [role for role, key in used.items() if key not in loaded]:
                    raise PlanError(f"step `{step.id}` uses `{missing[0]}`, which is not loaded then")
                if isinstance(step, Generate):
                    images[step.id] = len(step.outputs)
                else:
                    _check_save(step, used)
            case Grid():
                for cell in step.cells:
                    if not 0 <= cell.image.index < images.get(cell.image.step, 0):
                        raise PlanError(
                            f"step `{step.id}` shows image {cell.image.index} of `{cell.image.step}`, which is not made"
                        )
                if step.columns < 1:
                    raise PlanError(f"step `{step.id}` has no columns")
            case Release():
                if step.component not in loaded:
                    raise PlanError(f"step `{step.id}` releases `{step.component}`, which is not loaded then")
                loaded.discard(step.component)
            case _:
                pass


def _check_save(step: Save, used: Mapping[str, str]) -> None:
    """Hold the names that a save step makes folders and files of to what can be one."""
    if wrong := [role for role in step.roles or () if role not in used]:
        raise PlanError(f"step `{step.id}` saves `{wrong[0]}`, which its pipeline lacks")
    if wrong := [role for role in used if not role.isidentifier()]:
        raise PlanError(f"step `{step.id}` saves `{wrong[0]}`, which is no name of a submodule")
    if PurePosixPath(step.path).name in ("", ".."):
        raise PlanError(f"step `{step.id}` saves to `{step.path}`, which is no folder of its own")
    if step.variant is not None and not re.fullmatch(r"[A-Za-z0-9_-]+", step.variant):
        raise PlanError(f"step `{step.id}` has a variant `{step.variant}`, which is no part of a file's name")
    if step.max_shard_size is not None and step.max_shard_size < 1:
        raise PlanError(f"step `{step.id}` has files of {step.max_shard_size} bytes")
