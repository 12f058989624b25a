"""How a picture was made, as text for people: what `aquatint info` shows. Fits terminals of any width."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aquatint.interface.progress import number, printable, printable_text
from aquatint.runtime.infotext import read_infotext

if TYPE_CHECKING:
    from aquatint.interface.picture import Picture
    from aquatint.runtime.record import ComponentRecord, ImageRecord

_LABELS = 22  # columns of the names, which are longer in few pipelines
_NARROW = 60
"""Columns of a terminal below which a name has a line of its own."""

Rows = Iterator[tuple[str, str]]
"""Names and values; an empty name goes on with the value before it, and two empty texts leave a line."""


def lines_of(picture: Picture, image: ImageRecord | None, width: int) -> Iterator[str]:
    """Yield the lines about `picture`, whose checked record is `image` if it is that of one, `width` columns wide."""
    yield from _wrapped(_title(picture), width, "", "  ")
    if image is not None:
        rows = _of_image(image)
    elif picture.record is not None:
        rows = _of_other(picture.record)
    else:
        rows = _of_infotext(picture)
    for name, value in rows:
        yield from _row(printable(name), printable_text(value), width)


def _title(picture: Picture) -> str:
    texts = picture.texts
    facts: list[str] = (
        [] if texts.form is None else [{"WEBP": "WebP", "SAFETENSORS": "safetensors"}.get(texts.form, texts.form)]
    )
    facts += [] if texts.size is None else [f"{texts.size[0]}x{texts.size[1]}"]
    if picture.record is not None:
        where = "a record" if texts.form is None else "its record is beside it" if picture.is_beside else "its record"
        facts.append(f"{where} is of version {picture.record['version']}" if "beside" not in where else where)
    elif texts.parameters is not None:
        facts.append("not by Aquatint: a text in A1111's form")
    if texts.has_workflow:
        facts.append("a graph of ComfyUI's is in it")
    return f"{printable(picture.name)}: {', '.join(facts)}"


def _of_image(record: ImageRecord) -> Rows:
    from aquatint.runtime.record import in_rows

    yield "", ""
    arguments = dict(record.arguments)
    for name in ("prompt", "negative_prompt"):
        if name in arguments:
            yield name, _shown(arguments.pop(name))
            yield from _before(name, record)
    yield from ((name, _shown(value)) for name, value in sorted(arguments.items()))
    for name, files in sorted(record.pictures.items()):
        for place, file in enumerate(in_rows(files)):
            yield "" if place else name, f"{_shown(file.path)}, SHA-256 {printable(file.hash)}"
    if record.scaled is not None:
        yield "brought to", "{}x{}".format(*record.scaled)
    yield "seed", str(record.seed)
    if record.size is not None:
        yield "size", f"{record.size[0]}x{record.size[1]}"
    if record.frames is not None and record.fps is not None:
        yield "frames", f"{record.frames}, {record.fps:g} in a second"
    if record.samples is not None and record.sampling_rate is not None:
        channels = f"{record.channels} channel" + "s" * (record.channels != 1)
        lasts = record.samples / record.sampling_rate
        yield "sound", f"{lasts:.3g} s, {channels}, {record.sampling_rate} samples in a second"
    if record.batch is not None:
        yield "batch", f"number {record.batch.index + 1} of {len(record.batch.images)} images of one call"
        for number, each in enumerate(record.batch.images, 1):
            yield "", ", ".join([f"{number}: seed {each.seed}", *map(_shown, each.prompts.values())])
    if record.scheduler is not None:
        yield "scheduler", record.scheduler
    if (weighter := record.weighter) is not None:
        given = [f"{name} {_shown(value)}" for name, value in sorted(weighter.options.items())]
        by = weighter.plugin if weighter.name in ("", weighter.plugin) else f"{weighter.name} ({weighter.plugin})"
        yield "weighted by", ", ".join([by, *given])
    if record.defaults:
        yield "by default", ", ".join(f"{name} {_shown(value)}" for name, value in sorted(record.defaults.items()))
    yield "", ""
    pipeline = record.pipeline
    yield "model", f"{record.model}, a {pipeline.class_name}"
    if pipeline.file is not None:
        yield "file", pipeline.file
    yield "source", _place(pipeline.source, pipeline.subfolder, pipeline.revision)
    if pipeline.offload is not None:
        yield "offload", pipeline.offload
    for role, own in pipeline.computing.items():
        yield "computed", ", ".join([role, *(f"{name} {_shown(value)}" for name, value in own.items())])
    for role, part in record.components.items():
        yield role, ", ".join(_facts(part, record, role))
        yield "", f"files {part.identity}"
    for role in pipeline.omitted:
        yield role, "left out"
    yield "", ""
    yield "made by", f"aquatint {record.aquatint}"
    yield "on", ", ".join(_machine(record.engine))
    if record.out_of_memory:
        yield "out of memory", ", ".join(record.out_of_memory)
    versions = record.engine.get("versions")
    if isinstance(versions, Mapping):
        yield "with", ", ".join(f"{name} {version}" for name, version in sorted(versions.items()) if version)
    yield "in", record.place
    yield "", record.statement


def _before(name: str, record: ImageRecord) -> Rows:
    """Yield what an argument was before upscalers changed it, and what did."""
    rewrite = record.rewritten.get(name)
    if rewrite is None:
        return
    yield "written as", _shown(rewrite.written)
    for by in rewrite.by:
        yield "rewritten by", f"{by.name or by.plugin} ({by.plugin}), seed {by.seed}, variation {by.variation + 1}"


def _facts(part: ComponentRecord, record: ImageRecord, role: str) -> Iterator[str]:
    from aquatint.plan.render import ranged

    use = record.pipeline.loras.get(role)
    learned = record.pipeline.textual_inversions.get(role)
    pictured = record.pipeline.ip_adapters.get(role)
    if use is not None:
        yield f"LoRA, weight {use.weight:g}, for {', '.join(use.roles)}"
    elif learned is not None:
        yield f"textual inversion `{learned.token}`, for {', '.join(learned.tensors)}"
    elif pictured is not None:
        yield f"IP-Adapter, scale {pictured.scale:g}, for {', '.join(pictured.roles)}"
    else:
        yield part.class_name
    inherited = f"{record.pipeline.subfolder}/{role}".lstrip("/")
    if part.file is not None:
        yield f"weights from {part.file}"
    if (part.source, part.revision) != (record.pipeline.source, record.pipeline.revision):
        yield f"from {_place(part.source, part.subfolder, part.revision)}"
    elif part.subfolder != inherited:
        yield f"from {part.subfolder}"
    if part.variant is not None:
        yield f"variant {part.variant}"
    if part.dtype is not None:
        yield part.dtype
        if use is None:
            yield _quantizer(part)
    if part.held is not None:
        yield f"held in {ranged(part.held)}"


def _quantizer(part: ComponentRecord) -> str:
    from aquatint.catalog.quantizers import backend, label

    quantization = part.quantization
    if quantization is None:
        return "not quantized" if part.stored is None else f"stored as {part.stored.name}"
    known = backend(quantization.backend) is not None
    short = label(quantization.backend, quantization.options) if known else quantization.backend
    return f"quantized by {quantization.name or short} ({short})"


def _machine(engine: Mapping[str, Any]) -> Iterator[str]:
    yield str(engine.get("device", "unknown"))
    threads = engine.get("threads")
    if isinstance(threads, int):
        yield number(threads, "thread")
    if isinstance(kernels := engine.get("cpu"), str):
        yield f"{kernels} kernels"
    if engine.get("tiling") is True:
        yield "decoded in tiles"


def _place(source: str, subfolder: str, revision: str | None) -> str:
    return source + (f", folder {subfolder}" if subfolder else "") + (f", revision {revision}" if revision else "")


def _of_other(record: Mapping[str, Any]) -> Rows:
    """Yield what the record of a sheet or of a saved model says, as far as it is what it should be."""
    yield "", ""
    yield "kind", str(record["kind"])
    for name in ("title", "model", "script", "place", "aquatint"):
        if isinstance(value := record.get(name), str) and value:
            yield name, value
    cells = record.get("cells")
    for cell in cells if isinstance(cells, list) else []:
        if isinstance(cell, dict) and isinstance(index := cell.get("index"), int):
            yield f"{cell.get('step')}, image {index + 1}", str(cell.get("label") or "no caption")


def _of_infotext(picture: Picture) -> Rows:
    if picture.texts.parameters is None:
        return
    text = read_infotext(picture.texts.parameters)
    yield "", ""
    yield "prompt", text.prompt
    if text.negative_prompt:
        yield "negative prompt", text.negative_prompt
    yield from text.fields.items()


def _shown(value: Any) -> str:
    from aquatint.interface.recipe import expression

    return value if isinstance(value, str) else expression(value)


def _row(name: str, value: str, width: int) -> Iterator[str]:
    if not name and not value:
        yield ""
        return
    if width < _NARROW:
        if name:
            yield from _wrapped(name, width, "", "  ")
        yield from _paragraphs(value, width, "  ")
        return
    first, *rest = [*_paragraphs(value, width, " " * _LABELS)] or [""]
    if len(name) < _LABELS:
        yield f"{name:<{_LABELS}}{first[_LABELS:]}".rstrip()
    else:
        yield from (name, first)
    yield from rest


def _paragraphs(text: str, width: int, indent: str) -> Iterator[str]:
    for line in text.split("\n"):
        inner = indent + (re.match(r" *", line) or [""])[0][:8]
        yield from _wrapped(line.strip(), width, inner, inner) or [""]


def _wrapped(text: str, width: int, first: str, later: str) -> list[str]:
    return textwrap.wrap(
        text, max(width, len(later) + 8), initial_indent=first, subsequent_indent=later, break_on_hyphens=False
    )
