"""The record of a picture as data, read from JSON that a stranger may have written.

What is believed of it is its shape: names are names, numbers are in their limits, and nothing in it is code. Whether
its checkpoints are there, and its settings sound, is found where the script that is made of it is planned.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import Annotated, Any, NoReturn

import msgspec

from aquatint.catalog import networks
from aquatint.catalog.hardware import is_device
from aquatint.catalog.language_models import ROLES
from aquatint.catalog.models import BATCH_LIMIT, DTYPES, GENERATE, MODEL, OFFLOADS, RESERVED_PARTS
from aquatint.catalog.prompt_plugins import prompt_plugin
from aquatint.catalog.quantizers import backend, problems
from aquatint.catalog.textual_inversions import VECTORS_LIMIT, is_token
from aquatint.plan.steps import ByteRange, Json, Record, Stored
from aquatint.runtime.metadata import METADATA_VERSION

_PARTS_LIMIT = 64  # submodules: no pipeline of diffusers has more than sixteen
_DEPTH_LIMIT = 32
_Side = Annotated[int, msgspec.Meta(ge=1, le=65_536)]
_Seed = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


KINDS = ("image", "video", "audio", "tensors")
"""What records are of that `generate` has made."""


class RecordError(Exception):
    """A text is no record that can be used; the message says why, and follows "its record"."""


class QuantizationRecord(Record, frozen=True):
    """How a submodule was quantized; `name` is what its script called that, or its URI."""

    backend: str
    options: dict[str, Json]
    name: str = ""


class ComponentRecord(Record, frozen=True):
    """A submodule; the fields are those of a plan's `Component`."""

    library: str
    class_name: str
    source: str
    subfolder: str
    variant: str | None
    revision: str | None
    dtype: str | None
    device: str
    quantization: QuantizationRecord | None
    identity: str
    key: str = ""
    stored: Stored | None = None
    held: ByteRange | None = None
    file: str | None = None


class LoraUseRecord(Record, frozen=True):
    """How much of a LoRA was added, and to which submodules."""

    weight: float
    roles: Annotated[list[str], msgspec.Meta(min_length=1, max_length=_PARTS_LIMIT)]


class TextualInversionRecord(Record, frozen=True):
    """The word that stood for a textual inversion in prompts, its vectors, and the tensors by text encoder."""

    token: str
    vectors: Annotated[int, msgspec.Meta(ge=1, le=VECTORS_LIMIT)]
    tensors: Annotated[dict[str, str], msgspec.Meta(min_length=1, max_length=_PARTS_LIMIT)]


class IpAdapterRecord(Record, frozen=True):
    """How much the pictures of an IP-Adapter counted, and for which submodules it was."""

    scale: float
    roles: Annotated[list[str], msgspec.Meta(min_length=1, max_length=_PARTS_LIMIT)]
    lora: bool = False


class PipelineRecord(Record, frozen=True, rename={"class_name": "class"}):
    """The pipeline that the submodules made up; adapters are among these, and `loras`,
    `textual_inversions` and `ip_adapters` have them by their names there.

    `computing` has the settings of how submodules computed, by their roles.
    """

    class_name: str
    source: str
    revision: str | None
    options: dict[str, Json] = msgspec.field(default_factory=dict)
    key: str = ""
    subfolder: str = ""
    omitted: list[str] = msgspec.field(default_factory=list)
    offload: str | None = None
    loras: dict[str, LoraUseRecord] = msgspec.field(default_factory=dict)
    file: str | None = None
    computing: dict[str, dict[str, Json]] = msgspec.field(default_factory=dict)
    textual_inversions: dict[str, TextualInversionRecord] = msgspec.field(default_factory=dict)
    ip_adapters: dict[str, IpAdapterRecord] = msgspec.field(default_factory=dict)

    @property
    def has_lora(self) -> bool:
        """Whether a LoRA was added to a submodule, by itself or with an IP-Adapter."""
        return bool(self.loras) or any(use.lora for use in self.ip_adapters.values())

    @property
    def adapters(self) -> frozenset[str]:
        """The names of what is no submodule among the components."""
        return frozenset({*self.loras, *self.textual_inversions, *self.ip_adapters})


class WeighterRecord(Record, frozen=True):
    """What turned the prompts into embeddings: a plugin, all of its options, and what its script called it."""

    plugin: str
    options: dict[str, Json]
    quantization: QuantizationRecord | None = None
    name: str = ""


class CompanionRecord(Record, frozen=True):
    """An image of a call that made several: its seed, and the arguments that were its own."""

    seed: _Seed
    prompts: dict[str, str]


class BatchRecord(Record, frozen=True):
    """All images of the call that made an image, in order, and which of them it was, from 0."""

    index: int
    images: Annotated[list[CompanionRecord], msgspec.Meta(min_length=2, max_length=BATCH_LIMIT)]


class PictureRecord(Record, frozen=True):
    """A picture that the call was given: its file, and that one's SHA-256."""

    path: str
    hash: str


PictureRecords = list[PictureRecord | list[PictureRecord | None] | None]
"""The pictures of an argument, one by one or in rows; None where one was to be made."""


def in_rows(pictures: PictureRecords) -> Iterator[PictureRecord]:
    """Yield the pictures of an argument in order, however they are listed."""
    for each in pictures:
        if isinstance(each, list):
            yield from filter(None, each)
        elif each is not None:
            yield each


class UpscalerPart(Record, frozen=True):
    """An upscaler's language model or its tokenizer; the fields are those of a plan's `Component`."""

    class_name: str
    source: str
    subfolder: str
    variant: str | None
    revision: str | None
    dtype: str | None
    identity: str


class UpscalerRecord(Record, frozen=True):
    """What rewrote a prompt: the plugin, what its script called the upscaler, and how it was set."""

    plugin: str
    seed: int
    variation: int
    name: str = ""
    options: dict[str, Json] = msgspec.field(default_factory=dict)
    quantization: QuantizationRecord | None = None
    components: Annotated[dict[str, UpscalerPart], msgspec.Meta(max_length=_PARTS_LIMIT)] = msgspec.field(
        default_factory=dict
    )


class RewriteRecord(Record, frozen=True):
    """An argument as it was written, before upscalers made of it what the call was given."""

    written: str
    by: Annotated[list[UpscalerRecord], msgspec.Meta(max_length=_PARTS_LIMIT)] = msgspec.field(default_factory=list)


class ImageRecord(Record, frozen=True):
    """What the record of an image, of a video, of sound or of tensors says.

    `engine` is what the engine said decides the bits.
    """

    version: int
    aquatint: str
    script: str
    place: str
    statement: str
    seed: _Seed
    model: str
    arguments: dict[str, Json]
    pipeline: PipelineRecord
    components: dict[str, ComponentRecord]
    size: tuple[int, int] | None = None
    scheduler: str | None = None
    plan_seed: int = 0
    engine: dict[str, Json] = msgspec.field(default_factory=dict)
    defaults: dict[str, Json] = msgspec.field(default_factory=dict)
    batch: BatchRecord | None = None
    weighter: WeighterRecord | None = None
    out_of_memory: list[str] = msgspec.field(default_factory=list)
    pictures: dict[str, Annotated[PictureRecords, msgspec.Meta(min_length=1, max_length=_PARTS_LIMIT)]] = msgspec.field(
        default_factory=dict
    )
    rewritten: dict[str, RewriteRecord] = msgspec.field(default_factory=dict)  # arguments that upscalers changed
    scaled: tuple[_Side, _Side] | None = None  # what the pictures were brought to
    frames: Annotated[int, msgspec.Meta(ge=1)] | None = None  # of a video, and how many of them in a second
    fps: Annotated[float, msgspec.Meta(ge=1, le=240)] | None = None
    channels: Annotated[int, msgspec.Meta(ge=1)] | None = None  # of sound, the samples of each, and those in a second
    samples: Annotated[int, msgspec.Meta(ge=0)] | None = None
    sampling_rate: Annotated[int, msgspec.Meta(ge=1)] | None = None
    deferred: dict[str, Json] = msgspec.field(default_factory=dict)
    """Arguments that were another step's result, which no record holds."""


def read_json(text: str) -> dict[str, Json]:
    """Return the record that `text` holds, of whatever kind and version, unchecked. Raises `RecordError`."""
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise RecordError("is not JSON") from None
    if not isinstance(found, dict):
        raise RecordError("is no JSON object")
    if _is_deep(found):
        raise RecordError("is nested too deep")
    version = found.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or not isinstance(found.get("kind"), str):
        raise RecordError("doesn't say what it is")
    if version != METADATA_VERSION:
        raise RecordError(f"is of version {version}; this program reads version {METADATA_VERSION}")
    return found


def image_record(found: Mapping[str, Json]) -> ImageRecord:
    """Return the record of something that `generate` made from `found`, as `read_json` returned it.

    Raises `RecordError`.
    """
    if found["kind"] not in KINDS:
        raise RecordError(f"is that of a {found['kind']}, not of an image")
    try:
        record = msgspec.convert(found, ImageRecord)
    except msgspec.ValidationError as error:
        raise RecordError(f"is malformed: {_lower(str(error))}") from None
    for wrong in _wrong(record):
        raise RecordError(f"is malformed: {wrong}")
    return record


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _is_deep(value: Json) -> bool:
    """Return whether something in `value` lies deeper than what follows a value's parts into one another can bear."""
    parts = [value]
    for _ in range(_DEPTH_LIMIT):
        parts = [
            inner for part in parts if isinstance(part, dict | list)
            for inner in (part.values() if isinstance(part, dict) else part)
        ]  # fmt: skip
    return bool(parts)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _wrong(record: ImageRecord) -> Iterable[str]:
    """Yield what is wrong with names and values, so that each stands in a script for what it is here."""
    pipeline = record.pipeline
    if not _is_name(pipeline.class_name):
        yield f"`{pipeline.class_name}` is no pipeline"
    if pipeline.offload not in (None, *OFFLOADS):
        yield f"`{pipeline.offload}` is no way of offloading"
    if len(record.components) + len(pipeline.omitted) > _PARTS_LIMIT:
        yield f"it has more than {_PARTS_LIMIT} submodules"
    yield from _wrong_loras(record)
    yield from _wrong_textual_inversions(record)
    yield from _wrong_ip_adapters(record)
    for role, settings in pipeline.computing.items():
        if role not in record.components or not _is_writable(settings):
            yield f"`{role}` is no submodule that computes as it says"
        elif wrong := networks.problems(settings, record.components[role].class_name):
            yield f"`{role}`: {wrong[0]}"
    beside = {*pipeline.adapters, *(ROLES if record.weighter is not None else ())}
    for role in (*(role for role in record.components if role not in beside), *pipeline.omitted):
        # A block of such a name would be something else in a model.
        if not _is_name(role) or MODEL.find(role) is not None or role in RESERVED_PARTS:
            yield f"`{role}` is no submodule"
    for role, component in record.components.items():
        if not is_device(component.device):
            yield f"`{role}` is on the device `{component.device}`"
        if component.dtype not in (None, *DTYPES):
            yield f"`{role}` is of the data type `{component.dtype}`"
        if component.quantization is not None:
            if component.dtype is None:
                yield f"`{role}` is quantized, and has no data type"
            yield from (f"the quantizer of `{role}`: {wrong}" for wrong in _wrong_quantizer(component.quantization))
    for name, value in record.arguments.items():
        # What `generate` takes beside the call's arguments, such as the file to write, is not a stranger's to say.
        if not _is_name(name) or (GENERATE.find(name) is not None and (name != "fps" or record.fps is None)):
            yield f"`{name}` is no argument"
        elif not _is_writable(value):
            yield f"`{name}` has a number or a character that can't be written"
    for name, files in record.pictures.items():
        if not _is_name(name) or GENERATE.find(name) is not None or name in record.arguments:
            yield f"`{name}` is no argument for pictures"
        elif not all(each.path and _is_writable(each.path) for each in in_rows(files)):
            yield f"`{name}` has the name of no file"
    if record.weighter is not None:
        yield from (f"its weighter: {wrong}" for wrong in _wrong_weighter(record.weighter))
    if record.batch is not None:
        yield from _wrong_batch(record, record.batch)
    if not _is_writable([record.model, pipeline.source, pipeline.revision, pipeline.subfolder, pipeline.file,
                         record.scheduler]):  # fmt: skip
        yield "it has a character that can't be written"
    parts = record.components.values()
    if not _is_writable([[part.source, part.subfolder, part.variant, part.revision, part.file] for part in parts]):
        yield "it has a character that can't be written"


def _wrong_loras(record: ImageRecord) -> Iterable[str]:
    for role, use in record.pipeline.loras.items():
        if not _is_name(role) or role not in record.components or record.components[role].dtype is None:
            yield f"`{role}` is no LoRA of it"
        elif not (isfinite(use.weight) and all(map(_is_name, use.roles))):
            yield f"the LoRA `{role}` can't be added as it says"


def _wrong_textual_inversions(record: ImageRecord) -> Iterable[str]:
    for role, use in record.pipeline.textual_inversions.items():
        if not _is_name(role) or role not in record.components or record.components[role].dtype is None:
            yield f"`{role}` is no textual inversion of it"
        elif not (is_token(use.token) and _is_writable(use.token) and all(map(_is_name, use.tensors))):
            yield f"the textual inversion `{role}` can't be used as it says"


def _wrong_ip_adapters(record: ImageRecord) -> Iterable[str]:
    for role, use in record.pipeline.ip_adapters.items():
        if not _is_name(role) or role not in record.components or record.components[role].dtype is None:
            yield f"`{role}` is no IP-Adapter of it"
        elif not (isfinite(use.scale) and all(map(_is_name, use.roles))):
            yield f"the IP-Adapter `{role}` can't be used as it says"


def _wrong_weighter(weighter: WeighterRecord) -> Iterable[str]:
    if not (weighter.plugin.isascii() and re.fullmatch(r"[\w-]+", weighter.plugin)):
        yield f"`{weighter.plugin}` is no plugin"
    elif wrong := [name for name in weighter.options if not _is_name(name)]:
        yield f"`{wrong[0]}` is no option"
    elif not _is_writable([weighter.name, weighter.options]):
        yield "it has a number or a character that can't be written"
    elif weighter.quantization is not None:
        yield from _wrong_quantizer(weighter.quantization)
    # One that isn't installed is found when the script is planned.
    elif (plugin := prompt_plugin("weighter", weighter.plugin)) is not None:
        yield from plugin.problems(weighter.options)[:1]


def _wrong_batch(record: ImageRecord, batch: BatchRecord) -> Iterable[str]:
    if not 0 <= batch.index < len(batch.images):
        yield "it has no place in its batch"
        return
    own = batch.images[batch.index]
    if own.seed != record.seed or any(record.arguments.get(name) != text for name, text in own.prompts.items()):
        yield "it isn't what its batch has in its place"
    elif any(each.prompts.keys() != own.prompts.keys() for each in batch.images):
        yield "the images of its batch have other arguments of their own"
    elif not _is_writable([each.prompts for each in batch.images]):
        yield "its batch has a character that can't be written"


def _wrong_quantizer(quantization: QuantizationRecord) -> Iterable[str]:
    if not (quantization.backend.isascii() and re.fullmatch(r"[\w-]+", quantization.backend)):
        yield f"`{quantization.backend}` is no backend"
    elif wrong := [name for name in quantization.options if not _is_name(name)]:
        yield f"`{wrong[0]}` is no option"
    elif not _is_writable(quantization.options):
        yield "it has a number or a character that can't be written"
    # One that isn't installed is found when the script is planned.
    elif backend(quantization.backend) is not None:
        yield from (problem.message for problem in problems(quantization.backend, quantization.options)[:1])


def _is_name(text: str) -> bool:
    return text.isascii() and text.isidentifier()


def _is_writable(value: Any) -> bool:
    """Return whether a script can write `value`: half a surrogate pair it can't, nor a number without end."""
    match value:
        case str():
            return not any("\ud800" <= character <= "\udfff" for character in value)
        case int():
            return -(2**63) <= value < 2**63
        case float():
            return isfinite(value)
        case dict():
            return all(_is_writable(part) for pair in value.items() for part in pair)
        case list():
            return all(map(_is_writable, value))
        case _:
            return True
