"""A1111's form is read from whatever program wrote it, and however badly."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aquatint.runtime.infotext import Infotext, read_infotext

FULL = """\
a cat, (masterpiece:1.2)
on two lines
Negative prompt: ugly,
blurry
Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x768, Model hash: e6e99610c4, \
Lora hashes: "a: 1, b: 2", Version: v1.9.0"""


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (
            FULL,
            Infotext(
                "a cat, (masterpiece:1.2)\non two lines", "ugly,\nblurry",
                {"Steps": "20", "Sampler": "Euler a", "CFG scale": "7", "Seed": "5", "Size": "512x768",
                 "Model hash": "e6e99610c4", "Lora hashes": "a: 1, b: 2", "Version": "v1.9.0"},
            ),
        ),
        ("", Infotext("", "")),
        ("a cat", Infotext("a cat", "")),
        ("a: b", Infotext("a: b", "")),
        ("Negative prompt: dogs", Infotext("", "dogs")),
        ("a cat\r\nSteps: 5", Infotext("a cat", "", {"Steps": "5"})),
        ("a cat\nSteps: 5, Seed: 1\nTemplate: a {x}", Infotext("a cat", "", {"Steps": "5", "Seed": "1"})),
        ('Steps: 5, Note: "open, Seed: 1', Infotext("", "", {"Steps": "5", "Note": '"open', "Seed": "1"})),
    ],
)  # fmt: skip
def test_forms(text: str, read: Infotext) -> None:
    assert read_infotext(text) == read


@given(st.text(max_size=200) | st.lists(st.sampled_from(["Steps:", ": ", ", ", '"', "\\", "a", "\n"])).map("".join))
def test_any_text_is_read(text: str) -> None:
    found = read_infotext(text)
    assert all(isinstance(value, str) for value in found.fields.values())


def test_long_texts_take_no_time() -> None:
    for text in ("a " * 400_000, 'a: "' * 100_000, "Steps: " + "\\" * 200_000, "x-" * 100_000, "Steps: 1,\n" * 40_000):
        started = time.monotonic()
        read_infotext(text)
        assert time.monotonic() - started < 2, text[:10]
