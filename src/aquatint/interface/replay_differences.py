"""What is not as it was when a picture was made, so that it may come out another: files, machine, versions.

What the command line asked to be different isn't told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aquatint.catalog import checkpoints, language_models
from aquatint.catalog.checkpoints import CheckpointError
from aquatint.catalog.packages import OF_PROCESSORS
from aquatint.catalog.quantizer_backends import backends
from aquatint.plan.batches import companions
from aquatint.plan.steps import Component, Generate, PictureFile, Pipeline, Plan, TensorFile, VideoFile, givens
from aquatint.runtime.metadata import PEFT, installed_version
from aquatint.runtime.record import ComponentRecord, ImageRecord, in_rows


def of_files(record: ImageRecord, plan: Plan) -> Iterator[str]:
    """Yield how the checkpoints that `plan` reads differ from those of `record`."""
    for pipeline in plan.pipelines.values():
        if pipeline.source != record.pipeline.source:
            continue
        if pipeline.class_name != record.pipeline.class_name:
            yield f"`{pipeline.source}` is a `{pipeline.class_name}`, and was a `{record.pipeline.class_name}`"
        elif pipeline.options != record.pipeline.options:
            yield f"`{pipeline.source}` has other settings of its pipeline than it had"
        yield from _of_parts(record, pipeline, plan.components)
    for step in plan.steps:
        if isinstance(step, Generate):
            yield from _of_pictures(record, step)


def of_rewrites(record: ImageRecord) -> Iterator[str]:
    """Yield how the files of upscalers differ from those that rewrote the prompts of `record`, if they are there.

    They are not needed: a record has the prompts as they were rewritten.
    """
    told = {}
    for rewrite in record.rewritten.values():
        for by in rewrite.by:
            for role, part in by.components.items():
                told[role, part] = by.name or by.plugin
    for (role, part), name in told.items():
        try:
            folder = checkpoints.find(part.source, part.revision).folder
            language_models.read(folder, part.source, part.subfolder)
            now = checkpoints.identity(folder, part.subfolder, part.variant, part.dtype is not None)
        except (CheckpointError, OSError, ValueError):
            continue
        if now != part.identity:
            yield f"the files of `{role}` of `{part.source}` have changed since `{name}` rewrote a prompt with it"


def _of_pictures(record: ImageRecord, step: Generate) -> Iterator[str]:
    then = {each.path: each.hash for files in record.pictures.values() for each in in_rows(files)}
    for given in step.deferred.values():
        for each in givens(given):
            if not isinstance(each, PictureFile | VideoFile | TensorFile):
                continue
            if then.get(each.path, each.hash) != each.hash:
                what = {PictureFile: "picture", VideoFile: "video"}.get(type(each), "file")
                yield f"`{each.path}` is another {what} than it was"


def _of_parts(record: ImageRecord, pipeline: Pipeline, components: Mapping[str, Component]) -> Iterator[str]:
    now = {role: components[key] for role, key in pipeline.parts.items() if key is not None}
    # An adapter's number comes of its content, too.
    adapters = {_place(record.components[role]): record.components[role] for role in record.pipeline.adapters}
    for role, part in now.items():
        then = adapters.get(_place(part), record.components.get(role))
        if then is None:
            if role not in record.pipeline.omitted:
                yield f"`{pipeline.source}` has a submodule `{role}`, which it hadn't"
        elif _place(part) == _place(then) and (part.identity, part.class_name) != (then.identity, then.class_name):
            yield f"the files of `{role}` of `{part.source}` have changed since the picture was made"
    for role in record.components:
        if role not in now and role not in pipeline.omitted:
            yield f"`{pipeline.source}` has no submodule `{role}`, which it had"


def _place(part: Component | ComponentRecord) -> tuple[str | None, ...]:
    file = part.single_file if isinstance(part, Component) else part.file
    return part.source, part.revision, part.subfolder, part.variant, file


def of_call(record: ImageRecord, plan: Plan) -> Iterator[str]:
    """Yield how what is in the call that makes the image in `plan` differs from what `record` says of it."""
    then = [] if record.batch is None else [(each.seed, each.prompts) for each in record.batch.images]
    for step in plan.steps:
        for output in step.outputs if isinstance(step, Generate) else ():
            if [(each.seed, each.prompts) for each in companions(plan, output)] != then:
                yield f"the picture was made in one call with {len(then) - 1} others, which can't share one here"


def of_machine(record: ImageRecord, plan: Plan, engine: Mapping[str, Any]) -> Iterator[str]:
    """Yield how what decides the bits beside the plan, which `engine` says, differs from what `record` says of it."""
    then = record.engine
    if then.get("device") != engine.get("device"):
        yield f"the picture was made on `{_shown(then.get('device'))}`, and this is `{engine.get('device')}`"
    if then.get("threads") != engine.get("threads"):
        yield f"the picture was made with threads: {_shown(then.get('threads'))}, here {engine.get('threads')}"
    if any(then.get(name) != engine.get(name) for name in engine.keys() - {"device", "threads", "versions", "tiling"}):
        yield "the picture was made on a processor with other kernels"
    versions = list(_versions(record, plan, engine))
    if versions:
        yield f"the picture was made with other versions: {', '.join(versions)}"


def _versions(record: ImageRecord, plan: Plan, engine: Mapping[str, Any]) -> Iterator[str]:
    if record.aquatint != plan.aquatint:
        yield f"aquatint {_shown(record.aquatint)} (here {plan.aquatint})"
    then, now = record.engine.get("versions"), engine.get("versions")
    then = then if isinstance(then, Mapping) else {}
    kinds = [kind for part in plan.components.values() for kind in (part.quantization, part.stored) if kind is not None]
    used = {kind.backend for kind in kinds}
    # Of a backend that nothing is quantized by, the version decides nothing.
    idle = {each.distribution for each in backends() if each.name not in used}
    # Nor does that of torchvision, where nothing sees pictures.
    if not any(part.class_name.endswith(("Processor", "FeatureExtractor")) for part in plan.components.values()):
        idle.add(OF_PROCESSORS)
    now = dict(now) if isinstance(now, Mapping) else {}
    if record.pipeline.has_lora:
        now[PEFT] = installed_version(PEFT)
    for name, version in now.items():
        if name not in idle and then.get(name) != version:
            yield f"{name} {_shown(then.get(name))} (here {version or 'none'})"


def _shown(value: Any) -> str:
    # A stranger's text, in a message of one line.
    text = "unknown" if value is None else str(value)
    return text if len(text) <= 40 else text[:40] + "..."
