"""What a run tells of itself: how far it is, its memory, and its totals for each model."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import msgspec
import pytest

from aquatint.plan.steps import ByteRange, Plan, Step
from aquatint.runtime.engine import DeviceMemory, EngineError
from aquatint.runtime.events import (
    DenoiseStep,
    Event,
    ImageWritten,
    LoadFinished,
    MemoryUsed,
    ModelSaved,
    ModelTotals,
    Progress,
    Released,
    RunFinished,
)
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.memory_probe import Usage
from support.fake_engine import FakeEngine
from support.plans import generate, load, release, save, simple_plan


def run(plan: Plan, folder: Path, engine: FakeEngine | None = None, **options: object) -> list[Event]:
    events: list[Event] = []
    settings = Options(output_dir=folder, **{"clock": lambda: 0.0, **options})  # type: ignore[arg-type]
    Executor(engine or FakeEngine(), events.append, settings).run(plan)
    return events


def finished(events: list[Event]) -> RunFinished:
    assert isinstance(events[-1], RunFinished)
    return events[-1]


def test_progress_comes_twice_a_second(tmp_path: Path) -> None:
    ticks = itertools.count()
    plan = simple_plan(load("u"), load("v"), generate("g1", "p", ["1.png", "2.png"], num_inference_steps=20))
    events = run(plan, tmp_path, clock=lambda: next(ticks) / 8)
    told = [event for event in events if isinstance(event, Progress)]
    assert len(told) > 8
    assert all(later.seconds - one.seconds >= 0.5 for one, later in itertools.pairwise(told))
    assert {(one.images, one.denoise_steps, one.loads) for one in told} == {(2, 40, 2)}
    assert [one.denoise_steps_done for one in told] == sorted(one.denoise_steps_done for one in told)
    assert told[0].seconds_left is None
    assert told[-1].seconds_left is not None and told[-1].seconds_left < 2
    # Each is behind the event that it is about.
    for progress in told:
        before = events[: events.index(progress)]
        assert progress.denoise_steps_done == sum(isinstance(event, DenoiseStep) for event in before)
        assert progress.images_done == sum(isinstance(event, ImageWritten) for event in before)


def test_memory_is_told_where_it_changes(tmp_path: Path) -> None:
    used = itertools.count(100)
    plan = simple_plan(load("u"), load("v"), generate("g1", "p", ["1.png"]), save("k1", "p", "m"), release("u"))
    events = run(plan, tmp_path, probe=lambda: Usage(next(used), 7))
    kinds = (LoadFinished, ImageWritten, ModelSaved, Released)
    behind = [one for one, later in itertools.pairwise(events) if isinstance(later, MemoryUsed)]
    assert behind == [event for event in events if isinstance(event, kinds)]
    last = [event for event in events if isinstance(event, MemoryUsed)][-1]
    assert last.own == last.peak_own == 7
    assert last.peak_resident is not None and last.resident is not None
    assert last.peak_resident >= last.resident > 100
    assert not any(thread.name == "memory" for thread in threading.enumerate())


def test_the_measured_peak_is_above_what_the_libraries_take(tmp_path: Path) -> None:
    taken = [Usage(1000, 500)]

    def grow(done: int) -> None:
        taken[0] = Usage(1300, 600)

    done = finished(run(simple_plan(), tmp_path, FakeEngine(at_step=grow), probe=lambda: taken[0]))
    assert (done.measured_peak, done.measured_by) == (100, "own")
    assert done.predicted_peak == ByteRange(9_000_000, 9_000_000)
    taken[0] = Usage(1000, None)

    def grow_untold(done: int) -> None:
        taken[0] = Usage(1300, None)

    done = finished(run(simple_plan(), tmp_path, FakeEngine(at_step=grow_untold), probe=lambda: taken[0]))
    assert (done.measured_peak, done.measured_by) == (300, "resident")


def test_a_device_with_memory_of_its_own_tells_its_own(tmp_path: Path) -> None:
    engine = FakeEngine(memory=DeviceMemory(3, 8))
    events = run(simple_plan(), tmp_path, engine, probe=lambda: Usage(1000, 500))
    told = [event for event in events if isinstance(event, MemoryUsed)]
    assert {(event.device, event.peak_device, event.own) for event in told} == {(3, 8, 500)}
    assert (finished(events).measured_peak, finished(events).measured_by) == (8, "device")


def test_without_a_probe_nothing_is_measured(tmp_path: Path) -> None:
    events = run(simple_plan(), tmp_path)
    assert not any(isinstance(event, MemoryUsed) for event in events)
    assert (finished(events).measured_peak, finished(events).measured_by) == (None, None)


def test_the_watch_ends_when_the_sink_gives_up(tmp_path: Path) -> None:
    def sink(event: Event) -> None:
        if isinstance(event, DenoiseStep):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Executor(FakeEngine(), sink, Options(output_dir=tmp_path, probe=lambda: Usage(1, 1))).run(simple_plan())
    assert not any(thread.name == "memory" for thread in threading.enumerate())


def named(step: Step, model: str, quantizer: str | None) -> Step:
    return msgspec.structs.replace(step, model=model, quantizers={"unet": quantizer, "vae": None})  # type: ignore[call-arg]


def test_totals_are_of_each_model_under_the_same_quantizers(tmp_path: Path) -> None:
    plan = simple_plan(
        load("u"), load("v"), named(generate("g1", "p", ["1.png", "2.png"]), "a", "q8"),
        named(generate("g2", "p", ["3.png"]), "b", "q8"), release("u"),
        load("w"), named(generate("g3", "q", ["4.png"]), "a", None), release("w"),
        load("u"), named(generate("g4", "p", ["5.png"]), "a", "q8"),
        named(generate("g5", "p", ["6.png"]), "c", "q8"),
    )  # fmt: skip
    plan = msgspec.structs.replace(
        plan, steps=[msgspec.structs.replace(step, id=f"{step.id}.{n}") for n, step in enumerate(plan.steps)]
    )
    ticks = itertools.count()
    engine = FakeEngine(image_faults={5: EngineError("no")})
    done = finished(run(plan, tmp_path, engine, clock=lambda: float(next(ticks))))
    rows = [(row.model, row.quantizers["unet"], row.images, row.loads) for row in done.models]
    assert rows == [("a", "q8", 3, 3), ("b", "q8", 1, 0), ("a", None, 1, 1)]
    assert sum(row.loads for row in done.models) == done.loads == 4
    assert {row.weights for row in done.models} == {9_000_000}
    assert all(row.seconds > 0 for row in done.models)
    assert (done.evictions, done.bytes_loaded) == (1, 4 * 4_500_000)


def test_weights_of_an_earlier_run_count_as_planned(tmp_path: Path) -> None:
    events: list[Event] = []
    executor = Executor(FakeEngine(), events.append, Options(output_dir=tmp_path, clock=lambda: 0.0))
    plan = simple_plan(load("u"), load("v"), generate("g1", "p", ["1.png"]))
    executor.run(plan)
    executor.run(plan)
    assert finished(events).models == [ModelTotals("shapes", {"unet": "q8"}, 1, 0, 0.0, 9_000_000)]
    assert finished(events).bytes_loaded == 0
