"""What a run does with a plan, seen from its events, its files and the engine's calls."""

from __future__ import annotations

import errno
import weakref
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from aquatint.plan.steps import (
    ByteRange,
    Compare,
    Hole,
    ImageRef,
    Load,
    NumberRef,
    Pair,
    Plan,
    Plugin,
    Print,
    Step,
    Text,
    TextRef,
    Upscale,
)
from aquatint.runtime.engine import EngineError, LacksMemory
from aquatint.runtime.events import (
    DenoiseStep,
    Event,
    Evicted,
    GenerateStarted,
    GridWritten,
    ImageWritten,
    LoadFinished,
    LoadStarted,
    Measured,
    ModelTotals,
    OutOfMemory,
    Printed,
    PromptsRewritten,
    Released,
    Returned,
    Reused,
    RewriteStarted,
    RunFinished,
    RunStarted,
    StatementFailed,
    StatementSkipped,
    TableWritten,
    Warned,
)
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.outputs import OutputPolicy
from aquatint.runtime.residents import Residents
from support.fake_engine import FakeEngine
from support.plans import bring_back, component, evict, generate, grid, load, place, release, simple_plan

PEAK = ByteRange(9_000_000, 9_000_000)
"""Of two components of these plans, which are all of one size."""


class Run:
    """One run of `plan` in `folder`, with all that it told."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        engine: FakeEngine | None = None,
        residents: Residents | None = None,
        **options: Any,
    ) -> None:
        self.engine = engine or FakeEngine()
        self.events: list[Event] = []
        settings = Options(output_dir=folder, clock=lambda: 0.0, **options)
        self.finished = Executor(self.engine, self.events.append, settings, residents).run(plan)
        self.folder = folder

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


def test_a_run_tells_everything_in_order(tmp_path: Path) -> None:
    run = Run(simple_plan(), tmp_path)
    assert [type(event) for event in run.events] == [
        RunStarted,
        *[LoadStarted, LoadFinished] * 2,
        *[GenerateStarted, DenoiseStep, DenoiseStep, ImageWritten] * 2,
        *[Released] * 2,
        RunFinished,
    ]
    assert run.events[0] == RunStarted(steps=5, images=2, loads=2, denoise_steps=4, predicted_peak=PEAK)
    assert run.events[1] == LoadStarted(
        "load-u", "u", "unet", "UNet2DConditionModel", "builtin:shapes", "sdnq int8", 4_500_000
    )
    assert run.events[2] == LoadFinished("load-u", "u", "unet", 4_500_000, 76, 83, 0.0)
    assert run.of(GenerateStarted)[1] == GenerateStarted("g1", "shapes", {"unet": "q8"}, 2, "a red circle", 2, 2)
    assert run.of(DenoiseStep)[:2] == [DenoiseStep("g1", 1, 2), DenoiseStep("g1", 2, 2)]
    assert run.finished == run.events[-1]
    assert run.finished == RunFinished(
        images=2, loads=2, quantizations=1, reuses=0, releases=2, failed=0, skipped=0,
        written=[str(tmp_path / "out/1.png"), str(tmp_path / "out/2.png")], interrupted=False, seconds=0.0,
        engine={"engine": "fake", "device": "cpu"}, done=2, outputs=2, bytes_loaded=9_000_000, bytes_moved=9_000_000,
        predicted_peak=PEAK,
        models=[ModelTotals("shapes", {"unet": "q8"}, images=2, loads=2, seconds=0.0, weights=9_000_000)],
    )  # fmt: skip
    assert run.files() == ["out/1.png", "out/2.png"]


def test_a_pipeline_is_assembled_once_while_its_parts_live(tmp_path: Path) -> None:
    plan = simple_plan(
        load("u"), load("v"),
        generate("g1", "p", ["1.png"]), generate("g2", "p", ["2.png"]),
        release("u"), load("u"), generate("g3", "p", ["3.png"]),
    )  # fmt: skip
    run = Run(plan, tmp_path)
    assert [call for call in run.engine.calls if call[0] != "generate"] == [
        ("load", "u"), ("load", "v"), ("assemble", "p"), ("release", "u"), ("load", "u"), ("assemble", "p"),
    ]  # fmt: skip


def test_what_another_statement_loaded_is_a_reuse(tmp_path: Path) -> None:
    plan = simple_plan(
        load("u"), load("v"), generate("g1", "p", ["1.png"]), load("w"), generate("g2", "q", ["2.png"]),
        generate("g3", "p", ["3.png"]),
    )  # fmt: skip
    run = Run(plan, tmp_path)
    assert run.of(Reused) == [Reused("g2", "v", "vae"), Reused("g3", "u", "unet"), Reused("g3", "v", "vae")]
    assert run.finished.reuses == 3


def test_components_stay_warm_between_runs_of_a_session(tmp_path: Path) -> None:
    engine = FakeEngine()
    residents = Residents(engine)
    plan = simple_plan(load("u"), load("v"), generate("g1", "p", ["1.png"]))
    Run(plan, tmp_path, engine, residents)
    second = Run(plan, tmp_path, engine, residents)
    assert second.of(LoadStarted) == []
    assert second.events[0] == RunStarted(steps=3, images=1, loads=0, denoise_steps=2, predicted_peak=PEAK)
    assert (second.finished.loads, second.finished.reuses) == (0, 2)
    assert engine.count("assemble") == 1
    residents.release_all()
    assert engine.calls[-2:] == [("release", "v"), ("release", "u")]
    assert residents.keys() == frozenset()


def test_a_session_keeps_to_its_room(tmp_path: Path) -> None:
    engine = FakeEngine()
    residents = Residents(engine)
    first = only(simple_plan(load("u"), load("v"), generate("g1", "p", ["1.png"])), "u", "v")
    second = only(simple_plan(load("v"), load("w"), generate("g2", "q", ["2.png"])), "v", "w")
    assert Run(first, tmp_path, engine, residents, room=PEAK.most).of(Released) == []
    assert Run(second, tmp_path, engine, residents, room=PEAK.most).of(Released) == [Released("", "u", "unet")]
    assert residents.keys() == {"v", "w"}
    assert Run(first, tmp_path, engine, residents, room=PEAK.most * 3 // 2).of(Released) == []
    assert [loaded.component.key for loaded in residents.components()] == ["w", "v", "u"]
    assert Run(first, tmp_path, engine, residents, room=PEAK.most).of(Released) == [Released("", "w", "unet")]


def only(plan: Plan, *keys: str) -> Plan:
    """Return `plan` with what uses these components alone, as a session plans a statement."""
    return msgspec.structs.replace(
        plan,
        components={key: plan.components[key] for key in keys},
        pipelines={key: each for key, each in plan.pipelines.items() if set(each.parts.values()) <= {*keys, None}},
        steps=[step for step in plan.steps if not isinstance(step, Load) or step.component in keys],
    )


def test_print_and_grid(tmp_path: Path) -> None:
    plan = simple_plan(
        load("u"), load("v"), generate("g1", "p", ["1.png", "2.png"]), Print("t1", "hello", place(5)),
        grid("s1", "sheet.png", [("g1", 0), ("g1", 1)]),
    )  # fmt: skip
    run = Run(plan, tmp_path)
    assert run.of(Printed) == [Printed("t1", "hello")]
    assert run.of(GridWritten) == [GridWritten("s1", str(tmp_path / "sheet.png"), 2)]
    assert run.finished.written[-1] == str(tmp_path / "sheet.png")
    assert run.finished.images == 2
    assert run.of(Warned) == []


def test_a_failed_image_fails_its_statement_only(tmp_path: Path) -> None:
    engine = FakeEngine(image_faults={1: EngineError("the sampler went up in smoke", "use fewer steps")})
    plan = simple_plan(
        load("u"), load("v"),
        generate("g1", "p", ["1.png", "2.png", "3.png"]), generate("g2", "p", ["4.png"]),
        grid("s1", "sheet.png", [("g1", 0), ("g1", 1), ("g2", 0)]),
    )  # fmt: skip
    run = Run(plan, tmp_path, engine)
    written = [str(tmp_path / "1.png")]
    assert run.of(StatementFailed) == [
        StatementFailed("g1", "shapes.aqt:1:1", "the sampler went up in smoke", "use fewer steps", written)
    ]
    assert run.files() == ["1.png", "4.png", "sheet.png"]
    assert run.of(Warned) == [Warned("s1", "1 of 3 pictures of this sheet were not made")]
    assert (run.finished.failed, run.finished.skipped, run.finished.images) == (1, 0, 2)
    # What failed may be half changed; it is put together anew from the same parts.
    assert engine.count("assemble") == 2
    assert engine.count("load") == 2


def test_a_sheet_without_any_picture_is_skipped(tmp_path: Path) -> None:
    engine = FakeEngine(image_faults={0: EngineError("no")})
    plan = simple_plan(load("u"), load("v"), generate("g1", "p", ["1.png"]), grid("s1", "sheet.png", [("g1", 0)]))
    run = Run(plan, tmp_path, engine)
    assert run.of(StatementSkipped) == [StatementSkipped("s1", "shapes.aqt:90:1", "none of its pictures was made")]
    assert run.files() == []


def test_a_failed_load_is_not_tried_again_and_skips_what_needs_it(tmp_path: Path) -> None:
    engine = FakeEngine(load_faults={"u": EngineError("the file is cut short", "download it again")})
    plan = simple_plan(
        load("u"), load("v"), generate("g1", "p", ["1.png"]), load("u"), generate("g2", "p", ["2.png"]),
        load("w"), generate("g3", "q", ["3.png"]), release("u"), release("v"),
    )  # fmt: skip
    run = Run(plan, tmp_path, engine)
    assert [call for call in engine.calls if call[0] == "load"] == [("load", "u"), ("load", "v"), ("load", "w")]
    assert [event.message for event in run.of(StatementFailed)] == ["the file is cut short"]
    assert run.of(StatementSkipped) == [
        StatementSkipped("g1", "shapes.aqt:1:1", "it needs `unet`, which could not be loaded"),
        StatementSkipped("g2", "shapes.aqt:2:1", "it needs `unet`, which could not be loaded"),
    ]
    assert run.files() == ["3.png"]
    assert [event.component for event in run.of(Released)] == ["v"]
    assert (run.finished.failed, run.finished.skipped) == (1, 2)


def test_fail_fast_stops_at_the_first_failure(tmp_path: Path) -> None:
    engine = FakeEngine(image_faults={0: EngineError("no")})
    plan = simple_plan(load("u"), load("v"), generate("g1", "p", ["1.png"]), generate("g2", "p", ["2.png"]))
    run = Run(plan, tmp_path, engine, fail_fast=True)
    assert engine.count("generate") == 1
    assert run.finished.failed == 1
    assert not run.finished.interrupted
    assert isinstance(run.events[-1], RunFinished)


@pytest.mark.parametrize(
    ("fault", "message", "has_help"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "no space left on device while making image 1 of 1 (seed 1)",
            True,
        ),
        (
            ZeroDivisionError("division by zero"),
            "a bug in aquatint while making image 1 of 1 (seed 1): ZeroDivisionError: division by zero",
            True,
        ),
        (OSError("odd"), "odd while making image 1 of 1 (seed 1)", False),
    ],
    ids=["disk", "bug", "other"],
)
def test_other_faults_of_the_engine_are_explained(
    tmp_path: Path, fault: Exception, message: str, has_help: bool
) -> None:
    plan = simple_plan(load("u"), load("v"), generate("g1", "p", ["1.png"]), generate("g2", "p", ["2.png"]))
    run = Run(plan, tmp_path, FakeEngine(image_faults={0: fault}))
    [failed] = run.of(StatementFailed)
    assert failed.message == message
    assert (failed.help is not None) == has_help
    assert run.files() == ["2.png"]


def test_faults_of_loading_and_assembling_are_explained(tmp_path: Path) -> None:
    plan = simple_plan(load("u"), load("v"), generate("g1", "p", ["1.png"]))
    run = Run(plan, tmp_path, FakeEngine(load_faults={"u": KeyError("x")}))
    assert run.of(StatementFailed)[0].message == "a bug in aquatint while loading `unet`: KeyError: 'x'"
    run = Run(plan, tmp_path, FakeEngine(assemble_faults={"p": KeyError("x")}))
    assert run.of(StatementFailed)[0].message.startswith("a bug in aquatint while assembling the pipeline of `shapes`")


def test_a_part_that_the_plan_never_loads_is_a_bug(tmp_path: Path) -> None:
    run = Run(simple_plan(load("u"), generate("g1", "p", ["1.png"])), tmp_path)
    assert "bug" in run.of(StatementFailed)[0].message
    assert "`vae`" in run.of(StatementFailed)[0].message


def test_a_component_that_changed_since_the_plan_is_not_loaded(tmp_path: Path) -> None:
    changed = component("u", quantized=True)

    def verify(asked: Any) -> str | None:
        return "`unet` changed since the plan was made" if asked == changed else None

    plan = simple_plan(load("u"), load("v"), generate("g1", "p", ["1.png"]))
    run = Run(plan, tmp_path, verify=verify)
    assert run.of(StatementFailed)[0].message == "`unet` changed since the plan was made"
    assert run.finished.loads == 1
    assert run.of(StatementSkipped)[0].step == "g1"


def test_a_folder_that_cannot_be_made_fails_the_statement(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    plan = simple_plan(
        load("u"), load("v"), generate("g1", "p", ["out/1.png"]), generate("g2", "p", ["2.png"]),
        grid("s1", "out/sheet.png", [("g1", 0), ("g2", 0)]),
    )  # fmt: skip
    run = Run(plan, tmp_path)
    first, second = run.of(StatementFailed)
    assert (first.step, second.step) == ("g1", "s1")
    assert first.message == second.message == f"can't make the folder `{tmp_path / 'out'}`: a file is in its way"
    assert first.help is not None
    # Before anything is loaded, and once.
    assert [type(event) for event in run.events[:4]] == [RunStarted, StatementFailed, StatementFailed, LoadStarted]
    assert run.of(RunStarted)[0].images == 2
    assert run.files() == ["2.png", "out"]


@pytest.mark.parametrize("policy", OutputPolicy)
def test_nothing_is_loaded_for_what_cannot_be_written(tmp_path: Path, policy: OutputPolicy) -> None:
    name = "x" * 300
    plan = simple_plan(load("u"), load("v"), generate("g1", "p", [f"{name}/1.png"]))
    run = Run(plan, tmp_path, existing=policy)
    [failed] = run.of(StatementFailed)
    assert failed.message == f"can't make the folder `{tmp_path / name}`: file name too long"
    assert failed.help == "choose a shorter name"
    assert run.finished.loads == 0
    assert run.files() == []


def test_trying_whether_a_folder_can_be_written_to_leaves_nothing(tmp_path: Path) -> None:
    plan = simple_plan(load("u"), generate("g1", "p", ["new/folder/1.png"]))
    Run(plan, tmp_path, FakeEngine(load_faults={"u": EngineError("no")}))
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("when", ["load", "denoise"])
def test_an_interrupt_ends_the_run_cleanly(tmp_path: Path, when: str) -> None:
    engine = FakeEngine()
    if when == "load":
        engine.load_faults = {"w": KeyboardInterrupt()}
    else:
        engine.image_faults = {1: KeyboardInterrupt()}
    plan = simple_plan(
        load("u"), load("v"), generate("g1", "p", ["1.png"]), load("w"), generate("g2", "q", ["2.png"]),
        generate("g3", "p", ["3.png"]),
    )  # fmt: skip
    run = Run(plan, tmp_path, engine)
    assert run.finished.interrupted
    assert run.finished.written == [str(tmp_path / "1.png")]
    assert run.files() == ["1.png"]
    assert run.of(StatementFailed) == []
    assert run.events[-1] == run.finished


def test_after_an_interrupt_the_session_goes_on(tmp_path: Path) -> None:
    engine = FakeEngine(image_faults={0: KeyboardInterrupt()})
    residents = Residents(engine)
    plan = simple_plan(load("u"), load("v"), generate("g1", "p", ["1.png"]))
    assert Run(plan, tmp_path, engine, residents).finished.interrupted
    again = Run(plan, tmp_path, engine, residents)
    assert not again.finished.interrupted
    assert again.finished.loads == 0
    assert again.files() == ["1.png"]


def test_what_the_sink_raises_is_no_fault_of_a_statement(tmp_path: Path) -> None:
    def sink(event: Event) -> None:
        if isinstance(event, DenoiseStep):
            raise BrokenPipeError("nobody reads")

    with pytest.raises(BrokenPipeError, match="nobody reads"):
        Executor(FakeEngine(), sink, Options(output_dir=tmp_path)).run(simple_plan())
    assert list(tmp_path.rglob("*.png")) == []


def test_pictures_are_kept_only_as_long_as_a_sheet_needs_them(tmp_path: Path) -> None:
    alive: list[weakref.ref[Image.Image]] = []
    seen: list[tuple[str, int]] = []

    class Watching(FakeEngine):
        def painted(self, *arguments: Any) -> list[Image.Image]:
            images = super().painted(*arguments)
            alive.extend(map(weakref.ref, images))
            return images

    def sink(event: Event) -> None:
        if isinstance(event, Printed):
            seen.append((event.text, sum(reference() is not None for reference in alive)))

    plan = simple_plan(
        load("u"), load("v"),
        generate("g1", "p", ["1.png", "2.png"]), Print("t1", "one for each sheet", place(1)),
        grid("s1", "a.png", [("g1", 0)]), Print("t2", "one more to come", place(1)),
        grid("s2", "b.png", [("g1", 1)]), Print("t3", "none", place(1)),
        generate("g2", "p", ["3.png"]), Print("t4", "never shown", place(1)),
    )  # fmt: skip
    Executor(Watching(), sink, Options(output_dir=tmp_path)).run(plan)
    assert seen == [("one for each sheet", 2), ("one more to come", 1), ("none", 0), ("never shown", 0)]


def test_the_same_plan_gives_the_same_bytes(tmp_path: Path) -> None:
    plan = simple_plan(load("u"), load("v"), generate("g1", "p", ["1.png", "2.jpg", "3.webp"]))
    first, second = tmp_path / "a", tmp_path / "b"
    Run(plan, first)
    Run(plan, second)
    for name in ("1.png", "2.jpg", "3.webp"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_existing_files_are_left_alone_and_new_ones_numbered(tmp_path: Path) -> None:
    for _ in range(3):
        run = Run(simple_plan(), tmp_path)
    assert set(run.files()) == {f"out/{name}.png" for name in ("1", "1-2", "1-3", "2", "2-2", "2-3")}
    assert run.of(ImageWritten)[0].path == str(tmp_path / "out/1-3.png")


def test_skip_makes_what_is_missing_and_loads_nothing_for_what_is_there(tmp_path: Path) -> None:
    plan = simple_plan(
        load("u"), load("v"), generate("g1", "p", ["1.png", "2.png"]), release("u"),
        load("w"), generate("g2", "q", ["3.png", "4.png"]), release("w"),
        grid("s1", "sheet.png", [("g1", 0), ("g2", 1)]),
    )  # fmt: skip
    Run(plan, tmp_path)
    (tmp_path / "4.png").unlink()
    (tmp_path / "sheet.png").unlink()
    kept = (tmp_path / "3.png").stat().st_ino
    run = Run(plan, tmp_path, existing=OutputPolicy.SKIP)
    assert run.events[0] == RunStarted(steps=7, images=1, loads=2, denoise_steps=2, predicted_peak=PEAK)
    assert [call for call in run.engine.calls if call[0] == "load"] == [("load", "v"), ("load", "w")]
    assert run.engine.count("generate") == 1
    assert (tmp_path / "3.png").stat().st_ino == kept
    reason = f"`{tmp_path / '1.png'}` and 1 more of its files exist"
    assert run.of(StatementSkipped) == [StatementSkipped("g1", "shapes.aqt:1:1", reason)]
    assert run.of(Warned) == [Warned("g2", f"`{tmp_path / '3.png'}` exists; it is not made again")]
    # The sheet shows the files that were there.
    assert run.of(GridWritten) == [GridWritten("s1", str(tmp_path / "sheet.png"), 2)]
    everything = Run(plan, tmp_path, existing=OutputPolicy.SKIP)
    assert everything.engine.calls == []
    assert everything.finished.skipped == 3


def test_error_fails_before_anything_is_loaded_for_it(tmp_path: Path) -> None:
    (tmp_path / "2.png").write_text("mine")
    plan = simple_plan(
        load("u"), load("v"), generate("g1", "p", ["1.png", "2.png"]), release("u"),
        load("w"), generate("g2", "q", ["3.png"]),
    )  # fmt: skip
    run = Run(plan, tmp_path, existing=OutputPolicy.ERROR)
    assert run.of(StatementFailed)[0].message == f"`{tmp_path / '2.png'}` exists"
    assert [call for call in run.engine.calls if call[0] == "load"] == [("load", "v"), ("load", "w")]
    assert run.files() == ["2.png", "3.png"]
    assert (tmp_path / "2.png").read_text() == "mine"


def test_overwrite(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_text("mine")
    plan = simple_plan(load("u"), load("v"), generate("g1", "p", ["1.png"]))
    run = Run(plan, tmp_path, existing=OutputPolicy.OVERWRITE)
    assert run.files() == ["1.png"]
    with Image.open(tmp_path / "1.png") as image:
        assert image.size == (16, 16)


def test_two_statements_that_name_one_file_both_keep_their_picture(tmp_path: Path) -> None:
    plan = simple_plan(
        load("u"), load("v"), generate("g1", "p", ["x.png"]), generate("g2", "p", ["x.png"], prompt="a cat")
    )  # fmt: skip
    run = Run(plan, tmp_path)
    assert run.files() == ["x-2.png", "x.png"]
    assert (tmp_path / "x.png").read_bytes() != (tmp_path / "x-2.png").read_bytes()


THERE_AND_BACK = (
    load("u"), load("v"), generate("g1", "p", ["1.png"]), evict("u"), load("w"), generate("g2", "q", ["2.png"]),
    bring_back("u"), generate("g3", "p", ["3.png"]), release("u"),
)  # fmt: skip


def test_what_is_evicted_comes_back_and_is_not_loaded_again(tmp_path: Path) -> None:
    run = Run(simple_plan(*THERE_AND_BACK), tmp_path)
    assert [call for call in run.engine.calls if call[0] != "generate"] == [
        ("load", "u"), ("load", "v"), ("assemble", "p"), ("evict", "u"), ("load", "w"), ("assemble", "q"),
        ("bring_back", "u"), ("release", "u"),
    ]  # fmt: skip
    assert run.of(Evicted) == [Evicted("evict-u", "u", "unet", 4_500_000, 0.0)]
    assert run.of(Returned) == [Returned("return-u", "u", "unet", 4_500_000, 0.0)]
    assert (run.finished.loads, run.finished.evictions, run.finished.bytes_moved) == (3, 1, 5 * 4_500_000)


@pytest.mark.parametrize(
    "faults, said",
    [
        ({"move_faults": {"u": EngineError("no room there")}}, "no room there; it is loaded again where it is needed"),
        ({"return_faults": {"u": EngineError("no room here")}}, "no room here; it is loaded again where it is needed"),
    ],
)  # fmt: skip
def test_what_cannot_be_moved_is_loaded_again(tmp_path: Path, faults: dict[str, Any], said: str) -> None:
    run = Run(simple_plan(*THERE_AND_BACK), tmp_path, FakeEngine(**faults))
    assert [event.message for event in run.of(Warned)] == [said]
    assert run.engine.count("load") == 4
    assert (run.finished.failed, run.files()) == (0, ["1.png", "2.png", "3.png"])
    assert run.engine.hosted == []


def test_what_nothing_needs_any_more_is_released_instead_of_evicted(tmp_path: Path) -> None:
    (tmp_path / "3.png").touch()
    run = Run(simple_plan(*THERE_AND_BACK), tmp_path, existing=OutputPolicy.SKIP)
    assert [call for call in run.engine.calls if call[1] == "u"] == [("load", "u"), ("release", "u")]


def test_a_release_that_goes_wrong_is_a_warning(tmp_path: Path) -> None:
    class Sticky(FakeEngine):
        def release(self, loaded: Any) -> None:
            raise EngineError("the driver would not let go")

    run = Run(simple_plan(), tmp_path, Sticky())
    assert run.of(Warned) == [
        Warned("release-u", "the driver would not let go"),
        Warned("release-v", "the driver would not let go"),
    ]
    assert run.finished.failed == 0


def test_what_the_libraries_say_of_an_image_is_told(tmp_path: Path) -> None:
    run = Run(simple_plan(), tmp_path, engine=FakeEngine(said=["the prompt was cut off"]))
    assert run.of(Warned) == [Warned("g1", "the prompt was cut off")] * 2


def compare(id: str, pairs: list[tuple[str, str]], path: str | None = None) -> Compare:
    """Return a compare step of the first images of steps."""
    made = [Pair(ImageRef(one, 0), ImageRef(other, 0), other) for one, other in pairs]
    return Compare(id, made, ["mse"], path, place(91))


def chained_plan(*more: Step) -> Plan:
    """Return a plan whose second step takes the first one's image, and that measures the two."""
    first = generate("g1", "p", ["a.png"])
    second = msgspec.structs.replace(generate("g2", "p", ["b.png"]), deferred={"image": ImageRef("g1", 0)})
    measured = Text(["mse ", Hole(NumberRef("c1", "mse"), [["round", 1]])])
    steps = [first, second, compare("c1", [("g1", "g2"), ("g1", "g1")]), Print("p1", measured, place(92)), *more]
    base = simple_plan()
    return msgspec.structs.replace(base, steps=[s for s in base.steps if isinstance(s, Load)] + steps)


def test_what_steps_yield_reaches_those_that_wait_for_it(tmp_path: Path) -> None:
    run = Run(chained_plan(), tmp_path)
    asked = [generation.arguments.get("image") for generation in run.engine.asked]
    assert [None if image is None else image.size for image in asked] == [None, (16, 16)]
    assert run.of(Measured) == [Measured("c1", "g2", {"mse": 1.0}), Measured("c1", "g1", {"mse": 0.0})]
    assert [event.text for event in run.of(Printed)] == [
        "|      | mse |\n|------|----:|\n| g2   |   1 |\n| g1   |   0 |\n| mean | 0.5 |",
        "mse 0.5",
    ]


def test_a_step_that_waits_for_what_failed_is_skipped(tmp_path: Path) -> None:
    engine = FakeEngine(image_faults={0: EngineError("no")})
    table = compare("c2", [("g1", "g2"), ("g2", "g2")], "t.csv")
    run = Run(chained_plan(table), tmp_path, engine)
    assert [(event.step, event.reason) for event in run.of(StatementSkipped)] == [
        ("g2", "it needs image 0 of `g1`, which was not made"),
        ("c1", "none of its pictures was made"),
        ("p1", "it needs what `c1` was to yield"),
        ("c2", "none of its pictures was made"),
    ]
    assert run.files() == []


def test_a_table_is_written_with_what_was_made(tmp_path: Path) -> None:
    engine = FakeEngine(image_faults={1: EngineError("no")})
    run = Run(chained_plan(compare("c2", [("g1", "g2"), ("g1", "g1")], "out/t.csv")), tmp_path, engine)
    assert (tmp_path / "out/t.csv").read_text() == ("label,reference,image,mse\ng2,a.png,b.png,\ng1,a.png,a.png,0.0\n")
    assert run.of(TableWritten) == [TableWritten("c2", str(tmp_path / "out/t.csv"), 2)]


def upscaled() -> list[Step]:
    """Return an upscale step that works with the pipeline `p`, and what prints its second string."""
    better = Plugin("magicprompt", {"top_k": 5}, None, "better")
    step = Upscale("u1", better, "p", ["a cat"], 2, 7, place(93), "upscale better { }")
    return [load("u"), load("v"), step, Print("p2", Text([Hole(TextRef("u1", 1))]), place(94))]


def test_strings_of_upscalers_are_told_and_passed_on(tmp_path: Path) -> None:
    run = Run(simple_plan(*upscaled()), tmp_path, FakeEngine(said=["mind the gap"]))
    [told] = run.of(PromptsRewritten)
    assert (told.upscaler, told.prompts, told.texts) == ("better", ["a cat", "a cat"], ["a cat, 7", "a cat, 8"])
    assert [event.text for event in run.of(Printed)] == ["a cat, 8"]
    assert [event.message for event in run.of(Warned)] == ["mind the gap"]
    [started], [begun] = run.of(RunStarted), run.of(RewriteStarted)
    assert started.strings == begun.strings == run.finished.strings == 2
    quantizers = {"unet": "q8", "vae": None}
    assert run.finished.models == [ModelTotals("better", quantizers, 0, 2, 0.0, 9_000_000, strings=2)]


def test_what_an_upscaler_fails_to_write_takes_down_what_needs_it(tmp_path: Path) -> None:
    run = Run(simple_plan(*upscaled()), tmp_path, FakeEngine(rewrite_fault=EngineError("no words")))
    assert [event.message for event in run.of(StatementFailed)] == ["no words"]
    assert [event.step for event in run.of(StatementSkipped)] == ["p2"]


def test_an_upscaler_goes_on_with_less_in_memory(tmp_path: Path) -> None:
    other = [load("w"), generate("g1", "q", ["1.png"])]

    class Scarce(FakeEngine):
        def rewrite(self, *arguments: Any) -> Any:
            if "w" in self.live_keys():
                raise LacksMemory("no room", None, 5, 1)
            return super().rewrite(*arguments)

    engine = Scarce()
    run = Run(simple_plan(*other, *upscaled()), tmp_path, engine)
    assert [(event.step, event.rung) for event in run.of(OutOfMemory)] == [("u1", "release")]
    assert [event.text for event in run.of(Printed)] == ["a cat, 8"]


def test_the_engine_is_told_what_is_loaded_next(tmp_path: Path) -> None:
    run = Run(simple_plan(load("u"), load("v"), generate("g1", "p", ["1.png"])), tmp_path)
    assert run.engine.foreseen == [([], None), ([], None)]
    steps = [
        load("u"),
        load("v"),
        generate("g1", "p", ["1.png"]),
        release("v"),
        load("v"),
        generate("g2", "p", ["2.png"]),
    ]
    steps[4] = msgspec.structs.replace(steps[4], id="load-v-again")
    again = Run(simple_plan(*steps), tmp_path / "again")
    # It is there, so there is nothing to foresee before it is released; and at the end there is nothing any more.
    assert (again.engine.foreseen, again.finished.loads) == ([([], None)] * 3, 3)
