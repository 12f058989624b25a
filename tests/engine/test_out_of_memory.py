"""Memory that really runs out: what the libraries say then, and that a run goes on, with the same bits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageChops

from aquatint.runtime.engine import Generation, LacksMemory, Needs
from aquatint.runtime.residents import Residents
from aquatint.runtime.torch_engine import TorchEngine
from aquatint.runtime.torch_engine.faults import engine_error
from support import planned


def test_what_torch_says_is_a_lack_with_its_number(engine: TorchEngine) -> None:
    import torch

    with pytest.raises(LacksMemory) as raised, engine_error("can't do it"):
        torch.empty(1 << 60, dtype=torch.uint8)
    assert raised.value.asked == 1 << 60
    with pytest.raises(LacksMemory), engine_error("can't do it"):
        raise MemoryError
    # As torch 2.9 says it of a GPU, from its source: not run here.
    with pytest.raises(LacksMemory) as raised, engine_error("can't do it"):
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 7.79 GiB of which 3.50 MiB "
            "is free. Including non-PyTorch memory, this process has 7.78 GiB memory in use."
        )
    assert (raised.value.asked, raised.value.free) == (20 << 20, 7 << 19)


def test_tiles_are_those_of_diffusers_and_of_one_call(engine: TorchEngine) -> None:
    import diffusers
    import torch

    import aquatint

    plan = planned.plan('model m { source: "builtin:shapes" }\ngenerate m { prompt: "a red circle", output: "a.png" }')
    residents = Residents(engine)
    for component in plan.components.values():
        residents.load(component)
    (pipeline,) = plan.pipelines.values()
    assembled = residents.assembled(pipeline, plan.components)
    assert engine.can_tile(assembled)
    arguments = {"prompt": "a red circle", "num_inference_steps": 1, "width": 128, "height": 128}

    def made(tiling: bool) -> Any:
        call = engine.begin(assembled, Generation(arguments, [1], tiling=tiling), lambda done, total: None)
        pictures = call.advance()
        assert not isinstance(pictures, Needs)
        return pictures[0]

    whole, tiled, again = made(False), made(True), made(False)
    plain = diffusers.StableDiffusionPipeline.from_pretrained(
        Path(aquatint.__file__).parent / "checkpoints/shapes", torch_dtype=torch.float32
    )
    plain.set_progress_bar_config(disable=True)
    plain.vae.enable_tiling()
    expected = plain(**arguments, generator=torch.Generator("cpu").manual_seed(1)).images[0]
    assert ImageChops.difference(tiled, expected.convert("RGB")).getbbox() is None
    assert ImageChops.difference(tiled, whole).getbbox() is not None
    assert ImageChops.difference(again, whole).getbbox() is None
    residents.release_all()


LIMITED = r"""
import hashlib, json, re, resource, sys
from pathlib import Path
from aquatint.plan.steps import Load
from aquatint.runtime.events import OutOfMemory, StatementFailed
from aquatint.runtime.executor import Executor, Options, Resort
from aquatint.runtime.torch_engine import TorchEngine
from aquatint.language.evaluate import Interpreter
from aquatint.language.world import Memory, World
from aquatint.source import Source
from aquatint.syntax.parser import parse

folder, text, given = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
engine = TorchEngine(threads=1)

def limit(room):
    taken = int(re.search(r"^VmData:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)[1]) << 10
    most = resource.RLIM_INFINITY if room is None else taken + (room << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))

def run(name, room=None):
    parsed = parse(Source("tight.aqt", text))
    # As it is written, so that there is something to evict.
    world = World(order="script", memory=Memory(given["memory"]) if "memory" in given else None)
    plan = Interpreter(world).evaluate(parsed.script, parsed.diagnostics).plan
    resort = Resort(given.get("resort", "exact"))
    events = []
    limit(room)
    Executor(engine, events.append, Options(output_dir=folder / name, out_of_memory=resort)).run(plan)
    limit(None)
    engine.reclaim()
    pictures = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / name).glob("*.png")}
    rungs = [event.rung for event in events if isinstance(event, OutOfMemory)]
    failures = [event.message for event in events if isinstance(event, StatementFailed)]
    again = sum(isinstance(step, Load) for step in plan.steps) - len(plan.components)
    return {"pictures": pictures, "rungs": rungs, "failures": failures, "loaded_again": again}

told = [run("before")]
for room in given["rooms"]:
    told.append(run(str(room), room))
    if given.get("until") in told[-1]["rungs"]:
        break
told.append(run("after"))
print(json.dumps(told))
"""

SCRIPT = """
model shapes { source: "builtin:shapes", defaults { num_inference_steps: 1 } }
model half = shapes with { dtype: bfloat16 }
model eighth = shapes with { quantizer: "sdnq;type=int8;quant-conv=true" }
for m in [half, eighth] { generate m { prompt: "a red circle", size: 64x64, seed: 1, metadata: false } }
generate shapes { prompt: "a red circle", size: 192x192, seed: 1, metadata: false, output: "large.png" }
for m in [half, eighth] { generate m { prompt: "a blue star", size: 64x64, seed: 1, metadata: false } }
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
def test_with_less_and_less_room_no_bit_changes(tmp_path: Path) -> None:
    before, *limited, after = _limited(tmp_path, SCRIPT, rooms=[24, 16, 12, 8, 4])
    assert before["rungs"] == after["rungs"] == before["failures"] == after["failures"] == []
    assert before["pictures"] == after["pictures"]
    assert len(before["pictures"]) == 5
    for run in limited:
        assert run["pictures"].items() <= before["pictures"].items()
        assert len(run["pictures"]) + len(run["failures"]) == 5
        assert all(message.startswith("out of memory while ") for message in run["failures"])
        assert bool(run["failures"]) <= bool(run["rungs"])
    # Which rung suffices for which depends on the allocator: `tests/runtime` has that for an engine that counts.
    assert any(run["rungs"] for run in limited)


ROOMS = [80, 64, 48, 32, 24, 16, 8, 4]
BATCHED = """
model shapes { source: "builtin:shapes", defaults { num_inference_steps: 1, size: 256x256, metadata: false } }
model eighth = shapes with { quantizer: "sdnq;type=int8;quant-conv=true" }
for prompt in ["a red circle", "a blue star"] {
    for m in [shapes, eighth] { generate m { prompt: prompt, seed: 1, images: 3, images_per_batch: %d } }
}
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
def test_a_batch_that_does_not_fit_becomes_single_images_while_others_are_evicted(tmp_path: Path) -> None:
    # A budget in which the two models don't fit together, and then less room than a call of three images takes.
    tight: dict[str, Any] = {"memory": 20 << 20, "resort": "any"}
    [alone, _] = _limited(tmp_path / "alone", BATCHED % 1, rooms=[], **tight)
    before, *limited, after = _limited(tmp_path / "batched", BATCHED % 3, rooms=ROOMS, until="unbatched", **tight)
    assert before["loaded_again"] > 0
    assert before["pictures"] == after["pictures"]
    assert len(before["pictures"]) == len(alone["pictures"]) == 12
    for run in limited:
        for name, picture in run["pictures"].items():
            assert picture in (before["pictures"][name], alone["pictures"][name]) or "tiling" in run["rungs"]
        failed = len(run["failures"])
        assert 12 - 3 * failed <= len(run["pictures"]) <= 12 - failed
        assert all(message.startswith("out of memory while ") for message in run["failures"])
    # How little it takes depends on the allocator, and on what it kept of the run before.
    assert "unbatched" in limited[-1]["rungs"]


def _limited(folder: Path, script: str, **given: Any) -> list[dict[str, Any]]:
    """Return what became of `script` in runs without a limit, then with each of the `rooms` in MiB, then without."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder), script, json.dumps(given)],
        capture_output=True, text=True, timeout=1500, check=True, env=_environment(),
    )  # fmt: skip
    told: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return told


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
