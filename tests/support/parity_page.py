"""Reads and writes the table of `docs/parity.md`, which stands between two marks in the page's own text.

What is said of a comparison that failed stands below the table, under the number that its cell has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from engine.parity import CASES, EQUAL, KINDS

PAGE = Path(__file__).parents[2] / "docs" / "parity.md"
UNKNOWN = "not run"
_BEGIN, _END = "<!-- table -->\n", "<!-- end of the table -->\n"
_HEAD = ["class", "family", "task", "none", "bnb 8 bits", "nf4", "sdnq int8", "sdnq uint4"]
_NUMBERED = re.compile(r"fails \((\d+)\)")

Cells = Mapping[tuple[str, str], str]
"""What comparisons came to, by class and kind of quantizer."""


def cells(text: str) -> dict[tuple[str, str], str]:
    """Return what the page `text` says of each comparison."""
    table = _parted(text)[1]
    reasons = dict(re.findall(r"^(\d+)\. (.*)$", table, re.MULTILINE))
    found = {}
    for line in re.findall(r"^\| (`.*) \|$", table, re.MULTILINE):
        class_name, _, _, *said = line.split(" | ")
        for kind, cell in zip(KINDS, said, strict=True):
            numbered = _NUMBERED.fullmatch(cell)
            found[class_name.strip("`"), kind] = reasons[numbered[1]] if numbered else cell
    return found


def updated(text: str, found: Cells) -> str:
    """Return the page `text` with the table of all cases, in their order; `found` is what it is to say."""
    before, _, after = _parted(text)
    rows, reasons = [_HEAD, ["---"] * len(_HEAD)], dict[str, int]()
    for case in CASES:
        said = [found.get((case.class_name, kind), UNKNOWN) for kind in KINDS]
        shown = [each if each in (EQUAL, UNKNOWN) else f"fails ({_number(each, reasons)})" for each in said]
        rows.append([f"`{case.class_name}`", case.family, case.task, *shown])
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    notes = "".join(f"{number}. {reason}\n" for reason, number in reasons.items())
    return f"{before}{table}\n{notes}{after}"


def _number(reason: str, reasons: dict[str, int]) -> int:
    return reasons.setdefault(reason, len(reasons) + 1)


def _parted(text: str) -> tuple[str, str, str]:
    before, begin, rest = text.partition(_BEGIN)
    table, end, after = rest.partition(_END)
    return before + begin, table, end + after
