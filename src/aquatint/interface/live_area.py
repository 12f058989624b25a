"""What stands under the log on a terminal while a run goes: how far it is, what is being done, what memory it takes.

Made from events as lines of a given width; what draws them is in `progress`. Images are told apart by their step and
number, for their events may take turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aquatint.interface.cells import side_by_side
from aquatint.interface.progress import duration, number, printable
from aquatint.plan.render import sized
from aquatint.runtime.events import (
    DenoiseStep,
    Event,
    GenerateStarted,
    ImageWritten,
    LoadFinished,
    LoadStarted,
    MemoryUsed,
    ModelSaved,
    Progress,
    PromptsRewritten,
    RewriteStarted,
    RunStarted,
    SaveStarted,
    StatementFailed,
    StatementSkipped,
)

_BAR = 24  # columns, where there is room


@dataclass(frozen=True, slots=True)
class _Image:
    """An image in the making; `ordinal` counts those of the run, from 1."""

    ordinal: int
    about: list[str]
    done: int = 0
    total: int = 0


class LiveArea:
    """Fed with the events of one run, and drawn by rich at any moment between them."""

    def __init__(self, started: RunStarted, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._predicted = started.predicted_peak
        self._images, self._steps, self._loads = started.images, started.denoise_steps, started.loads
        self._strings, self._strings_done = started.strings, 0
        self._images_done = self._steps_done = self._loads_done = self._begun = 0
        self._left: tuple[float, float] | None = None  # seconds that were left, and when
        self._memory: MemoryUsed | None = None
        self._making: dict[tuple[str, int], _Image] = {}
        self._current: tuple[str, int] | None = None  # the image that the last step was of
        self._busy: tuple[list[str], float] | None = None  # a load, a save or an upscaler, and when it began

    def feed(self, event: Event) -> None:
        """Take notice of `event`."""
        match event:
            case Progress():
                self._images, self._steps, self._loads = event.images, event.denoise_steps, event.loads
                self._steps_done = event.denoise_steps_done
                self._strings = event.strings
                self._left = None if event.seconds_left is None else (event.seconds_left, self._clock())
            case MemoryUsed():
                self._memory = event
            case LoadStarted():
                about = [event.role, event.class_name, event.quantizer or "", sized(event.bytes) if event.bytes else ""]
                self._busy = ["loading " + printable(about[0]), *map(printable, filter(None, about[1:]))], self._clock()
            case SaveStarted():
                about = [printable(event.path), sized(event.bytes)]
                self._busy = ["saving " + printable(event.model), *about], self._clock()
            case LoadFinished():
                self._loads_done += 1
                self._busy = None
            case RewriteStarted():
                self._busy = [f"writing {number(event.strings, 'string')}", printable(event.upscaler)], self._clock()
            case PromptsRewritten():
                self._strings_done += len(event.texts)
                self._busy = None
            case ModelSaved():
                self._busy = None
            case StatementFailed() | StatementSkipped():
                self._busy = None
                self._making = {image: made for image, made in self._making.items() if image[0] != event.step}
            case GenerateStarted():
                self._begin(event)
            case DenoiseStep():
                self._step(event)
            case ImageWritten():
                self._images_done += 1
                self._making.pop((event.step, event.number), None)
            case _:
                pass

    def lines(self, width: int) -> list[str]:
        """Return what is to be seen beside the bar, in `width` columns at most: time and counts, doings, memory."""
        return [side_by_side(facts, width) for facts in (self._how_far(), self._doing(), self._room())]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # The last column stays free: terminals differ in what they do when it is written to.
        width = max(1, options.max_width - 1)
        bar = min(_BAR, width // 4)
        first, (_, *others) = self.lines(width - bar - 2)[0], self.lines(width)
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_row(ProgressBar(total=self._of(), completed=self._done(), width=bar), _line(first))
        yield grid
        yield from map(_line, others)

    def _of(self) -> int | None:
        """Return of how many pieces the bar is; None for a run that makes no images, or just begins to."""
        return self._steps or self._images or None

    def _done(self) -> int:
        return self._steps_done if self._steps else self._images_done

    def _how_far(self) -> list[str]:
        now = self._clock()
        if self._left is None:
            facts = [f"{duration(now - self._began)} so far"]
        else:
            seconds, at = self._left
            facts = [f"{duration(max(0.0, seconds - (now - at)))} left"]
        if self._strings > self._strings_done:
            facts.append(f"{self._strings_done}/{self._strings} strings")
        if self._images:
            facts.append(f"{self._images_done}/{self._images} images")
        if self._steps:
            facts.append(f"{self._steps_done}/{self._steps} steps")
        return facts

    def _doing(self) -> list[str]:
        if self._busy is not None:
            about, since = self._busy
            return [about[0], duration(self._clock() - since), *about[1:]]
        image = self._making.get(self._current) if self._current is not None else None
        if image is None:
            return []
        steps = [f"step {image.done}/{image.total}"] if image.total else []
        return [f"image {image.ordinal} of {max(self._images, image.ordinal)}", *steps, *image.about]

    def _room(self) -> list[str]:
        facts = []
        if self._memory is not None:
            used = self._memory.device if self._memory.device is not None else self._memory.resident
            if used is not None:
                facts.append(f"memory {sized(used)}")
        if self._loads:
            facts.append(f"{self._loads_done}/{self._loads} loads")
        if self._predicted is not None:
            facts.append(f"planned {sized(self._predicted.most)} at most")
        return facts

    def _begin(self, event: GenerateStarted) -> None:
        self._current = event.step, event.number
        if self._current in self._making:
            return  # begun again, for want of memory
        self._begun += 1
        prompt = printable(event.prompt)
        about = [part for part in (printable(event.model), f"seed {event.seed}", prompt) if part]
        self._making[self._current] = _Image(self._begun, about)

    def _step(self, event: DenoiseStep) -> None:
        image = event.step, event.number
        if (made := self._making.get(image)) is not None:
            self._current = image
            self._steps_done += max(0, event.done - made.done)
            self._making[image] = _Image(made.ordinal, made.about, event.done, event.total)


def _line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")
