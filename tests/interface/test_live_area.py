"""What is under the log on a terminal, at any width and whatever a script says."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from aquatint.interface.cells import cut, side_by_side, width
from aquatint.interface.live_area import LiveArea
from aquatint.interface.progress import printable
from aquatint.plan.steps import ByteRange
from aquatint.runtime.events import (
    DenoiseStep,
    Event,
    GenerateStarted,
    ImageWritten,
    LoadFinished,
    LoadStarted,
    MemoryUsed,
    ModelSaved,
    Progress,
    PromptsRewritten,
    RewriteStarted,
    RunStarted,
    SaveStarted,
    StatementFailed,
)

MIB = 1 << 20
PROMPT = "日本語の赤い円, שלום, a red circle\x1b[31m\u202e on a white background\n" * 5


class Shown:
    """A live area with a clock that is set by hand."""

    def __init__(self, started: RunStarted | None = None) -> None:
        self.now = 0.0
        peak = ByteRange(8 * MIB, 8 * MIB)
        self.area = LiveArea(
            started or RunStarted(9, 16, 5, denoise_steps=320, predicted_peak=peak), lambda: self.now
        )  # fmt: skip

    def feed(self, *events: Event) -> Shown:
        for event in events:
            self.area.feed(event)
        return self

    def lines(self, columns: int = 100) -> list[str]:
        return self.area.lines(columns)

    def drawn(self, columns: int) -> list[str]:
        """Return the lines that rich draws."""
        stream = io.StringIO()
        console = Console(file=stream, width=columns, force_terminal=True, no_color=True, highlight=False)
        console.print(self.area)
        text = stream.getvalue()
        for style in ("\x1b[0m", "\x1b[1m", "\x1b[2m"):
            text = text.replace(style, "")
        return text.splitlines()


def begun(step: str = "g1", number: int = 1, prompt: str = "a red circle") -> GenerateStarted:
    return GenerateStarted(step, "shapes", {}, number, prompt, number, 4)


def test_a_run_begins() -> None:
    shown = Shown()
    shown.now = 2.0
    assert shown.lines() == ["2.0 s so far  0/16 images  0/320 steps", "", "0/5 loads  planned 8.0 MiB at most"]


def test_an_upscaler_says_what_it_writes() -> None:
    shown = Shown(RunStarted(3, 1, 1, denoise_steps=20, strings=30)).feed(RewriteStarted("u1", "better", 24))
    shown.now = 3.0
    assert shown.lines() == [
        "3.0 s so far  0/30 strings  0/1 images  0/20 steps", "writing 24 strings  3.0 s  better", "0/1 loads"
    ]  # fmt: skip
    shown.feed(PromptsRewritten("u1", "better", ["a"] * 24, ["b"] * 24, 3.0))
    assert shown.lines()[:2] == ["3.0 s so far  24/30 strings  0/1 images  0/20 steps", ""]
    shown.feed(Progress(0, 1, 0, 20, 0, 1, 3.0, 9.0, strings_done=24, strings=24))
    assert shown.lines()[0] == "9.0 s left  0/1 images  0/20 steps"


def test_a_load_says_how_long_it_has_taken() -> None:
    shown = Shown().feed(LoadStarted("l1", "k", "unet", "UNet2DConditionModel", "x", "sdnq int8", 3 * MIB))
    shown.now = 75.0
    assert shown.lines()[1] == "loading unet  1 min 15 s  UNet2DConditionModel  sdnq int8  3.0 MiB"
    shown.feed(LoadFinished("l1", "k", "unet", MIB, 1, 1, 75.0), MemoryUsed(500 * MIB, 300 * MIB, None, None))
    assert shown.lines()[1:] == ["", "memory 500.0 MiB  1/5 loads  planned 8.0 MiB at most"]
    shown.feed(MemoryUsed(500 * MIB, 300 * MIB, None, None, device=2 * MIB))
    assert shown.lines()[2].startswith("memory 2.0 MiB  ")


def test_a_save_is_shown_until_it_ends() -> None:
    shown = Shown().feed(SaveStarted("k1", "shapes", "out/m", MIB))
    assert shown.lines()[1] == "saving shapes  0.0 s  out/m  1.0 MiB"
    assert shown.feed(ModelSaved("k1", "out/m", MIB, 1.0)).lines()[1] == ""


def test_time_goes_on_between_two_estimates() -> None:
    shown = Shown().feed(Progress(1, 16, 21, 320, 5, 5, 30.0, 90.0))
    assert shown.lines()[0] == "1 min 30 s left  0/16 images  21/320 steps"
    shown.now = 60.0
    assert shown.lines()[0].startswith("30.0 s left")
    shown.now = 600.0
    assert shown.lines()[0].startswith("0.0 s left")


def test_images_that_take_turns_are_told_apart() -> None:
    shown = Shown().feed(begun("g1", 1), begun("g2", 1, "a cat"), begun("g2", 2, "a dog"), DenoiseStep("g1", 1, 20))
    assert shown.lines()[1] == "image 1 of 16  step 1/20  shapes  seed 1  a red circle"
    shown.feed(DenoiseStep("g2", 1, 20, 2), DenoiseStep("g2", 2, 20, 2))
    assert shown.lines()[1] == "image 3 of 16  step 2/20  shapes  seed 2  a dog"
    shown.feed(DenoiseStep("g1", 2, 20))
    assert shown.lines()[:2] == [
        "0.0 s so far  0/16 images  4/320 steps", "image 1 of 16  step 2/20  shapes  seed 1  a red circle",
    ]  # fmt: skip
    shown.feed(ImageWritten("g1", "1.png", 1, 1.0))
    assert shown.lines()[:2] == ["0.0 s so far  1/16 images  4/320 steps", ""]
    shown.feed(DenoiseStep("g2", 1, 20), StatementFailed("g2", "x:1:1", "no", None, []), DenoiseStep("g2", 3, 20, 2))
    assert shown.lines()[:2] == ["0.0 s so far  1/16 images  5/320 steps", ""]


def test_totals_fall_with_what_failed() -> None:
    assert Shown().feed(Progress(2, 10, 40, 200, 5, 5, 9.0, 1.0)).lines()[0] == "1.0 s left  0/10 images  40/200 steps"


@pytest.mark.parametrize("columns", [1, 5, 12, 20, 40, 80, 200])
def test_lines_are_no_wider_than_the_terminal(columns: int) -> None:
    shown = Shown().feed(begun(prompt=PROMPT), DenoiseStep("g1", 7, 20), MemoryUsed(MIB, MIB, MIB, MIB))
    drawn = shown.drawn(columns)
    assert len(drawn) == 3
    assert max(map(cell_len, drawn)) <= columns
    assert not set("".join(drawn)) & set("\x1b\u202e\n\r")


def test_a_narrow_terminal_shows_what_matters_most() -> None:
    shown = Shown().feed(begun(prompt=PROMPT), DenoiseStep("g1", 7, 20), Progress(0, 16, 7, 320, 5, 5, 1.0, 90.0))
    assert shown.lines(40)[1:] == ["image 1 of 16  step 7/20  shapes  seed 1", "0/5 loads  planned 8.0 MiB at most"]
    assert shown.drawn(40)[0].strip("━╸╺ ") == "1 min 30 s left  0/16 images"


def test_an_image_without_steps_moves_the_bar_by_images() -> None:
    shown = Shown(RunStarted(2, 2, 0)).feed(begun(), ImageWritten("g1", "x", 1, 1.0))
    assert shown.lines() == ["0.0 s so far  1/2 images", "", ""]
    assert "━" in shown.drawn(80)[0]


TEXTS = st.text(max_size=30).map(printable)


@given(TEXTS, st.integers(0, 40))
def test_a_cut_text_fits_and_is_a_beginning(text: str, columns: int) -> None:
    short = cut(text, columns)
    assert width(short) <= columns
    assert short == text or (short == "" and not columns) or text.startswith(short.removesuffix("…"))
    assert width(text) > columns or short == text


@given(st.lists(TEXTS, max_size=5), st.integers(0, 60))
def test_facts_fit(facts: list[str], columns: int) -> None:
    line = side_by_side(facts, columns)
    assert width(line) <= columns
    assert width("  ".join(facts)) > columns or line == "  ".join(facts)
