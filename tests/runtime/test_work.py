"""What a plan has ahead of it."""

from __future__ import annotations

import msgspec

from aquatint.plan.steps import Plan, Plugin, Upscale
from aquatint.runtime.work import ImageAhead, Kind, LoadAhead, RewriteAhead, SaveAhead, Work, ahead
from support.plans import generate, load, place, release, save, simple_plan


def work(plan: Plan, resident: frozenset[str] = frozenset(), settled: tuple[str, ...] = ()) -> list[Work]:
    return list(ahead(plan, resident, settled, lambda path: path.startswith("there")))


def test_what_is_ahead() -> None:
    plan = simple_plan(
        load("u"), load("v"), generate("g1", "p", ["1.png", "there.png", "3.png"], width=32), release("u"), load("v"),
        load("u"), save("k1", "p", "m"), generate("g2", "p", ["4.png"]),
    )  # fmt: skip
    kind = Kind("p", 32 * 16, 2)
    loads = [LoadAhead("load-u", "u", 4_500_000, True), LoadAhead("load-v", "v", 4_500_000, False)]
    made = [ImageAhead("g1", 1, kind), ImageAhead("g1", 3, kind)]
    last = ImageAhead("g2", 1, Kind("p", 16 * 16, 2))
    assert work(plan) == [*loads, *made, loads[0], SaveAhead("k1", 9_000_000), last]
    assert work(plan, frozenset("uv"), settled=("g1", "k1")) == [loads[0], last]


def test_strings_that_upscalers_are_to_write() -> None:
    better = Plugin("phrases", {}, None, "better")
    plan = simple_plan(Upscale("u1", better, "p", ["a cat", "a dog"], 3, 7, place(1), "upscale better { }"))
    assert work(plan) == [RewriteAhead("u1", "p", 6)]
    assert work(plan, settled=("u1",)) == []


def test_how_many_steps_an_image_is_asked_for() -> None:
    plan = simple_plan(
        generate("g1", "p", ["1.png"], num_inference_steps=None), generate("g2", "p", ["1.png"], timesteps=[9, 5, 1]),
        generate("g3", "p", ["1.png"], strength=0.5, width=None),
    )  # fmt: skip
    kinds = [piece.kind for piece in work(plan) if isinstance(piece, ImageAhead)]
    # The default of StableDiffusionPipeline is 50.
    assert kinds == [Kind("p", 256, 50), Kind("p", 256, 3), Kind("p", None, 2, 0.5)]


def test_a_pipeline_that_is_not_known_has_no_steps() -> None:
    plan = simple_plan(generate("g1", "p", ["1.png"], num_inference_steps=None))
    pipelines = {key: msgspec.structs.replace(each, class_name="OtherPipeline") for key, each in plan.pipelines.items()}
    [image] = work(msgspec.structs.replace(plan, pipelines=pipelines))
    assert isinstance(image, ImageAhead) and image.kind.steps == 0
