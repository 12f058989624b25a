"""Pictures in a terminal."""

from __future__ import annotations

from pathlib import Path

from PIL import Image as images

from aquatint.interface.repl.preview import COLUMNS, ROWS, half_blocks, preview

HALF = "\N{UPPER HALF BLOCK}"


def test_two_pixels_are_a_character() -> None:
    picture = images.new("RGB", (2, 3), (255, 0, 0))
    picture.putpixel((0, 1), (0, 0, 255))
    assert half_blocks(picture, true_colour=True) == (
        f"\x1b[38;2;255;0;0;48;2;0;0;255m{HALF}\x1b[38;2;255;0;0;48;2;255;0;0m{HALF}\x1b[0m\n"
        f"\x1b[38;2;255;0;0;49m{HALF}\x1b[38;2;255;0;0;49m{HALF}\x1b[0m\n"
    )
    assert half_blocks(picture.crop((0, 0, 1, 2)), true_colour=False) == f"\x1b[38;5;196;48;5;21m{HALF}\x1b[0m\n"


def test_a_large_picture_becomes_small_and_keeps_its_form() -> None:
    for size, rows, columns in [((512, 512), ROWS, COLUMNS), ((800, 200), 5, COLUMNS), ((100, 400), ROWS, 10)]:
        lines = half_blocks(images.new("RGB", size), true_colour=True).splitlines()
        assert (len(lines), lines[0].count(HALF)) == (rows, columns)


def test_what_is_no_picture_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    files = [tmp_path / name for name in ("broken.png", "gone.png", "table.csv")]
    assert [preview(file, true_colour=True) for file in files] == [None, None, None]
