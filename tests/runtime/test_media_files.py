"""Files of each kind hold what they are given, say what they are told, and are read when they are damaged, too."""

from __future__ import annotations

import io
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
    (Clip(FRAMES, SOUND), ".mp4"), (SOUND, ".wav"), (TENSORS, ".safetensors"),
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


@pytest.mark.parametrize(("channels", "rate", "written"), [(2, 24000, 24000), (1, 44100, 44100), (1, 7000, 7350)])
def test_the_sound_of_a_video_is_heard_beside_it(channels: int, rate: int, written: int) -> None:
    import av
    import numpy

    moments = rate * 3
    wave_ = numpy.rint(8000 * numpy.sin(numpy.arange(moments) * 2 * numpy.pi * 440 / rate)).astype("<i2")
    samples = numpy.stack([wave_ // (number + 1) for number in range(channels)], axis=1)
    frames = tuple(Image.new("RGB", (32, 32), (8 * number, 0, 0)) for number in range(30))
    body = encoded(Clip(frames, Sound(channels, rate, samples.tobytes())), "MP4", None, 10)
    with av.open(io.BytesIO(body)) as opened:
        [video], [audio] = opened.streams.video, opened.streams.audio
        assert (video.frames, audio.codec_context.name, audio.rate, audio.channels) == (30, "aac", written, channels)
        heard = numpy.concatenate([frame.to_ndarray() for frame in opened.decode(audio=0)], axis=1)
    # The codec gives its sound back in blocks, the last of which may be cut short.
    assert abs(heard.shape[1] / written - 3) < 2 * 1024 / written
    if written == rate:
        both = min(moments, heard.shape[1])
        errors = heard.T[:both] * 32768 - samples[:both]
        assert numpy.sqrt((errors**2).mean()) < 100
    with av.open(io.BytesIO(body)) as opened:
        kinds = [packet.stream.type for packet in opened.demux() if packet.size]
    # They lie beside each other, so that a player needs to read no other place.
    assert "audio" in kinds[:4] and "video" in kinds[-40:]


def test_sound_of_more_channels_than_two_is_refused() -> None:
    with pytest.raises(EngineError, match="can't write sound of 3 channels into an MP4"):
        encoded(Clip(FRAMES, Sound(3, 8000, bytes(600))), "MP4", None)


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
