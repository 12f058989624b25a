"""What a run tells while it goes: one record per event, as data.

`--json` writes each as one line; the terminal's progress is drawn from the same records. `event_schema` has their
fields, types and units for others, made from what stands here.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from aquatint.plan.steps import ByteRange, Json

SCHEMA = 1
"""The number of the events' form: to one number events and fields may be added, none changed or taken away."""

StepId = Annotated[str, Meta(description="id of the plan's step")]
Key = Annotated[str, Meta(description="key of the component, which equal ones share")]
Role = Annotated[str, Meta(description="role of the component in its pipeline, such as `unet`")]
Model = Annotated[str, Meta(description="what the script calls the model")]
Quantizers = Annotated[
    dict[str, str | None], Meta(description="the name of each role's quantizer, null for none; of roles with weights")
]
Seed = Annotated[int, Meta(description="of the image")]
File = Annotated[str, Meta(description="the file that was written")]
Where = Annotated[str, Meta(description="file, line and column of the statement: `x.aqt:4:1`")]
Held = Annotated[int, Meta(description="bytes of weights, as they are held in memory")]
Seconds = Annotated[float, Meta(description="seconds that it took")]
ImageNumber = Annotated[int, Meta(description="which of the statement's images, from 1")]
OwnBytes = Annotated[
    int | None, Meta(description="bytes of the process's own pages in memory, without those of files; null: unknown")
]
ResidentBytes = Annotated[
    int | None, Meta(description="bytes of the process in memory, files that are mapped included; null: unknown")
]
DeviceBytes = Annotated[
    int | None, Meta(description="bytes of tensors on the device; null: it has no memory of its own, or does not tell")
]
Peak = Annotated[
    ByteRange | None,
    Meta(description="the most bytes of the plan's device that weights and work are planned to take; null: none"),
]


Rung = Literal["release", "turns", "unbatched", "tiling"]
"""What can be done when memory doesn't suffice."""


class Event(msgspec.Struct, frozen=True, tag_field="event", tag=lambda name: "".join(
    ("_" if c.isupper() and i else "") + c.lower() for i, c in enumerate(name)
)):  # fmt: skip
    """Base of all events; on the wire `event` is the class's name in snake case."""


class Accepted(Event, frozen=True):
    """With `--stream`, a statement was read, and what comes up to its `done` is of it: also one that is wrong."""

    place: Where
    text: Annotated[str, Meta(description="its first line, or the first 200 characters of that")]
    schema: Annotated[int, Meta(description="the number of the events' form")] = SCHEMA


class Done(Event, frozen=True):
    """With `--stream`, a statement has ended, and the next one is read."""

    ok: Annotated[
        bool, Meta(description="whether it was right, nothing failed, and all its files are there, made now or before")
    ]
    files: Annotated[list[str], Meta(description="files and folders that it wrote, in order")]


class EngineStarting(Event, frozen=True):
    """The libraries are about to be imported, which takes seconds; comes at most once, before the first run."""

    device: Annotated[str, Meta(description="what the plan is for: `cpu`, `cuda:1`, ...")]
    schema: Annotated[int, Meta(description="the number of the events' form")] = SCHEMA


Repository = Annotated[str, Meta(description="id of the repository on the model hub")]
Commit = Annotated[str, Meta(description="the commit that is fetched")]
Lacking = Annotated[int, Meta(description="bytes to fetch, without what is there of those files")]


class FetchStarted(Event, frozen=True):
    """What a script needs of a repository is fetched from the model hub; comes before the run."""

    repository: Repository
    revision: Commit
    files: Annotated[int, Meta(description="files to fetch")]
    bytes: Lacking
    kept: Annotated[
        int, Meta(description="bytes that are there of those files, from an earlier attempt or another commit")
    ]
    schema: Annotated[int, Meta(description="the number of the events' form")] = SCHEMA


class FetchProgress(Event, frozen=True):
    """How far fetching is; at most five times a second."""

    done: Annotated[int, Meta(description="bytes that have come")]
    bytes: Lacking


class FetchFinished(Event, frozen=True):
    """A repository is there, or fetching has ended before that; what has come is kept then."""

    repository: Repository
    revision: Commit
    done: Annotated[int, Meta(description="bytes that have come")]
    bytes: Lacking
    seconds: Seconds
    failed: Annotated[bool, Meta(description="whether it ended before all was there")]
    interrupted: Annotated[bool, Meta(description="whether it was broken off from the keyboard")]


Address = Annotated[str, Meta(description="the address on the web, as the script has it")]


class DownloadStarted(Event, frozen=True):
    """A picture or file that a script names by an address on the web is fetched; comes before the run."""

    address: Address
    schema: Annotated[int, Meta(description="the number of the events' form")] = SCHEMA


class DownloadFinished(Event, frozen=True):
    """What an address gives is there, or fetching it has ended before that; nothing of it is kept then."""

    address: Address
    bytes: Annotated[int, Meta(description="bytes that it has given; 0 where they haven't all come")]
    seconds: Seconds
    failed: Annotated[bool, Meta(description="whether it isn't there, or isn't what is wanted")]


class RunStarted(Event, frozen=True):
    """A run begins, and this is what it is to do; the images that are there already are not counted."""

    steps: Annotated[int, Meta(description="steps of the plan")]
    images: Annotated[int, Meta(description="images to make")]
    loads: Annotated[int, Meta(description="components to load")]
    schema: Annotated[int, Meta(description="the number of the events' form")] = SCHEMA
    denoise_steps: Annotated[int, Meta(description="denoising steps of all images, by their arguments")] = 0
    predicted_peak: Peak = None
    strings: Annotated[int, Meta(description="strings that upscalers are to write")] = 0


class Progress(Event, frozen=True):
    """How far the run is. Comes after another event, at most twice a second.

    What failed or was skipped is neither done nor to come, so that totals may fall; they may also rise, for some
    schedulers take more steps than they were asked for.
    """

    images_done: Annotated[int, Meta(description="images written")]
    images: Annotated[int, Meta(description="images, those written and those to come")]
    denoise_steps_done: Annotated[int, Meta(description="denoising steps done")]
    denoise_steps: Annotated[int, Meta(description="denoising steps, those done and those to come")]
    loads_done: Annotated[int, Meta(description="components loaded")]
    loads: Annotated[int, Meta(description="loads, those done and those to come")]
    seconds: Annotated[float, Meta(description="seconds since the run began")]
    seconds_left: Annotated[
        float | None, Meta(description="seconds to the end, estimated from speeds of this run; null: not measured yet")
    ]
    strings_done: Annotated[int, Meta(description="strings that upscalers have written")] = 0
    strings: Annotated[int, Meta(description="strings of upscalers, those written and those to come")] = 0


class MemoryUsed(Event, frozen=True):
    """The memory that is taken now, and most of it since the run began. Comes after loads, images, saves and releases.

    Peaks of the process are those of 20 looks a second: what is taken for less time may be missed.
    """

    resident: ResidentBytes
    own: OwnBytes
    peak_resident: ResidentBytes
    peak_own: OwnBytes
    device: DeviceBytes = None
    peak_device: DeviceBytes = None


class LoadStarted(Event, frozen=True):
    """A component is about to be loaded, and quantized on the way if it asks for that."""

    step: StepId
    component: Key
    role: Role
    class_name: Annotated[str, Meta(description="its class in diffusers or transformers")]
    source: Annotated[str, Meta(description="its checkpoint, as the script has it")]
    quantizer: Annotated[str | None, Meta(description="what quantizes it, or did in its files; null: nothing")]
    bytes: Annotated[int, Meta(description="bytes of its weights before they are quantized, as planned")]


class LoadFinished(Event, frozen=True):
    """A component is loaded."""

    step: StepId
    component: Key
    role: Role
    bytes: Held
    quantized_layers: Annotated[int, Meta(description="layers that the quantizer replaced")]
    layers: Annotated[int, Meta(description="layers that it could have been meant to replace")]
    seconds: Seconds
    from_store: Annotated[bool, Meta(description="whether an earlier run quantized it")] = False
    beside: Annotated[bool, Meta(description="whether a process beside this run quantized it, into the store")] = False


class LoadSpared(Event, frozen=True):
    """A component that the plan loads was not loaded, since nothing asked for it: what it would compute is kept."""

    step: StepId
    component: Key
    role: Role


class Reused(Event, frozen=True):
    """A statement uses a component that was loaded for an earlier one."""

    step: StepId
    component: Key
    role: Role


class GenerateStarted(Event, frozen=True):
    """An image is begun. Events of several images may take turns: `step` and `number` together tell which one it is."""

    step: StepId
    model: Model
    quantizers: Quantizers
    seed: Seed
    prompt: Annotated[str, Meta(description="its prompt, empty if it has none")]
    number: ImageNumber
    of: Annotated[int, Meta(description="how many images the statement makes")]
    batch: Annotated[
        str | None,
        Meta(description="the batch in whose call it is made: the images of one begin together; null: it has its own"),
    ] = None


class DenoiseStep(Event, frozen=True):
    """A denoising step of an image is done. Some pipelines don't tell of theirs."""

    step: StepId
    done: Annotated[int, Meta(description="the image's steps that are done")]
    total: Annotated[int, Meta(description="the image's steps")]
    number: ImageNumber = 1


class RewriteStarted(Event, frozen=True):
    """An upscaler is about to rewrite the prompts of a statement."""

    step: StepId
    upscaler: Annotated[str, Meta(description="the script's name of the upscaler")]
    strings: Annotated[int, Meta(description="strings that it is to write")]


class PromptsRewritten(Event, frozen=True):
    """An upscaler has rewritten the prompts of a statement."""

    step: StepId
    upscaler: Annotated[str, Meta(description="the script's name of the upscaler")]
    prompts: Annotated[list[str], Meta(description="for each string, the prompt that it was made of")]
    texts: Annotated[list[str], Meta(description="the strings, as many")]
    seconds: Seconds


class ImageWritten(Event, frozen=True):
    """An image is in its file, whole; or it is made, where it is kept for later statements alone."""

    step: StepId
    path: Annotated[str | None, Meta(description="the file that was written; null for what is kept in memory alone")]
    seed: Seed
    seconds: Seconds
    number: ImageNumber = 1


class GridWritten(Event, frozen=True):
    """A sheet is in its file, whole."""

    step: StepId
    path: File
    cells: Annotated[int, Meta(description="pictures on it, with the places of those that were not made")]


class Measured(Event, frozen=True):
    """What `compare` measured of one pair, by metric."""

    step: StepId
    label: Annotated[str, Meta(description="the pair's line in the table")]
    values: Annotated[
        dict[str, float],
        Meta(description="metric to number, in the metric's unit; one that is infinite is the string `inf`"),
    ]


class TableWritten(Event, frozen=True):
    """The table of a comparison is in its file, whole."""

    step: StepId
    path: File
    pairs: Annotated[int, Meta(description="lines of the table")]


class SaveStarted(Event, frozen=True):
    """A model is about to be written as a checkpoint."""

    step: StepId
    model: Model
    path: Annotated[str, Meta(description="the folder")]
    bytes: Held


class ModelSaved(Event, frozen=True):
    """A model's folder is there, whole."""

    step: StepId
    path: Annotated[str, Meta(description="the folder")]
    bytes: Annotated[int, Meta(description="bytes of the files in it")]
    seconds: Seconds


class Printed(Event, frozen=True):
    """The script prints a line."""

    step: StepId
    text: Annotated[str, Meta(description="what it prints, without the line's end")]


class Released(Event, frozen=True):
    """A component's memory was given back."""

    step: StepId
    component: Key
    role: Role


class Evicted(Event, frozen=True):
    """A component went to the computer's memory, to come back."""

    step: StepId
    component: Key
    role: Role
    bytes: Held
    seconds: Seconds


class Returned(Event, frozen=True):
    """A component came back from the computer's memory."""

    step: StepId
    component: Key
    role: Role
    bytes: Held
    seconds: Seconds


class OutOfMemory(Event, frozen=True):
    """Memory didn't suffice for something; there is less in it now, and that is tried again from its beginning.

    An image begins again with another `generate_started`.
    """

    step: Annotated[str, Meta(description="id of the plan's step that it is for")]
    doing: Annotated[str, Meta(description="what memory didn't suffice for, for people")]
    rung: Annotated[
        Rung,
        Meta(
            description="what is done about it, for this statement from here on. `release`: let go of what it doesn't "
            "use; `turns`: have one of its components in memory at a time; `unbatched`: make each image of a batch by "
            "a call of its own, which changes pixels; `tiling`: decode in tiles, which changes pixels"
        ),
    ]
    asked: Annotated[int | None, Meta(description="bytes that were asked for at last; null: unknown")] = None


class Warned(Event, frozen=True):
    """Something is odd, but no failure."""

    step: StepId
    message: Annotated[str, Meta(description="for people")]


class StatementFailed(Event, frozen=True):
    """A statement failed, or the load of a component, which takes those down that need it. The run goes on."""

    step: StepId
    place: Where
    message: Annotated[str, Meta(description="what went wrong, for people")]
    help: Annotated[str | None, Meta(description="what to do about it, for people")]
    written: Annotated[list[str], Meta(description="files that the statement had written before")]


class StatementSkipped(Event, frozen=True):
    """A statement is not carried out, or not to its end: what it needs isn't there, or what it makes is."""

    step: StepId
    place: Where
    reason: Annotated[str, Meta(description="why, for people")]


class ModelTotals(msgspec.Struct, frozen=True):
    """What a run came to for one model, or one upscaler, under the same quantizers."""

    model: Annotated[str, Meta(description="what the script calls the model, or the upscaler")]
    quantizers: Quantizers
    images: Annotated[int, Meta(description="images written")]
    loads: Annotated[int, Meta(description="components loaded, each for the statement that used it first")]
    seconds: Annotated[float, Meta(description="seconds that its images, or its strings, took together")]
    weights: Annotated[int, Meta(description="bytes of the weights of its components together, as they were held")]
    strings: Annotated[int, Meta(description="strings that the upscaler wrote; 0 for a model")] = 0


class RunFinished(Event, frozen=True):
    """The totals of a run, counted at the calls, not copied from the plan; the last event, interrupted or not.

    Of the components that the plan quantizes, `quantizations` were quantized and `restored` came from the store. Of the
    plan's `outputs`, files and folders, `done` are there, made now or before.
    """

    images: Annotated[int, Meta(description="images written")]
    loads: Annotated[int, Meta(description="components loaded")]
    quantizations: Annotated[int, Meta(description="components quantized")]
    reuses: Annotated[int, Meta(description="uses of components that were loaded for an earlier statement")]
    releases: Annotated[int, Meta(description="components whose memory was given back")]
    failed: Annotated[int, Meta(description="statements and loads that failed")]
    skipped: Annotated[int, Meta(description="statements that were skipped")]
    written: Annotated[list[str], Meta(description="files and folders that were written, in order")]
    interrupted: Annotated[bool, Meta(description="whether the run was broken off from the keyboard")]
    seconds: Annotated[float, Meta(description="seconds that the run took, without the import of the libraries")]
    engine: Annotated[
        dict[str, Json],
        Meta(description="what decides the bits beside the plan: device, threads, the CPU's kernels, versions"),
    ]
    saved: Annotated[int, Meta(description="models saved")] = 0
    restored: Annotated[int, Meta(description="components that came from the store instead of being quantized")] = 0
    evictions: Annotated[
        int, Meta(description="components that left the device, to the computer's memory or away, and came again")
    ] = 0
    bytes_loaded: Annotated[int, Meta(description="bytes of weights that loads brought into memory, as held")] = 0
    bytes_moved: Annotated[
        int, Meta(description="bytes of weights that were loaded, moved to the computer's memory, and brought back")
    ] = 0
    predicted_peak: Peak = None
    measured_peak: Annotated[
        int | None,
        Meta(
            description="the most bytes that were taken at one time where the weights lie, above what was taken when "
            "the libraries had been imported and nothing was loaded; beside weights that is what pipelines compute "
            "with. null: not measured"
        ),
    ] = None
    measured_by: Annotated[
        Literal["own", "resident", "device"] | None,
        Meta(description="which of the numbers of `memory_used` that is of; `own` where the system tells it"),
    ] = None
    models: Annotated[
        list[ModelTotals], Meta(description="a row for each model, and each upscaler, and its quantizers")
    ] = []
    done: Annotated[
        int, Meta(description="outputs of the plan, files and folders, that are there, made now or before")
    ] = 0
    outputs: Annotated[int, Meta(description="outputs of the plan")] = 0
    beside: Annotated[int, Meta(description="of `quantizations`, those of a process beside the run")] = 0
    strings: Annotated[int, Meta(description="strings that upscalers wrote")] = 0
