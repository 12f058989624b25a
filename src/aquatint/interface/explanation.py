"""Entries of the registry of codes on a stream: with colours on a terminal, as plain text elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TextIO

from aquatint.codes import GROUPS, Code
from aquatint.interface.colour import console

_BLOCK = re.compile(r"^```(?P<kind>\w+)(?P<info>.*)\n(?P<text>(?:.*\n)*?)```$", re.MULTILINE)
_INDENT = "    "


def write_explanation(code: Code, stream: TextIO) -> None:
    """Write all that the registry has on `code`: prose as it is, or wrapped on a terminal, and scripts indented."""
    heading = f"{' or '.join(code.severities)}[{code.name}]"
    terminal = console(stream)
    if terminal is None:
        body = "\n\n".join(text if kind == "prose" else _indented(text) for kind, text in _pieces(code.text))
        stream.write(f"{heading}: {code.title}\n\n{body}\n\n")
        return
    from rich.markdown import Markdown
    from rich.text import Text

    colour = "bold red" if code.severities[0] == "error" else "bold yellow"
    terminal.print(Text.assemble((heading, colour), (f": {code.title}", "bold")))
    for kind, text in _pieces(code.text):
        terminal.print()
        if kind == "prose":
            terminal.print(Markdown(text))
        else:
            terminal.print(Text(_indented(text), "cyan" if kind == "aquatint" else ""), soft_wrap=True)
    terminal.print()


def write_listing(codes: Iterable[Code], stream: TextIO) -> None:
    """Write name and title of each of `codes`, which are sorted by group."""
    codes = list(codes)
    width = max(len(code.name) for code in codes)
    lines: list[tuple[tuple[str, str], ...]] = []
    for group, members in groupby(codes, key=lambda code: code.group):
        lines.append(((GROUPS[group], "bold"),))
        for code in members:
            title = code.title + (" (warning)" if code.severities[0] == "warning" else "")
            lines.append(((f"  {code.name:<{width}}", "cyan"), (f"  {title}", "")))
        lines.append(())
    lines.append((("aquatint explain CODE says more of one", ""),))
    terminal = console(stream)
    if terminal is None:
        stream.write("".join("".join(text for text, _ in line) + "\n" for line in lines))
        return
    from rich.text import Text

    for line in lines:
        terminal.print(Text.assemble(*line), soft_wrap=True)


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield prose, and the fenced blocks by kind, without the blank lines around them; files after their names."""
    end = 0
    for block in _BLOCK.finditer(text):
        if prose := text[end : block.start()].strip():
            yield "prose", prose
        if block["kind"] == "file":
            yield "prose", f"`{block['info'].strip()}`:"
        yield block["kind"], block["text"].rstrip()
        end = block.end()
    if prose := text[end:].strip():
        yield "prose", prose


def _indented(text: str) -> str:
    return "\n".join(_INDENT + line if line else "" for line in text.split("\n"))
