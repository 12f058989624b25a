"""Running again: what is done is left, what this program wrote is replaced, and nothing else is ever lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from aquatint.plan.steps import Compare, Hole, ImageRef, NumberRef, Pair, Plan, Plugin, Print, Text, TextRef, Upscale
from aquatint.runtime.engine import EngineError
from aquatint.runtime.events import Event, ImageWritten, Printed, RunFinished, RunStarted, StatementSkipped, Warned
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.journal import FOLDER, Journal
from aquatint.runtime.ledger import Ledger, State
from aquatint.runtime.outputs import OutputPolicy
from support.fake_engine import FakeEngine
from support.lengths import at_length, one_fast
from support.plans import generate, grid, load, place, release, save, simple_plan

KILLS = at_length(100, ci=30)

changed = msgspec.structs.replace


class Run:
    """One run of `plan` in `folder` with its journal; going on where others ended, unless told otherwise."""

    def __init__(self, plan: Plan, folder: Path, engine: FakeEngine | None = None, **options: Any) -> None:
        self.engine = engine or FakeEngine()
        self.events: list[Event] = []
        settings = Options(
            output_dir=folder,
            clock=lambda: 0.0,
            journal=Journal(folder),
            **({"existing": OutputPolicy.RESUME} | options),
        )
        self.finished = Executor(self.engine, self.events.append, settings).run(plan)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def asked(self) -> list[tuple[str, Any]]:
        """What was asked of the engine, but for assembling."""
        return [call for call in self.engine.calls if call[0] != "assemble"]


def files(folder: Path) -> dict[str, bytes]:
    """Return what is in `folder` beside the journal."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder): path for path in found}
    return {name.as_posix(): path.read_bytes() for name, path in names.items() if name.parts[0] != FOLDER}


def standings(plan: Plan, folder: Path, engine: FakeEngine | None = None) -> dict[str, State]:
    ledger = Ledger(plan, Journal(folder), (engine or FakeEngine()).describe(), {})
    return {path: ledger.standing(path, folder / path).state for path in ledger.planned}


def whole_plan(prompt: str = "a red circle", seed: int = 1, below: int = 0) -> Plan:
    """A plan with one of everything; `below` is how many lines are above it in its script."""
    first = generate("g1", "p", ["a.png", "b.jpg"], prompt=prompt)
    first = changed(first, outputs=[changed(first.outputs[0], seed=seed), first.outputs[1]], place=place(below + 1))
    made_of = changed(generate("g2", "q", ["c.png"]), deferred={"image": ImageRef("g1", 1)}, place=place(below + 2))
    pairs = [Pair(ImageRef("g1", 0), ImageRef("g2", 0), "c"), Pair(ImageRef("g1", 0), ImageRef("g1", 1), "b")]
    return simple_plan(
        load("u"), load("v"), first, save("k1", "p", "saved"), release("u"), load("w"), made_of, release("w"),
        release("v"), Compare("c1", pairs, ["mse"], "t.csv", place(below + 3)),
        grid("s1", "s.png", [("g1", 0), ("g1", 1), ("g2", 0)]),
    )  # fmt: skip


ALL = {"a.png", "b.jpg", "c.png", "saved", "t.csv", "s.png"}


def test_what_is_done_is_neither_loaded_nor_made(tmp_path: Path) -> None:
    first = Run(whole_plan(), tmp_path)
    before = files(tmp_path)
    assert (first.finished.done, first.finished.outputs, first.finished.skipped) == (6, 6, 0)
    again = Run(whole_plan(), tmp_path)
    assert again.engine.calls == []
    assert again.events[0] == RunStarted(steps=8, images=0, loads=0)
    assert [skipped.reason for skipped in again.of(StatementSkipped)] == [
        f"`{tmp_path / 'a.png'}` and 1 more of its files are done",
        *(f"`{tmp_path / name}` is done" for name in ("saved", "c.png", "t.csv", "s.png")),
    ]
    assert (again.finished.done, again.finished.written, again.of(Warned)) == (6, [], [])
    assert files(tmp_path) == before
    assert set(standings(whole_plan(), tmp_path).values()) == {State.DONE}


@pytest.mark.parametrize(
    ("plan", "calls", "stale"),
    [
        (whole_plan(below=5), [], set()),
        (
            whole_plan(seed=7),
            [("load", "u"), ("load", "v"), ("generate", 7), ("release", "u"), ("release", "v")],
            {"a.png", "t.csv", "s.png"},
        ),
        (
            whole_plan(prompt="a cat"),
            [("load", "u"), ("load", "v"), ("generate", 1), ("generate", 2), ("release", "u"), ("load", "w"),
             ("generate", 1), ("release", "w"), ("release", "v")],
            ALL - {"saved"},
        ),
    ],
)  # fmt: skip
def test_a_changed_script_redoes_what_changed_and_comes_to_the_files_of_a_new_run(
    tmp_path: Path, plan: Plan, calls: list[tuple[str, Any]], stale: set[str]
) -> None:
    Run(whole_plan(), tmp_path / "old")
    assert {path for path, state in standings(plan, tmp_path / "old").items() if state is State.STALE} == stale
    run = Run(plan, tmp_path / "old")
    assert run.asked == calls
    assert {Path(path).name for path in run.finished.written} == stale
    if plan != whole_plan(below=5):  # metadata keep the line that a picture was made from
        Run(plan, tmp_path / "new")
        assert files(tmp_path / "old") == files(tmp_path / "new")
    assert Run(plan, tmp_path / "old").engine.calls == []


def test_of_a_statement_only_what_is_missing_is_made(tmp_path: Path) -> None:
    Run(whole_plan(), tmp_path)
    before = files(tmp_path)
    (tmp_path / "b.jpg").unlink()
    run = Run(whole_plan(), tmp_path)
    assert [call for call in run.asked if call[0] == "generate"] == [("generate", 2)]
    started = run.events[0]
    assert isinstance(started, RunStarted)
    assert (started.steps, started.images, started.loads, started.denoise_steps) == (10, 1, 2, 2)
    assert [event.path for event in run.of(ImageWritten)] == [str(tmp_path / "b.jpg")]
    assert files(tmp_path) == before


def test_a_sheet_shows_the_files_of_what_is_done(tmp_path: Path) -> None:
    Run(whole_plan(), tmp_path)
    before = files(tmp_path)
    for name in ("s.png", "t.csv"):
        (tmp_path / name).unlink()
    run = Run(whole_plan(), tmp_path)
    assert run.engine.calls == []
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", ["a.png", "b.jpg", "s.png", "t.csv", "saved/model_index.json"])
def test_what_someone_changed_is_kept_and_made_again_beside_it(tmp_path: Path, name: str) -> None:
    Run(whole_plan(), tmp_path)
    file = tmp_path / name
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.write_bytes(body)
    output = name.partition("/")[0]
    assert standings(whole_plan(), tmp_path)[output] is State.CHANGED
    Run(whole_plan(), tmp_path)
    assert file.read_bytes() == body
    stem, dot, suffix = output.partition(".")
    assert (tmp_path / f"{stem}-2{dot}{suffix}").exists()
    # It is what the plan wants, under its other name.
    assert set(standings(whole_plan(), tmp_path).values()) == {State.DONE}
    assert Run(whole_plan(), tmp_path).engine.calls == []
    # And it makes room for the next one, while the changed one stays.
    Run(whole_plan("a dog"), tmp_path)
    assert file.read_bytes() == body
    assert not (tmp_path / f"{stem}-3{dot}{suffix}").exists()


def test_what_the_journal_does_not_know_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"mine")
    (tmp_path / "t.csv").symlink_to("nowhere")
    assert standings(whole_plan(), tmp_path)["a.png"] is State.UNKNOWN
    Run(whole_plan(), tmp_path)
    assert (tmp_path / "a.png").read_bytes() == b"mine"
    assert (tmp_path / "t.csv").is_symlink()
    assert {"a-2.png", "t-2.csv"} <= set(files(tmp_path))
    assert Run(whole_plan(), tmp_path).finished.written == []


def test_another_script_does_not_replace_what_this_one_made(tmp_path: Path) -> None:
    Run(whole_plan(), tmp_path)
    before = files(tmp_path)
    other = changed(whole_plan("a cat"), script="other.aqt")
    assert standings(other, tmp_path)["a.png"] is State.UNKNOWN
    Run(other, tmp_path)
    after = files(tmp_path)
    assert {name: after[name] for name in before} == before
    assert "a-2.png" in after
    # But what it would make just so is done.
    assert Run(changed(whole_plan(), script="third.aqt"), tmp_path).engine.calls == []
    assert Run(whole_plan(), tmp_path).engine.calls == []


@pytest.mark.parametrize("script", ["<stdin>", "<repl>", "<command line>"])
def test_what_is_typed_never_replaces_anything(tmp_path: Path, script: str) -> None:
    for prompt in ("a red circle", "a cat", "a red circle"):
        last = Run(changed(whole_plan(prompt), script=script), tmp_path)
    assert last.engine.calls == []
    assert {"a.png", "a-2.png"} <= set(files(tmp_path)) and "a-3.png" not in files(tmp_path)


def test_redo_makes_everything_and_replaces_it(tmp_path: Path) -> None:
    Run(whole_plan(), tmp_path)
    before = files(tmp_path)
    inode = (tmp_path / "a.png").stat().st_ino
    (tmp_path / "b.jpg").write_bytes(b"mine")
    run = Run(whole_plan(), tmp_path, existing=OutputPolicy.REDO)
    assert len(run.finished.written) == 6
    assert (tmp_path / "a.png").stat().st_ino != inode
    assert files(tmp_path) == before | {"b.jpg": b"mine", "b-2.jpg": before["b.jpg"]}


@pytest.mark.parametrize("policy", [OutputPolicy.NUMBER, OutputPolicy.OVERWRITE, OutputPolicy.SKIP, OutputPolicy.ERROR])
def test_every_policy_keeps_the_journal(tmp_path: Path, policy: OutputPolicy) -> None:
    Run(whole_plan(), tmp_path, existing=policy)
    assert Run(whole_plan(), tmp_path).engine.calls == []


class Newer(FakeEngine):
    def describe(self) -> dict[str, Any]:
        return {"engine": "fake", "device": "cpu", "versions": {"torch": "9"}}


def test_another_engine_makes_it_again_and_says_so(tmp_path: Path) -> None:
    Run(whole_plan(), tmp_path)
    assert set(standings(whole_plan(), tmp_path, Newer()).values()) == {State.STALE}
    run = Run(whole_plan(), tmp_path, Newer())
    assert len(run.finished.written) == 6
    assert run.of(Warned) == [
        Warned("", "6 outputs are made again, for another versions; `--existing skip` keeps what is there")
    ]
    assert Run(whole_plan(), tmp_path, Newer()).engine.calls == []


def test_why_something_is_stale(tmp_path: Path) -> None:
    Run(whole_plan(), tmp_path)
    plan = changed(whole_plan("a cat", seed=4), pipelines={**whole_plan().pipelines})
    ledger = Ledger(plan, Journal(tmp_path), Newer().describe(), {})
    assert ledger.standing("a.png", tmp_path / "a.png").why == ("argument prompt", "seed", "versions")
    assert ledger.standing("s.png", tmp_path / "s.png").why == ("pictures", "versions")


def test_a_sheet_with_an_empty_place_is_not_done(tmp_path: Path) -> None:
    failing = FakeEngine(image_faults={2: EngineError("no")})
    first = Run(whole_plan(), tmp_path, failing)
    assert first.finished.failed == 1
    states = standings(whole_plan(), tmp_path)
    assert (states["s.png"], states["t.csv"], states["c.png"]) == (State.STALE, State.STALE, State.MISSING)
    Run(whole_plan(), tmp_path)
    Run(whole_plan(), tmp_path / "new")
    assert files(tmp_path / "new") == {name: body for name, body in files(tmp_path).items() if "new" not in name}


def test_what_is_made_of_a_file_taken_by_its_name_is_not_done(tmp_path: Path) -> None:
    """Under `skip` anything may be in the file; what is made of it is not what the plan says."""
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    Run(whole_plan(), tmp_path, existing=OutputPolicy.SKIP)
    states = standings(whole_plan(), tmp_path)
    assert {path for path, state in states.items() if state is State.DONE} == {"b.jpg", "c.png", "saved"}


def test_numbers_are_measured_as_long_as_something_needs_them(tmp_path: Path) -> None:
    def plan(*after: Any) -> Plan:
        return simple_plan(
            load("u"), load("v"), generate("g1", "p", ["a.png", "b.png"]), release("u"), release("v"),
            Compare("c1", [Pair(ImageRef("g1", 0), ImageRef("g1", 1), "b")], ["mse"], "t.csv", place(3)), *after,
        )  # fmt: skip

    number = Text(["mse ", Hole(NumberRef("c1", "mse"))])
    Run(plan(), tmp_path)
    again = Run(plan(Print("p1", number, place(4))), tmp_path)
    assert again.engine.calls == []
    assert [printed.text for printed in again.of(Printed)] == ["mse 1.0"]
    assert again.finished.written == []
    sheet = grid("s1", "s.png", [("g1", 0)])
    sheet = changed(sheet, title=number)
    assert Run(plan(sheet), tmp_path).finished.written == [str(tmp_path / "s.png")]
    assert len(Run(plan(sheet), tmp_path).of(StatementSkipped)) == 3


def test_prompts_are_not_rewritten_for_what_is_done(tmp_path: Path) -> None:
    upscale = Upscale("u1", Plugin("magicprompt", {}, None, "mp"), "p", ["a cat"], 1, 1, place(1), "upscale")
    prompted = changed(generate("g1", "p", ["a.png"]), deferred={"prompt": Text([Hole(TextRef("u1", 0))])})
    plan = simple_plan(load("u"), load("v"), upscale, prompted)
    executor = Executor(
        FakeEngine(), lambda event: None, Options(tmp_path, OutputPolicy.RESUME, journal=Journal(tmp_path))
    )
    executor.yielded.known[TextRef("u1", 0)] = "a fat cat"
    assert executor.run(changed(plan, steps=[step for step in plan.steps if step.id != "u1"])).images == 1
    # Of one that isn't in the plan nothing is known.
    assert standings(changed(plan, steps=plan.steps[3:]), tmp_path)["a.png"] is State.STALE
    # Rewritten again it is another one here, and so the picture is made again.
    again = Run(plan, tmp_path)
    assert (again.finished.failed, again.finished.images) == (0, 1)


def test_a_folder_that_is_removed_during_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    engine = FakeEngine()

    def at_step(done: int) -> None:
        if engine.images_asked == 2 and done == 1:
            shutil.rmtree(folder)

    engine.at_step = at_step
    run = Run(whole_plan(), folder, engine)
    assert run.finished.failed == 0
    states = standings(whole_plan(), folder)
    assert {path for path, state in states.items() if state is not State.DONE} == {"a.png"}
    Run(whole_plan(), folder)
    Run(whole_plan(), tmp_path / "new")
    assert files(folder) == files(tmp_path / "new")


def test_no_journal_can_be_kept(tmp_path: Path) -> None:
    """Its folder's name is taken: a warning, and the run goes on."""
    (tmp_path / FOLDER).write_text("in the way")
    run = Run(whole_plan(), tmp_path)
    assert (run.finished.failed, len(run.finished.written)) == (0, 6)
    [warning] = run.of(Warned)
    assert warning.message.startswith(f"can't keep the journal `{tmp_path / FOLDER / 'journal.jsonl'}`: ")
    assert warning.message.endswith("; the next run won't know what this one has done")


def test_a_run_stops_when_an_image_is_finished(tmp_path: Path) -> None:
    asked: list[int] = []
    engine = FakeEngine(at_step=asked.append)
    run = Run(whole_plan(), tmp_path, engine, stopping=lambda: bool(asked))
    assert (run.finished.interrupted, run.finished.done, run.finished.outputs) == (True, 1, 6)
    assert set(files(tmp_path)) == {"a.png"}
    assert Run(whole_plan(), tmp_path).finished.done == 6


def test_another_process_makes_the_same_meanwhile(tmp_path: Path) -> None:
    engine = FakeEngine()

    def at_step(done: int) -> None:
        if engine.images_asked == 1 and done == 1:
            Run(whole_plan(), tmp_path)

    engine.at_step = at_step
    run = Run(whole_plan(), tmp_path, engine)
    assert run.finished.written == []
    Run(whole_plan(), tmp_path / "new")
    assert files(tmp_path / "new") == {name: body for name, body in files(tmp_path).items() if "new" not in name}


def _killed(plan: Plan, folder: Path, after: float | None = None, at_call: int = 0) -> tuple[list[str], bool]:
    """Run `plan` in a process that is killed; return what it said it wrote, and whether it came to its end before that.

    It is killed `after` seconds, or right before the call number `at_call` of those that change what is on the disk.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if at_call:
                _die_at(at_call)

            def told(event: Event) -> None:
                if isinstance(event, ImageWritten):
                    _write(writer, f"{event.path}\n".encode())

            engine = FakeEngine(at_step=lambda done: time.sleep(0.0005))
            options = Options(folder, OutputPolicy.RESUME, journal=Journal(folder))
            finished: RunFinished = Executor(engine, told, options).run(plan)
            os._exit(3 if finished.failed else 0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(4)
    os.close(writer)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in (0, -signal.SIGKILL)
    with os.fdopen(reader) as lines:
        return lines.read().split(), ended == 0


_write = os.write


def _die_at(number: int) -> None:
    """Let this process, which is a copy of the tests', be killed right before that call."""
    calls = 0

    def counted(original: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **named)

        return call

    for name in ("fsync", "ftruncate", "link", "mkdir", "rename", "replace", "rmdir", "unlink", "write"):
        setattr(os, name, counted(getattr(os, name)))


def _unhidden(folder: Path) -> dict[str, bytes]:
    # A kill between the two renames that replace a saved model leaves the old one under a hidden name.
    return {name: body for name, body in files(folder).items() if not name.startswith(".aquatint-")}


@pytest.mark.parametrize("over", one_fast([True, False]), ids=["replacing", "anew"])
def test_a_kill_before_any_call_that_changes_the_disk_loses_nothing(tmp_path: Path, over: bool) -> None:
    plan = whole_plan()
    Run(plan, tmp_path / "new")
    wanted = files(tmp_path / "new")
    is_over = False
    at_call = 0
    while not is_over:
        at_call += 1
        folder = tmp_path / str(at_call)
        if over:
            Run(whole_plan("a cat", seed=5), folder)
        told, is_over = _killed(plan, folder, at_call=at_call)
        again = Run(plan, folder)
        assert not set(told) & set(again.finished.written)
        assert _unhidden(folder) == wanted, f"killed before call {at_call}"
        assert not [path for path in folder.rglob(".aquatint-*") if path.suffix != ".old"]
        assert Run(plan, folder).engine.calls == []
        shutil.rmtree(folder)
    assert at_call > 30


@pytest.mark.slow
def test_kills_at_any_moment_lose_nothing(tmp_path: Path) -> None:
    """Two scripts by turns, so that files are replaced as well; what was said to be written is never made again."""
    plans = [whole_plan(), whole_plan("a cat", seed=5)]
    fresh = []
    for number, plan in enumerate(plans):
        Run(plan, tmp_path / f"new{number}")
        fresh.append(files(tmp_path / f"new{number}"))
    drawn = random.Random(1)
    started = time.monotonic()
    _killed(plans[0], tmp_path / "timed")
    seconds = time.monotonic() - started
    kills = turns = 0
    while kills < KILLS:
        plan, wanted, folder = plans[turns % 2], fresh[turns % 2], tmp_path / "out"
        told: list[str] = []
        while set(standings(plan, folder).values()) != {State.DONE}:
            told += _killed(plan, folder, after=drawn.uniform(0, seconds))[0]
            kills += 1
        assert len(told) == len(set(told))
        assert Run(plan, folder).engine.calls == []
        assert _unhidden(folder) == wanted
        assert not list(folder.glob(".aquatint-*.part"))
        turns += 1
    assert turns > 5  # else next to nothing was replaced
