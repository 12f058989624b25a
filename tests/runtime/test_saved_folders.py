"""What a run does with a `save` step: folders that are whole or not there, policies for names that are taken."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aquatint.plan.counts import counts
from aquatint.plan.steps import Plan, Stored
from aquatint.runtime import saved_folders
from aquatint.runtime.engine import EngineError
from aquatint.runtime.events import (
    Event,
    LoadStarted,
    ModelSaved,
    Released,
    Reused,
    RunFinished,
    SaveStarted,
    StatementFailed,
    StatementSkipped,
)
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.outputs import OutputPolicy, Outputs
from aquatint.runtime.saved_folders import RECORD, irreplaceable
from aquatint.runtime.store import locks
from support.fake_engine import FakeEngine
from support.plans import generate, load, release, save, simple_plan


class Run:
    """One run of `plan` in `folder`, with all that it told."""

    def __init__(self, plan: Plan, folder: Path, engine: FakeEngine | None = None, **options: Any) -> None:
        self.engine = engine or FakeEngine()
        self.events: list[Event] = []
        settings = Options(output_dir=folder, clock=lambda: 0.0, **options)
        self.finished = Executor(self.engine, self.events.append, settings).run(plan)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def saving(path: str = "out/m", roles: list[str] | None = None) -> Plan:
    loads = [load("u"), load("v")] if roles is None else [load({"unet": "u", "vae": "v"}[role]) for role in roles]
    return simple_plan(*loads, save("k1", "p", path, roles))


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_model_is_written_with_a_card_and_a_record(tmp_path: Path) -> None:
    run = Run(saving(), tmp_path)
    folder = tmp_path / "out/m"
    held = 2 * 4_500_000
    assert run.of(SaveStarted) == [SaveStarted("k1", "shapes", str(folder), held)]
    size = sum((folder / name).stat().st_size for name in files(folder))
    assert run.of(ModelSaved) == [ModelSaved("k1", str(folder), size, 0.0)]
    assert files(tmp_path / "out") == [
        "m/README.md", f"m/{RECORD}", "m/model_index.json", "m/unet/config.json", "m/vae/config.json",
    ]  # fmt: skip
    assert (run.finished.saved, run.finished.written, run.finished.failed) == (1, [str(folder)], 0)
    record = json.loads((folder / RECORD).read_text())
    assert record["files"] == ["README.md", "model_index.json", "unet/config.json", "vae/config.json"]
    assert record["components"]["unet"]["quantization"]["options"] == {"group_size": 0, "weights_dtype": "int8"}
    assert (record["kind"], record["engine"]) == ("model", {"engine": "fake", "device": "cpu"})
    assert str(tmp_path) not in (folder / RECORD).read_text() + (folder / "README.md").read_text()


def test_the_card_says_how_to_load_it(tmp_path: Path) -> None:
    Run(saving(), tmp_path)
    assert (
        (tmp_path / "out/m/README.md").read_text()
        == """\
---
library_name: diffusers
---

# shapes

A `StableDiffusionPipeline` from `builtin:shapes`, written by aquatint 0.1.0.

| part | class | data type | quantized |
|---|---|---|---|
| unet | UNet2DConditionModel | float32 | sdnq int8 |
| vae | UNet2DConditionModel | float32 | none |

```python
import sdnq  # first: transformers would read its weights as plain ones, and say nothing
import torch
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("FOLDER", torch_dtype=torch.float32)
```
"""
    )


def test_only_some_parts(tmp_path: Path) -> None:
    run = Run(saving(roles=["unet"]), tmp_path)
    assert run.engine.calls == [("load", "u"), ("save", "p")]
    assert files(tmp_path / "out/m") == ["README.md", RECORD, "unet/config.json"]
    card = (tmp_path / "out/m/README.md").read_text()
    assert 'unet = UNet2DConditionModel.from_pretrained("FOLDER", subfolder="unet", torch_dtype=torch.float32)' in card


def test_what_is_stored_quantized_is_told_as_that(tmp_path: Path) -> None:
    plan = saving()
    held = msgspec.structs.replace(plan.components["v"], stored=Stored("sdnq", "sdnq", {}, "sdnq uint4"))
    run = Run(msgspec.structs.replace(plan, components=plan.components | {"v": held}), tmp_path)
    assert [event.quantizer for event in run.of(LoadStarted)] == ["sdnq int8", "sdnq uint4"]
    assert "| vae | UNet2DConditionModel | float32 | sdnq uint4 |" in (tmp_path / "out/m/README.md").read_text()


def test_a_save_counts_as_a_use(tmp_path: Path) -> None:
    plan = simple_plan(
        load("u"), load("v"), generate("g1", "p", ["1.png"]), save("k1", "p", "m"), save("k2", "p", "n", ["vae"]),
        release("u"), release("v"),
    )  # fmt: skip
    run = Run(plan, tmp_path)
    assert run.of(Reused) == [Reused("k1", "u", "unet"), Reused("k1", "v", "vae"), Reused("k2", "v", "vae")]
    assert run.finished.reuses == counts(plan).reuses == 3
    assert len(run.of(Released)) == 2


@pytest.mark.parametrize("policy", OutputPolicy)
def test_a_name_that_is_free_is_taken_under_every_policy(tmp_path: Path, policy: OutputPolicy) -> None:
    assert Run(saving(), tmp_path, existing=policy).finished.written == [str(tmp_path / "out/m")]


def test_number_finds_the_next_free_name(tmp_path: Path) -> None:
    (tmp_path / "out/m").mkdir(parents=True)
    (tmp_path / "out/m-2").write_text("a file")
    assert Run(saving(), tmp_path).finished.written == [str(tmp_path / "out/m-3")]
    assert files(tmp_path / "out/m") == []


def test_skip_loads_nothing(tmp_path: Path) -> None:
    (tmp_path / "out/m").mkdir(parents=True)
    run = Run(saving(), tmp_path, existing=OutputPolicy.SKIP)
    assert run.of(StatementSkipped) == [StatementSkipped("k1", "shapes.aqt:1:1", f"`{tmp_path / 'out/m'}` exists")]
    assert run.of(LoadStarted) == []
    assert files(tmp_path) == []


def test_error_fails_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "out/m").mkdir(parents=True)
    run = Run(saving(), tmp_path, existing=OutputPolicy.ERROR)
    assert [event.message for event in run.of(StatementFailed)] == [f"`{tmp_path / 'out/m'}` exists"]
    assert run.of(LoadStarted) == []


def test_overwrite_replaces_what_save_wrote(tmp_path: Path) -> None:
    Run(saving(roles=["vae"]), tmp_path)
    Run(saving(roles=["unet"]), tmp_path, existing=OutputPolicy.OVERWRITE)
    assert files(tmp_path) == ["out/m/README.md", f"out/m/{RECORD}", "out/m/unet/config.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["m"]


@pytest.mark.parametrize("kind", ["a checkpoint", "a file added", "a file", "a link", "an odd record"])
def test_overwrite_touches_nothing_else(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "out/m"
    if kind == "a file added":
        Run(saving(), tmp_path)
        (folder / "unet/notes.txt").write_text("mine")
    elif kind == "a file":
        (tmp_path / "out").mkdir()
        folder.write_text("mine")
    else:
        where = tmp_path / "elsewhere" if kind == "a link" else folder
        where.mkdir(parents=True)
        (where / "model_index.json").write_text("{}")
        if kind == "a link":
            folder.parent.mkdir()
            folder.symlink_to(where)
        elif kind == "an odd record":
            (where / RECORD).write_text('{"files": 7}')
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    run = Run(saving(), tmp_path, existing=OutputPolicy.OVERWRITE)
    assert run.of(LoadStarted) == []
    assert [event.message for event in run.of(StatementFailed)] == [
        f"`{folder}` is not replaced: " + {
            "a checkpoint": f"it was not written by `save`: it has no `{RECORD}` that lists its files",
            "a file added": "it holds files that `save` did not write, such as `unet/notes.txt`",
            "a file": "it is no folder", "a link": "it is no folder",
            "an odd record": f"it was not written by `save`: it has no `{RECORD}` that lists its files",
        }[kind]
    ]  # fmt: skip
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


def test_what_save_wrote_may_be_replaced(tmp_path: Path) -> None:
    assert irreplaceable(tmp_path / "none") is None
    Run(saving(), tmp_path)
    assert irreplaceable(tmp_path / "out/m") is None


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (EngineError("the library gave up", "ask it nicely"), "the library gave up"),
        (OSError(errno.ENOSPC, "No space left on device"), "can't write `{folder}`: no space left on device"),
        (ValueError("odd"), "a bug in aquatint while saving `shapes`: ValueError: odd"),
    ],
)
def test_a_failure_leaves_nothing_and_the_run_goes_on(tmp_path: Path, fault: Exception, message: str) -> None:
    plan = simple_plan(load("u"), load("v"), save("k1", "p", "out/m"), generate("g1", "p", ["1.png"]))
    run = Run(plan, tmp_path, FakeEngine(save_faults={"p": fault}))
    expected = message.format(folder=tmp_path / "out/m")
    assert [event.message for event in run.of(StatementFailed)] == [expected]
    assert files(tmp_path) == ["1.png"]
    assert list((tmp_path / "out").iterdir()) == []
    assert (run.finished.saved, run.finished.failed, run.finished.images) == (0, 1, 1)


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(tmp_path: Path) -> None:
    plan = saving()
    huge = plan.components | {"v": msgspec.structs.replace(plan.components["v"], bytes=2**62)}
    run = Run(msgspec.structs.replace(plan, components=huge), tmp_path)
    (failed,) = run.of(StatementFailed)
    assert failed.message.startswith(f"can't write `{tmp_path / 'out/m'}`: it takes 4,611,686,018,431,887,904 bytes,")
    assert ("save", "p") not in run.engine.calls
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_in_the_way_of_the_folder_above(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    (failed,) = Run(saving(), tmp_path).of(StatementFailed)
    assert failed.message == f"can't make the folder `{tmp_path / 'out'}`: a file is in its way"


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    run = Run(saving(), tmp_path, FakeEngine(save_faults={"p": KeyboardInterrupt()}))
    assert isinstance(run.events[-1], RunFinished)
    assert run.finished.interrupted
    assert files(tmp_path) == []


def test_a_part_that_could_not_be_loaded_skips_it(tmp_path: Path) -> None:
    run = Run(saving(), tmp_path, FakeEngine(load_faults={"v": EngineError("gone")}))
    (skipped,) = run.of(StatementSkipped)
    assert skipped.reason == "it needs `vae`, which could not be loaded"
    assert files(tmp_path) == []


_SLOW = """
import sys, time
from pathlib import Path
sys.path[:0] = {paths!r}
from aquatint.runtime import saved_folders
from aquatint.runtime.outputs import OutputPolicy, Outputs

def fill(folder):
    for number in range(400):
        (folder / f"{{number}}.bin").write_bytes(b"x" * 1000)
        if number == 200:
            print("half", flush=True)
            time.sleep({pause})

print(saved_folders.write(Outputs(Path({folder!r}), OutputPolicy.NUMBER), "m", fill, {{}}, size=0), flush=True)
"""


def _writer(folder: Path, pause: float) -> subprocess.Popen[str]:
    text = _SLOW.format(paths=[path for path in sys.path if path], folder=str(folder), pause=pause)
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)


def test_a_kill_leaves_no_half_folder_and_the_next_save_clears_up(tmp_path: Path) -> None:
    process = _writer(tmp_path, 60)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".aquatint-")
    assert Run(saving("m"), tmp_path).finished.written == [str(tmp_path / "m")]
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_two_processes_at_once_leave_each_other_alone(tmp_path: Path) -> None:
    processes = [_writer(tmp_path, 1), _writer(tmp_path, 1)]
    for process in processes:
        assert process.wait(60) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "m-2"]
    for name in ("m", "m-2"):
        assert len(files(tmp_path / name)) == 401


def test_a_folder_that_was_swept_before_it_was_held_is_made_again(tmp_path: Path) -> None:
    new, other = tmp_path / "new", tmp_path / "other"
    for folder in (new, other):
        folder.mkdir()
    handles = [os.open(folder, os.O_RDONLY) for folder in (new, new, other)]
    try:
        assert locks.take(handles[0])
        assert not locks.hold(handles[1], new)  # whoever sweeps has it
        other.rmdir()
        assert not locks.hold(handles[2], other)  # and here has gone on
    finally:
        for handle in handles:
            os.close(handle)


_SWEEPS = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
from aquatint.runtime import saved_folders
print("sweeping", flush=True)
while True:
    saved_folders.sweep(Path({folder!r}))
"""


@pytest.mark.slow
def test_folders_are_written_while_others_sweep(tmp_path: Path) -> None:
    text = _SWEEPS.format(paths=[path for path in sys.path if path], folder=str(tmp_path))
    sweeping = [subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for process in sweeping:
            assert process.stdout is not None
            assert process.stdout.readline() == "sweeping\n"
        for number in range(500):
            outputs = Outputs(tmp_path, OutputPolicy.NUMBER)
            saved_folders.write(outputs, "m", lambda folder: (folder / "a").touch(), {}, size=0)
            assert files(tmp_path / "m") == ["a", RECORD], number
            shutil.rmtree(tmp_path / "m")
    finally:
        for process in sweeping:
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_whole_folder_or_none(tmp_path: Path) -> None:
    for number in range(25):
        folder = tmp_path / str(number)
        folder.mkdir()
        process = _writer(folder, 0.01)
        time.sleep(0.2 + number * 0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        names = [path for path in folder.iterdir() if not path.name.startswith(".")]
        assert all(len(files(path)) == 401 for path in names)
