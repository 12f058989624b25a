"""The plan as data: components, pipelines and the steps that use them.

Everything here is immutable, JSON-round-trippable and free of behaviour beyond reading and writing itself.
What makes two components the same is in `keys`; what puts steps in order is in `builder`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from aquatint.catalog.working import Working

PLAN_VERSION = 3

Json = Any
"""A JSON value: None, bool, int, float, str, or a list or dict of them."""


class PlanError(Exception):
    """A text is not a plan that this version can run; the message says where and why."""


class Record(msgspec.Struct, frozen=True):
    """Base of all plan data: immutable, compared by value."""


class Place(Record, frozen=True):
    """Where in a script something was written; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Quantization(Record, frozen=True):
    """How a component's weights are quantized.

    `options` holds every option of the backend after defaults, under the script's names, sorted by name.
    `name` is what the script calls it, or its URI; it is for people and decides nothing.
    """

    backend: str
    options: dict[str, Json]
    name: str


class Plugin(Record, frozen=True):
    """A prompt plugin, with every option that it has after defaults, sorted by name.

    `name` is what the script calls it; it is for people and decides nothing.
    """

    plugin: str
    options: dict[str, Json]
    quantization: Quantization | None
    name: str


class Stored(Record, frozen=True):
    """How a component's weights are quantized in its files, by the libraries' own configuration beside them.

    `backend` is None for a method that no backend here has, or in a way that its options can't say; `options` are then
    empty. Otherwise they are as those of a `Quantization`. `name` is for people: `sdnq int8+conv`.
    """

    method: str  # the configuration's `quant_method`
    backend: str | None
    options: dict[str, Json]
    name: str


class ByteRange(Record, frozen=True):
    """A number of bytes that is known, or, where only the weights themselves decide it, from least to most."""

    least: int
    most: int


class Component(Record, frozen=True):
    """One loadable part of a pipeline. `key` is equal exactly when the loaded weights would be."""

    key: str
    role: str  # the first role it was asked for in, e.g. "unet"; for people
    library: str  # "diffusers" or "transformers"; "diffusers.loaders" for an adapter, "aquatint" for a projector
    class_name: str  # of an adapter: that of the class which reads it
    source: str  # "builtin:...", a folder, or a hub id, as the script gave it
    subfolder: str  # of an adapter or a projector: its file, as a path in `source`, empty for `source` itself
    variant: str | None
    revision: str | None  # the commit of a hub id, None for anything else
    dtype: str | None  # a torch dtype's name, of an adapter that of its file; None for what has no weights
    device: str
    quantization: Quantization | None
    identity: str  # fingerprint of its files
    bytes: int  # of weights, estimated, in `dtype` and before quantization; 0 for what has none
    held: ByteRange | None = None  # bytes of weights once loaded, after quantization; None: `bytes`
    reads: int = 0  # bytes of the files that its weights are read from
    stored: Stored | None = None  # where its files hold it quantized; decides nothing that `identity` doesn't
    offload: str | None = None  # as its pipeline's: such a component waits in the computer's memory
    working: Working | None = None  # what it takes beside weights; decides nothing but when things are loaded
    file: str | msgspec.UnsetType = msgspec.UNSET  # the single file its weights are in; `source` has its configuration

    @property
    def single_file(self) -> str | None:
        """The single file that its weights are taken from, as the script gave it; None for those of its folder."""
        return None if isinstance(self.file, msgspec.UnsetType) else self.file

    @property
    def origin(self) -> str:
        """Where its weights are from, for people."""
        return self.single_file or self.source


class LoraUse(Record, frozen=True):
    """How much of a LoRA is added to a pipeline's components, and the roles of those that it is for."""

    weight: float
    roles: list[str]


class TextualInversionUse(Record, frozen=True):
    """The word that stands for a textual inversion in a pipeline's prompts, and how many vectors that has.

    `tensors` are the names of the file's tensors by the roles of the text encoders that they are for, each shaped
    [vectors, width], or [width] for a single one.
    """

    token: str
    vectors: int
    tensors: dict[str, str]


class IpAdapterUse(Record, frozen=True):
    """How much the pictures of an IP-Adapter count in a pipeline, and the roles of the components that it is for.

    With `lora`, as those for faces, it brings a LoRA for them, which is added as a whole.
    """

    scale: float
    roles: list[str]
    lora: bool | msgspec.UnsetType = msgspec.UNSET


class Pipeline(Record, frozen=True):
    """A diffusers pipeline made of components; `key` is equal exactly when class, parts, options and weights are.

    An upscaler's language model and its tokenizer are one, too; its class is the plugin's name. What a weighter loads
    are parts of it in the roles of `catalog.language_models`, of which the class knows nothing.
    Adapters are parts of it, in roles of their own, which `loras`, `textual_inversions` and `ip_adapters` have as well.
    They are beside the components that they change, which are the same with and without them. `computing` has, by role,
    the settings of how parts compute: those of `catalog.networks`, which change no weights, and so are no
    component's.
    """

    key: str
    class_name: str
    source: str
    revision: str | None  # as a component's
    parts: dict[str, str | None]  # role -> component key; None where the checkpoint leaves the part out
    options: dict[str, Json]  # the constructor's plain arguments, e.g. requires_safety_checker
    offload: str | None = None  # how its weights are kept off the device between their turns; None: not at all
    subfolder: str = ""  # of `source`, where its `model_index.json` is
    omitted: list[str] = msgspec.field(default_factory=list)  # roles that the checkpoint has, and the script leaves out
    loras: dict[str, LoraUse] | msgspec.UnsetType = msgspec.UNSET  # by role; in the order of their keys
    # The single file that it was made of; `source` has the configurations then.
    file: str | msgspec.UnsetType = msgspec.UNSET
    computing: dict[str, dict[str, Json]] | msgspec.UnsetType = msgspec.UNSET
    textual_inversions: dict[str, TextualInversionUse] | msgspec.UnsetType = msgspec.UNSET  # as `loras`
    ip_adapters: dict[str, IpAdapterUse] | msgspec.UnsetType = msgspec.UNSET  # in the order of the call's pictures

    @property
    def origin(self) -> str:
        """What it was made of, for people."""
        return self.source if isinstance(self.file, msgspec.UnsetType) else self.file


class InBatch(Record, frozen=True):
    """Where an image stands in a call that makes several: the batch's name in the plan, and the number from 0."""

    name: str
    index: int


class Output(Record, frozen=True, omit_defaults=True):
    """One image to be made: its seed and the file that it goes to, relative to the folder of the run.

    `path` is None for tensors that are made for the steps after it, and written nowhere. `batch` is None for an image
    that has a call of its own.
    """

    seed: int
    path: str | None
    batch: InBatch | None = None


class Companion(Record, frozen=True):
    """One image of a batch: its seed, and those of the call's arguments that are its own, by name."""

    seed: int
    prompts: dict[str, str]


class ImageRef(Record, frozen=True, tag="image"):
    """Image number `index` (from 0) of the step called `step`."""

    step: str
    index: int


class PictureFile(Record, frozen=True, tag="file"):
    """A picture in a file that is there while the plan is made: its path, its SHA-256, and its size in pixels."""

    path: str
    hash: str
    width: int
    height: int


class VideoFile(Record, frozen=True, tag="video"):
    """A video in a file that is there while the plan is made: its path, its SHA-256, its frames, and their size."""

    path: str
    hash: str
    frames: int
    width: int
    height: int


class TensorRef(Record, frozen=True, tag="tensor"):
    """The tensor called `name` among those that image number `index` (from 0) of the step called `step` comes to."""

    step: str
    index: int
    name: str

    @property
    def image(self) -> ImageRef:
        """All that this seed of the step comes to."""
        return ImageRef(self.step, self.index)


class TensorFile(Record, frozen=True, tag="tensors"):
    """The tensor called `name` in a safetensors file that is there while the plan is made: its path, its SHA-256."""

    path: str
    hash: str
    name: str


class TextRef(Record, frozen=True, tag="string"):
    """String number `index` (from 0) of the step called `step`."""

    step: str
    index: int


class NumberRef(Record, frozen=True, tag="number"):
    """What the step called `step` measured by `metric`: of its pair number `index`, or None for the mean of all."""

    step: str
    metric: str
    index: int | None = None


class Hole(Record, frozen=True):
    """A place in a text for what an earlier step yields, on which `operations` are done, each a name and its values.

    What they do is in `texts`; done on several parts together, they have a text of their own for `ref`.
    """

    ref: TextRef | NumberRef | Text
    operations: list[list[Json]] = []


class Text(Record, frozen=True, tag="text"):
    """A string that is complete only when steps before it have run."""

    parts: list[str | Hole]


Line = str | Text
"""A string, known now or then."""

Picture = ImageRef | PictureFile
"""A picture that a call is given: an earlier step's, or a file's."""

Given = Picture | VideoFile | TensorRef | TensorFile | Text
"""What an argument, or an item of one, is that no JSON can hold."""

Row = list[Given | None]
"""Pictures of a grid that stand side by side; None where one is to be made."""

Deferred = Given | list[Given | Row | None]
"""An argument that is there when the plan runs: what steps before this one yield, and what is in files."""


def givens(deferred: Deferred | Row) -> Iterator[Given]:
    """Yield what is in an argument, in order, however it is listed."""
    if not isinstance(deferred, list):
        yield deferred
        return
    for item in deferred:
        if item is not None:
            yield from givens(item)


class Load(Record, frozen=True, tag="load"):
    """Load a component, quantizing it on the way if it asks for that."""

    id: str
    component: str
    place: Place


class Generate(Record, frozen=True, tag="generate"):
    """Make one image per output with one pipeline; each has a generator of its own.

    Outputs of a batch are made by its one call, which may be other steps' too, others each by one of its own.
    """

    id: str
    pipeline: str
    model: str  # the script's name of the model
    quantizers: dict[str, str | None]  # role -> quantizer's name, for the roles that have weights
    arguments: dict[str, Json]  # the pipeline's call arguments, without the generator
    scheduler: str | None  # class name, where the statement changes it
    outputs: list[Output]
    metadata: bool
    place: Place
    statement: str  # the statement's source text, for metadata and messages
    deferred: dict[str, Deferred] = {}  # the call arguments that are no JSON, or wait for earlier steps
    roles: list[str] | None = None  # the parts for this step, where phases did the rest or it isn't needed; None: all
    weighter: Plugin | None = None  # what turns the prompt into embeddings, instead of the pipeline
    sidecar: bool = False  # whether the record is written beside the image, too
    scaled: tuple[int, int] | None = None  # width and height that the pictures it is given are brought to; None: as is
    fps: float | msgspec.UnsetType = msgspec.UNSET  # frames in a second of the videos that it makes; unset: no videos


class Phase(Record, frozen=True, tag="phase"):
    """Carry a later generate step's calls as far as they get with the parts in `roles`, and leave them there."""

    id: str
    generate: str
    pipeline: str
    name: str  # "encode" or "denoise"; for people
    roles: list[str]
    place: Place


class Upscale(Record, frozen=True, tag="upscale"):
    """Let a language model rewrite prompts: `variations` strings of each of `prompts`, those of one together."""

    id: str
    upscaler: Plugin
    pipeline: str  # its language model and that one's tokenizer, if it has any
    prompts: list[Line]
    variations: int
    seed: int
    place: Place
    statement: str


class Cell(Record, frozen=True):
    """One picture of a sheet with the caption under it."""

    image: ImageRef
    label: Line


class Grid(Record, frozen=True, tag="grid"):
    """Lay pictures out on one sheet, row by row, `columns` wide."""

    id: str
    cells: list[Cell]
    columns: int
    column_headers: list[Line]
    row_headers: list[Line]
    title: Line
    path: str
    place: Place
    sidecar: bool = False  # whether the record is written beside the sheet, too


class Pair(Record, frozen=True):
    """An image that is measured against a reference; `label` is its line in the table."""

    reference: ImageRef
    image: ImageRef
    label: Line


class Compare(Record, frozen=True, tag="compare"):
    """Measure how far images are from others, by each of `metrics`, and write the table to `path` or the report."""

    id: str
    pairs: list[Pair]
    metrics: list[str]
    path: str | None
    place: Place
    printed: bool = True  # without a path: whether the table is in the report at all


class Save(Record, frozen=True, tag="save"):
    """Write a model as a checkpoint that diffusers reads, its quantized components as they are."""

    id: str
    pipeline: str
    model: str  # the script's name of the model
    quantizers: dict[str, str | None]  # role -> quantizer's name, for the roles that have weights
    roles: list[str] | None  # what is written; None: all, and the `model_index.json` that makes a pipeline of them
    path: str  # the folder, relative to that of the run
    variant: str | None  # what the names of the weight files say
    max_shard_size: int | None  # bytes of a weight file; None: the libraries' own
    place: Place
    statement: str


class Print(Record, frozen=True, tag="print"):
    """Write a line of text to the report."""

    id: str
    text: Line
    place: Place


class Release(Record, frozen=True, tag="release"):
    """Give a component's memory back: nothing after this step uses it."""

    id: str
    component: str


class Evict(Record, frozen=True, tag="evict"):
    """Move a component's weights from the device into the computer's memory: it is used again, and there is no room."""

    id: str
    component: str


class Return(Record, frozen=True, tag="return"):
    """Bring a component's weights back from the computer's memory to the device."""

    id: str
    component: str
    place: Place  # of the statement that they are brought back for


User = Generate | Phase | Upscale | Save
"""A step that works with components."""

Step = Load | Phase | Generate | Upscale | Compare | Grid | Save | Print | Release | Evict | Return


class Traffic(Record, frozen=True):
    """What comes and goes: loads, evictions, and the bytes of weights that are moved.

    Evictions are of what leaves the device, to the computer's memory or away, and comes again.
    """

    loads: int
    evictions: int
    moved: int


class Limit(Record, frozen=True):
    """What weights, what waits between phases, and work may take at a time, in bytes, on the plan's device.

    None is any amount; `beside` has the same of other devices, by name. Of `bytes` `program` are those that the program
    itself takes where it computes in the same memory. `host` is what weights that were evicted may take of the
    computer's memory, None for any amount. `lru` is what the script's order would come to if always that went which was
    used least recently; None if that can't be run.
    """

    bytes: int | None
    lru: Traffic | None
    host: int | None = 0
    program: int = 0
    beside: dict[str, int] | msgspec.UnsetType = msgspec.UNSET


class Plan(Record, frozen=True):
    """Everything that a run will do, in order."""

    version: int
    aquatint: str
    script: str  # name of the script
    inputs: dict[str, str]  # what the plan was made from: "file NAME" -> sha256, "param NAME" -> value, ...
    plan_seed: int
    device: str
    components: dict[str, Component]
    pipelines: dict[str, Pipeline]
    steps: list[Step]
    memory: Limit | None = None  # what the steps keep to; None where there was room for everything
    batches: dict[str, list[Companion]] | msgspec.UnsetType = msgspec.UNSET  # by name, the images of calls of several


def plan_to_json(plan: Plan) -> bytes:
    """Return `plan` as canonical JSON: the same plan gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(plan, order="deterministic"), indent=2) + b"\n"


def plan_from_json(text: bytes) -> Plan:
    """Return the plan that `text` holds; raise `PlanError` if it holds none that this version can run."""
    try:
        head = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise PlanError(f"not JSON: {error}") from None
    version = head.get("version") if isinstance(head, dict) else None
    if version != PLAN_VERSION:
        raise PlanError(f"plan version {version!r}; this program reads version {PLAN_VERSION}")
    try:
        return msgspec.convert(head, Plan)
    except msgspec.ValidationError as error:
        raise PlanError(str(error)) from None
