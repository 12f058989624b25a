"""Fingerprints change with what decides a file, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given

from aquatint.plan.fingerprints import planned
from aquatint.plan.steps import (
    Compare,
    Generate,
    Hole,
    ImageRef,
    NumberRef,
    Output,
    Pair,
    Place,
    Plan,
    Plugin,
    Step,
    Text,
    TextRef,
    Upscale,
    plan_from_json,
    plan_to_json,
)
from support.plans import generate, grid, load, place, plans, save, simple_plan

changed = msgspec.structs.replace


def chain() -> Plan:
    """A plan in which much depends on much: `b` is made of `a`, its label and prompt of what others yield."""
    upscale = Upscale("u", Plugin("magicprompt", {"top_k": 50}, None, "mp"), "p", ["a cat"], 2, 1, place(2), "upscale")
    prompted = changed(
        generate("g1", "p", ["a.png", "a2.png"]), deferred={"prompt": Text(["a ", Hole(TextRef("u", 0))])}
    )
    of_image = changed(generate("g2", "q", ["b.jpg"]), deferred={"image": ImageRef("g1", 0)})
    measured = Compare("c", [Pair(ImageRef("g1", 0), ImageRef("g2", 0), "b")], ["psnr"], "t.csv", place(4))
    labelled = Text(["b: ", Hole(NumberRef("c", "psnr"), [["round", 1]])])
    sheet = grid("s1", "s.png", [("g1", 1), ("g2", 0)])
    sheet = changed(sheet, cells=[sheet.cells[0], changed(sheet.cells[1], label=labelled)])
    alone = generate("g3", "q", ["c.webp"], metadata=False)
    return simple_plan(
        load("u"), load("v"), upscale, prompted, load("w"), of_image, measured, sheet, alone, save("k1", "p", "saved")
    )


def with_step(plan: Plan, id: str, change: Callable[[Any], Step]) -> Plan:
    """Return `plan` with one step changed."""
    return changed(plan, steps=[change(step) if step.id == id else step for step in plan.steps])


def names(plan: Plan) -> dict[tuple[str, int | None], str]:
    """Return the fingerprints of what `plan` writes."""
    found = {}
    for each in planned(plan):
        assert each.fingerprint is not None
        found[each.step, each.index] = each.fingerprint
    return found


def touched(before: Plan, after: Plan) -> set[str]:
    """Return the paths, as `before` has them, of which the fingerprints differ."""
    old, new = names(before), names(after)
    paths = {(each.step, each.index): each.path for each in planned(before)}
    assert old.keys() == new.keys()
    return {paths[key] for key in old if old[key] != new[key]}


ALL = {"a.png", "a2.png", "b.jpg", "t.csv", "s.png", "c.webp", "saved"}
OF_A = {"a.png", "b.jpg", "t.csv", "s.png"}  # and what is made of it


def seeds(*numbers: int) -> Callable[[Generate], Step]:
    return lambda step: changed(
        step, outputs=[Output(n, made.path) for n, made in zip(numbers, step.outputs, strict=True)]
    )


def argument(**values: Any) -> Callable[[Generate], Step]:
    return lambda step: changed(step, arguments=step.arguments | values)


def test_all_that_is_written_is_planned_in_order() -> None:
    assert [(each.path, each.step, each.index) for each in planned(chain())] == [
        ("a.png", "g1", 0), ("a2.png", "g1", 1), ("b.jpg", "g2", 0), ("t.csv", "c", None), ("s.png", "s1", None),
        ("c.webp", "g3", 0), ("saved", "k1", None),
    ]  # fmt: skip
    assert len(set(names(chain()).values())) == 7


@pytest.mark.parametrize(
    ("step", "change", "what"),
    [
        ("g1", seeds(9, 2), OF_A),
        ("g1", seeds(1, 9), {"a2.png", "s.png"}),
        ("g1", argument(guidance_scale=3), OF_A | {"a2.png"}),
        ("g1", argument(num_inference_steps=2.0), OF_A | {"a2.png"}),
        ("g1", lambda step: changed(step, scheduler="EulerDiscreteScheduler"), OF_A | {"a2.png"}),
        ("g1", lambda step: changed(step, weighter=Plugin("compel", {}, None, "w")), OF_A | {"a2.png"}),
        ("g1", lambda step: changed(step, model="other"), {"a.png", "a2.png"}),
        ("g1", lambda step: changed(step, quantizers={"unet": "other"}), {"a.png", "a2.png"}),
        ("g1", lambda step: changed(step, metadata=False), {"a.png", "a2.png"}),
        ("g1", lambda step: changed(step, place=Place("other.aqt", 7, 7), statement="other"), set()),
        ("g1", lambda step: changed(step, pipeline="q"), OF_A | {"a2.png"}),
        ("g2", argument(strength=0.5), {"b.jpg", "t.csv", "s.png"}),
        ("g2", lambda step: changed(step, deferred={"image": ImageRef("g1", 1)}), {"b.jpg", "t.csv", "s.png"}),
        ("g3", lambda step: changed(step, model="other"), set()),
        ("g3", argument(prompt="a cat"), {"c.webp"}),
        ("u", lambda step: changed(step, seed=2), OF_A | {"a2.png"}),
        ("u", lambda step: changed(step, prompts=["a dog"]), OF_A | {"a2.png"}),
        ("u", lambda step: changed(step, upscaler=changed(step.upscaler, options={"top_k": 5})), OF_A | {"a2.png"}),
        ("u", lambda step: changed(step, upscaler=changed(step.upscaler, name="other")), set()),
        ("c", lambda step: changed(step, metrics=["psnr", "mse"]), {"t.csv"}),
        ("c", lambda step: changed(step, pairs=[changed(step.pairs[0], label="other")]), {"t.csv"}),
        ("s1", lambda step: changed(step, title="other"), {"s.png"}),
        ("s1", lambda step: changed(step, columns=1), {"s.png"}),
        ("s1", lambda step: changed(step, cells=step.cells[::-1]), {"s.png"}),
        ("s1", lambda step: changed(step, row_headers=["other"]), {"s.png"}),
        ("k1", lambda step: changed(step, variant="fp16"), {"saved"}),
        ("k1", lambda step: changed(step, roles=["unet"]), {"saved"}),
        ("k1", lambda step: changed(step, max_shard_size=5), {"saved"}),
        ("k1", lambda step: changed(step, place=Place("other.aqt", 7, 7)), set()),
    ],
)  # fmt: skip
def test_one_change_touches_what_depends_on_it_alone(step: str, change: Callable[[Any], Step], what: set[str]) -> None:
    assert touched(chain(), with_step(chain(), step, change)) == what


def test_a_component_touches_what_its_pipeline_makes() -> None:
    plan = chain()
    pipelines = plan.pipelines | {"p": changed(plan.pipelines["p"], parts={"unet": "w", "vae": "v"})}
    assert touched(plan, changed(plan, pipelines=pipelines)) == ALL - {"c.webp"}


def test_how_a_part_computes_touches_pictures_and_no_saved_weights() -> None:
    plan = chain()
    pipelines = plan.pipelines | {"p": changed(plan.pipelines["p"], computing={"vae": {"tiling": True}})}
    assert touched(plan, changed(plan, pipelines=pipelines)) == ALL - {"c.webp", "saved"}


def test_what_is_made_of_a_picture_sees_its_pixels_and_not_its_file() -> None:
    def named(path: str) -> Plan:
        return with_step(chain(), "g1", lambda step: changed(step, outputs=[Output(1, path), Output(2, "a2.png")]))

    # The table names the file; a JPEG has lost something, a WebP has not.
    assert touched(chain(), named("other.png")) == {"t.csv"}
    assert touched(chain(), named("a.webp")) == {"a.png", "t.csv"}
    assert touched(chain(), named("a.jpg")) == OF_A
    assert touched(named("a.jpg"), named("a.jpeg")) == {"t.csv"}


def test_what_an_earlier_plan_made_is_not_known() -> None:
    later = simple_plan(grid("s1", "s.png", [("g9", 0)]))
    assert [(each.parts, each.fingerprint) for each in planned(later)] == [(None, None)]


@given(plans())
def test_fingerprints_are_the_plans_own(plan: Plan) -> None:
    """They survive JSON, don't depend on where a step stands, and are equal only for what is equal."""
    assert planned(plan_from_json(plan_to_json(plan))) == planned(plan)
    places = changed(plan, script="other.aqt", plan_seed=5, inputs={"file x": "y"})
    assert [each.parts for each in planned(places)] == [each.parts for each in planned(plan)]
    shorter = planned(changed(plan, steps=plan.steps[:-1]))
    assert shorter == planned(plan)[: len(shorter)]
