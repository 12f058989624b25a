"""Shows a run while it goes: live on a terminal, as plain lines, as JSON, or only what failed.

Progress and failures go to the error stream; what a script prints, and JSON, go to the output stream. All of it is
made from events; nothing here knows the executor.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

import msgspec

from aquatint.interface.colour import live_console
from aquatint.plan.render import sized
from aquatint.runtime.events import (
    DenoiseStep,
    EngineStarting,
    Event,
    GenerateStarted,
    GridWritten,
    ImageWritten,
    LoadFinished,
    LoadStarted,
    ModelSaved,
    Printed,
    Released,
    RunFinished,
    RunStarted,
    SaveStarted,
    StatementFailed,
    StatementSkipped,
    Warned,
)

if TYPE_CHECKING:
    from rich.progress import Progress

_PROMPT_SHOWN = 40  # characters of a prompt beside its progress bar


class Mode(StrEnum):
    """How a run is shown."""

    AUTO = "auto"  # live on a terminal, plain elsewhere
    LIVE = "live"
    PLAIN = "plain"
    QUIET = "quiet"  # failures alone, not even what the script prints
    JSON = "json"  # each event as a line on the output stream


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


class _Context:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class _Json(_Context):
    def __init__(self, out: TextIO) -> None:
        self.out = out

    def __call__(self, event: Event) -> None:
        # json, not msgspec's encoder: its lines are ASCII, so any stream and any odd file name will do.
        self.out.write(json.dumps(msgspec.to_builtins(event), separators=(",", ":")) + "\n")
        self.out.flush()


class _Quiet(_Context):
    def __init__(self, err: TextIO) -> None:
        self.err = err

    def __call__(self, event: Event) -> None:
        if isinstance(event, StatementFailed):
            _write(self.err, [plain(line) for line in _failure(event)])


class _Plain(_Context):
    def __init__(self, out: TextIO, err: TextIO) -> None:
        self.out = out
        self.err = err
        self.log = Log()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Printed):
            _write(self.out, [printable_text(event.text)])
        _write(self.err, [plain(line) for line in self.log.lines(event)])


class _Live:
    """The log, and under it bars for the run and for what is being done, while a run goes."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self.out = out
        self.err = err
        self.log = Log()
        self.progress: Progress | None = None
        self.activity: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted() if event.images or event.loads:
                self._start(event)
            case RunFinished():
                self._stop()
            case Printed():
                self._print(event)
            case _:
                self._advance(event)
        self._show(self.log.lines(event))

    def _start(self, event: RunStarted) -> None:
        # Imported here: whoever has no terminal needs no rich.
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._stop()
        self.progress = Progress(
            SpinnerColumn(),
            BarColumn(24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[count]}", markup=False),
            TextColumn("{task.description}", markup=False),
            console=live_console(self.err),
            transient=True,
        )
        self.images = self.progress.add_task("images", total=event.images or None, count=f"0/{event.images}")
        self.current = self.progress.add_task("", total=None, count="", visible=False)
        self.total, self.done = event.images, 0
        self.progress.start()

    def _stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def _print(self, event: Printed) -> None:
        # The bars are on the same terminal, as a rule: they make room.
        if self.progress is not None:
            self.progress.stop()
        _write(self.out, [printable_text(event.text)])
        if self.progress is not None:
            self.progress.start()

    def _advance(self, event: Event) -> None:
        if self.progress is None:
            return
        match event:
            case LoadStarted():
                about = [event.role, event.class_name, event.quantizer or "", sized(event.bytes) if event.bytes else ""]
                text = "loading " + "  ".join(printable(part) for part in about if part)
                self.progress.reset(self.current, description=text, total=None, count="", visible=True)
            case SaveStarted():
                text = f"saving {printable(event.model)}  {printable(event.path)}  {sized(event.bytes)}"
                self.progress.reset(self.current, description=text, total=None, count="", visible=True)
            case LoadFinished() | ModelSaved() | StatementFailed():
                self.progress.update(self.current, visible=False)
            case GenerateStarted():
                prompt = printable(event.prompt)
                if len(prompt) > _PROMPT_SHOWN:
                    prompt = prompt[: _PROMPT_SHOWN - 1] + "…"
                text = "  ".join(part for part in (printable(event.model), f"seed {event.seed}", prompt) if part)
                self.progress.reset(self.current, description=text, total=None, count="", visible=True)
            case DenoiseStep():
                count = f"{event.done}/{event.total}"
                self.progress.update(self.current, completed=event.done, total=event.total, count=count)
            case ImageWritten():
                self.done += 1
                self.progress.update(self.images, completed=self.done, count=f"{self.done}/{self.total}")
                self.progress.update(self.current, visible=False)
            case _:
                pass

    def _show(self, lines: Iterable[Line]) -> None:
        from rich.text import Text

        console = live_console(self.err) if self.progress is None else self.progress.console
        for line in lines:
            console.print(Text.assemble(*line), soft_wrap=True)


Line = list[tuple[str, str]]
"""A line as pieces of text, free of control characters, each with a rich style that may be empty."""


def plain(line: Line) -> str:
    """Return `line` without its styles."""
    return "".join(text for text, _ in line)


class Log:
    """Makes the lines that stay: one for each thing done, and the summary at the end of a run."""

    def __init__(self) -> None:
        self.started = RunStarted(0, 0, 0)
        self.loading: LoadStarted | None = None
        self.failures: list[StatementFailed] = []
        self.statements = 0
        self.saves = 0

    def lines(self, event: Event) -> list[Line]:
        """Return the lines that `event` adds."""
        match event:
            case EngineStarting():
                return [[(f"importing the libraries for {printable(event.device)} ...", "dim")]]
            case RunStarted():
                self.started = event
                self.failures = []
                self.statements = self.saves = 0
                return []
            case GenerateStarted():
                self.statements += 1
                return []
            case LoadStarted():
                self.loading = event
                return []
            case LoadFinished():
                return [self._loaded(event)]
            case ImageWritten():
                return [_done("wrote", event.path, f"seed {event.seed}", duration(event.seconds))]
            case GridWritten():
                return [_done("wrote", event.path, f"sheet of {number(event.cells, 'picture')}")]
            case SaveStarted():
                self.statements += 1
                self.saves += 1
                return []
            case ModelSaved():
                return [_done("saved", event.path, sized(event.bytes), duration(event.seconds))]
            case Released():
                return [_done("released", event.role)]
            case Warned():
                return [[("warning: ", "yellow"), (printable(event.message), "")]]
            case StatementSkipped():
                return [[("skipped ", "yellow"), (f"{printable(event.place)}: {printable(event.reason)}", "")]]
            case StatementFailed():
                self.failures.append(event)
                return _failure(event)
            case RunFinished():
                return self._summary(event)
            case _:
                return []

    def _loaded(self, event: LoadFinished) -> Line:
        begun = self.loading
        facts = [event.role]
        if begun is not None and begun.step == event.step:
            facts.append(begun.class_name)
            if begun.quantizer is not None:
                facts.append(begun.quantizer)
        if event.bytes:
            facts.append(sized(event.bytes))
        if begun is not None and begun.quantizer is not None:
            facts.append(f"{event.quantized_layers} of {number(event.layers, 'layer')} quantized")
        if event.from_store:
            facts.append("from the store")
        return _done("loaded", *facts, duration(event.seconds))

    def _summary(self, event: RunFinished) -> list[Line]:
        lines: list[Line] = []
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
            restored = f", {event.restored} from the store" if event.restored else ""
            work = [
                f"{number(event.loads, 'load')} ({event.quantizations} quantized{restored})",
                number(event.reuses, "reuse"),
                number(event.releases, "release"),
                *([failed] if event.failed else []),
                *([f"{event.skipped} skipped"] if event.skipped else []),
            ]
            lines.append([(made, "bold"), (f" in {duration(event.seconds)}: {', '.join(work)}", "")])
        if self.failures and self.statements > 1:  # a lone statement's failure has just been said
            lines.append([(f"{failed}:", "bold red")])
            lines += [
                [("  ", ""), (printable(failure.place), "cyan"), (f"  {printable(failure.message)}", "")]
                for failure in self.failures
            ]
        if event.interrupted:
            lines.append([("interrupted", "bold yellow"), ("; the files that were written are whole", "")])
        return lines


def _done(verb: str, *facts: str) -> Line:
    first, *rest = (printable(fact) for fact in facts)
    return [(f"{verb} ", "green"), (first, ""), ("".join(f"  {fact}" for fact in rest), "dim")]


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
