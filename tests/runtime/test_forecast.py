"""How far a run is and how long it will take, told from made-up events and times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from msgspec.structs import replace as replaced

from aquatint.runtime.events import (
    DenoiseStep,
    Event,
    GenerateStarted,
    ImageWritten,
    LoadFinished,
    LoadStarted,
    ModelSaved,
    Progress,
    PromptsRewritten,
    Released,
    StatementFailed,
    StatementSkipped,
    Warned,
)
from aquatint.runtime.forecast import Forecast
from aquatint.runtime.work import ImageAhead, Kind, LoadAhead, RewriteAhead, SaveAhead, Work

KIND = Kind("p", 64 * 64, 4)


def images(step: str, count: int, kind: Kind = KIND) -> list[Work]:
    return [ImageAhead(step, number, kind) for number in range(1, count + 1)]


def begun(step: str, number: int = 1) -> GenerateStarted:
    return GenerateStarted(step, "m", {}, 1, "", number, 9)


def written(step: str, number: int = 1) -> ImageWritten:
    return ImageWritten(step, "x.png", 1, 0.0, number)


def loaded(step: str, seconds: float, from_store: bool = False) -> LoadFinished:
    return LoadFinished(step, "c", "unet", 1, 0, 0, seconds, from_store)


class Told:
    """A forecast, and a clock that goes on with what it is told."""

    def __init__(self, work: Iterable[Work]) -> None:
        self.forecast = Forecast(work)
        self.now = 0.0

    def after(self, seconds: float, event: Event) -> float | None:
        """Let `event` come `seconds` after the one before it, and return the time left."""
        self.now += seconds
        self.forecast.feed(event, self.now)
        return self.forecast.seconds_left()

    def image(self, step: str, number: int = 1, first: float = 5.0, each: float = 1.0, end: float = 2.0) -> None:
        """Let an image of four steps be made."""
        self.after(0, begun(step, number))
        for done in range(1, 5):
            self.after(first if done == 1 else each, DenoiseStep(step, done, 4, number))
        self.after(end, written(step, number))


def test_nothing_ahead_takes_no_time() -> None:
    assert Forecast([]).progress() == Progress(0, 0, 0, 0, 0, 0, 0.0, 0.0)


def test_there_is_no_estimate_before_there_is_a_measure() -> None:
    told = Told(images("g", 2))
    assert told.forecast.seconds_left() is None
    assert told.after(0, begun("g")) is None
    assert told.after(30, DenoiseStep("g", 1, 4)) is None, "the first step is not for itself"
    assert told.after(1, DenoiseStep("g", 2, 4)) == 2 + 4


def test_the_first_step_is_no_measure_for_the_others() -> None:
    told = Told(images("g", 3))
    told.image("g", 1, first=5.0, each=1.0, end=2.0)
    # An image takes four steps, four seconds more until the first is done, and two behind the last.
    assert told.forecast.seconds_left() == 2 * (4 + 4 + 2)
    told.after(0, begun("g", 2))
    assert told.after(5, DenoiseStep("g", 1, 4, 2)) == 3 + 2 + 10


def test_images_of_a_batch_share_its_time() -> None:
    kind = replace(KIND, batch=3)
    told = Told([*images("g", 2, kind), *images("h", 4, kind)])
    for step, first, numbers in (("g", "b1", [("g", 1), ("g", 2), ("h", 1)]), ("h", "b2", [("h", 2), ("h", 3)])):
        for name, number in numbers:
            told.after(0, replaced(begun(name, number), batch=first))
        for done, seconds in enumerate([15.0, 3.0, 3.0, 3.0], 1):
            for place, (name, number) in enumerate(numbers):
                told.after(0 if place else seconds, DenoiseStep(name, done, 4, number))
        if step == "g":
            # A step is a second of each image's. The call of two has gone on nowhere yet.
            assert told.forecast.seconds_left() == 3 * 4.0
        for place, (name, number) in enumerate(numbers):
            told.after(0 if place else 6, written(name, number))
    progress = told.forecast.progress()
    assert (progress.images_done, progress.images) == (5, 6)
    assert (progress.denoise_steps_done, progress.denoise_steps) == (20, 24)
    # Of the last image: four steps, four seconds until the first was done, two behind the last.
    assert told.forecast.seconds_left() == pytest.approx(4 * 1.0 + 4 + 2)


def test_a_batch_that_begins_again_goes_on_one_by_one() -> None:
    told = Told(images("g", 2))
    for _ in range(2):
        for number in (1, 2):
            told.after(0, replaced(begun("g", number), batch="b1"))
        for number in (1, 2):
            told.after(4 if number == 1 else 0, DenoiseStep("g", 1, 4, number))
    for number in (1, 2):
        told.image("g", number)
    assert told.forecast.progress() == Progress(2, 2, 8, 8, 0, 0, 8 + 2 * 10.0, 0.0)


def test_one_slow_step_changes_nothing() -> None:
    told = Told(images("g", 2))
    told.after(0, begun("g"))
    for done, seconds in enumerate([5.0, 1.0, 60.0, 1.0], 1):
        told.after(seconds, DenoiseStep("g", done, 4))
    assert told.after(1, written("g")) == 4 + 4 + 1


def test_images_whose_steps_take_turns_are_told_apart() -> None:
    told = Told([*images("g", 2), *images("h", 1)])
    order = [("g", 1), ("g", 2), ("h", 1)]
    for step, number in order:
        told.after(0, begun(step, number))
    for done in range(1, 5):
        for step, number in order:
            told.after(1, DenoiseStep(step, done, 4, number))
    progress = told.forecast.progress()
    assert (progress.denoise_steps_done, progress.denoise_steps, progress.images_done) == (12, 12, 0)
    for step, number in order:
        told.after(1, written(step, number))
    assert told.forecast.progress() == Progress(3, 3, 12, 12, 0, 0, 15.0, 0.0)


def test_pieces_of_one_image_are_measured_where_its_steps_follow_each_other() -> None:
    told = Told([*images("g", 1), *images("h", 1)])
    told.after(0, begun("g"))
    told.after(0, begun("h"))
    told.after(9, DenoiseStep("g", 1, 4))
    told.after(1, DenoiseStep("g", 2, 4))
    told.after(9, DenoiseStep("h", 1, 4))
    told.after(50, DenoiseStep("g", 3, 4))  # after something else: no measure of a step
    assert told.after(1, DenoiseStep("g", 4, 4)) == 3 * 1.0


def test_prompts_that_are_read_before_any_step_are_counted() -> None:
    told = Told(images("g", 3))
    for number in (1, 2):
        told.after(0 if number == 1 else 5, begun("g", number))
    told.after(5, Released("r", "c", "text_encoder"))
    for number in (1, 2):
        for done in range(1, 5):
            told.after(1, DenoiseStep("g", done, 4, number))
    told.after(2, written("g", 1))
    told.after(2, written("g", 2))
    assert told.forecast.seconds_left() == 5 + 4 + 2


def test_an_image_of_another_size_goes_by_its_pixels() -> None:
    told = Told([*images("g", 1), *images("h", 1, Kind("p", 4 * 64 * 64, 4)), *images("i", 1, Kind("q", None, 4))])
    told.image("g", first=1.0, each=1.0, end=0.0)
    assert told.forecast.seconds_left() == 4 * 4 + 4


def test_the_same_pipeline_at_another_size_goes_before_another_pipeline() -> None:
    told = Told([*images("g", 1), *images("h", 1, Kind("q", 64 * 64, 4)), *images("i", 1, Kind("q", 2 * 64 * 64, 4))])
    told.image("g", first=1.0, each=1.0, end=0.0)
    told.image("h", first=7.0, each=7.0, end=0.0)
    assert told.forecast.seconds_left() == 4 * 14


def test_a_pipeline_says_how_many_steps_it_takes() -> None:
    told = Told(images("g", 2, Kind("p", None, 10, 0.5)))
    assert told.forecast.progress().denoise_steps == 20
    told.after(0, begun("g"))
    told.after(1, DenoiseStep("g", 1, 5))
    assert told.after(1, DenoiseStep("g", 2, 5)) == 3 + 5
    assert told.forecast.progress().denoise_steps == 10


@pytest.mark.parametrize("tells", [True, False])
def test_images_of_one_step_or_of_none_that_is_told_are_measured_whole(tells: bool) -> None:
    told = Told(images("g", 3, Kind("p", None, 1 if tells else 20)))
    told.after(0, begun("g"))
    if tells:
        told.after(3, DenoiseStep("g", 1, 1))
    assert told.after(1 if tells else 4, written("g")) == 8
    assert told.after(0, begun("g", 2)) == 8


def test_loads_have_a_speed_for_each_way() -> None:
    told = Told(
        [
            LoadAhead("l1", "a", 1000, False), LoadAhead("l2", "b", 1000, True), LoadAhead("l3", "c", 1000, True),
            LoadAhead("l4", "d", 500, False), LoadAhead("l5", "b", 1000, True), LoadAhead("l6", "e", 2000, True),
        ]
    )  # fmt: skip
    told.after(0, LoadStarted("l1", "a", "unet", "UNet", "s", None, 1000))
    assert told.after(1, loaded("l1", 1.0)) == 2 * 1 + 0.5 + 1 + 2, "what is known goes for all at first"
    assert told.after(10, loaded("l2", 10.0)) == 10 + 0.5 + 10 + 20
    # `b` was quantized and is again, `e` is new and comes as the last one did.
    assert told.after(2, loaded("l3", 2.0, from_store=True)) == 0.5 + 10 + 4
    assert told.forecast.progress() == Progress(0, 0, 0, 0, 3, 6, 13.0, 14.5)


def test_what_has_no_weights_takes_the_usual_time_of_such() -> None:
    told = Told([LoadAhead(f"l{number}", "s", 0, False) for number in range(5)])
    assert told.forecast.seconds_left() == 0.0
    for number, seconds in enumerate([9.0, 0.5, 0.5]):
        left = told.after(seconds, loaded(f"l{number}", seconds))
    assert left == 1.0


def test_saves_go_by_saves_and_else_by_loads() -> None:
    told = Told([LoadAhead("l1", "a", 100, False), SaveAhead("k1", 100), SaveAhead("k2", 200)])
    assert told.forecast.seconds_left() is None
    assert told.after(1, loaded("l1", 1.0)) == 3
    assert told.after(4, ModelSaved("k1", "m", 110, 4.0)) == 8


def test_what_failed_or_was_skipped_is_no_longer_ahead() -> None:
    told = Told(
        [LoadAhead("l1", "a", 100, False), *images("g", 2), *images("h", 3), *images("i", 1), SaveAhead("k", 9)]
    )
    told.image("g", 1)
    told.after(0, begun("g", 2))
    told.after(1, DenoiseStep("g", 1, 4, 2))
    told.after(0, StatementFailed("g", "x:1:1", "no", None, []))
    told.after(0, StatementFailed("l1", "x:1:1", "no", None, []))
    told.after(0, StatementSkipped("h", "x:1:1", "no"))
    told.after(0, StatementSkipped("k", "x:1:1", "no"))
    assert told.forecast.progress() == Progress(1, 2, 5, 9, 0, 0, 11.0, 10.0)


def test_what_is_said_meanwhile_is_no_work() -> None:
    told = Told(images("g", 1))
    told.after(0, begun("g"))
    told.after(1, DenoiseStep("g", 1, 4))
    told.after(3, Warned("g", "odd"))
    assert told.after(1, DenoiseStep("g", 2, 4)) == 2 * 4.0


def test_what_was_never_ahead_is_counted_for_nothing() -> None:
    told = Told(images("g", 1))
    told.image("other")
    told.after(1, Released("r", "c", "unet"))
    assert told.forecast.progress() == Progress(0, 1, 0, 4, 0, 0, 11.0, None)


def rewritten(step: str, count: int, seconds: float) -> PromptsRewritten:
    return PromptsRewritten(step, "better", ["a"] * count, ["b"] * count, seconds)


def test_strings_go_by_the_speed_of_those_before() -> None:
    """Of the same language model, else of others."""
    work = [
        RewriteAhead("u1", "p", 4),
        RewriteAhead("u2", "p", 6),
        RewriteAhead("u3", "q", 2),
        RewriteAhead("u4", "q", 1),
    ]
    told = Told(work)
    assert told.forecast.seconds_left() is None
    assert told.after(8, rewritten("u1", 4, 8.0)) == 2.0 * (6 + 2 + 1)
    assert told.after(10, rewritten("u3", 2, 10.0)) == 2.0 * 6 + 5.0
    assert told.forecast.progress() == Progress(0, 0, 0, 0, 0, 0, 18.0, 17.0, strings_done=6, strings=13)
    assert told.after(0, StatementFailed("u2", "x.aqt:1:1", "no", None, [])) == 5.0
    assert told.forecast.progress().strings == 7
