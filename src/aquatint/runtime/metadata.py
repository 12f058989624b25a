"""What a picture's file says about how it was made, in two forms.

`parameters` is the text that A1111's web UI started and other tools read; `aquatint` is JSON with everything, the
record. Neither holds a clock, a host's name or the file's own name: the same plan gives the same bytes. Where they
stand in a file is in `picture_texts`, how a stranger's record is checked in `record`.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Any

import msgspec
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from aquatint.catalog import media, pipelines, schedulers
from aquatint.catalog.arguments import MANAGED, scriptable
from aquatint.catalog.quantizers import label
from aquatint.plan.batches import companions
from aquatint.plan.steps import (
    Component,
    Generate,
    Grid,
    Json,
    Output,
    PictureFile,
    Plan,
    Save,
    TensorFile,
    VideoFile,
    givens,
)
from aquatint.plan.uses import adapters, computing, ip_adapters, loras, textual_inversions
from aquatint.runtime.engine import EngineError
from aquatint.runtime.events import Rung
from aquatint.runtime.media import Sound
from aquatint.runtime.picture_texts import (
    COMMENT,
    DESCRIPTION,
    EXIF_IFD,
    IMAGE_DESCRIPTION,
    INFO_COMMENT,
    INFO_SUBJECT,
    PARAMETERS,
    RECORD,
    UNICODE,
    USER_COMMENT,
    Format,
    read_texts,
)
from aquatint.runtime.rewrites import Rewrite

PEFT = "peft"
"""What LoRAs are put on components with; its version is recorded of pictures that were made with one."""

METADATA_VERSION = 1
"""Of records; fields may be added to a version, none changed or taken away."""

_EXIF_LIMIT = 65_533 - len(b"Exif\0\0")  # of a JPEG's APP1 segment

SAMPLERS = {
    "DDIMScheduler": "DDIM",
    "DPMSolverMultistepScheduler": "DPM++ 2M",
    "DPMSolverSDEScheduler": "DPM++ SDE",
    "EulerAncestralDiscreteScheduler": "Euler a",
    "EulerDiscreteScheduler": "Euler",
    "HeunDiscreteScheduler": "Heun",
    "KDPM2AncestralDiscreteScheduler": "DPM2 a",
    "KDPM2DiscreteScheduler": "DPM2",
    "LCMScheduler": "LCM",
    "LMSDiscreteScheduler": "LMS",
    "PNDMScheduler": "PLMS",
    "UniPCMultistepScheduler": "UniPC",
}
"""A1111's names of diffusers' schedulers; any other goes by its class."""

SCHEDULE_TYPES = {"use_karras_sigmas": "Karras", "use_exponential_sigmas": "Exponential", "use_beta_sigmas": "Beta"}
"""A1111's names of options of diffusers' schedulers."""


@dataclass(frozen=True, slots=True)
class About:
    """What one file says: `parameters` may be empty, `record` is the JSON.

    It goes into the picture's file (`inside`), into one of its own (`beside`), into both or neither.
    """

    parameters: str
    record: dict[str, Json]
    inside: bool = True
    beside: bool = False

    @property
    def text(self) -> str:
        """The record as JSON: the same record gives the same text, in ASCII."""
        return json.dumps(self.record, sort_keys=True, separators=(",", ":"))


def about_image(
    plan: Plan,
    step: Generate,
    output: Output,
    size: tuple[int, int] | None,
    engine: dict[str, Json],
    out_of_memory: Sequence[Rung] = (),
    rewrites: Mapping[str, Rewrite] | None = None,
    frames: int | None = None,
    sound: Sound | None = None,
) -> About:
    """Return what the image of `output` says about itself, the video of so many `frames`, or `sound`.

    Sound and tensors have no `size`; `sound` with `frames` is what the video's file has beside them.

    `engine` is what the engine says decides the bits, `out_of_memory` what was done where memory didn't suffice,
    `rewrites` what upscalers made of arguments, by name.
    """
    pipeline = plan.pipelines[step.pipeline]
    added, learned, pictured = loras(pipeline), textual_inversions(pipeline), ip_adapters(pipeline)
    packages = [PEFT] if added or any(use.lora for use in pictured.values()) else []
    if PurePath(output.path or "").suffix.lower() == media.SUFFIX_OF_PACKAGE:
        packages.append(media.PACKAGE)
    components = {
        role: described(plan.components[key], step.quantizers.get(role))
        for role, key in pipeline.parts.items()
        if key is not None
    }
    kind = "video" if frames is not None else "audio" if sound is not None else "tensors" if size is None else "image"
    record: dict[str, Json] = {
        **head(plan, kind, step),
        "statement": step.statement,
        "seed": output.seed,
        "plan_seed": plan.plan_seed,
        **({} if size is None else {"size": list(size)}),
        **({} if frames is None else {"frames": frames, "fps": step.fps}),
        **(
            {} if sound is None else {"channels": sound.channels, "sampling_rate": sound.rate, "samples": sound.moments}
        ),
        "model": step.model,
        "scheduler": _scheduler(plan, step),
        "arguments": step.arguments,
        **_given(step),
        **({} if step.weighter is None else {"weighter": msgspec.to_builtins(step.weighter)}),
        "defaults": _defaults(plan, step),
        "pipeline": {
            "class": pipeline.class_name,
            "source": pipeline.source,
            "revision": pipeline.revision,
            "subfolder": pipeline.subfolder,
            "omitted": pipeline.omitted,
            "offload": pipeline.offload,
            "options": pipeline.options,
            "key": pipeline.key,
            **({"file": pipeline.origin} if pipeline.origin != pipeline.source else {}),
            **({"loras": msgspec.to_builtins(added)} if added else {}),
            **({"textual_inversions": msgspec.to_builtins(learned)} if learned else {}),
            **({"ip_adapters": msgspec.to_builtins(pictured)} if pictured else {}),
            **({"computing": how} if (how := computing(pipeline)) else {}),
        },
        "components": components,
        "engine": _with_versions(engine, packages),
        **({"batch": batch} if (batch := _batch(plan, output, out_of_memory)) is not None else {}),
        **({"out_of_memory": list(out_of_memory)} if out_of_memory else {}),
        **({"rewritten": {name: _rewritten(each) for name, each in rewrites.items()}} if rewrites else {}),
    }
    return About(_parameters(plan, step, output, size, rewrites or {}), record, step.metadata, step.sidecar)


def _rewritten(rewrite: Rewrite) -> Json:
    """Return what a record says of an argument that upscalers changed: as it was written, and what rewrote it."""
    by = [
        {
            "plugin": each.upscaler.plugin,
            "name": each.upscaler.name,
            "options": each.upscaler.options,
            "quantization": msgspec.to_builtins(each.upscaler.quantization),
            "seed": each.seed,
            "variation": each.variation,
            **({"components": {role: _part(part) for role, part in each.parts.items()}} if each.parts else {}),
        }
        for each in rewrite.origins
    ]
    return {"written": rewrite.written, "by": by}


def _part(part: Component) -> Json:
    """Return what a record says of a part of an upscaler: as much as it takes to find and to compare its files."""
    return {
        "class_name": part.class_name,
        "source": part.source,
        "subfolder": part.subfolder,
        "variant": part.variant,
        "revision": part.revision,
        "dtype": part.dtype,
        "identity": part.identity,
    }


def about_sheet(plan: Plan, step: Grid) -> About:
    """Return what the sheet of `step` says about itself."""
    cells = [{"step": cell.image.step, "index": cell.image.index, "label": cell.label} for cell in step.cells]
    record = {**head(plan, "sheet", step), "title": step.title, "columns": step.columns, "cells": cells}
    return About("", record, beside=step.sidecar)


def embedded(form: Format, about: About) -> dict[str, Any]:
    """Return the arguments by which Pillow's `save` writes `about` into a file of `form`; of others, texts by name.

    A record that is too long for a JPEG file, and stands beside it, is left out. Raises `EngineError`.
    """
    if form == "PNG":
        chunks = PngInfo()
        if about.parameters:
            chunks.add_text(PARAMETERS, about.parameters)  # tEXt, or iTXt where Latin-1 is not enough
        chunks.add_text(RECORD, about.text)
        return {"pnginfo": chunks}
    if form == "MP4":
        return {COMMENT: about.text, **({DESCRIPTION: about.parameters} if about.parameters else {})}
    if form == "WAV":
        return {INFO_COMMENT: about.text, **({INFO_SUBJECT: about.parameters} if about.parameters else {})}
    if form == "SAFETENSORS":
        return {RECORD: about.text, **({PARAMETERS: about.parameters} if about.parameters else {})}
    if form == "GIF":
        return {"comment": about.text.encode()}
    body = _exif(about.parameters, about.text)
    if form != "JPEG" or len(body) <= _EXIF_LIMIT:
        return {"exif": body}
    if not about.beside:
        raise EngineError(
            "the picture's metadata is too long for a JPEG file",
            "write a .png or .webp file, or put `sidecar: true` into the statement, for a file beside it",
        )
    shorter = _exif(about.parameters, None)
    return {"exif": shorter} if about.parameters and len(shorter) <= _EXIF_LIMIT else {}


def _exif(parameters: str, record: str | None) -> bytes:
    exif = Image.Exif()
    if record is not None:
        exif[IMAGE_DESCRIPTION] = record
    if parameters:
        exif.get_ifd(EXIF_IFD)[USER_COMMENT] = UNICODE + parameters.encode("utf-16-be")
    return exif.tobytes()


def read_metadata(path: Path) -> dict[str, Json]:
    """Return what the picture at `path` says about itself: `parameters` (text) and `aquatint` (JSON), if there.

    Raises `OSError` and `picture_texts.UnreadablePicture`.
    """
    texts = read_texts(path.read_bytes())
    found: dict[str, Json] = {} if texts.parameters is None else {PARAMETERS: texts.parameters}
    # Another program's description is not JSON, or not an object.
    with contextlib.suppress(ValueError):
        if isinstance(record := json.loads(texts.record or ""), dict):
            found[RECORD] = record
    return found


def head(plan: Plan, kind: str, step: Generate | Grid | Save) -> dict[str, Json]:
    """Return what every record begins with."""
    return {
        "version": METADATA_VERSION,
        "kind": kind,
        "aquatint": plan.aquatint,
        "script": plan.script,
        "place": str(step.place),
    }


def described(component: Component, quantizer: str | None) -> dict[str, Json]:
    """Return what a record says of a component, with the script's name for its quantizer."""
    described: dict[str, Json] = msgspec.to_builtins(component)
    # Estimates and the role that came first don't belong to what made the picture.
    for name in ("bytes", "role"):
        del described[name]
    if described["quantization"] is not None and quantizer is not None:
        described["quantization"]["name"] = quantizer
    return described


def _with_versions(engine: dict[str, Json], packages: Sequence[str]) -> dict[str, Json]:
    """Return what the engine says of itself with the versions of packages that decide nothing of most pictures."""
    versions = engine.get("versions")
    if not packages or not isinstance(versions, dict):
        return engine
    return {**engine, "versions": {**versions, **{package: installed_version(package) for package in packages}}}


# Once: each run of a session asks for all of them, and what was imported stays what it was.
@cache
def installed_version(package: str) -> str | None:
    """Return the version of an installed package, None for one that isn't there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _given(step: Generate) -> dict[str, Json]:
    """Return what a record says of the arguments that are no JSON: those in files can be given again."""
    files = {name: given for name, given in step.deferred.items() if all(map(_is_file, givens(given)))}
    others = {name: given for name, given in step.deferred.items() if name not in files}
    found: dict[str, Json] = {"deferred": msgspec.to_builtins(others)}
    if files:
        found["pictures"] = {
            name: [_file(each) for each in (given if isinstance(given, list) else [given])]
            for name, given in files.items()
        }
    if step.scaled is not None:
        found["scaled"] = list(step.scaled)
    return found


def _file(given: Any) -> Json:
    """Return a file of a record, or a row of them; None for a place where one was to be made."""
    if isinstance(given, list):
        return [_file(each) for each in given]
    return None if given is None else {"path": given.path, "hash": given.hash}


def _is_file(given: Any) -> bool:
    return isinstance(given, PictureFile | VideoFile | TensorFile)


def _batch(plan: Plan, output: Output, out_of_memory: Sequence[Rung]) -> Json:
    """Return what a record says of the call that made an image among others; None for one that was made alone."""
    if output.batch is None or "unbatched" in out_of_memory:
        return None
    return {"index": output.batch.index, "images": msgspec.to_builtins(companions(plan, output))}


def _scheduler(plan: Plan, step: Generate) -> str | None:
    key = plan.pipelines[step.pipeline].parts.get("scheduler")
    return step.scheduler or (None if key is None else plan.components[key].class_name)


def _parameters(
    plan: Plan, step: Generate, output: Output, size: tuple[int, int] | None, rewrites: Mapping[str, Rewrite]
) -> str:
    arguments = step.arguments
    lines = [_plain(arguments.get("prompt") or "")]
    if negative := _plain(arguments.get("negative_prompt") or ""):
        lines.append(f"Negative prompt: {negative}")
    scheduler = schedulers.read(_scheduler(plan, step) or schedulers.OWN)
    sampler = scheduler.class_name
    fields: dict[str, Json] = {
        "Steps": _argument(plan, step, "num_inference_steps"),
        "Sampler": None if sampler is None else SAMPLERS.get(sampler, sampler.removesuffix("Scheduler")),
        "Schedule type": next((SCHEDULE_TYPES.get(name) for name, is_set in scheduler.options.items() if is_set), None),
        "CFG scale": _argument(plan, step, "guidance_scale"),
        "Seed": output.seed,
        "Size": None if size is None else f"{size[0]}x{size[1]}",
        "Model": step.model,
    }
    pipeline = plan.pipelines[step.pipeline]
    for role, key in pipeline.parts.items():
        if key is not None and role not in adapters(pipeline) and plan.components[key].dtype is not None:
            fields[f"Quantizer {role}"] = quantizer_label(plan.components[key])
    for role, use in loras(pipeline).items():
        fields[f"Weight {role}"] = use.weight
    for role, learned in textual_inversions(pipeline).items():
        fields[f"Token {role}"] = learned.token
    for role, pictured in ip_adapters(pipeline).items():
        fields[f"Scale {role}"] = pictured.scale
    for name, rewrite in rewrites.items():
        fields[f"Written {name.replace('_', ' ')}"] = rewrite.written
        fields[f"Upscaler {name.replace('_', ' ')}"] = ", ".join(
            dict.fromkeys(each.upscaler.plugin for each in rewrite.origins)
        )
    fields["Version"] = f"aquatint {plan.aquatint}"
    lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in fields.items() if value is not None))
    return "\n".join(lines)


def quantizer_label(component: Component) -> str:
    """Return how a component's weights are quantized, by a run or in its files; `none` if they aren't."""
    if component.quantization is not None:
        return label(component.quantization.backend, component.quantization.options)
    return "none" if component.stored is None else component.stored.name


def _defaults(plan: Plan, step: Generate) -> dict[str, Json]:
    """Return what diffusers takes for the arguments that the script doesn't give, where it has a plain value."""
    info = pipelines.pipeline(plan.pipelines[step.pipeline].class_name)
    known = {} if info is None else scriptable(info)
    return {
        name: argument.default
        for name, argument in sorted(known.items())
        if name not in step.arguments and argument.default is not None and name not in MANAGED
    }


def _argument(plan: Plan, step: Generate, name: str) -> Json:
    """Return an argument of the call, or the default that diffusers has for it."""
    if name in step.arguments:
        return step.arguments[name]
    info = pipelines.pipeline(plan.pipelines[step.pipeline].class_name)
    argument = info.arguments.get(name) if info else None
    return argument.default if argument else None


def _plain(prompt: Json) -> str:
    text = "\n".join(map(str, prompt)) if isinstance(prompt, list) else str(prompt)
    # PNG forbids NUL in text; half a surrogate pair has no encoding. The JSON keeps both.
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


def _quoted(value: Json) -> str:
    # As modules/infotext_utils.py of A1111's web UI does; its reader undoes it with json.loads.
    text = _plain(str(value))
    return json.dumps(text, ensure_ascii=False) if set(text) & {",", ":", "\n", '"'} else text
