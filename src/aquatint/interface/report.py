"""Diagnostics on a stream: coloured on a terminal, as JSON where a program reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TextIO

from aquatint.diagnostics import Diagnostic, Role, Severity, rendered_lines
from aquatint.interface.colour import console
from aquatint.source import Span

JSON_VERSION = 1
"""Of the lines of JSON about diagnostics; fields may be added to a version, none changed or taken away."""

_STYLES: dict[Role, str] = {
    "error": "bold red", "warning": "bold yellow", "message": "bold", "place": "dim", "second": "bold blue",
    "help": "cyan", "source": "",
}  # fmt: skip


def write_diagnostics(diagnostics: Iterable[Diagnostic], stream: TextIO, explain: str = "aquatint explain") -> None:
    """Write each of `diagnostics`, how many there were, and on a terminal that `explain` says more of their codes."""
    items = list(diagnostics)
    for item in items:
        write_diagnostic(item, stream)
        stream.write("\n")
    if items:
        failed = any(item.severity == "error" for item in items)
        stream.write(counted(items) + ("; nothing was loaded or written\n" if failed else "\n"))
        if stream.isatty():
            stream.write(f"for more: {explain} {' '.join(dict.fromkeys(item.code for item in items))}\n")
    stream.flush()


def write_diagnostic(diagnostic: Diagnostic, stream: TextIO) -> None:
    """Write one diagnostic and nothing else."""
    terminal = console(stream)
    for line in rendered_lines(diagnostic):
        if terminal is None:
            stream.write("".join(text for text, _ in line) + "\n")
        else:
            from rich.text import Text

            pieces = [(text, _STYLES[role]) for text, role in line]
            terminal.print(Text.assemble(*pieces), soft_wrap=True)


def counted(diagnostics: Iterable[Diagnostic]) -> str:
    """Return how many errors and warnings there are, as in `2 errors, 1 warning`."""
    numbers = count(diagnostics)
    return ", ".join(f"{number} {kind}{'' if number == 1 else 's'}" for kind, number in numbers.items() if number)


def count(diagnostics: Iterable[Diagnostic]) -> dict[Severity, int]:
    """Return how many errors and warnings there are."""
    numbers: dict[Severity, int] = {"error": 0, "warning": 0}
    for diagnostic in diagnostics:
        numbers[diagnostic.severity] += 1
    return numbers


def write_json_diagnostics(diagnostics: Iterable[Diagnostic], stream: TextIO) -> None:
    """Write each of `diagnostics` as one line of JSON."""
    for diagnostic in diagnostics:
        _write_line({"event": "diagnostic", **as_json(diagnostic)}, stream)
    stream.flush()


def write_json_summary(file: str, diagnostics: Iterable[Diagnostic], stream: TextIO) -> None:
    """Write the line that ends the check of `file`: how many errors and warnings there are."""
    numbers = count(diagnostics)
    totals = {"errors": numbers["error"], "warnings": numbers["warning"]}
    _write_line({"event": "checked", "version": JSON_VERSION, "file": file, **totals}, stream)
    stream.flush()


def _write_line(event: dict[str, Any], stream: TextIO) -> None:
    # ASCII, which any stream takes, whatever is in a message.
    stream.write(json.dumps(event, separators=(",", ":")) + "\n")


def as_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return `diagnostic` as a JSON object; one that has no place in a text lacks the fields of places."""
    return {
        "version": JSON_VERSION, "severity": diagnostic.severity, "code": diagnostic.code,
        "message": diagnostic.message, **({} if diagnostic.span is None else _place(diagnostic.span)),
        "label": diagnostic.label, "help": diagnostic.help,
        "labels": [{"text": label.text, **_place(label.span)} for label in diagnostic.labels],
        "explain": f"aquatint explain {diagnostic.code}",
    }  # fmt: skip


def _place(span: Span) -> dict[str, Any]:
    """Return a span's fields; lines and columns count from 1, in code points, the end is behind the last one."""
    end_line, end_column = span.source.position(span.end)
    return {
        "file": span.source.name, "line": span.line, "column": span.column, "end_line": end_line,
        "end_column": end_column,
    }  # fmt: skip
