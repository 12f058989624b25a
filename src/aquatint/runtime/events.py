"""What a run tells while it goes: one record per event, as data.

`--json` writes each as one line; the terminal's progress is drawn from the same records.
"""

from __future__ import annotations

import msgspec

from aquatint.plan.steps import Json


class Event(msgspec.Struct, frozen=True, tag_field="event", tag=lambda name: "".join(
    ("_" if c.isupper() and i else "") + c.lower() for i, c in enumerate(name)
)):  # fmt: skip
    """Base of all events; on the wire `event` is the class's name in snake case."""


class EngineStarting(Event, frozen=True):
    """The libraries are about to be imported, which takes seconds; comes at most once, before the first run."""

    device: str


class RunStarted(Event, frozen=True):
    steps: int
    images: int
    loads: int


class LoadStarted(Event, frozen=True):
    step: str
    component: str
    role: str
    class_name: str
    source: str
    quantizer: str | None
    bytes: int


class LoadFinished(Event, frozen=True):
    step: str
    component: str
    role: str
    bytes: int
    quantized_layers: int
    layers: int
    seconds: float
    from_store: bool = False


class Reused(Event, frozen=True):
    step: str
    component: str
    role: str


class GenerateStarted(Event, frozen=True):
    step: str
    model: str
    quantizers: dict[str, str | None]
    seed: int
    prompt: str
    number: int
    of: int


class DenoiseStep(Event, frozen=True):
    step: str
    done: int
    total: int


class ImageWritten(Event, frozen=True):
    step: str
    path: str
    seed: int
    seconds: float


class GridWritten(Event, frozen=True):
    step: str
    path: str
    cells: int


class Measured(Event, frozen=True):
    """What `compare` measured of one pair, by metric."""

    step: str
    label: str
    values: dict[str, float]


class TableWritten(Event, frozen=True):
    step: str
    path: str
    pairs: int


class SaveStarted(Event, frozen=True):
    step: str
    model: str
    path: str
    bytes: int


class ModelSaved(Event, frozen=True):
    step: str
    path: str
    bytes: int
    seconds: float


class Printed(Event, frozen=True):
    step: str
    text: str


class Released(Event, frozen=True):
    step: str
    component: str
    role: str


class Warned(Event, frozen=True):
    step: str
    message: str


class StatementFailed(Event, frozen=True):
    step: str
    place: str
    message: str
    help: str | None
    written: list[str]


class StatementSkipped(Event, frozen=True):
    step: str
    place: str
    reason: str


class RunFinished(Event, frozen=True):
    """The totals of a run, counted at the calls, not copied from the plan.

    Of the components that the plan quantizes, `quantizations` were quantized and `restored` came from the store. Of the
    plan's `outputs`, files and folders, `done` are there, made now or before.
    """

    images: int
    loads: int
    quantizations: int
    reuses: int
    releases: int
    failed: int
    skipped: int
    written: list[str]
    interrupted: bool
    seconds: float
    engine: dict[str, Json]
    saved: int = 0
    restored: int = 0
    done: int = 0
    outputs: int = 0
