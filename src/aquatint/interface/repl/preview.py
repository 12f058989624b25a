"""Small pictures made of half blocks, two pixels a character, for a terminal that has colours.

Knows nothing of the terminal: whether to show one is the conversation's business.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from PIL.Image import Image

from aquatint.catalog.models import OUTPUT_SUFFIXES
from aquatint.catalog.picture_files import NoPicture, decoded

COLUMNS, ROWS = 40, 20
"""Characters that a picture takes at most."""

_HALF = "\N{UPPER HALF BLOCK}"
_PLAIN = "\x1b[0m"


def preview(file: Path, *, true_colour: bool) -> str | None:
    """Return lines that show the picture in `file`, None if it is none or is gone.

    Without `true_colour` they are of the 216 colours that nearly every terminal has.
    """
    if file.suffix.lower() not in OUTPUT_SUFFIXES:
        return None
    try:
        picture = decoded(file.read_bytes())
    except (OSError, NoPicture):
        return None
    return half_blocks(picture, true_colour=true_colour)


def half_blocks(picture: Image, *, true_colour: bool) -> str:
    """Return an RGB `picture`, as small as it has to be for `COLUMNS` and `ROWS`, line by line."""
    small = picture.copy()
    small.thumbnail((COLUMNS, 2 * ROWS))
    pixels = [[_colour(small.getpixel((x, y)), true_colour) for x in range(small.width)] for y in range(small.height)]
    lines = []
    for upper, lower in itertools.zip_longest(pixels[::2], pixels[1::2]):
        cells = zip(upper, lower or [None] * small.width, strict=True)
        lines.append("".join(_cell(above, below) for above, below in cells) + _PLAIN + "\n")
    return "".join(lines)


def _cell(above: str, below: str | None) -> str:
    background = "49" if below is None else f"48;{below}"
    return f"\x1b[38;{above};{background}m{_HALF}"


def _colour(pixel: object, true_colour: bool) -> str:
    """Return what a terminal's sequence calls the colour of an RGB `pixel`."""
    assert isinstance(pixel, tuple)
    red, green, blue = pixel
    if true_colour:
        return f"2;{red};{green};{blue}"
    # The cube of 6 x 6 x 6 begins at 16: https://en.wikipedia.org/wiki/ANSI_escape_code#8-bit
    of_six = [round(level * 5 / 255) for level in (red, green, blue)]
    return f"5;{16 + 36 * of_six[0] + 6 * of_six[1] + of_six[2]}"
