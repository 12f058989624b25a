"""Builds a plan from what a script asks for, one request at a time.

Numbering components and pipelines by their keys is what makes reuse: the same request gives the same key, and is in
the plan once. When things are loaded and released is decided in `schedule`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
from msgspec import UNSET

import aquatint
from aquatint.catalog.hardware import memory_of
from aquatint.plan.batches import united
from aquatint.plan.schedule import Order, Shortfall, schedule
from aquatint.plan.steps import (
    PLAN_VERSION,
    Cell,
    Compare,
    Component,
    Deferred,
    Generate,
    Grid,
    ImageRef,
    Json,
    Line,
    Output,
    Pair,
    Pipeline,
    Place,
    Plan,
    Plugin,
    Print,
    Save,
    Step,
    Upscale,
)
from aquatint.plan.uses import undecoded_roles
from aquatint.source import Span


@dataclass(slots=True)
class PlanBuilder:
    """The steps asked for so far, and the components and pipelines that they need."""

    components: dict[str, Component] = field(default_factory=dict)
    pipelines: dict[str, Pipeline] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    outputs: dict[str, Place] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)  # where the steps that use components are written
    per_batch: dict[str, int] = field(default_factory=dict)  # images that one call may make, by a generate step's id
    made: int = 0  # numbers of the steps, which go on over the statements of a session

    def _name(self, letter: str) -> str:
        self.made += 1
        return f"{letter}{self.made}"

    def add_pipeline(self, pipeline: Pipeline, components: Mapping[str, Component]) -> None:
        """Make a pipeline and its components known; those that are known already are the same."""
        self.pipelines.setdefault(pipeline.key, pipeline)
        for key, component in components.items():
            self.components.setdefault(key, component)

    def generate(
        self,
        *,
        pipeline: str,
        model: str,
        quantizers: dict[str, str | None],
        arguments: dict[str, Json],
        scheduler: str | None,
        outputs: list[Output],
        metadata: bool,
        sidecar: bool,
        place: Place,
        statement: str,
        deferred: dict[str, Deferred],
        weighter: Plugin | None,
        images_per_batch: int,
        scaled: tuple[int, int] | None,
        fps: float | None,
        span: Span,
    ) -> str:
        """Add a generate step and return its id."""
        step = Generate(
            id=self._name("g"), pipeline=pipeline, model=model, quantizers=quantizers, arguments=arguments,
            scheduler=scheduler, outputs=outputs, metadata=metadata, place=place, statement=statement,
            deferred=deferred, weighter=weighter, sidecar=sidecar, scaled=scaled,
            fps=UNSET if fps is None else fps,
        )  # fmt: skip
        step = msgspec.structs.replace(step, roles=undecoded_roles(step, self.pipelines[pipeline]))
        self.steps.append(step)
        self.spans[step.id] = span
        self.per_batch[step.id] = images_per_batch
        for output in outputs:
            if output.path is not None:
                self.outputs[output.path] = place
        return step.id

    def upscale(
        self,
        *,
        upscaler: Plugin,
        pipeline: str,
        prompts: list[Line],
        variations: int,
        seed: int,
        place: Place,
        statement: str,
        span: Span,
    ) -> str:
        """Add an upscale step and return its id."""
        step = Upscale(
            id=self._name("u"), upscaler=upscaler, pipeline=pipeline, prompts=prompts, variations=variations,
            seed=seed, place=place, statement=statement,
        )  # fmt: skip
        self.spans[step.id] = span
        self.steps.append(step)
        return step.id

    def compare(self, *, pairs: list[Pair], metrics: list[str], path: str | None, place: Place, printed: bool) -> str:
        """Add a compare step and return its id."""
        step = Compare(
            id=self._name("c"), pairs=pairs, metrics=metrics, path=path, place=place,
            printed=printed and path is None,
        )  # fmt: skip
        self.steps.append(step)
        if path is not None:
            self.outputs[path] = place
        return step.id

    def grid(
        self,
        *,
        cells: list[tuple[ImageRef, Line]],
        columns: int,
        column_headers: list[Line],
        row_headers: list[Line],
        title: Line,
        path: str,
        sidecar: bool,
        place: Place,
    ) -> str:
        """Add a grid step and return its id."""
        step = Grid(
            id=self._name("s"), cells=[Cell(image=image, label=label) for image, label in cells], columns=columns,
            column_headers=column_headers, row_headers=row_headers, title=title, path=path, place=place,
            sidecar=sidecar,
        )  # fmt: skip
        self.steps.append(step)
        self.outputs[path] = place
        return step.id

    def save(
        self,
        *,
        pipeline: str,
        model: str,
        quantizers: dict[str, str | None],
        roles: list[str] | None,
        path: str,
        variant: str | None,
        max_shard_size: int | None,
        place: Place,
        statement: str,
        span: Span,
    ) -> str:
        """Add a save step and return its id."""
        step = Save(
            id=self._name("k"), pipeline=pipeline, model=model, quantizers=quantizers, roles=roles, path=path,
            variant=variant, max_shard_size=max_shard_size, place=place, statement=statement,
        )  # fmt: skip
        self.spans[step.id] = span
        self.steps.append(step)
        self.outputs[path] = place
        return step.id

    def print(self, text: Line, place: Place) -> None:
        """Add a line of the report."""
        self.steps.append(Print(id=self._name("p"), text=text, place=place))

    def plan(
        self,
        *,
        script: str,
        inputs: dict[str, str],
        plan_seed: int,
        device: str,
        keep: bool,
        order: Order = "least",
        memory: int | None = None,
        host: int | None = 0,
        program: int = 0,
        beside: Callable[[str], int | None] = lambda _: None,
    ) -> tuple[Plan, Shortfall | None]:
        """Return the plan of all that was asked for, and what doesn't fit into `memory`, in bytes.

        `program` of it the program takes itself. `host` is what of the computer's memory may be taken by what doesn't
        fit, None for any amount. `beside` says what may be taken of the other devices that there are components on.
        `keep` leaves everything loaded, for the scripts that follow.
        """
        used = [step.pipeline for step in self.steps if isinstance(step, Generate | Upscale | Save)]
        pipelines = {key: self.pipelines[key] for key in dict.fromkeys(used)}
        keys = dict.fromkeys(key for pipeline in pipelines.values() for key in pipeline.parts.values() if key)
        components = {key: self.components[key] for key in keys}
        calls = united(self.steps, self.per_batch, pipelines)
        names = {memory_of(each.device) for each in components.values() if each.dtype is not None}
        others = {name: size for name in sorted(names - {memory_of(device)}) if (size := beside(name)) is not None}
        scheduled = schedule(
            calls.steps, pipelines, components, keep=keep, order=order, memory=memory, host=host, program=program,
            device=device, beside=others,
        )  # fmt: skip
        plan = Plan(
            version=PLAN_VERSION, aquatint=aquatint.__version__, script=script, inputs=inputs, plan_seed=plan_seed,
            device=device, components=components, pipelines=pipelines, steps=scheduled.steps, memory=scheduled.limit,
            batches=calls.batches or UNSET,
        )  # fmt: skip
        return plan, scheduled.shortfall
