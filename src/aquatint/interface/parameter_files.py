"""Reads the files that `--params` names: maps of parameters in YAML, JSON or TOML.

What the values must be is said by the script, and held against it when it is evaluated.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from aquatint.interface.exits import Refusal
from aquatint.language import formats
from aquatint.language.disk import Disk
from aquatint.language.outside import Outside, OutsideProblem
from aquatint.language.world import Files, Given, World
from aquatint.source import Span

if TYPE_CHECKING:
    from aquatint.source import Source

_READERS = {".json": formats.read_json, ".toml": formats.read_toml}
_INPUT = "<stdin>"


class _FilesAndInput(Disk):
    """The machine's files, and standard input."""

    def read(self, path: str, limit: int) -> bytes:
        return sys.stdin.buffer.read(limit) if path == _INPUT else super().read(path, limit)


def read_parameters(name: str) -> dict[str, Given]:
    """Return what the file called `name` gives, by parameter; `-` is standard input. Raises `Refusal`."""
    return parameters_of(_INPUT if name == "-" else name, _FilesAndInput())


def parameters_of(name: str, files: Files) -> dict[str, Given]:
    """Return what the file called `name` among `files` gives, by parameter. Raises `Refusal`."""
    outside = Outside(World(files=files))
    try:
        # YAML is what is neither of the others: JSON on standard input is YAML, too.
        values = outside.value(name, _READERS.get(os.path.splitext(name)[1].lower(), formats.read_yaml))
        source = outside.text(name)
    except OutsideProblem as problem:
        at = f" ({problem.labels[0].span})" if problem.labels else ""
        raise Refusal(problem.code, problem.message + at, problem.help) from None
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise Refusal("malformed-file", f"`{name}` holds no map of parameters", "write `name: value`, each on a line")
    folder = os.path.abspath(os.path.dirname(name))
    return {str(key): Given(value, _place(source, str(key)), folder) for key, value in values.items()}


def _place(source: Source, name: str) -> Span:
    """Return where `source`, in any of the formats, seems to give `name`: the first key of that name."""
    found = re.search(rf"""(?:^|[{{,])\s*["']?({re.escape(name)})["']?\s*[:=]""", source.text, re.MULTILINE)
    return Span(source, found.start(1), found.end(1)) if found else Span(source, 0, 1)
