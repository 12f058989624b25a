"""A picture as the sequences with which terminals show real pixels: kitty's, iTerm2's, and sixel.

Which of them a terminal knows is found in `terminal`; for one that knows none there are half blocks, in `preview`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

from PIL.Image import Image, Quantize

PIXELS = 1024
"""The longer side of what is sent, at most: more than the characters that it is shown in have pixels."""

CELL = 10, 20
"""Width and height in pixels that a character is taken to have where the terminal doesn't say."""

_CHUNK = 4096  # what kitty takes in one sequence: https://sw.kovidgoyal.net/kitty/graphics-protocol/
_BAND = 6  # rows of pixels of which a sixel is a column
_COLOURS = 256


def kitty(picture: Image, columns: int) -> str:
    """Return the sequences that show `picture`, `columns` characters wide, in kitty and its like, and a newline."""
    body = base64.standard_b64encode(_png(picture)).decode()
    chunks = [body[at : at + _CHUNK] for at in range(0, len(body), _CHUNK)]
    told = []
    for number, chunk in enumerate(chunks, 1):
        # q=2: an answer would be read as if someone had typed it.
        first = f"a=T,f=100,q=2,c={columns}," if number == 1 else ""
        told.append(f"\x1b_G{first}m={int(number < len(chunks))};{chunk}\x1b\\")
    return "".join(told) + "\n"


def iterm2(picture: Image, columns: int) -> str:
    """Return the sequence that shows `picture`, `columns` characters wide, in iTerm2 and its like, and a newline."""
    body = _png(picture)
    # https://iterm2.com/documentation-images.html
    options = f"inline=1;size={len(body)};width={columns};preserveAspectRatio=1"
    return f"\x1b]1337;File={options}:{base64.standard_b64encode(body).decode()}\x07\n"


def sixel(picture: Image, columns: int, cell: tuple[int, int] = CELL) -> str:
    """Return the sequence that shows `picture`, `columns` characters of `cell` pixels wide, as sixels, and a newline.

    The form is that of DEC's terminals (VT330/VT340 programmer reference manual, volume 2, chapter 14).
    """
    width = max(1, columns * cell[0])
    height = max(1, round(picture.height * width / picture.width))
    small = picture.resize((width, height)).quantize(_COLOURS, Quantize.MEDIANCUT)
    palette = small.getpalette() or []
    told = [f'\x1bP0;1q"1;1;{width};{height}']
    for number in range(len(palette) // 3):
        red, green, blue = (round(level * 100 / 255) for level in palette[3 * number : 3 * number + 3])
        told.append(f"#{number};2;{red};{green};{blue}")
    pixels = small.tobytes()
    for top in range(0, height, _BAND):
        rows = [pixels[row * width : (row + 1) * width] for row in range(top, min(top + _BAND, height))]
        told += [f"#{colour}{_runs(rows, colour)}$" for colour in sorted(set(b"".join(rows)))]
        told.append("-")
    return "".join(told) + "\x1b\\\n"


def _runs(rows: list[bytes], colour: int) -> str:
    """Return the sixels of a band that are of one `colour`; what repeats is counted."""
    bits = [0] * len(rows[0])
    for number, row in enumerate(rows):
        at = row.find(colour)
        while at >= 0:
            bits[at] |= 1 << number
            at = row.find(colour, at + 1)
    return "".join(chr(63 + sixel) if count == 1 else f"!{count}{chr(63 + sixel)}" for sixel, count in _counted(bits))


def _counted(bits: list[int]) -> Iterator[tuple[int, int]]:
    begin = 0
    for at in range(1, len(bits) + 1):
        if at == len(bits) or bits[at] != bits[begin]:
            yield bits[begin], at - begin
            begin = at


def _png(picture: Image) -> bytes:
    small = picture.copy()
    small.thumbnail((PIXELS, PIXELS))
    body = io.BytesIO()
    small.save(body, "PNG")
    return body.getvalue()
