"""How many columns of a terminal a text takes, and texts cut to what there is.

Nothing here needs rich, which is not there when nothing is drawn.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

LEAST = 8
"""Columns that a text is worth being cut to; where there are fewer it is left out."""


def width(text: str) -> int:
    """Return the columns of `text`, which has no control characters."""
    return sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """Return `text` in at most `columns`, with `…` at its end if something is missing."""
    if width(text) <= columns:
        return text
    kept, room = [], columns - 1
    for character in text:
        room -= _width(character)
        if room < 0:
            break
        kept.append(character)
    return ("".join(kept).rstrip() + "…")[: max(0, columns)]


def side_by_side(facts: Sequence[str], columns: int) -> str:
    """Return `facts` on one line of at most `columns`: the first ones, the last of them cut if need be."""
    return "".join(_pieces(facts, columns))


def _pieces(facts: Sequence[str], columns: int) -> Iterator[str]:
    for number, fact in enumerate(facts):
        gap = "  " if number else ""
        room = columns - len(gap)
        if width(fact) > room:
            if room >= LEAST or not number:
                yield gap + cut(fact, room)
            return
        yield gap + fact
        columns = room - width(fact)
