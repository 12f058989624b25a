"""Whatever goes wrong and whenever: the run ends, what was written is whole, and what did not fail is unharmed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aquatint.plan.steps import Generate, Plan
from aquatint.runtime.engine import EngineError
from aquatint.runtime.events import Event, ImageWritten, RunFinished, StatementFailed, StatementSkipped
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.residents import Residents
from support.fake_engine import FakeEngine
from support.plans import plans


def run(plan: Plan, folder: Path, engine: FakeEngine, sink: Callable[[Event], None]) -> tuple[RunFinished, Residents]:
    executor = Executor(engine, sink, Options(output_dir=folder))
    return executor.run(plan), executor.residents


def contents(folder: Path) -> dict[str, Any]:
    """Return what is in `folder`: bytes by a file's name, and by the name of a saved model's folder what is in it."""
    return {path.name: contents(path) if path.is_dir() else path.read_bytes() for path in folder.iterdir()}


faults = st.sampled_from([EngineError("no"), OSError("odd"), ValueError("odd")])


@settings(max_examples=60, deadline=None)
@given(
    plan=plans(),
    load_faults=st.dictionaries(st.sampled_from([f"c{i}" for i in range(5)]), faults, max_size=2),
    image_faults=st.dictionaries(st.integers(0, 9), faults, max_size=3),
)
def test_what_does_not_depend_on_a_fault_is_made_as_ever(
    plan: Plan, load_faults: dict[str, Exception], image_faults: dict[int, Exception]
) -> None:
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as holed:
        run(plan, Path(whole), FakeEngine(), lambda event: None)
        events: list[Event] = []
        engine = FakeEngine(load_faults=load_faults, image_faults=image_faults)
        finished, residents = run(plan, Path(holed), engine, events.append)
        expected = contents(Path(whole))
        for name, body in contents(Path(holed)).items():
            if not name.startswith("sheet"):
                assert body == expected[name]
    failed = {event.step for event in events if isinstance(event, StatementFailed)}
    skipped = {event.step for event in events if isinstance(event, StatementSkipped)}
    assert (len(failed), len(skipped)) == (finished.failed, finished.skipped)
    for step in plan.steps:
        if isinstance(step, Generate):
            written = sum(isinstance(event, ImageWritten) and event.step == step.id for event in events)
            parts = set(plan.pipelines[step.pipeline].parts.values())
            assert (step.id in skipped) == bool(parts & load_faults.keys())
            assert written == len(step.outputs) or step.id in failed | skipped
    assert residents.keys() == engine.live_keys()
    assert engine.loaded_twice == []
    assert not residents.keys() & load_faults.keys()


@settings(max_examples=60, deadline=None)
@given(plan=plans(), moment=st.integers(0, 60))
def test_an_interrupt_at_any_event_ends_the_run(plan: Plan, moment: int) -> None:
    events: list[Event] = []

    def sink(event: Event) -> None:
        events.append(event)
        if len(events) == moment + 1 and not isinstance(event, RunFinished):
            raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder:
        finished, _ = run(plan, Path(folder), FakeEngine(), sink)
        assert finished.interrupted == (len(events) > moment + 1)
        assert events[-1] == finished
        assert sorted(contents(Path(folder))) == sorted(Path(path).name for path in finished.written)


RUN_SLOWLY = """
import json, sys, time
from pathlib import Path
import msgspec
from support.fake_engine import FakeEngine
from support.plans import generate, load, simple_plan
from aquatint.runtime.executor import Executor, Options

def say(event):
    print(json.dumps(msgspec.to_builtins(event)), flush=True)

steps = [generate(f"g{i}", "p", [f"{i}.png"], width=600, height=600) for i in range(1000)]
engine = FakeEngine(at_step=lambda done: time.sleep(0.005))
Executor(engine, say, Options(output_dir=Path(sys.argv[1]))).run(simple_plan(load("u"), load("v"), *steps))
"""


@pytest.mark.slow
def test_a_signal_from_the_keyboard_leaves_whole_files_and_the_totals(tmp_path: Path) -> None:
    chance = random.Random(3)
    for number in range(3):
        folder = tmp_path / str(number)
        child = subprocess.Popen(
            [sys.executable, "-c", RUN_SLOWLY, str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.1 + 0.1 * chance.random())
        child.send_signal(signal.SIGINT)
        rest, _ = child.communicate(timeout=30)
        assert child.returncode == 0
        last = json.loads(rest.splitlines()[-1])
        assert (last["event"], last["interrupted"]) == ("run_finished", True)
        for path in folder.iterdir():
            with Image.open(path) as image:
                image.load()
