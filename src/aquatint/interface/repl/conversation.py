"""The loop of the interactive session: statements are read, planned and run one by one; names and models stay.

What lines with `:` do is in `commands`, what becomes of a statement in `interface.session`. On a terminal that can,
texts are typed in the `editor`; elsewhere line by line.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from aquatint.diagnostics import Diagnostic
from aquatint.interface.exits import Refusal
from aquatint.interface.repl.commands import Answer, answer
from aquatint.interface.repl.preferences import Look
from aquatint.interface.repl.preview import preview
from aquatint.interface.repl.terminal import Graphics, graphics
from aquatint.interface.report import write_diagnostic, write_diagnostics
from aquatint.interface.session import Outcome, Session
from aquatint.language.values import Result, shown
from aquatint.source import Source

_BANNER = "aquatint {version}: type a statement, or `:help`; Ctrl-D leaves\n"


def converse(session: Session, *, previews: bool = False) -> int:
    """Read and run statements until the input ends; return the exit code.

    With `previews` the pictures that statements write are shown, as well as the terminal can.
    """
    import aquatint

    session.stop_at_once()
    read = _reader(session)
    look = Look(graphics=graphics() if previews else Graphics.OFF)
    sys.stdout.write(_BANNER.format(version=aquatint.__version__))
    lines: list[str] = []
    while True:
        try:
            line = read("...> " if lines else "aqt> ")
        except EOFError:
            sys.stdout.write("\n")
            return 0
        except KeyboardInterrupt:
            lines.clear()
            sys.stdout.write("\n")
            continue
        lines.append(line)
        text = "\n".join(lines)
        ends = "\n" in text and not text.rpartition("\n")[2].strip()
        if not text.strip():
            lines.clear()
            continue
        given = _given(session, text, look)
        if given.outcome is not None and given.outcome.incomplete and not ends:
            continue
        lines.clear()
        _show(given)
        if given.outcome is not None:
            _show_pictures(given.outcome, look)
        if given.leaves:
            return 0


def _reader(session: Session) -> Callable[[str], str]:
    """Return what reads a text, or a line of one, after a prompt."""
    if sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        # An extra brings what it needs.
        with contextlib.suppress(ModuleNotFoundError):
            from platformdirs import user_state_path

            from aquatint.interface.repl.editor import Editor

            return Editor(session, user_state_path("aquatint", appauthor=False) / "history").read
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # gives `input` its line editing
    return input


def _given(session: Session, text: str, look: Look) -> Answer:
    """Return what `text`, a statement or a command, comes to."""
    try:
        if text.lstrip().startswith(":"):
            return answer(session, text.strip(), look)
        return Answer(outcome=session.feed(Source("<repl>", text)))
    except Refusal as refusal:
        write_diagnostic(Diagnostic(refusal.code, str(refusal), help=refusal.help), sys.stderr)
        return Answer()
    except KeyboardInterrupt:
        return Answer("interrupted\n")


def _show(given: Answer) -> None:
    if given.outcome is not None:
        write_diagnostics(given.outcome.diagnostics, sys.stderr, explain=":help")
        _show_values(given.outcome)
    sys.stdout.write(given.text)


def _show_pictures(outcome: Outcome, look: Look) -> None:
    if outcome.finished is None or look.graphics is Graphics.OFF or not sys.stdout.isatty():
        return
    true_colour = os.environ.get("COLORTERM") in ("truecolor", "24bit")
    width = min(look.columns, shutil.get_terminal_size().columns)
    found = (preview(Path(name), look.graphics, width, true_colour=true_colour) for name in outcome.finished.written)
    for text in itertools.islice(filter(None, found), look.pictures):
        sys.stdout.write(text)


def _show_values(outcome: Outcome) -> None:
    for value in outcome.values:
        if value is not None and not isinstance(value, Result):
            sys.stdout.write(shown(value) + "\n")
