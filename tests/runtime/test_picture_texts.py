"""Texts come out of the files of strangers, within limits, and no file does harm."""

from __future__ import annotations

import io
import random
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from aquatint.runtime.picture_texts import (
    EXIF_IFD,
    IMAGE_DESCRIPTION,
    TEXT_LIMIT,
    USER_COMMENT,
    PictureTexts,
    UnreadablePicture,
    read_texts,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PICTURE = Image.new("RGB", (8, 6), "red")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


HEAD = SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 6, 8, 2, 0, 0, 0))
END = chunk(b"IEND", b"")


def png(*chunks: bytes) -> bytes:
    return HEAD + b"".join(chunks) + END


def written(form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    PICTURE.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("text", ["plain", "größer, 日本"])
def test_every_kind_of_text_that_pillow_writes(text: str, is_packed: bool) -> None:
    chunks = PngInfo()
    chunks.add_text("parameters", text, zip=is_packed)
    chunks.add_itxt("aquatint", text, zip=is_packed)
    chunks.add_text("workflow", "{}")
    found = read_texts(written("PNG", pnginfo=chunks))
    assert found == PictureTexts("PNG", (8, 6), text, text, True)


def test_texts_may_stand_behind_the_pixels_and_the_first_counts() -> None:
    body = png(chunk(b"IDAT", b"x" * 100), chunk(b"tEXt", b"aquatint\0one"), chunk(b"tEXt", b"aquatint\0two"))
    assert read_texts(body) == PictureTexts("PNG", (8, 6), record="one")


def test_a_file_that_is_cut_off_behind_its_texts_is_read() -> None:
    body = png(chunk(b"tEXt", b"aquatint\0{}"), chunk(b"IDAT", b"x" * 100))
    assert read_texts(body[:-60]).record == "{}"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "is empty"),
        (b"GIF89a", "is damaged: it begins like a GIF, and is none"),
        (b"\0" * 1000, "is no kind of file that Aquatint writes"),
        (SIGNATURE, "is damaged: it begins like a PNG picture, and is none"),
        (SIGNATURE + b"\xff" * 100, "is damaged: it begins like a PNG picture, and is none"),
        (b"\xff\xd8\xff\xe0", "is damaged: it begins like a JPEG picture, and is none"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "is damaged: it begins like a WEBP picture, and is none"),
        (png(chunk(b"tEXt", b"aquatint\0{}")[:-1] + b"x"), "is damaged: its text `aquatint` can't be read"),
        (png(chunk(b"zTXt", b"aquatint\0\0garbage")), "is damaged: its text `aquatint` can't be read"),
        (png(chunk(b"iTXt", b"aquatint\0\0\0")), "is damaged: its text `aquatint` can't be read"),
        (png(chunk(b"tEXt", b"aquatint\0" + b"x" * TEXT_LIMIT)), "is damaged: its text `aquatint` can't be read"),
        (png(chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"x" * (TEXT_LIMIT + 1)))),
         "is damaged: its text `parameters` can't be read"),
        (HEAD + chunk(b"fRAc", b"") * 100_001 + END, "has more than 100,000 parts"),
        (b"{" + b" " * TEXT_LIMIT, "is a record of more than 4 MiB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_files_that_cannot_be_read(body: bytes, said: str) -> None:
    with pytest.raises(UnreadablePicture) as caught:
        read_texts(body)
    assert str(caught.value) == said


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_exif_of_others(form: str) -> None:
    exif = Image.Exif()
    exif[IMAGE_DESCRIPTION] = "a holiday"
    exif.get_ifd(EXIF_IFD)[USER_COMMENT] = b"ASCII\0\0\0Steps: 1"
    assert read_texts(written(form, exif=exif)) == PictureTexts(form, (8, 6), "Steps: 1")  # type: ignore[arg-type]
    exif.get_ifd(EXIF_IFD)[USER_COMMENT] = b"\xff\xfe\0\0"
    assert read_texts(written(form, exif=exif)) == PictureTexts(form, (8, 6))  # type: ignore[arg-type]


def test_a_bomb_takes_neither_time_nor_memory() -> None:
    # Four gigabytes of text, and a picture of as many pixels as a PNG can say.
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(b"\0" * (1 << 24)) for _ in range(16)) + packer.flush()
    head = SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0))
    body = head + chunk(b"zTXt", b"aquatint\0\0" + packed) + END
    tracemalloc.start()
    started = time.monotonic()
    with pytest.raises(UnreadablePicture):
        read_texts(body)
    assert time.monotonic() - started < 2
    assert tracemalloc.get_traced_memory()[1] < 4 * TEXT_LIMIT
    tracemalloc.stop()
    assert read_texts(head + END).size == (2**31 - 1, 2**31 - 1)


SAMPLES = [
    png(chunk(b"tEXt", b"aquatint\0{}"), chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"Steps: 1"))),
    written("JPEG", exif=b"Exif\0\0" + (exif := Image.Exif()).tobytes()[6:]),
    written("WEBP"),
]


@settings(max_examples=300, deadline=None)
@given(sample=st.sampled_from(SAMPLES), draw=st.randoms(use_true_random=False), times=st.integers(1, 8))
def test_broken_bytes_are_read_or_refused(sample: bytes, draw: random.Random, times: int) -> None:
    body = bytearray(sample)
    for _ in range(times):
        body[draw.randrange(len(body))] = draw.randrange(256)
    cut = bytes(body[: draw.randrange(len(body))] if draw.random() < 0.3 else body)
    try:
        found = read_texts(cut)
    except UnreadablePicture as error:
        assert str(error).isprintable()
    else:
        assert isinstance(found, PictureTexts)


def test_the_file_of_a_record_is_read(tmp_path: Path) -> None:
    assert read_texts(b'\xef\xbb\xbf\n{"a": 1}') == PictureTexts(None, record='\n{"a": 1}')
