"""What to write where a text stands for a number: all that a CSV file and the environment give is text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from aquatint.language.values import Size
from aquatint.source import Span
from aquatint.syntax.tokens import byte_count

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?")
_SIZE = re.compile(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})")

_LONGEST = 60
"""Characters of an expression that is written out again in a proposal."""


def conversion(value: Any, fits: Callable[[Any], bool], span: Span) -> str | None:
    """Return what to write for `value`, the one of the expression at `span`, so that it `fits`.

    None if it is no text, or none of something that fits.
    """
    if not isinstance(value, str):
        return None
    written = span.brief(_LONGEST)
    is_literal = written[:1] in ("'", '"') and written[1:-1] == value
    if is_literal and (size := _bytes(value.strip())) is not None and fits(size):
        return f"write `{value.strip()}`, without quotes"
    for meant, form in _meant(value.strip()):
        if fits(meant):
            return f"write `{value.strip()}`, without quotes" if is_literal else f"it is text; write {form(written)}"
    return None


def _bytes(text: str) -> int | None:
    try:
        return byte_count(text)
    except ValueError:
        return None


def _meant(text: str) -> Iterator[tuple[Any, Callable[[str], str]]]:
    """Yield what `text` may stand for, and how that is made of an expression whose value it is."""
    if _WHOLE.fullmatch(text):
        yield int(text), lambda name: f"`int({name})`"
    elif _NUMBER.fullmatch(text):
        yield float(text), lambda name: f"`float({name})`"
        yield int(float(text)), lambda name: f"`int(float({name}))`"
    elif text in ("true", "false"):
        yield text == "true", lambda name: f'`{name} == "true"`'
    elif sides := _SIZE.fullmatch(text):
        width, height = sides.groups()
        yield Size(int(width), int(height)), lambda _: f"`size(width, height)`, here `size({width}, {height})`"
