"""Standard input as a server: statements run as they come in, and what becomes of each is told in lines of JSON.

Here statements are cut from the input, numbered and told of; carrying them out is the session's. Nothing is read
ahead of the statement that runs, and no line is dropped: who doesn't write or doesn't read makes the stream wait.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, TextIO

from aquatint.diagnostics import Diagnostic, Diagnostics
from aquatint.interface import report
from aquatint.interface.exits import DONE, FAILED, INTERRUPTED, Refusal
from aquatint.interface.progress import PlainContext, as_json
from aquatint.interface.session import Outcome, Session
from aquatint.plan.steps import Json
from aquatint.runtime.events import Accepted, Done, Event
from aquatint.source import Source, Span
from aquatint.syntax import nodes as n
from aquatint.syntax.layout import balance
from aquatint.syntax.parser import Parse, parse

STATEMENT_LIMIT = 1 << 20
"""Bytes of a statement, and so of a line: what has more is refused, and never held as a whole."""

SHOWN_LIMIT = 200
"""Characters of a statement's first line that are told."""


def serve(session: Session, stream: BinaryIO, out: TextIO) -> int:
    """Run the statements of `stream` as they come, until it ends or an interrupt; return the exit code.

    If the reader of `out` leaves, the picture that is being made is finished, and then `BrokenPipeError` is raised.
    """
    lines = _Lines(out, session.stop)
    session.reporter = lines
    code = DONE
    try:
        for lines.statement, parsed in enumerate(statements(stream), 1):
            lines(_accepted(parsed.script.source))
            interrupted, done = _carry_out(session, parsed, lines)
            lines(done)
            if interrupted:
                return INTERRUPTED
            code = code if done.ok else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def statements(stream: BinaryIO) -> Iterator[Parse]:
    """Yield each statement of `stream` as soon as its last line is there; what stands on one line is one.

    What can't be read is one, too: a script without statements, and a diagnostic that says why.
    """
    number = first = depth = 0
    text = ""
    while line := stream.readline(STATEMENT_LIMIT + 1):
        number += 1
        first = first if text else number
        try:
            if len(text) + len(line) > STATEMENT_LIMIT:
                _skip_line(stream, line)
                raise Refusal("too-large", f"a statement of more than {STATEMENT_LIMIT >> 20} MiB",
                                  "make several statements of it")  # fmt: skip
            read = _decoded(line, "utf-8-sig" if number == 1 else "utf-8")
        except Refusal as wrong:
            shown = line[:SHOWN_LIMIT].decode("utf-8", "replace").rstrip()
            yield _unread(Source("<stdin>", text + shown, first), len(text), wrong)
            text, depth = "", 0
            continue
        text += read
        opened, begins = balance(read)
        depth += opened
        # Reading all again after each line of a long block would take time by the square of its lines.
        if depth > 0 and not begins and '"""' not in text:
            continue
        parsed = parse(Source("<stdin>", text, first))
        if parsed.incomplete:
            continue
        text, depth = "", 0
        if parsed.script.statements or parsed.diagnostics.items:
            yield parsed
    if text:
        yield parse(Source("<stdin>", text, first))


def _decoded(line: bytes, encoding: str) -> str:
    try:
        return line.decode(encoding)
    except UnicodeDecodeError:
        raise Refusal("not-utf-8", "this line is not text in UTF-8", "send UTF-8") from None


def _unread(source: Source, at: int, wrong: Refusal) -> Parse:
    """Return what was read of `source`, which is nothing for what is `wrong` with the line that begins `at`."""
    diagnostics = Diagnostics()
    diagnostics.add(Diagnostic(wrong.code, str(wrong), Span(source, at, len(source.text)), wrong.help))
    return Parse(n.Script(source, (), (), ()), diagnostics, incomplete=False)


def _skip_line(stream: BinaryIO, line: bytes) -> None:
    """Read up to the end of the line that begins with `line`."""
    while line and not line.endswith(b"\n"):
        line = stream.readline(STATEMENT_LIMIT)


def _accepted(source: Source) -> Accepted:
    line = source.line(source.first_line)
    indent = len(line) - len(line.lstrip())
    return Accepted(str(Span(source, indent, indent)), line.strip()[:SHOWN_LIMIT])


def _carry_out(session: Session, parsed: Parse, lines: _Lines) -> tuple[bool, Done]:
    """Run one statement and tell its mistakes; return whether it was interrupted, and its end."""
    try:
        outcome = session.carry_out(parsed)
    except KeyboardInterrupt:
        return True, Done(ok=False, files=[])
    except Refusal as refusal:
        lines.diagnose([Diagnostic(refusal.code, str(refusal), help=refusal.help)])
        return False, Done(ok=False, files=[])
    lines.diagnose(outcome.diagnostics.items)
    return _ended(outcome)


def _ended(outcome: Outcome) -> tuple[bool, Done]:
    finished = outcome.finished
    if finished is None:
        return False, Done(ok=outcome.plan is not None, files=[])
    is_whole = not finished.failed and finished.done == finished.outputs
    return finished.interrupted, Done(is_whole and not finished.interrupted, finished.written)


class _Lines(PlainContext):
    """Writes events and diagnostics, each with the number of the `statement` that it is of.

    Once the reader has left, `leave` is called, and what is told after that goes nowhere but for the end of a
    statement, which raises `BrokenPipeError`: an error in the middle would break off a picture.
    """

    def __init__(self, out: TextIO, leave: Callable[[], None]) -> None:
        self.statement = 0
        self._out = out
        self._leave = leave
        self._has_left = False

    def __call__(self, event: Event) -> None:
        self._write(as_json(event))
        if self._has_left and isinstance(event, Accepted | Done):
            raise BrokenPipeError

    def diagnose(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Tell `diagnostics`, in the form of `check --json`."""
        for diagnostic in diagnostics:
            self._write({"event": "diagnostic", **report.as_json(diagnostic)})

    def _write(self, told: dict[str, Json]) -> None:
        if self._has_left:
            return
        line = {"event": told["event"], "statement": self.statement, **told}
        try:
            self._out.write(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n")
            self._out.flush()
        except ConnectionError:
            self._has_left = True
            self._leave()
