"""Looks on while a run goes, and adds to its events how far it is, what memory it takes, and what it came to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import Literal

import msgspec

from aquatint.plan.memory import taken
from aquatint.plan.steps import ByteRange, Plan
from aquatint.runtime.engine import DeviceMemory, Engine
from aquatint.runtime.events import (
    Event,
    Evicted,
    ImageWritten,
    LoadFinished,
    MemoryUsed,
    ModelSaved,
    Released,
    Returned,
    RunFinished,
    RunStarted,
)
from aquatint.runtime.forecast import Forecast
from aquatint.runtime.memory_probe import Meter
from aquatint.runtime.tally import Tally
from aquatint.runtime.work import ImageAhead, LoadAhead, RewriteAhead, Work

PROGRESS_EVERY = 0.5
"""Seconds between two events of progress, at least: denoising steps may be much shorter."""


class Watch:
    """Hands the events of one run of `plan` to `sink`, and its own among them. Memory is watched if there is a `meter`.

    `predicted` is the most that weights and work are planned to take at one time, once the run has begun. `end` has
    to be called, whatever happens.
    """

    def __init__(
        self, plan: Plan, sink: Callable[[Event], None], clock: Callable[[], float], engine: Engine, meter: Meter | None
    ) -> None:
        self._plan = plan
        self._sink = sink
        self._clock = clock
        self._engine = engine
        self._meter = meter
        self._began = self._told = clock()
        self._forecast = Forecast(())
        self._tally = Tally(plan)
        self.predicted: ByteRange | None = None

    def begin(self, work: Iterable[Work], resident: AbstractSet[str]) -> None:
        """Begin: `work` is ahead, and `resident` components are loaded. What is to be done is the first event."""
        pieces = list(work)
        self._forecast = Forecast(pieces)
        self.predicted = taken(self._plan, resident)
        if self._meter is not None:
            self._engine.device_memory(afresh=True)
            self._meter.begin()
        images = [piece for piece in pieces if isinstance(piece, ImageAhead)]
        self(
            RunStarted(
                steps=len(self._plan.steps),
                images=len(images),
                loads=sum(isinstance(piece, LoadAhead) for piece in pieces),
                denoise_steps=sum(image.kind.steps for image in images),
                predicted_peak=self.predicted,
                strings=sum(piece.strings for piece in pieces if isinstance(piece, RewriteAhead)),
            )
        )

    def __call__(self, event: Event) -> None:
        """Hand on `event` and what is to be said after it. What the sink raises comes out of here."""
        now = self._clock()
        self._forecast.feed(event, now - self._began)
        self._tally.feed(event)
        self._sink(event)
        if isinstance(event, LoadFinished | ImageWritten | ModelSaved | Released | Evicted | Returned):
            self._tell_memory()
        if now - self._told >= PROGRESS_EVERY and not isinstance(event, RunFinished):
            self._told = now
            self._sink(self._forecast.progress())

    def completed(self, finished: RunFinished) -> RunFinished:
        """Return the totals of the run with those that are counted and measured here."""
        self.end()
        measured, by = self._measured()
        return msgspec.structs.replace(
            finished, evictions=self._tally.evictions, bytes_loaded=self._tally.bytes_loaded,
            bytes_moved=self._tally.bytes_moved, strings=self._tally.strings,
            predicted_peak=self.predicted, measured_peak=measured, measured_by=by, models=self._tally.totals(),
        )  # fmt: skip

    def end(self) -> None:
        """Watch no longer."""
        if self._meter is not None:
            self._meter.end()

    def _device(self) -> DeviceMemory | None:
        return None if self._meter is None else self._engine.device_memory()

    def _tell_memory(self) -> None:
        if self._meter is None:
            return
        now, most, device = self._meter.now(), self._meter.peak, self._device()
        if now is None and device is None:
            return
        self._sink(
            MemoryUsed(
                resident=None if now is None else now.resident,
                own=None if now is None else now.own,
                peak_resident=None if most is None else most.resident,
                peak_own=None if most is None else most.own,
                device=None if device is None else device.now,
                peak_device=None if device is None else device.most,
            )
        )

    def _measured(self) -> tuple[int | None, Literal["own", "resident", "device"] | None]:
        """Return the peak where the weights lie, and what it is of."""
        if (device := self._device()) is not None:
            return device.most, "device"
        above = None if self._meter is None else self._meter.above()
        if above is None:
            return None, None
        return (above.resident, "resident") if above.own is None else (above.own, "own")
