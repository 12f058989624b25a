"""A process that quantizes beside the run: the same bits, quantized once, and nothing of it left whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import aquatint
from aquatint.plan.steps import Component
from aquatint.runtime.beside import Beside
from aquatint.runtime.engine import Counters, Engine
from aquatint.runtime.store import Store
from aquatint.runtime.torch_engine import TorchEngine
from aquatint.runtime.torch_engine.fingerprint import fingerprint
from support.scenes import component

Tiny = Callable[[str], Path]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are looked up in /proc"),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", minimum=0, reserve=0)


def process(store: Store) -> TorchEngine:
    return TorchEngine(threads=1, store=store, beside=Beside.ALWAYS)


def children(pid: int) -> set[int]:
    """Return the processes that a process has started and that are there."""
    found = (task.read_text().split() for task in Path(f"/proc/{pid}/task").glob("*/children"))
    return {int(child) for each in found for child in each}


def until(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def bits(engine: Engine, asked: Component) -> str:
    return fingerprint(torch, engine.load(asked).object)


def test_it_is_quantized_once_and_the_same(store: Store, folder: Tiny, engine: Engine) -> None:
    ahead = [component(folder("sd"), role, "sdnq;type=uint4;svd=true") for role in ("text_encoder", "unet")]
    before, one = children(os.getpid()), process(store)
    one.foresee([], None)
    assert children(os.getpid()) == before
    one.foresee(ahead, None)
    [pid] = children(os.getpid()) - before
    # The process still imports the libraries: what is needed now isn't waited for.
    first = one.load(ahead[0])
    assert (first.beside, first.from_store, first.warnings) == (False, False, ())
    one.foresee(ahead[1:], None)
    until(lambda: any(store.folder.glob("unfinished/*")) or len(store.entries()) == 2)
    # It is at work on this one, or done.
    os.kill(pid, signal.SIGSTOP)
    with subprocess.Popen(["sh", "-c", f"sleep 1; kill -CONT {pid}"]):
        second = one.load(ahead[1])
    assert (second.beside, second.from_store, second.warnings) == (True, False, ())
    assert one.counters == Counters(loads=2, quantizations=2, stored=2, beside=1)
    one.foresee([], None)
    assert children(os.getpid()) == before
    assert fingerprint(torch, second.object) == bits(engine, ahead[1])
    # For a run after this one it comes from the store.
    assert process(store).load(ahead[1]).from_store


def test_a_killed_process_is_a_warning_and_the_run_quantizes(store: Store, folder: Tiny) -> None:
    ahead = [component(folder("sd"), role, "sdnq;type=int8") for role in ("unet", "text_encoder")]
    before, one = children(os.getpid()), process(store)
    one.foresee(ahead, None)
    [pid] = children(os.getpid()) - before
    os.kill(pid, signal.SIGKILL)
    first, second = map(one.load, ahead)
    assert first.warnings == (
        "`unet` was not quantized beside the run, and is quantized now: its process was killed by signal 9",
    )
    assert second.warnings == ()
    assert one.counters == Counters(loads=2, quantizations=2, stored=2)
    # It is not tried again.
    one.foresee([component(folder("sd"), "unet", "sdnq;type=uint4")], None)
    assert children(os.getpid()) == before


def test_a_process_that_fails_is_a_warning_and_the_run_quantizes(store: Store, folder: Tiny, tmp_path: Path) -> None:
    root = shutil.copytree(folder("sd"), tmp_path / "sd")
    weights = root / "unet/diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    ahead = [component(root, role, "sdnq;type=int8") for role in ("unet", "text_encoder")]
    one = process(store)
    weights.write_bytes(whole[: len(whole) // 2])
    one.foresee(ahead, None)
    until(store.entries)
    weights.write_bytes(whole)
    assert one.load(ahead[0]).warnings == (
        f"`unet` was not quantized beside the run, and is quantized now: `{weights}` is damaged: "
        f"it has {len(whole) // 2:,} bytes where its header promises {len(whole):,}",
    )
    assert one.load(ahead[1]).warnings == ()
    assert one.counters == Counters(loads=2, quantizations=1, restored=1, stored=1)


def test_memory_that_is_lacking_is_given_back(store: Store, folder: Tiny) -> None:
    asked, before, one = component(folder("sd"), "unet", "sdnq;type=int8"), children(os.getpid()), process(store)
    one.foresee([asked], None)
    one.reclaim()
    assert children(os.getpid()) == before
    assert one.load(asked).warnings == ()


SCRIPT = """\
model a {{ source: "builtin:shapes" }}
model b {{ source: "builtin:shapes", quantizer: "sdnq;type=uint4" }}
generate a {{ prompt: "a red circle", seed: 1, num_inference_steps: {steps}, output: "a.png" }}
generate b {{ prompt: "a red circle", seed: 1, num_inference_steps: 3, output: "b.png" }}
"""


@contextmanager
def started(folder: Path, steps: int, when: str) -> Iterator[subprocess.Popen[str]]:
    """Start a run in `folder`; one that a failed test has stopped isn't waited for."""
    folder.mkdir()
    (folder / "two.aqt").write_text(SCRIPT.format(steps=steps))
    path = os.pathsep.join([str(Path(aquatint.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-m", "aquatint", "run", "two.aqt", "--json", "--device", "cpu", "--threads", "1",
         "--order", "script", "--store", "kept", "--quantize-beside", when],
        cwd=folder, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        try:
            yield run
        except BaseException:
            run.kill()
            raise


def test_a_run_of_two_models(tmp_path: Path) -> None:
    with started(tmp_path / "alone", 1, "never") as run:
        alone, _ = run.communicate()
    with started(tmp_path / "beside", 50, "always") as run:
        assert run.stdout is not None
        # By the first step it has been asked for.
        assert next(line for line in run.stdout if '"denoise_step"' in line)
        pids = children(run.pid)
        # Stands for pictures that take longer.
        run.send_signal(signal.SIGSTOP)
        kept = Store(tmp_path / "beside/kept")
        until(lambda: len(kept.entries()) == 2)
        run.send_signal(signal.SIGCONT)
        told = [json.loads(line) for line in run.stdout]
    assert run.returncode == 0
    loads = [(each["role"], each["beside"]) for each in told if each["event"] == "load_finished" and each["beside"]]
    assert loads == [("text_encoder", True), ("unet", True)]
    totals, expected = told[-1], json.loads(alone.splitlines()[-1])
    assert totals["beside"] == 2
    for name in ("loads", "quantizations", "restored", "releases", "failed"):
        assert totals[name] == expected[name], name
    assert (tmp_path / "beside/b.png").read_bytes() == (tmp_path / "alone/b.png").read_bytes()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert [each for each in told if each["event"] == "warned"] == []


def test_it_ends_with_a_run_that_is_killed(tmp_path: Path) -> None:
    with started(tmp_path / "killed", 900, "always") as run:
        until(lambda: children(run.pid))
        [pid] = children(run.pid)
        # What Ctrl-C goes to is the session's group.
        assert os.getsid(pid) != os.getsid(run.pid)
        run.kill()
    until(lambda: not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z")
