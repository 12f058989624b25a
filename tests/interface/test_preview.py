"""Pictures in a terminal."""

from __future__ import annotations

import base64
import io
import os
import pty
import re
import threading
import time
from pathlib import Path

import pytest
from PIL import Image as images

from aquatint.interface.repl.graphics import iterm2, kitty, sixel
from aquatint.interface.repl.preview import half_blocks, preview
from aquatint.interface.repl.terminal import WAIT, Graphics, attributes, named

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
    for size, rows, columns in [
        ((512, 512), 20, 40),
        ((800, 200), 5, 40),
        ((100, 400), 20, 10),
    ]:
        lines = half_blocks(images.new("RGB", size), true_colour=True).splitlines()
        assert (len(lines), lines[0].count(HALF)) == (rows, columns)


def test_what_is_no_picture_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    files = [tmp_path / name for name in ("broken.png", "gone.png", "table.csv")]
    assert [preview(file, Graphics.BLOCKS, true_colour=True) for file in files] == [None, None, None]


@pytest.fixture
def picture() -> images.Image:
    """Return noise, which makes a large file, with a red corner."""
    noise = images.effect_noise((90, 60), 80).convert("RGB")
    noise.paste((255, 0, 0), (0, 0, 30, 30))
    return noise


def test_kitty_gets_the_picture_in_pieces_and_is_asked_for_no_answer(picture: images.Image) -> None:
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", kitty(picture, 20))
    assert [options for options, _ in pieces] == ["a=T,f=100,q=2,c=20,m=1", *["m=1"] * (len(pieces) - 2), "m=0"]
    assert len(pieces) > 2 and all(len(body) <= 4096 for _, body in pieces)
    sent = images.open(io.BytesIO(base64.b64decode("".join(body for _, body in pieces))))
    assert sent.tobytes() == picture.tobytes()


def iterm2_shows(stream: bytes) -> list[tuple[dict[str, str], bytes] | bytes]:
    """Return what iTerm2 makes of `stream`: the arguments and contents of each file, and the text between them.

    Reads byte by byte as https://iterm2.com/documentation-images.html says, and takes nothing that isn't there: a file
    is ESC ] 1337 ; File = arguments : base64 and BEL, arguments are key=value with a semicolon between two.
    """
    known = {
        "name": r"[A-Za-z0-9+/=]*", "size": r"\d+", "width": r"\d+(px|%)?|auto", "height": r"\d+(px|%)?|auto",
        "preserveAspectRatio": "[01]", "inline": "[01]", "type": r"[\w./+-]+",
    }  # fmt: skip
    shown: list[tuple[dict[str, str], bytes] | bytes] = []
    at, text = 0, bytearray()
    while at < len(stream):
        if stream[at] != 0x1B:
            text.append(stream[at])
            at += 1
            continue
        end = stream.index(0x07, at)
        command, separator, told = stream[at + 1 : end].decode("ascii").partition("=")
        assert (command, separator) == ("]1337;File", "=") and told.isprintable()
        head, colon, body = told.partition(":")
        pairs = [pair.split("=", 1) for pair in head.split(";")]
        arguments = {key: value for key, value in pairs}
        assert colon and len(arguments) == len(pairs)
        assert all(re.fullmatch(known[key], value) for key, value in pairs)
        contents = base64.b64decode(body, validate=True)
        # A transfer is broken off where there is more than was announced.
        assert len(contents) <= int(arguments["size"])
        shown += [*([bytes(text)] if text else []), (arguments, contents)]
        text.clear()
        at = end + 1
    return [*shown, *([bytes(text)] if text else [])]


def test_iterm2_shows_the_picture_in_its_place(picture: images.Image) -> None:
    (arguments, contents), after = iterm2_shows(iterm2(picture, 20).encode("ascii"))
    assert isinstance(contents, bytes) and after == b"\n"
    assert arguments == {"inline": "1", "size": str(len(contents)), "width": "20", "preserveAspectRatio": "1"}
    with images.open(io.BytesIO(contents)) as sent:
        assert (sent.format, sent.size, sent.tobytes()) == ("PNG", picture.size, picture.tobytes())


def test_iterm2_is_sent_no_more_pixels_than_it_can_show(tmp_path: Path) -> None:
    images.effect_noise((1280, 320), 80).convert("RGB").save(tmp_path / "large.png")
    told = preview(tmp_path / "large.png", Graphics.ITERM2, 30, true_colour=True)
    assert told is not None
    (arguments, contents), _ = iterm2_shows(told.encode())
    assert isinstance(contents, bytes) and arguments["width"] == "30"
    with images.open(io.BytesIO(contents)) as sent:
        assert sent.size == (1024, 256)


def test_sixels_are_the_picture(picture: images.Image) -> None:
    few = picture.quantize(16).convert("RGB")  # what a terminal's palette holds
    text = sixel(few, 9, (10, 20))
    found = re.fullmatch(r'\x1bP0;1q"1;1;(\d+);(\d+)(.*)\x1b\\\n', text)
    assert found is not None and (int(found[1]), int(found[2])) == few.size
    painted = images.new("RGB", few.size)
    palette, colour, x, top = {}, (0, 0, 0), 0, 0
    for token in re.findall(r"#\d+;2;\d+;\d+;\d+|#\d+|!\d+.|.", found[3]):
        if ";2;" in token:
            number, _, *levels = map(int, token[1:].split(";"))
            palette[number] = tuple(round(level * 255 / 100) for level in levels)
        elif token[0] == "#":
            colour = palette[int(token[1:])]
        elif token == "$":
            x = 0
        elif token == "-":
            x, top = 0, top + 6
        else:
            count = int(token[1:-1]) if token[0] == "!" else 1
            for at in range(x, x + count):
                for bit in range(6):
                    if (ord(token[-1]) - 63) >> bit & 1:
                        painted.putpixel((at, top + bit), colour)
            x += count
    off = [abs(one - other) for one, other in zip(painted.tobytes(), few.tobytes(), strict=True)]
    assert max(off) <= 2  # levels are hundredths


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"TERM": "xterm-kitty"}, Graphics.KITTY),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, Graphics.KITTY),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, Graphics.ITERM2),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, Graphics.ITERM2),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/t,1,0", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "screen", "TERM_PROGRAM": "iTerm.app"}, None),
    ],
)
def test_a_terminal_is_known_by_its_name_but_not_through_a_multiplexer(
    environment: dict[str, str], found: Graphics | None
) -> None:
    assert named(environment) == found


@pytest.mark.parametrize(
    ("typed", "answer", "found"),
    [
        (b"", b"\x1b[?62;4;22c", {62, 4, 22}),
        (b"", b"\x1b[?6c", {6}),
        (b"", b"", None),
        (b"typed before", b"\x1b[?62;4c", None),
    ],
)
def test_a_terminal_is_asked_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, typed: bytes, answer: bytes, found: set[int] | None
) -> None:
    ours, its = pty.openpty()
    with open(its, "r+b", buffering=0) as terminal, open(os.dup(its), "w") as out:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(terminal))
        monkeypatch.setattr("sys.stdout", out)
        os.write(ours, typed)
        answers = threading.Timer(0.02, os.write, (ours, answer))
        answers.start()
        began = time.monotonic()
        told = attributes()
        assert (None if told is None else set(told)) == found and time.monotonic() - began < WAIT + 0.2
        answers.join()
        out.write("end")
        out.flush()
        seen = os.read(ours, 100)
        assert (b"\x1b[c" in seen) != bool(typed)
    os.close(ours)
