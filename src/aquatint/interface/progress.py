"""Shows a run while it goes: live on a terminal, as plain lines, as JSON, or only what failed.

Progress and failures go to the error stream; what a script prints, and JSON, go to the output stream. All of it is
made from events; nothing here knows the executor.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO, runtime_checkable

import msgspec

from aquatint.interface.colour import live_console
from aquatint.interface.echo import Echo
from aquatint.plan.render import ranged, sized
from aquatint.plan.steps import Json
from aquatint.runtime.events import (
    DownloadFinished,
    DownloadStarted,
    EngineStarting,
    Event,
    Evicted,
    FetchFinished,
    FetchProgress,
    FetchStarted,
    GenerateStarted,
    GridWritten,
    ImageWritten,
    LoadFinished,
    LoadSpared,
    LoadStarted,
    Measured,
    ModelSaved,
    OutOfMemory,
    Printed,
    PromptsRewritten,
    Released,
    Returned,
    RewriteStarted,
    RunFinished,
    Rung,
    RunStarted,
    SaveStarted,
    StatementFailed,
    StatementSkipped,
    TableWritten,
    Warned,
)

if TYPE_CHECKING:
    from rich.live import Live
    from rich.progress import Progress

    from aquatint.interface.live_area import LiveArea

_DRAWN_EACH_SECOND = 8

_REMEDIES: dict[Rung, str] = {
    "release": "releasing what it doesn't use",
    "turns": "having one component in memory at a time",
    "unbatched": "making its images one at a time, which changes pixels",
    "tiling": "decoding in tiles, which changes pixels",
}


class Mode(StrEnum):
    """How a run is shown."""

    AUTO = "auto"  # live on a terminal, plain elsewhere
    LIVE = "live"
    PLAIN = "plain"
    QUIET = "quiet"  # failures alone, not even what the script prints
    JSON = "json"  # each event as a line on the output stream


@runtime_checkable
class Reporter(Protocol):
    """Takes events as they come. Leaving it as a context gives the terminal back, whatever happened."""

    def __call__(self, event: Event) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def reporter(mode: Mode, out: TextIO, err: TextIO) -> Reporter:
    """Return what shows a run, or one run after the other, in `mode`."""
    match mode:
        case Mode.JSON:
            return _Json(out)
        case Mode.QUIET:
            return _Quiet(err)
        case Mode.LIVE:
            return _Live(out, err)
        case Mode.AUTO if err.isatty() and os.environ.get("TERM") != "dumb":
            return _Live(out, err)
        case _:
            return _Plain(out, err)


def reporter_of(on_event: Callable[[Event], object] | None) -> Reporter:
    """Return `on_event` as a reporter, which it may be."""
    return on_event if isinstance(on_event, Reporter) else _Told(on_event)


def as_json(event: Event) -> dict[str, Json]:
    """Return the object that a line of JSON holds of `event`."""
    told: dict[str, Json] = msgspec.to_builtins(event)
    if isinstance(event, Measured):
        told["values"] = {name: n if math.isfinite(n) else str(n) for name, n in event.values.items()}
    return told


class PlainContext:
    """What a reporter is as a context, if it has nothing to give back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class _Told(PlainContext):
    """Hands events on."""

    def __init__(self, on_event: Callable[[Event], object] | None) -> None:
        self._on_event = on_event

    def __call__(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)


class _Json(PlainContext):
    def __init__(self, out: TextIO) -> None:
        self.out = out

    def __call__(self, event: Event) -> None:
        # json, not msgspec's encoder: its lines are ASCII, so any stream and any odd file name will do.
        self.out.write(json.dumps(as_json(event), separators=(",", ":"), allow_nan=False) + "\n")
        self.out.flush()


class _Quiet(PlainContext):
    def __init__(self, err: TextIO) -> None:
        self.err = err

    def __call__(self, event: Event) -> None:
        if isinstance(event, StatementFailed):
            _write(self.err, [plain(line) for line in _failure(event)])


class _Plain(PlainContext):
    def __init__(self, out: TextIO, err: TextIO) -> None:
        self.out = out
        self.err = err
        self.log = Log()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Printed):
            _write(self.out, [printable_text(event.text)])
        _write(self.err, [plain(line) for line in self.log.lines(event)])


class _Live:
    """The log, and under it an area that tells how far the run is, while it goes."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self.out = out
        self.console = live_console(err)
        self.log = Log(lambda: self.console.width)
        self.area: LiveArea | None = None
        self.drawn: Live | None = None
        self.fetching: Progress | None = None
        self.echo = Echo()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def __call__(self, event: Event) -> None:
        if self.area is not None:
            self.area.feed(event)
        match event:
            case RunStarted() if event.images or event.loads:
                self._start(event)
            case RunFinished() | FetchFinished():
                self._stop()
            case FetchStarted():
                self._start_fetching(event)
            case FetchProgress() if self.fetching is not None:
                self.fetching.update(self.fetching.task_ids[0], completed=event.done)
            case Printed():
                self._print(event)
            case _:
                pass
        for line in self.log.lines(event):
            self._show(line)

    def _start(self, event: RunStarted) -> None:
        from rich.live import Live

        from aquatint.interface.live_area import LiveArea

        self._stop()
        self.area = LiveArea(event)
        self.drawn = Live(self.area, console=self.console, refresh_per_second=_DRAWN_EACH_SECOND, transient=True)
        self.echo.stop()
        self.drawn.start()

    def _start_fetching(self, event: FetchStarted) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

        self._stop()
        columns = BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn()
        self.fetching = Progress(*columns, console=self.console, refresh_per_second=_DRAWN_EACH_SECOND, transient=True)
        self.fetching.add_task("", total=event.bytes)
        self.echo.stop()
        self.fetching.start()

    def _stop(self) -> None:
        try:
            for shown in (self.drawn, self.fetching):
                if shown is not None:
                    shown.stop()
        finally:
            self.echo.go_on()
        self.area = self.drawn = self.fetching = None

    def _print(self, event: Printed) -> None:
        # The area is on the same terminal, as a rule: it makes room.
        if self.drawn is not None:
            self.drawn.stop()
        _write(self.out, [printable_text(event.text)])
        if self.drawn is not None:
            self.drawn.start()

    def _show(self, line: Line) -> None:
        from rich.text import Text

        self.console.print(Text.assemble(*line), soft_wrap=True)


Line = list[tuple[str, str]]
"""A line as pieces of text, free of control characters, each with a rich style that may be empty."""


def plain(line: Line) -> str:
    """Return `line` without its styles."""
    return "".join(text for text, _ in line)


class Log:
    """Makes the lines that stay: one for each thing done, and the summary at the end of a run."""

    def __init__(self, columns: Callable[[], int | None] = lambda: None) -> None:
        self.columns = columns  # of the terminal; None where there is none
        self.started = RunStarted(0, 0, 0)
        self.loading: dict[str, LoadStarted] = {}  # by step
        self.failures: list[StatementFailed] = []
        self.statements: set[str] = set()  # the steps that have been begun
        self.saves = 0

    def lines(self, event: Event) -> list[Line]:
        """Return the lines that `event` adds."""
        match event:
            case EngineStarting():
                return [[(f"importing the libraries for {printable(event.device)} ...", "dim")]]
            case FetchStarted():
                kept = f", {sized(event.kept)} are there" if event.kept else ""
                what = f"{sized(event.bytes)} in {number(event.files, 'file')}{kept}"
                return [[(f"fetching {printable(event.repository)}: {what} ...", "dim")]]
            case FetchFinished():
                return [_fetched(event)]
            case DownloadStarted():
                return [[(f"fetching {printable(event.address)} ...", "dim")]]
            case DownloadFinished():
                if event.failed:
                    return []  # why, is said as a mistake of the script
                return [_done("fetched", printable(event.address), sized(event.bytes), duration(event.seconds))]
            case RunStarted():
                self.started = event
                self.loading, self.failures, self.statements, self.saves = {}, [], set(), 0
                return []
            case GenerateStarted():
                self.statements.add(event.step)
                return []
            case LoadStarted():
                self.loading[event.step] = event
                return []
            case LoadFinished():
                return [self._loaded(event)]
            case LoadSpared():
                return [_done("spared", event.role, "nothing asked for it")]
            case RewriteStarted():
                self.statements.add(event.step)
                return []
            case PromptsRewritten():
                strings = number(len(event.texts), "string")
                head = _done("rewrote", event.upscaler, strings, duration(event.seconds))
                return [head, *([(f"  {printable(text)}", "dim")] for text in event.texts)]
            case ImageWritten():
                verb, what = ("made", "what others need") if event.path is None else ("wrote", event.path)
                return [_done(verb, what, f"seed {event.seed}", duration(event.seconds))]
            case GridWritten():
                return [_done("wrote", event.path, f"sheet of {number(event.cells, 'picture')}")]
            case TableWritten():
                return [_done("wrote", event.path, f"table of {number(event.pairs, 'pair')}")]
            case SaveStarted():
                self.statements.add(event.step)
                self.saves += 1
                return []
            case ModelSaved():
                return [_done("saved", event.path, sized(event.bytes), duration(event.seconds))]
            case Released():
                return [_done("released", event.role)]
            case Evicted():
                return [_done("evicted", event.role, sized(event.bytes), duration(event.seconds))]
            case Returned():
                return [_done("returned", event.role, sized(event.bytes), duration(event.seconds))]
            case Warned():
                return [[("warning: ", "yellow"), (printable(event.message), "")]]
            case OutOfMemory():
                return [[("out of memory ", "yellow"), (f"{printable(event.doing)}: {_REMEDIES[event.rung]}", "")]]
            case StatementSkipped():
                return [[("skipped ", "yellow"), (f"{printable(event.place)}: {printable(event.reason)}", "")]]
            case StatementFailed():
                self.failures.append(event)
                self.statements.add(event.step)
                return _failure(event)
            case RunFinished():
                return self._summary(event)
            case _:
                return []

    def _loaded(self, event: LoadFinished) -> Line:
        begun = self.loading.pop(event.step, None)
        facts = [event.role]
        if begun is not None:
            facts.append(begun.class_name)
            if begun.quantizer is not None:
                facts.append(begun.quantizer)
        if event.bytes:
            facts.append(sized(event.bytes))
        if begun is not None and begun.quantizer is not None:
            facts.append(f"{event.quantized_layers} of {number(event.layers, 'layer')} quantized")
        if event.from_store:
            facts.append("from the store")
        if event.beside:
            facts.append("beside the run")
        return _done("loaded", *facts, duration(event.seconds))

    def _summary(self, event: RunFinished) -> list[Line]:
        lines: list[Line] = self._table(event)
        failed = number(event.failed, "failure")
        if self.started.images or event.loads or event.written:
            made = number(event.images, "image")
            if event.images < self.started.images:
                made = f"{event.images} of {number(self.started.images, 'image')}"
            if self.saves:
                models = f"{number(self.saves, 'model')} saved"
                if event.saved < self.saves:
                    models = f"{event.saved} of {models}"
                made = f"{made}, {models}" if self.started.images else models
            if event.strings:
                strings = f"{number(event.strings, 'string')} rewritten"
                made = f"{made}, {strings}" if self.started.images or self.saves else strings
            beside = f", {event.beside} of them beside the run" if event.beside else ""
            restored = f", {event.restored} from the store" if event.restored else ""
            work = [
                f"{number(event.loads, 'load')} ({event.quantizations} quantized{beside}{restored})",
                number(event.reuses, "reuse"),
                number(event.releases, "release"),
                *([failed] if event.failed else []),
                *([f"{event.skipped} skipped"] if event.skipped else []),
            ]
            lines.append([(made, "bold"), (f" in {duration(event.seconds)}: {', '.join(work)}", "")])
        elif event.outputs and event.done == event.outputs and event.skipped:
            lines.append([(number(event.outputs, "output"), "bold"), (" done already", "")])
        lines += _peaks(event)
        if self.failures and len(self.statements) > 1:  # a lone statement's failure has just been said
            lines.append([(f"{failed}:", "bold red")])
            lines += [
                [("  ", ""), (printable(failure.place), "cyan"), (f"  {printable(failure.message)}", "")]
                for failure in self.failures
            ]
        if event.interrupted:
            done = (
                f": {event.done} of {number(event.outputs, 'output')} done; run again to go on" if event.outputs else ""
            )
            lines.append([("interrupted", "bold yellow"), (done, "")])
        return lines

    def _table(self, event: RunFinished) -> list[Line]:
        if len(self.statements) < 2 or not event.models:
            return []
        from aquatint.interface.model_table import model_table

        head, *rows = model_table(event.models, self.columns())
        return [[(head, "dim")], *([(row, "")] for row in rows)]


def _peaks(event: RunFinished) -> list[Line]:
    """Return the line that has the planned peak beside the measured one."""
    if event.predicted_peak is None or event.measured_peak is None:
        return []
    what = {"own": "of the process", "resident": "of the process, files included", "device": "of the device", None: ""}
    planned, measured = ranged(event.predicted_peak), sized(event.measured_peak)
    return [
        [(f"peak memory: {planned} of weights and work planned, {measured} {what[event.measured_by]} measured", "")]
    ]


def _done(verb: str, *facts: str) -> Line:
    first, *rest = (printable(fact) for fact in facts)
    return [(f"{verb} ", "green"), (first, ""), ("".join(f"  {fact}" for fact in rest), "dim")]


def _fetched(event: FetchFinished) -> Line:
    if not event.failed:
        return _done("fetched", event.repository, sized(event.done), duration(event.seconds))
    kept = f": {sized(event.done)} of {sized(event.bytes)} have come and are kept; run again to go on"
    return [("interrupted" if event.interrupted else "broken off", "bold yellow"), (kept, "")]


def _failure(event: StatementFailed) -> list[Line]:
    head, *more = event.message.splitlines() or [""]
    lines: list[Line] = [[("error", "bold red"), (f": {printable(head)}", "bold")]]
    lines += [[(f"  {printable(line)}", "")] for line in more]
    lines.append([(" --> ", "blue"), (printable(event.place), "")])
    if event.help:
        lines.append([("  = help: ", "blue"), (printable(event.help), "")])
    if event.written:
        lines.append([("  = written before: ", "blue"), (", ".join(map(printable, event.written)), "")])
    return lines


def printable(text: str) -> str:
    """Return `text` as one line that cannot steer a terminal: no control characters, no reversals of direction."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)


def printable_text(text: str) -> str:
    """Return `text` as `printable` does, but with its lines and tabs."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def number(count: int, noun: str) -> str:
    """Return "1 image", "2 images"."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """Return a time such as "0.3 s", "2 min 05 s" or "1 h 02 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _write(stream: TextIO, lines: Iterable[str]) -> None:
    for line in lines:
        try:
            stream.write(line + "\n")
        except UnicodeEncodeError:
            # The stream's encoding is poorer than the text: what it lacks is shown escaped.
            encoding = stream.encoding or "ascii"
            stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
