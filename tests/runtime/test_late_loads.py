"""Loads that wait until something asks: carried out then, spared if nothing does, and told as what they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from aquatint.plan.steps import Component, Evict, Phase, Plan, Return, Step
from aquatint.runtime.engine import EngineError
from aquatint.runtime.events import Event, LoadFinished, LoadSpared, Progress, Released, RunFinished, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.forecast import Forecast
from aquatint.runtime.late_loads import encoders, nothing
from aquatint.runtime.work import LoadAhead
from support.fake_engine import FakeEngine
from support.plans import component, generate, load, pipeline, place, plan, release, save

ENCODER, UNET, VAE = component("e", "text_encoder"), component("u"), component("v", "vae")


def made(*steps: Step) -> Plan:
    return plan([ENCODER, UNET, VAE], [pipeline("p", {"text_encoder": "e", "unet": "u", "vae": "v"})], steps)


def run(
    of: Plan, folder: Path, engine: FakeEngine, may_be_spared: Callable[[Component], bool] = encoders
) -> tuple[RunFinished, list[Event]]:
    events: list[Event] = []
    options = Options(output_dir=folder, clock=lambda: 0.0, may_be_spared=may_be_spared)
    return Executor(engine, events.append, options).run(of), events


def in_order(events: list[Event]) -> list[str]:
    """Return the loads, releases and spared loads, in order."""
    kinds = {LoadFinished: "load", LoadSpared: "spare", Released: "release"}
    return [f"{kinds[type(event)]} {event.component}" for event in events
            if isinstance(event, LoadFinished | LoadSpared | Released)]  # fmt: skip


WHOLE = [load("e"), load("u"), load("v"), generate("g1", "p", ["1.png", "2.png"]), *map(release, "euv")]


def test_which_may_wait() -> None:
    assert encoders(ENCODER) and not encoders(UNET) and not nothing(ENCODER)
    assert not encoders(msgspec.structs.replace(ENCODER, offload="model"))
    assert not encoders(msgspec.structs.replace(ENCODER, dtype=None))


def test_it_is_loaded_when_a_call_asks(tmp_path: Path) -> None:
    expected, events = run(made(*WHOLE), tmp_path / "turns", FakeEngine(), nothing)
    assert in_order(events)[:3] == ["load e", "load u", "load v"]
    finished, events = run(made(*WHOLE), tmp_path / "late", FakeEngine())
    assert in_order(events) == ["load u", "load v", "load e", "release e", "release u", "release v"]
    assert (finished.images, finished.loads, finished.releases) == (expected.images, expected.loads, expected.releases)
    for name in ("1.png", "2.png"):
        assert (tmp_path / "turns" / name).read_bytes() == (tmp_path / "late" / name).read_bytes()


def test_it_is_loaded_in_the_phase_that_asks(tmp_path: Path) -> None:
    step = msgspec.structs.replace(generate("g1", "p", ["1.png"]), roles=["unet", "vae"])
    phase = Phase("g1-encode", "g1", "p", "encode", ["text_encoder"], place(1))
    _, events = run(made(load("e"), phase, release("e"), load("u"), load("v"), step), tmp_path, FakeEngine())
    assert in_order(events) == ["load e", "release e", "load u", "load v"]


def test_what_is_evicted_before_anything_asked_waits_on(tmp_path: Path) -> None:
    there_and_back = [Evict("evict-e", "e"), Return("return-e", "e", place(1))]
    steps = [*WHOLE[:3], *there_and_back, *WHOLE[3:]]
    finished, events = run(made(*steps), tmp_path / "asked", FakeEngine())
    assert in_order(events)[:3] == ["load u", "load v", "load e"]
    finished, events = run(made(*steps), tmp_path / "spared", WithoutEncoders())
    assert [event.step for event in events if isinstance(event, LoadSpared)] == ["load-e"]
    assert (finished.loads, finished.failed) == (2, 0)


class WithoutEncoders(FakeEngine):
    """Its calls have what an encoder would tell them."""

    def live_keys(self) -> set[str]:
        return super().live_keys() | {"e"}


@pytest.mark.parametrize("steps", [WHOLE, WHOLE[:4]], ids=["released", "kept"])
def test_it_is_spared_if_no_call_asks(tmp_path: Path, steps: list[Step]) -> None:
    engine = WithoutEncoders()
    finished, events = run(made(*steps), tmp_path, engine)
    assert [each for each in in_order(events) if each.endswith(" e")] == ["spare e"]
    assert (finished.images, finished.loads, finished.failed) == (2, 2, 0)
    assert [key for verb, key in engine.calls if verb == "load"] == ["u", "v"]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    finished, events = run(made(load("e"), load("u"), load("v"), save("s1", "p", "there")), tmp_path, FakeEngine())
    assert in_order(events) == ["load u", "load v", "load e"]
    assert (finished.saved, finished.failed) == (1, 0)


def test_a_load_that_fails_late_fails_once(tmp_path: Path) -> None:
    engine = FakeEngine(load_faults={"e": EngineError("it is broken")})
    steps = [*WHOLE[:4], generate("g2", "p", ["3.png"])]
    finished, events = run(made(*steps), tmp_path, engine)
    told = [(event.step, event.message) for event in events if isinstance(event, StatementFailed)]
    assert told == [("load-e", "it is broken"), ("g1", "it needs `text_encoder`, which could not be loaded")]
    assert (finished.failed, finished.skipped) == (2, 1)
    assert [key for verb, key in engine.calls if verb == "load"] == ["u", "v", "e"]


def test_a_spared_load_is_no_longer_to_come() -> None:
    forecast = Forecast([LoadAhead("load-e", "e", 1, False), LoadAhead("load-u", "u", 1, False)])
    forecast.feed(LoadSpared("load-e", "e", "text_encoder"), 1.0)
    told: Progress = forecast.progress()
    assert (told.loads_done, told.loads) == (0, 1)


def test_only_some_components_need_be_asked_of(tmp_path: Path) -> None:
    def unet(part: Component) -> bool:
        return part.role == "unet"

    _, events = run(made(*WHOLE), tmp_path, FakeEngine(), unet)
    assert in_order(events)[:3] == ["load e", "load v", "load u"]
