"""Sheets: sizes, scaling, and text that stays where it belongs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from aquatint.runtime.engine import EngineError
from aquatint.runtime.sheet import _fitting, _font, _wrapped, draw_sheet
from support.fake_engine import painted

WHITE = (255, 255, 255)


def red(size: tuple[int, int]) -> Image.Image:
    return Image.new("RGB", size, (255, 0, 0))


def reds(sheet: Image.Image) -> tuple[int, int, int, int]:
    """Return the box of what is purely red."""
    bands = sheet.split()
    mask = ImageChops.multiply(
        bands[0].point(lambda v: 255 * (v == 255)),
        ImageChops.multiply(bands[1].point(lambda v: 255 * (v == 0)), bands[2].point(lambda v: 255 * (v == 0))),
    )
    box = mask.getbbox()
    assert box is not None
    return box


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((64, 64), (192, 192)),
        ((16, 8), (160, 80)),
        ((160, 160), (160, 160)),
        ((300, 200), (300, 200)),
        ((1024, 512), (512, 256)),
    ],
)
def test_small_pictures_are_enlarged_by_whole_factors_and_large_ones_reduced(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    left, top, right, bottom = reds(draw_sheet([red(size)], ["x"], 1))
    assert (right - left, bottom - top) == shown


def test_enlarging_keeps_every_pixel() -> None:
    picture = painted("a", (64, 64))
    sheet = draw_sheet([picture], [], 1)
    shown = sheet.crop((28, 28, 28 + 192, 28 + 192))
    assert shown.resize((64, 64), Image.Resampling.NEAREST).tobytes() == picture.tobytes()


def test_cells_go_row_by_row_and_missing_ones_stay_empty() -> None:
    sheet = draw_sheet([red((160, 160)), None, None, red((160, 160))], [], 2)
    assert sheet.size == (28 + 160 + 18 + 160 + 28, 28 + 160 + 26 + 160 + 28)
    assert sheet.getpixel((100, 100)) == (255, 0, 0)
    assert sheet.getpixel((300, 50)) not in (WHITE, (255, 0, 0))
    assert sheet.getpixel((300, 300)) == (255, 0, 0)


labels = st.text(st.characters(max_codepoint=0x2FF) | st.sampled_from("  \n\t\x1bWW字→—"), max_size=120)


@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(1, 5),
    columns=st.integers(1, 4),
    texts=st.lists(labels, min_size=9, max_size=9),
    size=st.sampled_from([(16, 16), (64, 48), (160, 300)]),
)
def test_no_text_touches_a_picture_or_the_edge(
    count: int, columns: int, texts: list[str], size: tuple[int, int]
) -> None:
    with_text = draw_sheet([red(size)] * count, texts[:count], columns, texts[5:7], texts[7:8], texts[8])
    edge = with_text.copy()
    edge.paste(WHITE, (14, 14, edge.width - 14, edge.height - 14))
    assert edge.getcolors() == [(edge.width * edge.height, WHITE)]
    # As many red pixels as the pictures have without any text: none is drawn over.
    bare = draw_sheet([red(size)] * count, [], columns)
    colours = [dict((colour, n) for n, colour in sheet.getcolors(1 << 24) or []) for sheet in (bare, with_text)]
    assert colours[0][255, 0, 0] == colours[1][255, 0, 0]


@settings(max_examples=60, deadline=None)
@given(text=labels, width=st.integers(30, 200), most=st.integers(1, 4))
def test_wrapped_text_fits(text: str, width: int, most: int) -> None:
    font = _font(14)
    wrapped = _wrapped(text, font, width, most)
    assert len(wrapped.lines) <= most
    assert wrapped.width <= width
    assert all(line.isprintable() and line == line.strip() for line in wrapped.lines)


def test_text_is_cut_with_an_ellipsis() -> None:
    font = _font(14)
    assert _wrapped("one two three four five six", font, 60, 2).lines[-1].endswith("…")
    assert _wrapped("one", font, 60, 2).lines == ["one"]
    assert _wrapped("", font, 60, 2).lines == []
    assert _fitting("WWWW", font, 1) == "W"


def test_letters_that_the_font_lacks_lose_their_accents() -> None:
    assert _wrapped("Größe — Łódź", _font(14), 400, 1).lines == ["Grosse - Lodz"]


def test_many_pictures_shrink_and_too_many_are_refused() -> None:
    wide = draw_sheet([red((64, 64))] * 200, [], 200)
    assert wide.width < 16_400
    with pytest.raises(EngineError, match="too large to draw"):
        draw_sheet([red((64, 64))] * 90_000, [], 300)
