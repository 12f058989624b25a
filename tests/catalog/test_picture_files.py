"""Pictures that scripts name: every kind that is read, and damaged files, which are never more than a message."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aquatint.catalog.picture_files import FORMATS, NoPicture, decoded, size_of


def written(form: str, orientation: int = 1) -> bytes:
    """Return a file of 6x4 pixels; where the kind has EXIF, it says how its camera was held."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"exif": exif} if form in ("PNG", "JPEG", "WEBP", "TIFF") else {}
    Image.new("RGB", (6, 4), "red").save(file := io.BytesIO(), form, **options)
    return file.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_every_kind_is_read(form: str) -> None:
    picture = decoded(written(form))
    assert (picture.mode, picture.size, size_of(written(form))) == ("RGB", (6, 4), (6, 4))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_upright(form: str) -> None:
    lying = written(form, 6)
    assert (size_of(lying), decoded(lying).size) == ((4, 6), (4, 6))


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_is_a_message(form: str, data: st.DataObject) -> None:
    body = bytearray(written(form, 6))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(body[: data.draw(st.integers(0, len(body)))])
    for broken in (bytes(body), cut):
        for read in (size_of, decoded):
            try:
                read(broken)
            except NoPicture as error:
                assert str(error).startswith(("is ", "has "))
