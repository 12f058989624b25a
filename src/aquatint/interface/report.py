"""Diagnostics and plans on a stream: coloured on a terminal, as JSON where a program reads them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from typing import Any, TextIO

from aquatint.diagnostics import Diagnostic, render

_CODES = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "help": "\x1b[36m", "caret": "\x1b[1;31m", "place": "\x1b[2m"}
_RESET = "\x1b[0m"


def colours(stream: TextIO) -> bool:
    """Return whether to colour what is written to `stream` (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write_diagnostics(diagnostics: Iterable[Diagnostic], stream: TextIO) -> None:
    """Write each of `diagnostics`, and how many errors there were."""
    errors = 0
    for diagnostic in diagnostics:
        text = render(diagnostic)
        stream.write((_coloured(text) if colours(stream) else text) + "\n\n")
        errors += diagnostic.severity == "error"
    if errors:
        stream.write(f"{errors} error{'s' if errors > 1 else ''}; nothing was loaded or written\n")
    stream.flush()


def write_json_diagnostics(diagnostics: Iterable[Diagnostic], stream: TextIO) -> None:
    """Write each of `diagnostics` as one line of JSON."""
    for diagnostic in diagnostics:
        stream.write(json.dumps({"event": "diagnostic", **as_json(diagnostic)}, separators=(",", ":")) + "\n")
    stream.flush()


def as_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return `diagnostic` as a JSON object; lines and columns count from 1, the end is behind the last character."""
    place: dict[str, Any] = {}
    if diagnostic.span is not None:
        span = diagnostic.span
        end_line, end_column = span.source.position(span.end)
        place = {
            "file": span.source.name, "line": span.line, "column": span.column, "end_line": end_line,
            "end_column": end_column,
        }  # fmt: skip
    return {
        "severity": diagnostic.severity, "code": diagnostic.code, "message": diagnostic.message, **place,
        "help": diagnostic.help,
        "labels": [{"place": str(label.span), "text": label.text} for label in diagnostic.labels],
    }  # fmt: skip


def _coloured(text: str) -> str:
    head, *rest = text.split("\n")
    kind = head.partition("[")[0]
    lines = [f"{_CODES.get(kind, '')}{head.partition(':')[0]}{_RESET}\x1b[1m:{head.partition(':')[2]}{_RESET}"]
    for line in rest:
        if re.match(r"^ *= help:|^ *help:", line):
            lines.append(f"{_CODES['help']}{line}{_RESET}")
        elif re.match(r"^ *\| +\^", line):
            bar, _, carets = line.partition("|")
            lines.append(f"{_CODES['place']}{bar}|{_RESET}{_CODES['caret']}{carets}{_RESET}")
        elif re.match(r"^ *(-->|:::|\|$)", line):
            lines.append(f"{_CODES['place']}{line}{_RESET}")
        else:
            lines.append(line)
    return "\n".join(lines)
