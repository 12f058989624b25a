"""Calls that make several images: what is told of them, what is made again, and who goes down with one that fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aquatint.plan.steps import Generate, Phase, Plan
from aquatint.runtime.engine import EngineError, LacksMemory
from aquatint.runtime.events import (
    DenoiseStep,
    Event,
    GenerateStarted,
    ImageWritten,
    OutOfMemory,
    Progress,
    RunStarted,
    StatementFailed,
    StatementSkipped,
    Warned,
)
from aquatint.runtime.executor import Executor, Options, Resort
from aquatint.runtime.journal import FOLDER, Journal
from aquatint.runtime.metadata import read_metadata
from aquatint.runtime.outputs import OutputPolicy
from support import cases
from support.fake_engine import FakeEngine

SCRIPT = """\
model shapes {{ source: "builtin:shapes", defaults {{ num_inference_steps: 2, images_per_batch: {size} }} }}
generate shapes {{ prompt: "a red circle", seed: 1, images: 2, output: "red.png" }}
print "between"
generate shapes {{ prompt: "{prompt}", seed: 1, output: "blue.png" }}
generate shapes {{ prompt: "a green circle", seed: 5, output: "green.png" }}
grid {{ columns: 2, output: "sheet.png" }}
"""
PICTURES = ["blue.png", "green.png", "red-1.png", "red-2.png"]


def planned(size: int = 3, prompt: str = "a blue circle", order: str = "script") -> Plan:
    evaluation = cases.evaluate(SCRIPT.format(size=size, prompt=prompt), cases.options_of(f"--order {order}"))
    assert evaluation.plan is not None, cases.errors(evaluation)
    return evaluation.plan


class Run:
    """One run of `plan` in `folder`, with all that it told."""

    def __init__(self, plan: Plan, folder: Path, engine: FakeEngine | None = None, **options: Any) -> None:
        self.engine = engine or FakeEngine()
        self.events: list[Event] = []
        settings = Options(
            output_dir=folder, **({"clock": lambda: 0.0, "existing": OutputPolicy.RESUME,
                                   "journal": Journal(folder)} | options),
        )  # fmt: skip
        self.finished = Executor(self.engine, self.events.append, settings).run(plan)
        self.folder = folder

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def calls(self) -> list[list[int]]:
        """The seeds of each call."""
        return [list(generation.seeds) for generation in self.engine.asked]

    @property
    def written(self) -> list[str]:
        return [Path(event.path).name for event in self.of(ImageWritten)]

    def files(self) -> dict[str, bytes]:
        found = {path.relative_to(self.folder): path for path in sorted(self.folder.rglob("*")) if path.is_file()}
        return {name.as_posix(): path.read_bytes() for name, path in found.items() if name.parts[0] != FOLDER}


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()


def test_a_batch_is_one_call_with_a_prompt_and_a_seed_for_each(tmp_path: Path) -> None:
    run = Run(planned(), tmp_path)
    together, alone = run.engine.asked
    assert together.arguments == {
        "num_inference_steps": 2, "prompt": ["a red circle", "a red circle", "a blue circle"],
    }  # fmt: skip
    assert (list(together.seeds), list(alone.seeds)) == ([1, 2, 1], [5])
    assert alone.arguments == {"num_inference_steps": 2, "prompt": "a green circle"}
    assert run.written == ["red-1.png", "red-2.png", "blue.png", "green.png"]
    assert run.engine.counters.images == run.finished.images == 4
    assert sorted(run.files()) == [*PICTURES, "sheet.png"]
    assert run.of(Warned) == []


@pytest.mark.parametrize("order", ["least", "script"])
def test_each_image_of_a_batch_is_told_of(tmp_path: Path, order: str) -> None:
    run = Run(planned(order=order), tmp_path)
    assert run.of(RunStarted)[0].images == 4
    begun = [(each.step, each.number, each.seed, each.prompt, each.batch) for each in run.of(GenerateStarted)]
    assert sorted(begun) == begun or order == "least"
    assert sorted(begun) == [
        ("g1", 1, 1, "a red circle", "batch1"), ("g1", 2, 2, "a red circle", "batch1"),
        ("g3", 1, 1, "a blue circle", "batch1"), ("g4", 1, 5, "a green circle", None),
    ]  # fmt: skip
    steps = [(event.step, event.number, event.done) for event in run.of(DenoiseStep)]
    together = [("g1", 1), ("g1", 2), ("g3", 1)]
    assert [each for each in steps if each[0] != "g4"] == [(*image, done) for done in (1, 2) for image in together]
    assert [each for each in steps if each[0] == "g4"] == [("g4", 1, 1), ("g4", 1, 2)]


def test_phases_and_the_script_s_order_make_the_same(tmp_path: Path) -> None:
    phased = planned(order="least")
    assert any(isinstance(step, Phase) for step in phased.steps)
    assert Run(phased, tmp_path / "a").files() == Run(planned(), tmp_path / "b").files()


def test_what_shares_a_call_shares_its_time(tmp_path: Path) -> None:
    seconds = iter(range(0, 10**6, 1))
    run = Run(planned(), tmp_path, clock=lambda: float(next(seconds)))
    of_batch = [event.seconds for event in run.of(ImageWritten)[:3]]
    assert max(of_batch) - min(of_batch) <= 1
    assert all(event.seconds_left is None or event.seconds_left >= 0 for event in run.of(Progress))


def test_what_is_missing_is_made_with_its_whole_batch(tmp_path: Path) -> None:
    first = Run(planned(), tmp_path)
    before = first.files()
    (tmp_path / "red-2.png").unlink()
    again = Run(planned(), tmp_path)
    assert again.calls == [[1, 2, 1]]
    assert again.written == ["red-2.png"]
    assert again.files() == before
    assert [event.number for event in again.of(GenerateStarted)] == [2]
    assert {(event.step, event.number) for event in again.of(DenoiseStep)} == {("g1", 2)}
    assert again.finished.images == 1
    (tmp_path / "blue.png").unlink()
    last = Run(planned(), tmp_path)
    assert (last.calls, last.written, last.files()) == ([[1, 2, 1]], ["blue.png"], before)
    assert Run(planned(), tmp_path).engine.calls == []


def test_another_prompt_makes_the_whole_batch_anew(tmp_path: Path) -> None:
    Run(planned(), tmp_path)
    again = Run(planned(prompt="a blue star"), tmp_path)
    assert again.written == ["red-1.png", "red-2.png", "blue.png"]
    assert sorted(again.files()) == [*PICTURES, "sheet.png"]


def test_the_record_has_the_whole_call(tmp_path: Path) -> None:
    Run(planned(), tmp_path)
    records = {name: read_metadata(tmp_path / name)["aquatint"] for name in PICTURES}
    images = [
        {"seed": 1, "prompts": {"prompt": "a red circle"}}, {"seed": 2, "prompts": {"prompt": "a red circle"}},
        {"seed": 1, "prompts": {"prompt": "a blue circle"}},
    ]  # fmt: skip
    assert records["blue.png"]["batch"] == {"index": 2, "images": images}
    assert records["red-2.png"]["batch"] == {"index": 1, "images": images}
    assert records["blue.png"]["arguments"] == {"num_inference_steps": 2, "prompt": "a blue circle"}
    assert "batch" not in records["green.png"]


def _of_batch(order: str) -> list[int]:
    """Return which of the calls makes the batch, in the order in which they begin."""
    steps = planned(order=order).steps
    begun = [
        each.generate if isinstance(each, Phase) else each.id for each in steps if isinstance(each, Phase | Generate)
    ]
    return [1 if begun[0] == "g4" else 0]


@pytest.mark.parametrize("order", ["least", "script"])
def test_a_call_that_fails_takes_its_statements_down_and_no_others(tmp_path: Path, order: str) -> None:
    engine = FakeEngine(image_faults=dict.fromkeys(_of_batch(order), EngineError("no such thing", "try another")))
    run = Run(planned(order=order), tmp_path, engine)
    failed = run.of(StatementFailed)
    assert [(event.step, event.message, event.help, event.written) for event in failed] == [
        ("g1", "no such thing", "try another", []), ("g3", "no such thing", "try another", []),
    ]  # fmt: skip
    assert sorted(run.calls) == [[1, 2, 1], [5]]
    assert run.written == ["green.png"]
    assert run.finished.failed == 2
    assert run.finished.interrupted is False


def test_a_bug_in_a_call_is_told_of_each_of_its_statements(tmp_path: Path) -> None:
    run = Run(planned(), tmp_path, FakeEngine(image_faults={0: RuntimeError("oops")}))
    [first, second] = run.of(StatementFailed)
    assert first.message == second.message
    assert first.message.startswith(
        "a bug in aquatint while making image 1 of 2 (seed 1) in batch1: RuntimeError: oops"
    )


def test_a_file_in_the_way_takes_down_its_own_statement_alone(tmp_path: Path) -> None:
    text = SCRIPT.format(size=3, prompt="a blue circle").replace('"red.png"', '"red/red.png"')
    evaluation = cases.evaluate(text, cases.options_of("--order script"))
    assert evaluation.plan is not None
    (tmp_path / "red").write_text("in the way")
    run = Run(evaluation.plan, tmp_path)
    assert [event.step for event in run.of(StatementFailed)] == ["g1"]
    assert run.calls == [[1, 2, 1], [5]]
    assert run.written == ["blue.png", "green.png"]


def test_an_interrupt_leaves_no_picture_of_a_call_behind(tmp_path: Path) -> None:
    made = False

    def at_step(done: int) -> None:
        nonlocal made
        made = done == 2

    run = Run(planned(), tmp_path, FakeEngine(at_step=at_step), stopping=lambda: made)
    assert run.finished.interrupted
    assert run.written == ["red-1.png", "red-2.png", "blue.png"]
    assert Run(planned(), tmp_path).written == ["green.png"]


class _Tight(FakeEngine):
    """An engine whose calls have room for so many images at a time, whatever is loaded."""

    most: int = 1

    def take(self, size: int) -> None:
        if size > 4_000_000 * self.most:
            raise LacksMemory("there is no room", None, size, 4_000_000 * self.most)


def cramped(most: int) -> FakeEngine:
    engine = _Tight(work={"vae": 4_000_000})
    engine.most = most
    return engine


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads take nothing, so that it is the calls alone that may lack memory."""
    load = _Tight.load

    def loaded(self: Any, component: Any) -> Any:
        most, self.most = self.most, 10**6
        try:
            return load(self, component)
        finally:
            self.most = most

    monkeypatch.setattr(_Tight, "load", loaded)


@pytest.mark.usefixtures("no_weights")
def test_a_batch_that_does_not_fit_fails_and_says_what_helps(tmp_path: Path) -> None:
    run = Run(planned(order="least"), tmp_path, cramped(2))
    assert [event.rung for event in run.of(OutOfMemory)] == ["release", "turns"]
    first, second = run.of(StatementFailed)
    assert (first.step, second.step, first.message) == ("g1", "g3", second.message)
    assert first.message.startswith("out of memory while making image 1 of 2 (seed 1) in batch1: ")
    assert first.help is not None and first.help.startswith(
        "lower `images_per_batch`, or run with `--out-of-memory any`, which makes its images one at a time; or "
    )
    assert run.written == ["green.png"]
    assert [call for call in run.calls if call != [5]] == [[1, 2, 1]] * 3


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize("order", ["least", "script"])
def test_where_pixels_may_change_the_images_are_made_one_at_a_time(tmp_path: Path, order: str) -> None:
    run = Run(planned(order=order), tmp_path / "tight", cramped(1), out_of_memory=Resort.ANY)
    assert [event.rung for event in run.of(OutOfMemory)] == ["release", "turns", "unbatched"]
    assert run.of(StatementFailed) == []
    assert [call for call in run.calls if call != [5]] == [[1, 2, 1]] * 3 + [[1], [2], [1]]
    alone = Run(planned(1), tmp_path / "alone")
    for name in PICTURES:
        assert pixels(tmp_path / "tight" / name) == pixels(tmp_path / "alone" / name)
        record = read_metadata(tmp_path / "tight" / name)["aquatint"]
        assert "batch" not in record
        assert record.get("out_of_memory") == (None if name == "green.png" else ["release", "turns", "unbatched"])
    assert alone.calls == [[1], [2], [1], [5]]
    begun = [event.batch for event in run.of(GenerateStarted) if event.step != "g4"]
    assert begun == ["batch1"] * 9 + [None] * 3


@pytest.mark.usefixtures("no_weights")
def test_nothing_is_tried_where_nothing_may_be(tmp_path: Path) -> None:
    run = Run(planned(), tmp_path, cramped(2), out_of_memory=Resort.FAIL)
    assert run.of(OutOfMemory) == []
    assert [event.step for event in run.of(StatementFailed)] == ["g1", "g3"]


def test_existing_files_under_skip_are_not_made_again(tmp_path: Path) -> None:
    (tmp_path / "red-1.png").write_text("somebody's")
    run = Run(planned(), tmp_path, existing=OutputPolicy.SKIP, journal=None)
    assert run.written == ["red-2.png", "blue.png", "green.png"]
    assert (tmp_path / "red-1.png").read_text() == "somebody's"
    assert run.calls == [[1, 2, 1], [5]]
    assert run.of(StatementSkipped) == []


def test_nothing_is_kept_of_a_call_whose_images_were_taken(tmp_path: Path) -> None:
    from aquatint.runtime.image_calls import ImageCalls
    from aquatint.runtime.residents import Residents

    plan = planned(order="script")
    engine = FakeEngine()
    residents = Residents(engine)
    for component in plan.components.values():
        residents.load(component)
    calls = ImageCalls(engine, residents, plan, lambda: 0.0, lambda step, component: None)
    step, other = [step for step in plan.steps if isinstance(step, Generate)][:2]
    for images in _orders(plan, step, other):
        calls.begin_batch(step, list(_companions(plan)), dict(images), lambda done, total: None, False)
        for image, _ in images:
            assert calls.has_begun(image)
            assert calls.finish(image).of == 3
            assert not calls.has_begun(image)
        assert calls._calls == {}


def _companions(plan: Plan) -> Iterator[Any]:
    assert isinstance(plan.batches, dict)
    yield from plan.batches["batch1"]


def _orders(plan: Plan, step: Generate, other: Generate) -> list[list[tuple[Any, int]]]:
    from aquatint.plan.steps import ImageRef

    first, second, third = (ImageRef(step.id, 0), 0), (ImageRef(step.id, 1), 1), (ImageRef(other.id, 0), 2)
    return [[first, second, third], [third, first], [second]]
