"""Reads and writes the table of `docs/parity.md`, which stands between two marks in the page's own text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.parity import CASES, KINDS

PAGE = Path(__file__).parents[2] / "docs" / "parity.md"
_BEGIN, _END = "<!-- table -->\n", "<!-- end of the table -->\n"
_HEAD = ["class", "family", "task", "none", "bnb 8 bits", "nf4", "sdnq int8", "sdnq uint4"]
_UNKNOWN = "not run"

Cells = Mapping[tuple[str, str], str]
"""What comparisons came to, by class and kind of quantizer."""


def cells(text: str) -> dict[tuple[str, str], str]:
    """Return what the table in the page `text` says."""
    found = {}
    for line in _parted(text)[1].splitlines()[2:]:
        class_name, _, _, *said = (each.strip() for each in line.strip("|").split(" | "))
        found |= {(class_name.strip("`"), kind): cell for kind, cell in zip(KINDS, said, strict=True)}
    return found


def updated(text: str, found: Cells) -> str:
    """Return the page `text` with the table of all cases, in their order; `found` is what it is to say."""
    before, _, after = _parted(text)
    rows = [_HEAD, ["---"] * len(_HEAD)]
    for case in CASES:
        said = [found.get((case.class_name, kind), _UNKNOWN) for kind in KINDS]
        rows.append([f"`{case.class_name}`", case.family, case.task, *said])
    return before + "".join(f"| {' | '.join(row)} |\n" for row in rows) + after


def _parted(text: str) -> tuple[str, str, str]:
    before, begin, rest = text.partition(_BEGIN)
    table, end, after = rest.partition(_END)
    return before + begin, table, end + after
