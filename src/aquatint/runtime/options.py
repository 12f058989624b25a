"""How plans are to be run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from aquatint.plan.steps import Component, Json
from aquatint.runtime.journal import Journal
from aquatint.runtime.late_loads import nothing
from aquatint.runtime.memory_probe import Probe
from aquatint.runtime.outputs import OutputPolicy


class Resort(StrEnum):
    """How far a run may go when memory doesn't suffice."""

    FAIL = "fail"
    EXACT = "exact"  # to what changes no pixel
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a plan. `verify` says why a component is not what was planned, or None if it is.

    With a `probe` the memory that is taken is measured, from before the first run on. `journal` is that of
    `output_dir`, None for a run that keeps none; `surroundings` go into it. The run ends as soon as `stopping` says so
    when an image or a step is finished. What `may_be_spared` is loaded when something asks for it, and else not at all.
    `room` are the bytes that a plan and what is still loaded of earlier ones may take together, None for any amount.
    """

    output_dir: Path = Path()
    existing: OutputPolicy = OutputPolicy.NUMBER
    fail_fast: bool = False
    verify: Callable[[Component], str | None] | None = None
    clock: Callable[[], float] = time.monotonic
    probe: Probe | None = None
    journal: Journal | None = None
    surroundings: dict[str, Json] = field(default_factory=dict)
    out_of_memory: Resort = Resort.EXACT
    stopping: Callable[[], bool] = lambda: False
    may_be_spared: Callable[[Component], bool] = nothing
    room: int | None = None
