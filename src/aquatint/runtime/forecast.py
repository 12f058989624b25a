"""How far a run is and how much longer it will take: from what is ahead of it, its events, and when they came.

Events of several images may take turns. Those of a batch come together, and each has an equal share of the time. What
is measured is in `speeds`; nothing here looks at a clock.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from aquatint.runtime.events import (
    DenoiseStep,
    Event,
    GenerateStarted,
    ImageWritten,
    LoadFinished,
    LoadSpared,
    ModelSaved,
    Printed,
    Progress,
    PromptsRewritten,
    StatementFailed,
    StatementSkipped,
    Warned,
)
from aquatint.runtime.speeds import Speeds, Way
from aquatint.runtime.work import ImageAhead, Kind, LoadAhead, RewriteAhead, SaveAhead, Work

_Image = tuple[str, int]
"""A step's id, and the number of one of its images."""


@dataclass(slots=True)
class _Begun:
    """An image in the making: its steps, and the seconds that were not of a step alone."""

    kind: Kind
    done: int = 0
    total: int | None = None  # of denoising steps; None until the pipeline tells
    mixed_steps: int = 0  # steps that are in `mixed`, along with something else
    mixed: float = 0.0

    def beside(self, step: float) -> float:
        """Return the seconds that went into anything but steps, when one takes `step`."""
        return max(0.0, self.mixed - self.mixed_steps * step)


class Forecast:
    """Fed with every event of a run and the seconds since the run began at which it came."""

    def __init__(self, work: Iterable[Work]) -> None:
        self._speeds = Speeds()
        self._loads: dict[str, LoadAhead] = {}
        self._saves: dict[str, SaveAhead] = {}
        self._rewrites: dict[str, RewriteAhead] = {}
        self._images: dict[str, dict[int, Kind]] = defaultdict(dict)  # neither written nor begun, by step
        self._of_kind: Counter[Kind] = Counter()  # the same ones, counted
        self._begun: dict[_Image, _Begun] = {}
        self._calls: dict[str, list[_Image]] = {}  # of batches, their images that were begun, in order
        self._together: dict[_Image, list[_Image]] = {}
        self._taken: dict[Kind, int] = {}  # how many steps images of a kind really take
        self._images_done = self._steps_done = self._loads_done = self._strings_done = 0
        self._at = 0.0
        self._last: tuple[_Image, int] | None = None  # the last event, if it was a denoising step or an image's begin
        for piece in work:
            match piece:
                case LoadAhead():
                    self._loads[piece.step] = piece
                case SaveAhead():
                    self._saves[piece.step] = piece
                case RewriteAhead():
                    self._rewrites[piece.step] = piece
                case ImageAhead():
                    self._images[piece.step][piece.number] = piece.kind
                    self._of_kind[piece.kind] += 1
                case _:
                    assert_never(piece)

    def feed(self, event: Event, at: float) -> None:
        """Take notice of `event`, which came `at` seconds after the run began."""
        if isinstance(event, Warned | Printed):
            return  # these are said while something else goes on
        elapsed, self._at = at - self._at, at
        last, self._last = self._last, None
        if last is not None and not last[1] and not isinstance(event, DenoiseStep | ImageWritten):
            self._pause(last[0], elapsed)
        match event:
            case LoadFinished():
                self._loads_done += 1
                if (load := self._loads.pop(event.step, None)) is not None:
                    self._speeds.loaded(load, _way(load, event), event.seconds)
            case GenerateStarted():
                self._begin((event.step, event.number), event.batch)
                self._last = (event.step, event.number), 0
            case DenoiseStep():
                self._step(event, elapsed, last)
            case ImageWritten():
                self._finish((event.step, event.number), elapsed)
            case ModelSaved():
                if (save := self._saves.pop(event.step, None)) is not None:
                    self._speeds.saved(save.bytes, event.seconds)
            case PromptsRewritten():
                self._strings_done += len(event.texts)
                if (rewrite := self._rewrites.pop(event.step, None)) is not None:
                    self._speeds.rewrote(rewrite, event.seconds)
            case StatementFailed() | StatementSkipped() | LoadSpared():
                self._drop(event.step)
            case _:
                pass

    def progress(self) -> Progress:
        """Return how far the run was when the last event came."""
        begun = self._begun.values()
        images = sum(self._of_kind.values()) + len(self._begun)
        steps = sum(count * self._total(kind) for kind, count in self._of_kind.items())
        steps += sum(self._total(image.kind, image) - image.done for image in begun)
        left = self.seconds_left()
        return Progress(
            images_done=self._images_done,
            images=self._images_done + images,
            denoise_steps_done=self._steps_done,
            denoise_steps=self._steps_done + steps,
            loads_done=self._loads_done,
            loads=self._loads_done + len(self._loads),
            seconds=round(self._at, 3),
            seconds_left=None if left is None else round(left, 3),
            strings_done=self._strings_done,
            strings=self._strings_done + sum(rewrite.strings for rewrite in self._rewrites.values()),
        )

    def seconds_left(self) -> float | None:
        """Return the seconds from the last event to the end of the run, or None while something has no speed yet."""
        parts: list[float | None] = [count * cost if (cost := self._image(kind)) is not None else None
                                     for kind, count in self._of_kind.items() if count]  # fmt: skip
        parts += [self._rest(image) for image in self._begun.values()]
        parts += [self._speeds.load(load) for load in self._loads.values()]
        parts += [self._speeds.save(save.bytes) for save in self._saves.values()]
        parts += [self._speeds.rewrite(rewrite) for rewrite in self._rewrites.values()]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None

    def _begin(self, image: _Image, batch: str | None) -> None:
        step, number = image
        self._together[image] = call = [] if batch is None else self._calls.setdefault(batch, [])
        if image in call:
            call.clear()  # it begins again
        call.append(image)
        kind = self._images[step].pop(number, None)
        if kind is not None:
            self._of_kind[kind] -= 1
            self._begun[image] = _Begun(kind)

    def _pause(self, image: _Image, elapsed: float) -> None:
        """An image's prompt was read, and its steps come later."""
        in_call = self._in_call(image)
        for each in in_call:
            each.mixed += elapsed / len(in_call)

    def _in_call(self, image: _Image) -> list[_Begun]:
        """Return what is begun and not written of all that the image's call makes."""
        return [begun for each in self._together.get(image, [image]) if (begun := self._begun.get(each)) is not None]

    def _step(self, event: DenoiseStep, elapsed: float, last: tuple[_Image, int] | None) -> None:
        image = event.step, event.number
        self._last = image, event.done
        begun = self._begun.get(image)
        if begun is None:
            return
        self._steps_done += max(0, event.done - begun.done)
        begun.done, begun.total = event.done, event.total
        self._taken[begun.kind] = event.total
        call = self._together.get(image, [image])
        if call[0] != image:
            return  # the step of the whole call was told with its first image
        each = elapsed / len(call)
        if event.done > 1 and last == (call[-1], event.done - 1):
            self._speeds.stepped(begun.kind, each)
        else:
            for other in self._in_call(image):
                other.mixed += each
                other.mixed_steps += 1

    def _finish(self, image: _Image, elapsed: float) -> None:
        in_call = self._in_call(image)
        begun = self._begun.pop(image, None)
        if begun is None:
            return
        for each in in_call:
            each.mixed += elapsed / len(in_call)
        self._images_done += 1
        if begun.total is None:
            self._taken[begun.kind] = 0  # a pipeline that doesn't tell of its steps
        self._speeds.finished(begun.kind, begun.beside(self._step_of(begun.kind) or 0.0))

    def _drop(self, step: str) -> None:
        """Nothing more comes of a step."""
        self._loads.pop(step, None)
        self._saves.pop(step, None)
        self._rewrites.pop(step, None)
        for kind in self._images.pop(step, {}).values():
            self._of_kind[kind] -= 1
        for image in [image for image in self._begun if image[0] == step]:
            del self._begun[image]

    def _total(self, kind: Kind, image: _Begun | None = None) -> int:
        """Return how many denoising steps an image takes."""
        if image is not None and image.total is not None:
            return image.total
        return self._taken.get(kind, kind.steps)

    def _step_of(self, kind: Kind) -> float | None:
        """Return the seconds of a denoising step of `kind`; 0 where there is only one, which is timed with the rest."""
        return self._speeds.step(kind) if self._total(kind) > 1 else 0.0

    def _image(self, kind: Kind) -> float | None:
        """Return the seconds of a whole image."""
        total, step, beside = self._total(kind), self._step_of(kind), self._speeds.beside(kind)
        if total > 1:
            return None if step is None else total * step + (beside or 0.0)
        return beside

    def _rest(self, image: _Begun) -> float | None:
        """Return the seconds that a begun image still takes."""
        step, beside = self._step_of(image.kind), self._speeds.beside(image.kind)
        total = self._total(image.kind, image)
        if step is None or (total <= 1 and beside is None):
            return None
        return max(0, total - image.done) * step + max(0.0, (beside or 0.0) - image.beside(step))


def _way(load: LoadAhead, event: LoadFinished) -> Way:
    if event.from_store:
        return Way.STORE
    if event.beside:
        return Way.BESIDE
    return Way.QUANTIZING if load.quantized else Way.PLAIN
