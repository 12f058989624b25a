"""Small pictures in a terminal: in its own graphics, or in half blocks, two pixels a character.

What the terminal can is found in `terminal`; whether to show a picture is the conversation's business.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from PIL.Image import Image

from aquatint.catalog.models import OUTPUT_SUFFIXES
from aquatint.catalog.picture_files import NoPicture, decoded
from aquatint.interface.repl.graphics import CELL, iterm2, kitty, sixel
from aquatint.interface.repl.terminal import Graphics, cell

COLUMNS = 40
"""Characters that a picture is wide at most, unless that is set; it is half as many rows high at most."""

_HALF = "\N{UPPER HALF BLOCK}"
_PLAIN = "\x1b[0m"


def preview(file: Path, graphics: Graphics, columns: int = COLUMNS, *, true_colour: bool) -> str | None:
    """Return what shows the picture in `file`, at most `columns` wide, None if it is none or is gone.

    Without `true_colour`, half blocks are of the 216 colours that nearly every terminal has.
    """
    if file.suffix.lower() not in OUTPUT_SUFFIXES:
        return None
    try:
        picture = decoded(file.read_bytes())
    except (OSError, NoPicture):
        return None
    # A character is about twice as high as it is wide, and so is never wider than the picture needs.
    wide = max(1, min(columns, round(columns * picture.width / picture.height)))
    match graphics:
        case Graphics.KITTY:
            return kitty(picture, wide)
        case Graphics.ITERM2:
            return iterm2(picture, wide)
        case Graphics.SIXEL:
            return sixel(picture, wide, cell() or CELL)
        case Graphics.BLOCKS:
            return half_blocks(picture, columns, true_colour=true_colour)
        case Graphics.OFF:
            return None


def half_blocks(picture: Image, columns: int = COLUMNS, *, true_colour: bool) -> str:
    """Return an RGB `picture`, as small as it has to be for `columns` and half as many rows, line by line."""
    small = picture.copy()
    small.thumbnail((columns, columns))
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
