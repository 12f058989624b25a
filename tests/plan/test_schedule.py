"""Steps in order: what moves come to as a plan, whatever the script's order and the memory."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aquatint.catalog.quantizers import canonical
from aquatint.plan.memory import moments
from aquatint.plan.planner import Planner
from aquatint.plan.schedule import Schedule, schedule
from aquatint.plan.scheduling.tasks import Budget, DoesNotFit
from aquatint.plan.steps import (
    ByteRange,
    Component,
    Evict,
    Generate,
    Grid,
    ImageRef,
    Limit,
    Load,
    Phase,
    Pipeline,
    Plan,
    Print,
    Quantization,
    Release,
    Return,
    Step,
    Text,
    Traffic,
)
from aquatint.plan.validate import validate
from aquatint.runtime.events import Printed
from aquatint.runtime.executor import Executor, Options
from support.fake_engine import FakeEngine
from support.plans import component, generate, grid, pipeline, place, plan

MIB = 1 << 20
SIZES = {"te": 6 * MIB, "un": 10 * MIB, "vae": 1 * MIB}


def part(key: str, role: str, size: int | None, quantized: bool = False) -> Component:
    """Return a component that holds `size` bytes, or one without weights."""
    made = component(key, role, quantized=quantized)
    if size is None:
        return msgspec.structs.replace(made, dtype=None, bytes=0)
    return msgspec.structs.replace(made, bytes=size, held=ByteRange(size, size))


def model(name: str, encoder: str = "te") -> tuple[list[Component], Pipeline]:
    """Return the parts of a model with a denoiser of its own, and its pipeline."""
    parts = [
        part(encoder, "text_encoder", SIZES["te"]), part(f"un-{name}", "unet", SIZES["un"], quantized=True),
        part("vae", "vae", SIZES["vae"]), part("tok", "tokenizer", None), part("sch", "scheduler", None),
    ]  # fmt: skip
    return parts, pipeline(f"p-{name}", {each.role: each.key for each in parts})


def planned(
    steps: Sequence[Step],
    models: Sequence[tuple[list[Component], Pipeline]],
    memory: int | None = None,
    host: int = 0,
    device: str = "cpu",
    **options: str,
) -> tuple[Plan, Schedule]:
    """Return the plan of `steps`, which hangs together, and its schedule."""
    parts = {each.key: msgspec.structs.replace(each, device=device) for those, _ in models for each in those}
    pipelines = {each.key: each for _, each in models}
    order = "script" if options.get("order") == "script" else "least"
    found = schedule(steps, pipelines, parts, keep=False, order=order, memory=memory, host=host)
    made = plan(list(parts.values()), list(pipelines.values()), found.steps)
    validate(made)
    return made, found


def told(steps: Sequence[Step]) -> list[str]:
    """Return each step in a word or two."""
    words = []
    for step in steps:
        match step:
            case Load():
                words.append(f"+{step.component}")
            case Release():
                words.append(f"-{step.component}")
            case Evict():
                words.append(f"v{step.component}")
            case Return():
                words.append(f"^{step.component}")
            case Phase():
                words.append(f"{step.name} {step.generate}")
            case _:
                words.append(step.id)
    return words


def peak(made: Plan) -> int:
    return max(moment.most for moment in moments(made))


def test_one_statement_encodes_first() -> None:
    made, _ = planned([generate("g1", "p-a", ["a.png"])], [model("a")])
    assert told(made.steps) == [
        "+te", "+tok", "+sch", "encode g1", "-te", "+un-a", "+vae", "g1", "-tok", "-sch", "-un-a", "-vae",
    ]  # fmt: skip
    assert peak(made) == SIZES["un"] + SIZES["vae"]
    assert [step.roles for step in made.steps if isinstance(step, Phase | Generate)] == [
        ["text_encoder", "tokenizer", "scheduler"], ["unet", "vae"],
    ]  # fmt: skip


def test_decoding_is_apart_only_where_memory_asks_for_it() -> None:
    steps = [generate("g1", "p-a", ["a.png", "b.png"]), generate("g2", "p-a", ["c.png"])]
    roomy, _ = planned(steps, [model("a")], memory=12 * MIB)
    tight, _ = planned(steps, [model("a")], memory=SIZES["un"] + MIB // 2)
    assert not any(isinstance(step, Phase) and step.name == "denoise" for step in roomy.steps)
    words = [word for word in told(tight.steps) if word[0] not in "+-"]
    assert [sorted(words[n : n + 2]) for n in (0, 2, 4)] == [
        ["encode g1", "encode g2"], ["denoise g1", "denoise g2"], ["g1", "g2"],
    ]  # fmt: skip
    assert peak(tight) == SIZES["un"]


def test_the_written_order_may_be_kept() -> None:
    models = [model("a"), model("b")]
    steps = [generate(f"g{n}", f"p-{name}", [f"{n}.png"]) for n, name in enumerate("abab", 1)]
    least, _ = planned(steps, models)
    written, _ = planned(steps, models, device="cuda", order="script")
    limited, _ = planned(steps, models, memory=18 * MIB, order="script")
    assert [step.id for step in written.steps if isinstance(step, Generate)] == ["g1", "g2", "g3", "g4"]
    assert [len([s for s in each.steps if isinstance(s, Load)]) for each in (least, written, limited)] == [6, 6, 8]
    assert peak(least) < peak(limited) <= 18 * MIB < peak(written)


def test_three_models_three_quantizers_twenty_prompts() -> None:
    """Written prompt-outermost, each component is loaded once, also where only one denoiser fits at a time."""
    names = [f"{m}{q}" for m in "abc" for q in "xyz"]
    models = [model(name, encoder=f"te-{name[0]}") for name in names]
    steps = [
        generate(f"g{n}", f"p-{name}", [f"{n}.png"])
        for n, (_, name) in enumerate(itertools.product(range(20), names), 1)
    ]
    for memory in (None, 20 * MIB):
        made, _ = planned(steps, models, memory)
        loads = [step.component for step in made.steps if isinstance(step, Load)]
        assert sorted(loads) == sorted(set(loads))
        assert len(loads) == 3 + 9 + 3
        assert memory is None or peak(made) <= memory


def test_what_does_not_fit_is_told_with_its_statement() -> None:
    steps = [generate("g1", "p-a", ["a.png"])]
    made, found = planned(steps, [model("a")], memory=8 * MIB)
    assert found.shortfall is not None
    assert (found.shortfall.step, found.shortfall.memory) == ("g1", 8 * MIB)
    assert SIZES["un"] <= found.shortfall.needed <= SIZES["un"] + MIB
    assert told(made.steps) == told(planned(steps, [model("a")])[0].steps)


def test_lines_of_the_report_keep_their_order() -> None:
    steps: list[Step] = [Print("t1", "one", place(1)), generate("g1", "p-a", ["a.png"]), Print("t2", "two", place(2))]
    steps += [generate("g2", "p-b", ["b.png"]), generate("g3", "p-a", ["c.png"]), Print("t3", "three", place(3))]
    made, _ = planned(steps, [model("a"), model("b")], memory=18 * MIB)
    assert [step.id for step in made.steps if isinstance(step, Print)] == ["t1", "t2", "t3"]


def test_what_waits_for_an_image_comes_after_it() -> None:
    first = generate("g1", "p-a", ["a.png"])
    second = msgspec.structs.replace(generate("g2", "p-b", ["b.png"]), deferred={"image": ImageRef("g1", 0)})
    third = generate("g3", "p-a", ["c.png"])
    made, _ = planned([first, second, third, grid("s1", "s.png", [("g2", 0)])], [model("a"), model("b")])
    ids = [step.id for step in made.steps if isinstance(step, Generate | Grid)]
    assert ids.index("g1") < ids.index("g2") < ids.index("s1")
    # A call that is given a picture encodes it, too.
    roles = [step.roles for step in made.steps if isinstance(step, Generate) and step.id == "g2"]
    assert roles in ([None], [["unet", "vae"]])


ALTERNATING = [generate(f"g{n}", f"p-{'ab'[n % 2]}", [f"{n}.png"]) for n in range(4)]


def test_what_has_no_room_waits_in_the_computers_memory() -> None:
    models = [model("a"), model("b")]
    made, found = planned(ALTERNATING, models, 17 * MIB, 20 * MIB, "cuda:0", order="script")
    assert told(made.steps) == [
        "+te", "+un-a", "+vae", "+tok", "+sch", "g0", "vun-a", "+un-b", "g1", "vun-b", "^un-a", "g2", "-un-a",
        "^un-b", "g3", "-tok", "-sch", "-te", "-vae", "-un-b",
    ]  # fmt: skip
    assert found.limit == Limit(17 * MIB, Traffic(loads=6, evictions=2, moved=67 * MIB), 20 * MIB)
    # There is room for one of the two.
    made, _ = planned(ALTERNATING, models, 17 * MIB, 16 * MIB, "cuda:0", order="script")
    assert told(made.steps) == [
        "+te", "+un-a", "+vae", "+tok", "+sch", "g0", "vun-a", "+un-b", "g1", "-un-b", "^un-a", "g2", "-un-a",
        "+un-b", "g3", "-tok", "-sch", "-te", "-vae", "-un-b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "device, quantizer, moves",
    [
        ("cuda", Quantization("bnb", canonical("bnb", {"bits": 4}), "n"), True),
        ("cuda", Quantization("bnb", canonical("bnb", {"bits": 8}), "n"), False),
        ("cuda", None, True),
        ("cpu", None, False),
        ("mps", None, False),
    ],
)
def test_what_can_go_there_depends_on_device_and_quantizer(
    device: str, quantizer: Quantization | None, moves: bool
) -> None:
    models = [
        ([msgspec.structs.replace(each, quantization=quantizer) if each.dtype else each for each in parts], pipe)
        for parts, pipe in (model("a"), model("b"))
    ]
    made, _ = planned(ALTERNATING, models, 18 * MIB, 100 * MIB, device, order="script")
    assert any(isinstance(step, Evict) for step in made.steps) == moves


def hosted(made: Plan) -> int:
    """Return the most bytes that are in the computer's memory at a time."""
    there: set[str] = set()
    most = 0
    for step in made.steps:
        match step:
            case Evict():
                there.add(step.component)
            case Return() | Release():
                there.discard(step.component)
            case _:
                pass
        most = max(most, sum(made.components[key].bytes for key in there))
    return most


@st.composite
def scripts(draw: st.DrawFn) -> list[Step]:
    """Return steps of three models, some of which wait for others."""
    steps: list[Step] = []
    for number in range(1, draw(st.integers(1, 7)) + 1):
        paths = [f"{number}-{n}.png" for n in range(draw(st.integers(1, 2)))]
        made = generate(f"g{number}", f"p-{draw(st.sampled_from('abc'))}", paths)
        before = [step for step in steps if isinstance(step, Generate)]
        if before and draw(st.booleans()):
            waits = draw(st.sampled_from(before))
            made = msgspec.structs.replace(made, deferred={"image": ImageRef(waits.id, 0)})
        steps.append(made)
        if draw(st.booleans()):
            steps.append(Print(f"t{number}", Text([f"line {number}"]), place(number)))
        if draw(st.booleans()):
            steps.append(grid(f"s{number}", f"s{number}.png", [(made.id, 0)]))
    return steps


def outcome(made: Plan, folder: Path) -> tuple[dict[str, bytes], list[str], int]:
    """Return the files and the report of a run, and how often something was loaded."""
    engine, lines = FakeEngine(), list[str]()
    executor = Executor(engine, lambda event: lines.append(event.text) if isinstance(event, Printed) else None,
                        Options(output_dir=folder, clock=lambda: 0.0))  # fmt: skip
    finished = executor.run(made)
    assert (finished.failed, finished.skipped) == (0, 0)
    assert engine.live == engine.hosted == []
    return {path.name: path.read_bytes() for path in folder.rglob("*.png")}, lines, finished.loads


@settings(max_examples=60, deadline=None)
@given(
    scripts(),
    st.sampled_from([None, 12 * MIB, 17 * MIB, 18 * MIB, 28 * MIB]),
    st.sampled_from([0, 6 * MIB, 20 * MIB, 100 * MIB]),
)
def test_neither_order_nor_memory_changes_what_comes_out(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step], memory: int | None, host: int
) -> None:
    models = [model("a"), model("b"), model("c", encoder="te-c")]
    written, _ = planned(steps, models, device="cuda", order="script")
    made, found = planned(steps, models, memory, host, "cuda")
    assert found.shortfall is None
    assert hosted(made) <= host
    assert memory is None or peak(made) <= memory
    folder = tmp_path_factory.mktemp("runs")
    expected = outcome(written, folder / "written")
    files, lines, loads = outcome(made, folder / "made")
    assert (files, lines) == expected[:2]
    assert loads == len([step for step in made.steps if isinstance(step, Load)])
    assert memory is not None or loads == expected[2]


def test_steps_in_bundles_come_to_the_same_plan() -> None:
    steps: list[Step] = []
    for number in range(1, 200):
        made = generate(f"g{number}", f"p-{'aab'[number // 20 % 3]}", [f"{number}.png"])
        if number % 50 == 0:
            made = msgspec.structs.replace(made, deferred={"image": ImageRef(f"g{number - 1}", 0)})
        steps.append(made)
        if number % 37 == 0:
            steps.append(Print(f"t{number}", "text", place(number)))
    steps.append(grid("s1", "sheet.png", [(step.id, 0) for step in steps if isinstance(step, Generate)]))
    models = [model("a"), model("b")]
    parts = {each.key: each for those, _ in models for each in those}
    pipelines = {each.key: each for _, each in models}
    found = []
    for bundled in (1, 32):
        planner = Planner(steps, pipelines, parts, fine=False, bundled=bundled)
        moves = planner.moves(planner.ordered("least", Budget()), Budget())
        assert not isinstance(moves, DoesNotFit)
        found.append((told(list(planner.emitted(moves))), planner.peak(moves)))
    assert found[0] == found[1]
