"""Whether a plan that came from outside hangs together: every reference in it leads somewhere.

Its shape has been checked on reading; what its files hold is checked when they are loaded.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import PurePosixPath

from msgspec import UNSET

from aquatint.catalog import networks, pipelines
from aquatint.catalog.hardware import is_device
from aquatint.catalog.language_models import ROLES
from aquatint.catalog.metrics import METRICS
from aquatint.catalog.models import OFFLOADS
from aquatint.catalog.prompt_plugins import Kind, prompt_plugin
from aquatint.catalog.quantizers import problems
from aquatint.catalog.textual_inversions import VECTORS_LIMIT, is_token, tokenizer_of, words
from aquatint.plan import texts
from aquatint.plan.steps import (
    Companion,
    Compare,
    Component,
    Evict,
    Generate,
    Grid,
    ImageRef,
    InBatch,
    Json,
    Line,
    Load,
    NumberRef,
    Phase,
    Pipeline,
    Plan,
    PlanError,
    Plugin,
    Print,
    Quantization,
    Release,
    Return,
    Save,
    Step,
    TensorRef,
    Text,
    TextRef,
    Upscale,
    givens,
)
from aquatint.plan.uses import (
    Reference,
    adapter_kind,
    adapters,
    awaits,
    computing,
    ip_adapters,
    loras,
    needs,
    textual_inversions,
    uses,
)


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
        _check_adapters(plan, pipeline)
        _check_textual_inversions(pipeline)
        _check_computing(plan, pipeline)
    _check_steps(plan)
    _check_batches(plan)


def _check_offload(plan: Plan, pipeline: Pipeline) -> None:
    """Hold a pipeline and its components to one way of offloading, that hooks don't reach others' live modules."""
    if pipeline.offload not in (None, *OFFLOADS):
        raise PlanError(f"pipeline `{pipeline.key}` is offloaded as `{pipeline.offload}`; ways: {', '.join(OFFLOADS)}")
    for role, key in pipeline.parts.items():
        component = None if key is None else plan.components[key]
        has_weights = component is not None and component.dtype is not None and role not in ROLES
        if component is not None and has_weights and component.offload != pipeline.offload:
            raise PlanError(f"pipeline `{pipeline.key}` isn't offloaded in the way of its `{role}`")


def _check_adapters(plan: Plan, pipeline: Pipeline) -> None:
    """Hold a pipeline's adapters to be beside components of it, each of its kind, and nothing else to be one."""
    beside = adapters(pipeline)
    kinds = dict.fromkeys(loras(pipeline), "LoRA") | dict.fromkeys(textual_inversions(pipeline), "textual inversion")
    kinds |= dict.fromkeys(ip_adapters(pipeline), "IP-Adapter")
    strengths = {role: use.weight for role, use in loras(pipeline).items()}
    strengths |= {role: use.scale for role, use in ip_adapters(pipeline).items()}
    for role, strength in strengths.items():
        article = "an" if kinds[role][0] in "AEI" else "a"
        what = f"pipeline `{pipeline.key}` has {article} {kinds[role]} `{role}`"
        if pipeline.parts.get(role) is None or not isfinite(strength):
            raise PlanError(f"{what} that can't be added to it")
        for each in beside[role]:
            if each in beside or pipeline.parts.get(each) is None:
                raise PlanError(f"{what} for `{each}`, which it lacks")
    for role, key in pipeline.parts.items():
        if key is not None and adapter_kind(plan.components[key]) != kinds.get(role):
            raise PlanError(f"pipeline `{pipeline.key}` has no use for its `{role}`")


def _check_textual_inversions(pipeline: Pipeline) -> None:
    """Hold a pipeline's textual inversions to be for text encoders of it, under words that are new."""
    learned = textual_inversions(pipeline)
    taken: set[str] = set()
    for role, use in learned.items():
        what = f"pipeline `{pipeline.key}` has a textual inversion `{role}`"
        if pipeline.parts.get(role) is None or not 0 < use.vectors <= VECTORS_LIMIT or not is_token(use.token):
            raise PlanError(f"{what} that can't be used")
        own = set(words(use.token, use.vectors))
        if own & taken:
            raise PlanError(f"{what} with a word that another one has")
        taken |= own
        for each in use.tensors or [""]:
            if pipeline.parts.get(each) is None or pipeline.parts.get(tokenizer_of(each)) is None or each in learned:
                raise PlanError(f"{what} for `{each}`, which it lacks")


def _check_computing(plan: Plan, pipeline: Pipeline) -> None:
    """Hold the settings of how parts compute to what their classes have."""
    for role, settings in computing(pipeline).items():
        key = pipeline.parts.get(role)
        if key is None:
            raise PlanError(f"pipeline `{pipeline.key}` says how its `{role}` computes, which it lacks")
        if wrong := networks.problems(settings, plan.components[key].class_name):
            raise PlanError(f"pipeline `{pipeline.key}`, `{role}`: {wrong[0]}")


def _check_component(component: Component) -> None:
    if pipelines.library(component.library) != component.library or not component.class_name.isidentifier():
        raise PlanError(
            f"component `{component.role}` is of `{component.library}.{component.class_name}`, which is never loaded"
        )
    if not is_device(component.device):
        raise PlanError(f"component `{component.role}` is on `{component.device}`, which is no device")
    _check_quantization(component.quantization, f"`{component.role}`")


def _check_quantization(quantization: Quantization | None, owner: str) -> None:
    if quantization is not None and (found := problems(quantization.backend, quantization.options)):
        raise PlanError(f"the quantizer of {owner}: {found[0].message}")


def _check_plugin(kind: Kind, given: Plugin) -> None:
    """Hold a plugin's options to its schema; one that isn't installed is found where it is to run."""
    _check_quantization(given.quantization, f"`{given.name}`")
    plugin = prompt_plugin(kind, given.plugin)
    if plugin is not None and (found := plugin.problems(given.options)):
        raise PlanError(f"the {kind} `{given.name}`: {found[0]}")


def _check_steps(plan: Plan) -> None:
    made = _Made()
    later = {step.id: step for step in reversed(plan.steps) if isinstance(step, Generate)}
    loaded: set[str] = set()
    evicted: set[str] = set()
    seen: set[str] = set()
    for step in plan.steps:
        if step.id in seen:
            raise PlanError(f"two steps are called `{step.id}`")
        seen.add(step.id)
        for reference in awaits(step):
            made.check(step, reference)
        for line in _lines(step):
            _check_line(step, line)
        made.add(step)
        later.pop(step.id, None)
        match step:
            case Load():
                if step.component not in plan.components:
                    raise PlanError(f"step `{step.id}` loads an unknown component `{step.component}`")
                if step.component in evicted:
                    raise PlanError(f"step `{step.id}` loads `{step.component}`, which is to be brought back")
                loaded.add(step.component)
            case Generate() | Phase() | Upscale() | Save():
                if step.pipeline not in plan.pipelines:
                    raise PlanError(f"step `{step.id}` uses an unknown pipeline `{step.pipeline}`")
                used = uses(step, plan.pipelines)
                wanted = needs(step, plan.pipelines, plan.components)
                if missing := [plan.components[key].role for key in wanted if key not in loaded]:
                    raise PlanError(f"step `{step.id}` uses `{missing[0]}`, which is not loaded then")
                if isinstance(step, Save):
                    _check_save(step, used)
                elif isinstance(step, Phase):
                    _check_phase(step, later)
                elif isinstance(step, Upscale):
                    _check_quantization(step.upscaler.quantization, f"`{step.upscaler.name}`")
                    if step.variations < 1:
                        raise PlanError(f"step `{step.id}` makes no variations")
                elif twice := sorted(step.arguments.keys() & step.deferred.keys()):
                    raise PlanError(f"step `{step.id}` has two values for `{twice[0]}`")
                elif isinstance(step, Generate) and step.weighter is not None:
                    _check_plugin("weighter", step.weighter)
            case Compare():
                if wrong := [metric for metric in step.metrics if metric not in METRICS]:
                    raise PlanError(f"step `{step.id}` measures by `{wrong[0]}`, which is no metric")
            case Grid():
                if step.columns < 1:
                    raise PlanError(f"step `{step.id}` has no columns")
            case Release():
                if step.component not in loaded | evicted:
                    raise PlanError(f"step `{step.id}` releases `{step.component}`, which is not loaded then")
                loaded.discard(step.component)
                evicted.discard(step.component)
            case Evict():
                if step.component not in loaded:
                    raise PlanError(f"step `{step.id}` evicts `{step.component}`, which is not loaded then")
                if plan.components[step.component].dtype is None:
                    raise PlanError(f"step `{step.id}` evicts `{step.component}`, which has no weights")
                loaded.discard(step.component)
                evicted.add(step.component)
            case Return():
                if step.component not in evicted:
                    raise PlanError(f"step `{step.id}` brings `{step.component}` back, which was not evicted")
                evicted.discard(step.component)
                loaded.add(step.component)
            case _:
                pass


@dataclass(slots=True)
class _Made:
    """What the steps so far yield: how many images and strings, and which numbers."""

    images: dict[str, int] = field(default_factory=dict)
    strings: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, tuple[Container[str], int]] = field(default_factory=dict)

    def add(self, step: Step) -> None:
        match step:
            case Generate():
                self.images[step.id] = len(step.outputs)
            case Upscale():
                self.strings[step.id] = len(step.prompts) * step.variations
            case Compare():
                self.numbers[step.id] = step.metrics, len(step.pairs)
            case _:
                pass

    def check(self, step: Step, reference: Reference) -> None:
        """Raise `PlanError` unless `reference`, which `step` needs, has been made by then."""
        match reference:
            case ImageRef(step=name, index=index):
                there, what = 0 <= index < self.images.get(name, 0), f"image {index}"
            case TensorRef(step=name, index=index, name=tensor):
                there, what = 0 <= index < self.images.get(name, 0), f"`{tensor}`"
            case TextRef(step=name, index=index):
                there, what = 0 <= index < self.strings.get(name, 0), f"string {index}"
            case NumberRef(step=name, metric=metric, index=index):
                metrics, pairs = self.numbers.get(name, ((), 0))
                there, what = metric in metrics and (index is None or 0 <= index < pairs), f"`{metric}`"
        if not there:
            raise PlanError(f"step `{step.id}` needs {what} of `{name}`, which is not made before it")


def _lines(step: Step) -> Iterator[Line]:
    """Yield the texts of `step` that may have holes."""
    match step:
        case Generate():
            for given in step.deferred.values():
                for item in givens(given):
                    if isinstance(item, Text):
                        yield item
        case Upscale():
            yield from step.prompts
        case Compare():
            yield from (pair.label for pair in step.pairs)
        case Grid():
            yield from (*(cell.label for cell in step.cells), *step.column_headers, *step.row_headers, step.title)
        case Print():
            yield step.text
        case _:
            pass


def _check_line(step: Step, line: Line) -> None:
    """Hold what is done in the holes of `line` to what can be done."""
    for hole in texts.holes(line):
        if isinstance(hole.ref, Text):
            _check_line(step, hole.ref)
        is_number = isinstance(hole.ref, NumberRef)
        for operation in hole.operations:
            match operation:
                case [str(name), *values] if name in texts.OPERATIONS:
                    wrong = texts.problem(name, is_number, values)
                case _:
                    wrong = "it does something that is no operation"
            if wrong is not None:
                raise PlanError(f"step `{step.id}` has a text that can't be completed: {wrong}")


def _check_batches(plan: Plan) -> None:
    """Hold the images of a batch to be one call's: alike but for what is each one's own, and each there once."""
    batches = {} if plan.batches is UNSET else plan.batches
    first: dict[str, Generate] = {}
    taken: set[InBatch] = set()
    for step in plan.steps:
        for output in step.outputs if isinstance(step, Generate) else ():
            if (place := output.batch) is None:
                continue
            assert isinstance(step, Generate)
            there = batches.get(place.name, [])
            if not 0 <= place.index < len(there):
                raise PlanError(f"step `{step.id}` has an image that `{place.name}` lacks")
            own = there[place.index]
            if place in taken:
                raise PlanError(f"`{place.name}` has two images in one place")
            taken.add(place)
            of_step = {name: step.arguments.get(name) for name in own.prompts}
            if (output.seed, of_step) != (own.seed, own.prompts):
                raise PlanError(f"step `{step.id}` has another image than `{place.name}` has in its place")
            other = first.setdefault(place.name, step)
            if step.deferred or step.weighter is not None or _shared(step, own) != _shared(other, there[0]):
                raise PlanError(f"step `{step.id}` can't share a call with the others of `{place.name}`")


def _shared(step: Generate, companion: Companion) -> Json:
    others = {name: value for name, value in step.arguments.items() if name not in companion.prompts}
    return [step.pipeline, step.scheduler, others, sorted(companion.prompts)]


def _check_phase(step: Phase, later: Mapping[str, Generate]) -> None:
    generate = later.get(step.generate)
    if generate is None or generate.pipeline != step.pipeline:
        raise PlanError(f"step `{step.id}` is a phase of `{step.generate}`, which doesn't come after it")


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
