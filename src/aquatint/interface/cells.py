"""How many columns of a terminal a text takes, and texts cut to what there is.

rich measures; it is imported only for texts that have more than ASCII, as it isn't there when nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

LEAST = 8
"""Columns that a text is worth being cut to; where there are fewer it is left out."""


def width(text: str) -> int:
    """Return the columns of `text`, which has no control characters."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, columns: int) -> str:
    """Return `text` in at most `columns`, with `…` at its end if something is missing."""
    if width(text) <= columns:
        return text
    return (_first(text, columns - 1).rstrip() + "…")[: max(0, columns)]


def _first(text: str, columns: int) -> str:
    """Return as much of `text` as takes `columns`, with a space where half a wide character is left."""
    if text.isascii():
        return text[: max(0, columns)]
    from rich.cells import set_cell_size

    return set_cell_size(text, columns)


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
