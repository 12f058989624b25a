"""Files of each kind hold what they are given, say what they are told, and are read when they are damaged, too."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest
from PIL import Image

from aquatint.catalog import tensor_files
from aquatint.catalog.tensor_files import Tensor
from aquatint.runtime.engine import EngineError
from aquatint.runtime.media import Clip, Medium, Sound, Tensors
from aquatint.runtime.media_files import FORMATS, encoded, read_clip, read_tensors
from aquatint.runtime.metadata import About
from aquatint.runtime.picture_texts import PictureTexts, UnreadablePicture, read_texts

FRAMES = tuple(
    Image.effect_mandelbrot((48, 32), (-2, -1.5, 1 + number / 2, 1.5), 40).convert("RGB") for number in range(7)
)
CLIP = Clip(FRAMES)
TENSORS = Tensors({
    "latents": Tensor("F32", (1, 2, 2), bytes(range(16))), "also": Tensor("BF16", (3,), bytes(6)),
})  # fmt: skip
SOUND = Sound(2, 8000, bytes(range(240)) * 3)
ABOUT = About("a cat\nSteps: 2", {"kind": "video", "prompt": "\N{CAT FACE} 'quoted' \"twice\"", "long": "x" * 70_000})

KINDS: list[tuple[Medium, str]] = [
    (FRAMES[0], ".png"), (FRAMES[0], ".webp"), (CLIP, ".webp"), (CLIP, ".gif"), (CLIP, ".mp4"),
    (SOUND, ".wav"), (TENSORS, ".safetensors"),
]  # fmt: skip


@pytest.mark.parametrize(("medium", "suffix"), KINDS)
def test_the_same_gives_the_same_bytes_and_says_what_it_was_told(medium: Medium, suffix: str) -> None:
    body = encoded(medium, FORMATS[suffix], ABOUT, 12)
    # Several times: an encoder may read what lay in memory before.
    assert {encoded(medium, FORMATS[suffix], ABOUT, 12) for _ in range(8)} == {body}
    texts = read_texts(body)
    parameters = None if suffix == ".gif" else ABOUT.parameters
    size = None if isinstance(medium, Sound | Tensors) else medium.size
    assert texts == PictureTexts(FORMATS[suffix], size, parameters, ABOUT.text)
    bare = encoded(medium, FORMATS[suffix], None, 12)
    assert read_texts(bare) == PictureTexts(FORMATS[suffix], size)
    assert len(bare) < len(body) - 60_000


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".mp4"])
def test_frames_are_read_back(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"x{suffix}"
    file.write_bytes(encoded(CLIP, FORMATS[suffix], None, 25))
    frames = read_clip(file).frames
    assert [frame.size for frame in frames] == [(48, 32)] * len(FRAMES)
    if suffix == ".webp":
        assert [frame.tobytes() for frame in frames] == [frame.tobytes() for frame in FRAMES]


def test_a_frame_of_odd_sides_is_written_whole(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(encoded(Clip((Image.new("RGB", (33, 15), "red"),)), "MP4", None, 8))
    [frame] = read_clip(tmp_path / "x.mp4").frames
    red = frame.getpixel((16, 7))
    assert isinstance(red, tuple) and frame.size == (33, 15) and red[0] > 240 and max(red[1:]) < 15


def test_sound_is_read_by_others_with_texts_and_without(tmp_path: Path) -> None:
    for about in (
        None,
        About("odd", {"kind": "audio"}),
        About("even", {"kind": "audio"}),
        About("", {"kind": "audio"}),
    ):
        (tmp_path / "x.wav").write_bytes(encoded(SOUND, "WAV", about))
        with wave.open(str(tmp_path / "x.wav")) as opened:
            assert (opened.getnchannels(), opened.getframerate(), opened.getnframes()) == (2, 8000, SOUND.moments)
            assert opened.readframes(opened.getnframes()) == SOUND.samples


def test_tensors_are_read_back_to_the_byte(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(encoded(TENSORS, "SAFETENSORS", ABOUT))
    assert read_tensors(tmp_path / "x.safetensors") == TENSORS


@pytest.mark.parametrize(
    ("medium", "form"), [(FRAMES[0], "MP4"), (CLIP, "PNG"), (TENSORS, "PNG"), (CLIP, "SAFETENSORS"), (SOUND, "MP4")]
)
def test_what_a_form_cannot_hold_is_refused(medium: Medium, form: str) -> None:
    with pytest.raises(EngineError, match="can't write"):
        encoded(medium, form, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".wav", ".safetensors"])
def test_no_damage_is_more_than_a_file_that_cannot_be_read(tmp_path: Path, suffix: str) -> None:
    medium = {".safetensors": TENSORS, ".wav": SOUND}.get(suffix, CLIP)
    body = encoded(medium, FORMATS[suffix], About("a cat", {"kind": "video"}), 12)
    damaged = [body[:length] for length in range(0, len(body), max(1, len(body) // 200))]
    for place in range(0, len(body), max(1, len(body) // 200)):
        damaged.append(body[:place] + b"\xff\xff\xff\xff" + body[place + 4 :])
        damaged.append(body[:place] + bytes(4) + body[place + 4 :])
    for each in damaged:
        try:
            read_texts(each)
        except UnreadablePicture as error:
            assert str(error).startswith("is ")


def test_a_box_that_is_its_own_end_ends_it() -> None:
    # Lengths that would never get on, or lead backwards.
    head = b"\0\0\0\x10ftypisom\0\0\0\0"
    for length in (b"\0\0\0\1", b"\0\0\0\7", b"\xff\xff\xff\xff", b"\0\0\0\0"):
        assert read_texts(head + length + b"moov" + bytes(64)) == PictureTexts("MP4")


def test_which_tensor_of_a_file_is_meant() -> None:
    assert tensor_files.chosen({"x": 0}, "latents") == "x"
    assert tensor_files.chosen({"x": 0, "latents": 0}, "latents") == "latents"
    with pytest.raises(tensor_files.NoTensors, match="none is called `image`: `x`, `y`"):
        tensor_files.chosen({"x": 0, "y": 0}, "image")
