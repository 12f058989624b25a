"""Which images of a plan are made by one call of their pipeline.

An image of a batch has the noise that it has alone, and pixels that depend on all that is in its call. So what makes a
batch is decided from the statements alone, before memory or the order of things come in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from aquatint.catalog.arguments import is_each_images
from aquatint.catalog.pipelines import pipeline as known_pipeline
from aquatint.plan.keys import digest
from aquatint.plan.steps import Companion, Generate, InBatch, Output, Pipeline, Plan, Step


@dataclass(frozen=True, slots=True)
class United:
    """Steps whose outputs know their batches; those that share a call stand together, at the place of the first."""

    steps: list[Step]
    batches: dict[str, list[Companion]]


def united(steps: Sequence[Step], wanted: Mapping[str, int], pipelines: Mapping[str, Pipeline]) -> United:
    """Return `steps` with their batches. `wanted` has by a step's id how many images a call may make, 1 if it hasn't.

    Calls are filled in the order of `steps`. The images of one that fit into a call stay in one, so that no more steps
    hang together than there are images in a call.
    """
    calls: list[list[tuple[Generate, int]]] = []
    filling: dict[str, list[tuple[Generate, int]]] = {}
    for step in steps:
        size = wanted.get(step.id, 1)
        if not isinstance(step, Generate) or size == 1 or (kind := _kind(step, size, pipelines)) is None:
            continue
        images = [(step, index) for index in range(len(step.outputs))]
        if len(images) > size:
            calls += [images[first : first + size] for first in range(0, len(images), size)]
        elif kind in filling and len(filling[kind]) + len(images) <= size:
            filling[kind] += images
        else:
            filling[kind] = images
            calls.append(images)
    return _placed(steps, [call for call in calls if len(call) > 1], pipelines)


def _placed(
    steps: Sequence[Step], calls: list[list[tuple[Generate, int]]], pipelines: Mapping[str, Pipeline]
) -> United:
    if not calls:
        return United(list(steps), {})
    batches: dict[str, list[Companion]] = {}
    outputs = {step.id: list(step.outputs) for step in steps if isinstance(step, Generate)}
    follow: dict[str, list[Generate]] = {}
    for number, call in enumerate(calls, 1):
        name = f"batch{number}"
        batches[name] = [_companion(step, index, pipelines) for step, index in call]
        for place, (step, index) in enumerate(call):
            outputs[step.id][index] = msgspec.structs.replace(step.outputs[index], batch=InBatch(name, place))
        follow[call[0][0].id] = list({step.id: step for step, _ in call}.values())
    later = {step.id for sharing in follow.values() for step in sharing[1:]}
    ordered = [each for step in steps if step.id not in later for each in follow.get(step.id, [step])]
    return United(
        [
            msgspec.structs.replace(step, outputs=outputs[step.id]) if isinstance(step, Generate) else step
            for step in ordered
        ],
        batches,
    )


def _kind(step: Generate, size: int, pipelines: Mapping[str, Pipeline]) -> str | None:
    """Return what images have in common that can be in one call; None for those that can't share one."""
    names = _own(step, pipelines)
    # What isn't known yet could wait for another image of the call.
    if "prompt" not in names or step.deferred or step.weighter is not None:
        return None
    shared = {name: value for name, value in step.arguments.items() if name not in names}
    return digest([step.pipeline, step.scheduler, sorted(names), shared, size])


def _own(step: Generate, pipelines: Mapping[str, Pipeline]) -> list[str]:
    """Return the names of the arguments that a call takes one of for each image."""
    info = known_pipeline(pipelines[step.pipeline].class_name)
    known = {} if info is None else info.arguments
    given = [name for name, value in step.arguments.items() if isinstance(value, str)]
    return [name for name in given if name in known and is_each_images(known[name])]


def _companion(step: Generate, index: int, pipelines: Mapping[str, Pipeline]) -> Companion:
    return Companion(
        step.outputs[index].seed, {name: step.arguments[name] for name in sorted(_own(step, pipelines))}
    )  # fmt: skip


def companions(plan: Plan, output: Output) -> list[Companion]:
    """Return all images of the call that makes `output`, in order; none if it makes that one alone."""
    if output.batch is None or plan.batches is msgspec.UNSET:
        return []
    return plan.batches[output.batch.name]


def sizes(steps: Iterable[Step]) -> Counter[str]:
    """Return how many images of `steps` each batch has."""
    return Counter(
        output.batch.name
        for step in steps
        if isinstance(step, Generate)
        for output in step.outputs
        if output.batch is not None
    )


def largest(step: Generate, found: Mapping[str, int]) -> int:
    """Return how many images the largest call of `step` makes, by the sizes of batches that were `found`."""
    return max((1 if output.batch is None else found[output.batch.name] for output in step.outputs), default=1)


def unit(step: Step) -> str:
    """Return what is the same for steps that share a call and for no others: a batch's name, or the step's id."""
    outputs = step.outputs if isinstance(step, Generate) else ()
    names = {None if output.batch is None else output.batch.name for output in outputs}
    return next(iter(names)) or step.id if len(names) == 1 else step.id
