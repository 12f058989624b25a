"""What a run does when memory doesn't suffice: the ladder, what is told of it, and that pictures stay what they are."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aquatint.plan.steps import Generate, Load, Phase, Plan, Save
from aquatint.runtime.engine import LacksMemory
from aquatint.runtime.events import Event, LoadFinished, OutOfMemory, Released, StatementFailed, Warned
from aquatint.runtime.executor import Executor, Options, Resort
from aquatint.runtime.metadata import read_metadata
from support.fake_engine import FakeEngine
from support.plans import component, generate, load, pipeline, plan, plans, release, save, simple_plan

PART = 4_500_000
"""Bytes of each component of these plans."""


class Run:
    """One run of `plan` in `folder`, with all that it told."""

    def __init__(self, plan: Plan, folder: Path, engine: FakeEngine, resort: Resort = Resort.EXACT) -> None:
        self.engine = engine
        self.events: list[Event] = []
        options = Options(output_dir=folder, clock=lambda: 0.0, out_of_memory=resort)
        self.finished = Executor(engine, self.events.append, options).run(plan)
        self.folder = folder

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def pixels(self) -> dict[str, bytes]:
        return {path.name: _pixels(path) for path in self.folder.rglob("*.png") if not path.name.startswith("sheet")}


def _pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()


TWO = (load("u"), load("v"), generate("g1", "p", ["1.png"]), load("w"), generate("g2", "q", ["2.png"]),
       generate("g3", "p", ["3.png"]), release("u"), release("v"), release("w"))  # fmt: skip
"""A plan with two unets and a vae, of which the first unet is used before and after the second."""


def test_what_a_load_needs_no_more_room_for_is_evicted_and_loaded_again(tmp_path: Path) -> None:
    whole = Run(simple_plan(*TWO), tmp_path / "whole", FakeEngine())
    run = Run(simple_plan(*TWO), tmp_path / "tight", FakeEngine(room=2 * PART))
    assert run.pixels() == whole.pixels()
    assert run.of(OutOfMemory) == [
        OutOfMemory("g2", "loading `unet`", "release", PART),
        OutOfMemory("g3", "loading `unet`", "release", PART),
    ]
    assert [(event.step, event.component) for event in run.of(Released)] == [
        ("g2", "u"), ("g3", "w"), ("release-u", "u"), ("release-v", "v"),
    ]  # fmt: skip
    finished = run.finished
    assert (finished.loads, finished.evictions, finished.releases, finished.failed) == (4, 1, 4, 0)
    assert sum(row.loads for row in finished.models) == 4
    records = {name: read_metadata(tmp_path / "tight" / name)["aquatint"] for name in ("1.png", "2.png", "3.png")}
    assert {name: record.get("out_of_memory") for name, record in records.items()} == {
        "1.png": None, "2.png": ["release"], "3.png": ["release"],
    }  # fmt: skip


def test_parts_of_one_statement_take_turns(tmp_path: Path) -> None:
    whole = Run(simple_plan(), tmp_path / "whole", FakeEngine())
    run = Run(simple_plan(), tmp_path / "tight", FakeEngine(room=PART))
    assert run.pixels() == whole.pixels()
    assert [event.rung for event in run.of(OutOfMemory)] == ["release", "turns"]
    assert run.of(Warned) == run.of(StatementFailed) == []
    assert run.engine.live == []
    assert [(event.step, event.role) for event in run.of(LoadFinished)] == [
        ("load-u", "unet"), ("g1", "unet"), ("g1", "vae"), ("g1", "unet"), ("g1", "vae"),
    ]  # fmt: skip


def test_what_calls_take_beside_weights_is_made_room_for(tmp_path: Path) -> None:
    whole = Run(simple_plan(), tmp_path / "whole", FakeEngine())
    run = Run(simple_plan(), tmp_path / "tight", FakeEngine(room=2 * PART, work={"vae": PART}))
    assert run.pixels() == whole.pixels()
    assert [(event.doing, event.rung) for event in run.of(OutOfMemory)] == [
        ("making image 1 of 2 (seed 1)", "release"), ("making image 1 of 2 (seed 1)", "turns"),
    ]  # fmt: skip
    for name in ("1.png", "2.png"):
        assert read_metadata(tmp_path / "tight/out" / name)["aquatint"]["out_of_memory"] == ["release", "turns"]


def test_tiles_are_for_those_who_allow_them(tmp_path: Path) -> None:
    tight: Mapping[str, Any] = {"room": 2 * PART, "work": {"vae": 2 * PART}}
    exact = Run(simple_plan(), tmp_path / "exact", FakeEngine(**tight))
    (failed,) = exact.of(StatementFailed)
    assert failed.message == (
        "out of memory while making image 1 of 2 (seed 1): 8.6 MiB were asked for and 4.3 MiB are free\n"
        "loaded are `vae` 4.3 MiB\n"
        "tried already: release, turns"
    )
    assert failed.help == (
        "run with `--out-of-memory any`, which decodes the picture in tiles: its pixels will be others; or take a "
        "smaller size, a quantizer of fewer bits or a narrower dtype"
    )
    run = Run(simple_plan(), tmp_path / "any", FakeEngine(**tight), Resort.ANY)
    assert [event.rung for event in run.of(OutOfMemory)] == ["release", "turns", "tiling"]
    assert [asked.tiling for asked in run.engine.asked] == [False, False, False, True, True]
    assert sorted(run.pixels()) == ["1.png", "2.png"]
    record = read_metadata(tmp_path / "any/out/1.png")["aquatint"]
    assert record["out_of_memory"] == ["release", "turns", "tiling"]


def test_nothing_is_done_where_that_is_asked_for(tmp_path: Path) -> None:
    run = Run(simple_plan(*TWO), tmp_path, FakeEngine(room=2 * PART), Resort.FAIL)
    assert run.of(OutOfMemory) == []
    assert [event.message for event in run.of(StatementFailed)] == [
        "out of memory while loading `unet`: 4.3 MiB were asked for and 0 B are free\n"
        "loaded are `unet` 4.3 MiB, `vae` 4.3 MiB"
    ]
    assert sorted(run.pixels()) == ["1.png", "3.png"]


def test_a_part_that_is_too_large_alone_fails_its_statement(tmp_path: Path) -> None:
    run = Run(simple_plan(), tmp_path, FakeEngine(room=PART - 1))
    (failed,) = run.of(StatementFailed)
    assert failed.message == (
        "out of memory while making image 1 of 2 (seed 1): 4.3 MiB were asked for and 4.3 MiB are free\n"
        "no weights are loaded\n"
        "tried already: release, turns"
    )


def test_a_lack_at_any_time_of_a_call_begins_the_image_again(tmp_path: Path) -> None:
    whole = Run(simple_plan(), tmp_path / "whole", FakeEngine())
    for fault in (MemoryError(), LacksMemory("no")):
        run = Run(simple_plan(), tmp_path / type(fault).__name__, FakeEngine(image_faults={1: fault}))
        assert run.pixels() == whole.pixels()
        assert [event.doing for event in run.of(OutOfMemory)] == ["making image 2 of 2 (seed 2)"]


def test_a_saved_model_has_room_made_for_it(tmp_path: Path) -> None:
    steps = load("u"), load("v"), generate("g1", "p", ["1.png"]), load("w"), save("k1", "q", "m"), release("w")
    run = Run(simple_plan(*steps), tmp_path, FakeEngine(room=2 * PART))
    assert (run.finished.saved, run.finished.failed) == (1, 0)
    assert [event.rung for event in run.of(OutOfMemory)] == ["release"]


def test_a_component_in_two_roles_has_two_turns(tmp_path: Path) -> None:
    parts = {"text_encoder": "t", "unet": "u", "safety_checker": "t", "vae": "v"}
    components = [component("t", "text_encoder"), component("u"), component("v", "vae")]
    steps = [load("t"), load("u"), load("v"), generate("g1", "p", ["1.png"]), release("t"), release("u"), release("v")]
    made = plan(components, [pipeline("p", parts)], steps)
    whole = Run(made, tmp_path / "whole", FakeEngine())
    run = Run(made, tmp_path / "tight", FakeEngine(room=PART))
    assert run.pixels() == whole.pixels() != {}
    assert run.of(StatementFailed) == []


def test_phases_that_are_too_large_wait_for_their_turn(tmp_path: Path) -> None:
    parts = {"text_encoder": "t", "unet": "u", "vae": "v"}
    step = generate("g1", "p", ["1.png", "2.png"])
    made = plan(
        [component("t", "text_encoder"), component("u"), component("v", "vae")],
        [pipeline("p", parts)],
        [load("t"), Phase("e1", "g1", "p", "encode", ["text_encoder"], step.place), release("t"), load("u"), load("v"),
         _with_roles(step, ["unet", "vae"]), release("u"), release("v")],
    )  # fmt: skip
    whole = Run(made, tmp_path / "whole", FakeEngine())
    assert whole.of(OutOfMemory) == []
    run = Run(made, tmp_path / "tight", FakeEngine(room=PART))
    assert run.pixels() == whole.pixels()
    assert run.of(StatementFailed) == run.of(Warned) == []
    assert run.engine.live == []


def _with_roles(step: Generate, roles: list[str]) -> Generate:
    import msgspec

    return msgspec.structs.replace(step, roles=roles)


@settings(max_examples=150, deadline=None)
@given(
    plan=plans(),
    room=st.integers(1, 5),
    work=st.dictionaries(st.sampled_from(["unet", "vae", "text_encoder", "safety_checker"]), st.just(PART), max_size=4),
)
def test_in_however_little_room_pictures_are_the_same(plan: Plan, room: int, work: dict[str, int]) -> None:
    """With room for one part and its work everything is made but models to save; never is there more than fits."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        whole = Run(plan, Path(one), FakeEngine())
        run = Run(plan, Path(other), FakeEngine(room=(room + bool(work)) * PART, work=work))
        assert run.pixels() == whole.pixels()
    saved = {step.id for step in plan.steps if isinstance(step, Save)}
    loads = {step.id for step in plan.steps if isinstance(step, Load)}
    assert {event.step for event in run.of(StatementFailed)} <= saved | loads
    assert run.engine.loaded_twice == []
    assert run.engine.counters.loads == run.finished.loads


@pytest.mark.parametrize("resort", list(Resort))
def test_without_a_lack_nothing_is_told(tmp_path: Path, resort: Resort) -> None:
    run = Run(simple_plan(*TWO), tmp_path, FakeEngine(), resort)
    assert run.of(OutOfMemory) == []
    assert "reclaim" not in [name for name, _ in run.engine.calls]
