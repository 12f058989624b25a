"""Which images share a call: whole statements where they fit, in the script's order, and nothing that waits."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aquatint.plan.batches import companions, sizes, unit, united
from aquatint.plan.fingerprints import planned
from aquatint.plan.schedule import Order, schedule
from aquatint.plan.steps import (
    Companion,
    Generate,
    ImageRef,
    InBatch,
    Plan,
    PlanError,
    Print,
    Step,
    plan_from_json,
    plan_to_json,
)
from aquatint.plan.validate import validate
from support import cases
from support.plans import component, generate, pipeline, place

changed = msgspec.structs.replace
PIPELINES = {"p": pipeline("p", {"unet": "u", "text_encoder": "t"}), "q": pipeline("q", {"unet": "w"})}
COMPONENTS = {"u": component("u"), "w": component("w"), "t": component("t", "text_encoder")}
SCRIPT = """\
model shapes {{ source: "builtin:shapes", defaults {{ num_inference_steps: 2, images_per_batch: {size} }} }}
generate shapes {{ prompt: "a red circle", seed: 1, images: 2, output: "red.png" }}
generate shapes {{ prompt: "{prompt}", seed: 1, output: "blue.png" }}
generate shapes {{ prompt: "a green circle", seed: 5, output: "green.png" }}
grid {{ columns: 2, output: "sheet.png" }}
"""


def scripted(size: int = 3, prompt: str = "a blue circle", text: str = SCRIPT) -> Plan:
    evaluation = cases.evaluate(text.format(size=size, prompt=prompt), cases.options_of("--order script"))
    assert evaluation.plan is not None, cases.errors(evaluation)
    return evaluation.plan


def places(steps: list[Step]) -> dict[str, InBatch | None]:
    return {output.path: output.batch for step in steps if isinstance(step, Generate) for output in step.outputs}


counts = st.lists(st.tuples(st.integers(1, 7), st.sampled_from("pq"), st.sampled_from([1, 3, 4])), max_size=12)


@given(counts)
def test_calls_are_filled_in_order_with_whole_statements(asked: list[tuple[int, str, int]]) -> None:
    steps: list[Step] = []
    for number, (images, key, _) in enumerate(asked):
        steps += [generate(f"g{number}", key, [f"{number}-{image}.png" for image in range(images)])]
        steps += [Print(f"t{number}", "between", place(1))]
    wanted = {f"g{number}": size for number, (*_, size) in enumerate(asked)}
    found = united(steps, wanted, PIPELINES)
    assert sorted(step.id for step in found.steps) == sorted(step.id for step in steps)
    by_batch: dict[str, list[tuple[int, str, int]]] = {}
    for step in found.steps:
        for output in step.outputs if isinstance(step, Generate) else ():
            assert output.batch is None or found.batches[output.batch.name][output.batch.index].seed == output.seed
            if output.batch is not None:
                by_batch.setdefault(output.batch.name, []).append((output.batch.index, step.id, wanted[step.id]))
    assert by_batch.keys() == found.batches.keys()
    for name, members in by_batch.items():
        assert [index for index, *_ in sorted(members)] == list(range(len(found.batches[name])))
        numbers = [int(step[1:]) for _, step, _ in sorted(members)]
        assert numbers == sorted(numbers), "in the script's order"
        [size] = {size for *_, size in members}
        assert 1 < len(members) <= size
        assert len({asked[number][1] for number in numbers}) == 1
        if len(set(numbers)) > 1:
            # Who shares a call is in it whole, so that nothing hangs together beyond it.
            assert Counter(numbers) == {number: asked[number][0] for number in numbers}
            ids = [step.id for step in found.steps]
            first = ids.index(f"g{numbers[0]}")
            assert ids[first : first + len(set(numbers))] == [f"g{number}" for number in dict.fromkeys(numbers)]
    assert sizes(found.steps) == {name: len(images) for name, images in found.batches.items()}


def test_who_shares_a_call_is_one_unit() -> None:
    steps: list[Step] = [
        generate("g1", "p", ["1.png"]), generate("g2", "p", ["2.png"]),
        generate("g3", "p", ["3.png", "4.png", "5.png"]),
    ]  # fmt: skip
    found = united(steps, dict.fromkeys(["g1", "g2", "g3"], 2), PIPELINES)
    assert list(map(unit, found.steps)) == ["batch1", "batch1", "g3"]
    assert places(found.steps) == {
        "1.png": InBatch("batch1", 0), "2.png": InBatch("batch1", 1),
        "3.png": InBatch("batch2", 0), "4.png": InBatch("batch2", 1), "5.png": None,
    }  # fmt: skip


def test_what_earlier_steps_yield_is_not_in_a_batch() -> None:
    made_of = changed(generate("g2", "p", ["2.png"]), deferred={"image": ImageRef("g1", 0)})
    found = united([generate("g1", "p", ["1.png"]), made_of], {"g1": 4, "g2": 4}, PIPELINES)
    assert (places(found.steps), found.batches) == ({"1.png": None, "2.png": None}, {})


def test_a_pipeline_that_takes_one_prompt_has_no_batches() -> None:
    pipelines = {"p": changed(PIPELINES["p"], class_name="NoSuchPipeline")}
    assert united([generate("g1", "p", ["1.png", "2.png"])], {"g1": 4}, pipelines).batches == {}


@pytest.mark.parametrize("memory", [None, 20_000_000, 9_100_000])
@pytest.mark.parametrize("order", ["least", "script"])
def test_who_shares_a_call_stands_together_in_every_plan(order: Order, memory: int | None) -> None:
    steps: list[Step] = []
    for number in range(8):
        steps += [generate(f"g{number}", "p", [f"{number}.png"]), generate(f"h{number}", "q", [f"h{number}.png"])]
    calls = united(steps, {f"g{number}": 4 for number in range(8)}, PIPELINES)
    found = schedule(calls.steps, PIPELINES, COMPONENTS, keep=False, order=order, memory=memory)
    assert found.shortfall is None
    made = [step.id for step in found.steps if isinstance(step, Generate)]
    for first in (0, 4):
        at = made.index(f"g{first}")
        assert made[at : at + 4] == [f"g{number}" for number in range(first, first + 4)]
    kept = schedule(calls.steps, PIPELINES, COMPONENTS, keep=True).steps
    made = [step.id for step in kept if isinstance(step, Generate)]
    assert made[:5] == ["g0", "g1", "g2", "g3", "h0"]


def test_without_batches_the_plan_is_as_it_ever_was() -> None:
    plain = scripted(text=SCRIPT.replace(", images_per_batch: {size}", ""))
    one = changed(scripted(1), inputs=plain.inputs)
    assert plan_to_json(one) == plan_to_json(plain)
    assert b"batch" not in plan_to_json(plain)
    assert {each.path: each.fingerprint for each in planned(one)} == {
        each.path: each.fingerprint for each in planned(plain)
    }


def test_all_of_a_batch_decides_each_of_its_images() -> None:
    before = {each.path: each.parts for each in planned(scripted())}
    after = {each.path: each.parts for each in planned(scripted(prompt="a blue star"))}
    differ = {path for path in before if before[path] != after[path]}
    assert differ == {"red-1.png", "red-2.png", "blue.png", "sheet.png"}
    red_before, red_after = before["red-1.png"], after["red-1.png"]
    assert red_before is not None and red_after is not None
    assert [name for name in red_before if red_before[name] != red_after[name]] == ["batch"]
    assert len({str(parts) for parts in before.values()}) == len(before)
    # How many a call might have made decides nothing.
    assert {each.path: each.parts for each in planned(scripted(4))} != before
    alone = {each.path: each.parts for each in planned(scripted(1))}
    assert alone["green.png"] == before["green.png"]


def test_a_plan_with_batches_comes_back_from_its_file() -> None:
    plan = scripted()
    again = plan_from_json(plan_to_json(plan))
    validate(again)
    assert again == plan
    first = next(step for step in plan.steps if isinstance(step, Generate))
    assert [each.seed for each in companions(plan, first.outputs[1])] == [1, 2, 1]
    assert [each.prompts["prompt"] for each in companions(plan, first.outputs[0])] == [
        "a red circle", "a red circle", "a blue circle",
    ]  # fmt: skip


def _with_first(plan: Plan, **changes: object) -> Plan:
    at = next(number for number, step in enumerate(plan.steps) if isinstance(step, Generate))
    return changed(plan, steps=[*plan.steps[:at], changed(plan.steps[at], **changes), *plan.steps[at + 1 :]])


def _placed(plan: Plan, index: int, batch: str = "batch1", seed: int = 1) -> Plan:
    first = next(step for step in plan.steps if isinstance(step, Generate))
    output = changed(first.outputs[0], batch=InBatch(batch, index), seed=seed)
    return _with_first(plan, outputs=[output, *first.outputs[1:]])


PLAN = scripted()


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (changed(PLAN, batches=msgspec.UNSET), "step `g1` has an image that `batch1` lacks"),
        (_placed(PLAN, 3), "step `g1` has an image that `batch1` lacks"),
        (_placed(PLAN, -1), "step `g1` has an image that `batch1` lacks"),
        (_placed(PLAN, 0, "batch9"), "step `g1` has an image that `batch9` lacks"),
        (_placed(PLAN, 0, seed=7), "step `g1` has another image than `batch1` has in its place"),
        (_placed(PLAN, 1, seed=2), "`batch1` has two images in one place"),
        (
            _with_first(PLAN, arguments={"prompt": "a cat", "num_inference_steps": 2}),
            "step `g1` has another image than `batch1` has in its place",
        ),
        (
            _with_first(PLAN, scheduler="EulerDiscreteScheduler"),
            "step `g2` can't share a call with the others of `batch1`",
        ),
        (
            changed(PLAN, batches={"batch1": [Companion(1, {}), *PLAN.batches["batch1"][1:]]}),
            "step `g1` can't share a call with the others of `batch1`",
        ),
    ],
)
def test_a_plan_whose_batches_are_none_is_refused(plan: Plan, message: str) -> None:
    with pytest.raises(PlanError) as error:
        validate(plan_from_json(plan_to_json(plan)))
    assert str(error.value) == message
