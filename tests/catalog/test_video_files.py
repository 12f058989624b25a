"""Videos in files: what is in them is known from their packets, their frames are those that others decode."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
import pytest
from PIL import Image

from aquatint.catalog.video_files import Facts, NoVideo, decoded, facts_of

FRAMES = [Image.new("RGB", (32, 16), (40 * number, 200 - 30 * number, 90)) for number in range(5)]


def animated(form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    FRAMES[0].save(buffer, form, save_all=True, append_images=FRAMES[1:], **options)
    return buffer.getvalue()


def encoded(form: str, codec: str, pixels: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form) as container:
        stream = container.add_stream(codec, rate=Fraction(8))
        stream.width, stream.height, stream.pix_fmt = 32, 16, pixels
        for frame in FRAMES:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())
    return buffer.getvalue()


FILES = {
    "gif": animated("GIF"), "webp": animated("WEBP", lossless=True), "mp4": encoded("mp4", "libx264", "yuv444p"),
    "webm": encoded("webm", "libvpx-vp9", "yuv420p"), "mov": encoded("mov", "libx264", "yuv420p"),
}  # fmt: skip


@pytest.mark.parametrize("form", FILES)
def test_frames_are_counted_without_being_decoded_and_decoded_as_others_do(form: str) -> None:
    body = FILES[form]
    assert facts_of(body) == Facts(5, 32, 16)
    frames = decoded(body)
    if form in ("gif", "webp"):
        theirs = []
        with Image.open(io.BytesIO(body)) as opened:
            for number in range(5):
                opened.seek(number)
                theirs.append(opened.convert("RGB"))
    else:
        with av.open(io.BytesIO(body)) as container:
            theirs = [frame.to_image() for frame in container.decode(video=0)]
    assert [frame.tobytes() for frame in frames] == [frame.tobytes() for frame in theirs]
    assert len({frame.tobytes() for frame in frames}) == 5


@pytest.mark.parametrize("form", FILES)
def test_damage_is_told(form: str) -> None:
    body = FILES[form]
    for damaged in (body[: len(body) // 2], body[:40], body[:12], body[:60] + b"\xff" * 40 + body[100:]):
        for read in (facts_of, decoded):
            try:
                read(damaged)
            except NoVideo as error:
                assert str(error).startswith(("is ", "has "))


def test_what_is_no_video() -> None:
    picture = io.BytesIO()
    FRAMES[0].save(picture, "PNG")
    with pytest.raises(NoVideo, match=r"^is a picture, and no video$"):
        facts_of(picture.getvalue())
    playlist = b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"
    for text in (b"", b"a video", playlist, b"ffconcat version 1.0\nfile /etc/passwd\n"):
        with pytest.raises(NoVideo, match=r"^is no video of a kind that is read: MP4, MOV"):
            facts_of(text)


def test_a_video_that_claims_more_than_there_is_memory_for_is_refused() -> None:
    body = FILES["gif"]
    large = body[:6] + (16_000).to_bytes(2, "little") + (8_000).to_bytes(2, "little") + body[10:]
    with pytest.raises(NoVideo, match=r"^has more than 536,870,912 pixels in all its frames$"):
        decoded(large)
