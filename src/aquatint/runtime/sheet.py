"""Draws a sheet of labelled pictures, row by row.

Which picture goes where is the plan's affair; this chooses sizes, wraps text and draws. Small pictures are enlarged by
a whole factor without smoothing, so that their pixels can be compared.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image as images
from PIL import ImageDraw, ImageFont
from PIL.Image import Image, Resampling
from PIL.ImageFont import FreeTypeFont

from aquatint.runtime.engine import EngineError

_CELL_MIN = 160  # pixels that the longer side of the largest picture is given at least
_CELL_MAX = 512  # and at most
_CELL_LEAST = 48  # a picture on a sheet that would otherwise be too large
_SIDE_AIM = 16_000  # pixels of a sheet's side; JPEG ends at 65,535 and WebP at 16,383
_AREA_MAX = 300_000_000  # pixels of a sheet, about 0.9 GB while it is drawn

_MARGIN = 28
_GAP = 18
_ROW_GAP = 26
_LABEL_GAP = 8

_PAPER = (255, 255, 255)
_INK = (28, 28, 32)
_SOFT_INK = (92, 92, 100)
_LINE = (222, 222, 226)
_EMPTY = (245, 245, 247)

_PLAIN = {
    "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "„": '"', "×": "x", "→": "->",  # noqa: RUF001
    "ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L", "·": "-",
}  # fmt: skip
"""What is drawn for characters that the font may lack and that don't decompose into letters and accents."""

_CAPTION_LINES = 4
_HEADER_LINES = 3
_TITLE_LINES = 3


@dataclass(frozen=True, slots=True)
class _Text:
    """Wrapped lines of text in one font."""

    lines: list[str]
    font: FreeTypeFont

    @property
    def line_height(self) -> int:
        ascent, descent = self.font.getmetrics()
        return ascent + descent + 2

    @property
    def height(self) -> int:
        return self.line_height * len(self.lines)

    @property
    def width(self) -> int:
        return math.ceil(max(map(self.font.getlength, self.lines), default=0))


def draw_sheet(
    pictures: Sequence[Image | None],
    labels: Sequence[str],
    columns: int,
    column_headers: Sequence[str] = (),
    row_headers: Sequence[str] = (),
    title: str = "",
) -> Image:
    """Return the sheet of `pictures`, `columns` wide, each with its label under it; None leaves an empty cell.

    All pictures are scaled alike. Text that is too long is wrapped, then cut with an ellipsis. Raises `EngineError`
    for a sheet too large to draw.
    """
    columns = max(1, min(columns, max(len(pictures), len(column_headers))))
    rows = max(1, math.ceil(len(pictures) / columns))
    scale, width, height = _cell_size(pictures, max(columns, rows))
    small, middle, large = (_font(size) for size in _font_sizes(width))

    headings = [_wrapped(text, middle, width, _HEADER_LINES) for text in column_headers[:columns]]
    heading_height = max((heading.height for heading in headings), default=0)
    side_lines = max(1, height // _Text([], middle).line_height)
    sides = [_wrapped(text, middle, max(width * 3 // 4, 120), side_lines) for text in row_headers[:rows]]
    side_width = max((side.width for side in sides), default=0)
    captions = [_wrapped(text, small, width, _CAPTION_LINES) for text in labels[: len(pictures)]]
    caption_heights = [
        max((caption.height for caption in captions[row * columns : (row + 1) * columns]), default=0)
        for row in range(rows)
    ]

    left = _MARGIN + (side_width + _GAP if side_width else 0)
    sheet_width = left + columns * width + (columns - 1) * _GAP + _MARGIN
    heading = _wrapped(title, large, sheet_width - 2 * _MARGIN, _TITLE_LINES)
    top = _MARGIN + (heading.height + _GAP if heading.lines else 0)
    first = top + (heading_height + _LABEL_GAP if heading_height else 0)
    row_tops = [first]
    for caption_height in caption_heights:
        row_tops.append(row_tops[-1] + height + (caption_height + _LABEL_GAP if caption_height else 0) + _ROW_GAP)
    sheet_height = row_tops.pop() - _ROW_GAP + _MARGIN
    if sheet_width * sheet_height > _AREA_MAX:
        raise EngineError(
            f"a sheet of {columns} x {rows} pictures is too large to draw ({sheet_width} x {sheet_height} pixels)",
            "make several smaller sheets",
        )

    sheet = images.new("RGB", (sheet_width, sheet_height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _write(pen, heading, _MARGIN, _MARGIN, _INK)
    for column, text in enumerate(headings):
        centre = left + column * (width + _GAP) + width // 2
        _write(pen, text, centre, top + heading_height - text.height, _INK, centred=True)
    for row, text in enumerate(sides):
        _write(pen, text, _MARGIN, row_tops[row] + (height - text.height) // 2, _INK)
    for number, picture in enumerate(pictures):
        x = left + number % columns * (width + _GAP)
        y = row_tops[number // columns]
        if picture is None:
            pen.rectangle((x, y, x + width - 1, y + height - 1), _EMPTY, _LINE)
            note = _wrapped("no picture", small, width, 2)
            _write(pen, note, x + width // 2, y + (height - note.height) // 2, _SOFT_INK, centred=True)
        else:
            shown = _scaled(picture, scale)
            # At the bottom of the cell, close to its label.
            px, py = x + (width - shown.width) // 2, y + height - shown.height
            pen.rectangle((px - 1, py - 1, px + shown.width, py + shown.height), outline=_LINE)
            sheet.paste(shown, (px, py))
        if number < len(captions):
            _write(pen, captions[number], x + width // 2, y + height + _LABEL_GAP, _SOFT_INK, centred=True)
    return sheet


def _cell_size(pictures: Sequence[Image | None], most: int) -> tuple[float, int, int]:
    """Return the scale of all pictures and the size of a cell, on a sheet with `most` cells along its longer side."""
    sizes = [picture.size for picture in pictures if picture is not None] or [(_CELL_MIN, _CELL_MIN)]
    longest = max(max(size) for size in sizes)
    limit = max(_CELL_LEAST, min(_CELL_MAX, _SIDE_AIM // most - _GAP))
    scale: float = 1 if longest <= limit else limit / longest
    if longest < min(_CELL_MIN, limit):
        scale = max(1, min(math.ceil(_CELL_MIN / longest), limit // longest))
    return scale, *(max(_CELL_LEAST, round(max(side) * scale)) for side in zip(*sizes, strict=True))


def _scaled(picture: Image, scale: float) -> Image:
    picture = picture.convert("RGB")
    if scale == 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Resampling.NEAREST if scale > 1 else Resampling.LANCZOS)


def _font_sizes(cell_width: int) -> tuple[int, int, int]:
    """Return the sizes of captions, headers and the title beside cells of that width."""
    caption = max(13, min(20, round(cell_width / 14)))
    return caption, caption + 2, caption + 9


def _font(size: int) -> FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, FreeTypeFont):  # Pillow built without FreeType
        raise EngineError("can't draw text: this Pillow has no FreeType", "install Pillow from its wheel")
    return font


def _write(
    pen: ImageDraw.ImageDraw, text: _Text, x: int, y: int, colour: tuple[int, int, int], *, centred: bool = False
) -> None:
    for number, line in enumerate(text.lines):
        pen.text((x, y + number * text.line_height), line, colour, text.font, anchor="ma" if centred else "la")


def _wrapped(text: str, font: FreeTypeFont, width: int, most: int) -> _Text:
    """Return `text` broken into at most `most` lines that are at most `width` wide."""
    lines: list[str] = []
    for paragraph in text.strip().splitlines():
        lines += _broken(_drawable(paragraph, font).split(), font, width)
        if len(lines) > most:
            return _Text([*lines[: most - 1], _cut(lines[most - 1], font, width)], font)
    return _Text(lines, font)


def _drawable(text: str, font: FreeTypeFont) -> str:
    """Return `text` without control characters, and with plain letters for those that the font lacks."""
    # Pillow's font has little beyond ASCII; a system's fonts would make the sheet differ between machines.
    missing = _glyph(font, "\uffff")
    drawn = []
    for character in text:
        if not character.isprintable():
            drawn.append(" ")
        elif character.isascii() or _glyph(font, character) != missing:
            drawn.append(character)
        else:
            plain = _PLAIN.get(character) or unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
            drawn.append(plain or character)
    return "".join(drawn)


def _glyph(font: FreeTypeFont, character: str) -> bytes:
    return bytes(font.getmask(character))


def _broken(words: list[str], font: FreeTypeFont, width: int) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in words:
        longer = f"{line} {word}" if line else word
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while font.getlength(line) > width and len(line) > 1:
            head = _fitting(line, font, width)
            lines.append(head)
            line = line[len(head) :]
    return [*lines, line] if line else lines


def _fitting(text: str, font: FreeTypeFont, width: int) -> str:
    """Return the longest start of `text`, one character at least, that is at most `width` wide."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low]


def _cut(line: str, font: FreeTypeFont, width: int) -> str:
    while line and font.getlength(line.rstrip() + "…") > width:
        line = line[:-1]
    return line.rstrip() + "…"
