"""The plain REPL: statements are read, planned and run one by one; names and models stay.

Reads with Python's own line editing; an editor of its own is for later.
"""

from __future__ import annotations

import contextlib
import sys

from aquatint.diagnostics import Diagnostic
from aquatint.interface.commands.explain import explain
from aquatint.interface.exits import Refusal
from aquatint.interface.report import write_diagnostic, write_diagnostics
from aquatint.interface.session import Outcome, Session
from aquatint.language.values import Result, shown
from aquatint.source import Source

_BANNER = "aquatint {version}: type a statement, or `help`; Ctrl-D leaves\n"
_HELP = """\
Each statement is planned and run when it is whole; an open `{` or `(` goes on on the next line, an empty line ends it.
Names stay, and so do loaded models: a second `generate` loads nothing.

    quantizer q8 { backend: sdnq, weights_dtype: int8 }
    model shapes { source: "builtin:shapes", quantizer: q8 }
    generate shapes { prompt: "a red circle on a white background", seed: 1, output: "circle.png" }

`loaded` lists what is in memory, `names` what is bound, `explain CODE` says what a mistake means, `quit` or Ctrl-D
leaves, Ctrl-C stops a statement.
"""


def converse(session: Session) -> int:
    """Read and run statements until the input ends; return the exit code."""
    import aquatint

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # gives `input` its line editing
    sys.stdout.write(_BANNER.format(version=aquatint.__version__))
    lines: list[str] = []
    while True:
        try:
            line = input("...> " if lines else "aqt> ")
        except EOFError:
            sys.stdout.write("\n")
            return 0
        except KeyboardInterrupt:
            lines.clear()
            sys.stdout.write("\n")
            continue
        command = line.strip() if not lines else ""
        if command in ("quit", "exit"):
            return 0
        if command.partition(" ")[0] == "explain":
            _explain(command.split()[1:])
            continue
        if command in ("help", "loaded", "names"):
            sys.stdout.write(_told(command, session))
            continue
        ends = not line.strip() and bool(lines)
        lines.append(line)
        text = "\n".join(lines)
        if not text.strip():
            lines.clear()
            continue
        if _feed(session, text, ends):
            lines.clear()


def _feed(session: Session, text: str, ends: bool) -> bool:
    """Run `text`; return whether it is done with, and not waiting for more lines."""
    try:
        outcome = session.feed(Source("<repl>", text))
    except KeyboardInterrupt:
        sys.stdout.write("interrupted\n")
        return True
    if outcome.incomplete and not ends:
        return False
    write_diagnostics(outcome.diagnostics, sys.stderr, explain="explain")
    _show_values(outcome)
    return True


def _explain(names: list[str]) -> None:
    try:
        explain(names, sys.stdout)
    except Refusal as refusal:
        write_diagnostic(Diagnostic(refusal.code, str(refusal), help=refusal.help), sys.stderr)


def _show_values(outcome: Outcome) -> None:
    for value in outcome.values:
        if value is not None and not isinstance(value, Result):
            sys.stdout.write(shown(value) + "\n")


def _told(command: str, session: Session) -> str:
    match command:
        case "help":
            return _HELP
        case "names":
            own = session.interpreter.own_names()
            return ("\n".join(own) if own else "nothing is bound yet") + "\n"
    held = session.loaded()
    return "".join(f"{line}\n" for line in held) if held else "nothing is loaded\n"
