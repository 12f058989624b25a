"""Several images by one call, with real libraries: the bits are those of diffusers called with the same lists."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

import aquatint
from aquatint.plan.steps import Generate, Phase, Plan
from aquatint.runtime.engine import Engine, EngineError, Generation
from aquatint.runtime.events import Event, StatementFailed, Warned
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.journal import Journal
from aquatint.runtime.outputs import OutputPolicy
from aquatint.runtime.torch_engine import TorchEngine
from engine import plain
from support import cases
from support.scenes import drawn_together, load, scene
from support.tiny import PIPELINES

SHAPES = Path(aquatint.__file__).parent / "checkpoints/shapes"
FAMILIES = [name for name in PIPELINES if name != "controlnet"]
SCRIPT = """
model m {{
    source: "{folder}", quantizer: {quantizer}
    defaults {{ num_inference_steps: 2, size: 64x64, images_per_batch: {size} }}
}}
generate m {{ prompt: "a red cat", seed: 3, images: 2, output: "cat.png" }}
generate m {{ prompt: "a small house by the sea", seed: 9, output: "house.png" }}
generate m {{ prompt: "alone", seed: 3, output: "alone.png" }}
"""
NAMES = ["cat-3.png", "cat-4.png", "house.png"]
SEEDS = [3, 4, 9]
PROMPTS = ["a red cat", "a red cat", "a small house by the sea"]


def planned(folder: Path | str, size: int = 3, quantizer: str = "none", options: str = "") -> Plan:
    text = SCRIPT.format(folder=folder, size=size, quantizer=quantizer)
    evaluation = cases.evaluate(text, cases.options_of(options))
    assert evaluation.plan is not None, cases.errors(evaluation)
    return evaluation.plan


def run(plan: Plan, engine: Engine, folder: Path) -> dict[str, bytes]:
    """Return the pixels of each picture that is there after running `plan`, which nothing went wrong with."""
    events: list[Event] = []
    options = Options(output_dir=folder, journal=Journal(folder), existing=OutputPolicy.RESUME)
    Executor(engine, events.append, options).run(plan)
    assert [event for event in events if isinstance(event, StatementFailed | Warned)] == []
    return {path.name: pixels(path) for path in sorted(folder.glob("*.png"))}


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.png"))}


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    """A process of its own: what the libraries keep of Z-Image changes what is quantized after it by hand."""
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield pool


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_bits_are_those_of_diffusers_with_the_same_lists(
    folder: Callable[[str], Path], tmp_path: Path, elsewhere: ProcessPoolExecutor, family: str
) -> None:
    phased, whole = planned(folder(family)), planned(folder(family), options="--order script")
    assert any(isinstance(step, Phase) for step in phased.steps)
    assert not any(isinstance(step, Phase) for step in whole.steps)
    made = run(phased, TorchEngine(threads=1), tmp_path / "phased")
    expected = elsewhere.submit(plain.paint_together, folder(family), "none", SEEDS, prompt=PROMPTS)
    alone = elsewhere.submit(plain.paint, folder(family), "none", 3, prompt="alone")
    assert [made[name] for name in NAMES] == expected.result()
    assert made["alone.png"] == alone.result()
    assert run(whole, TorchEngine(threads=1), tmp_path / "whole") == made
    assert hashes(tmp_path / "whole") == hashes(tmp_path / "phased")


@pytest.mark.parametrize(
    ("quantizer", "kind"), [('"sdnq;type=int8;quant-conv=true"', "sdnq-int8"), ('"bnb;bits=8"', "bnb8")]
)
def test_quantized_parts_make_batches_too(
    folder: Callable[[str], Path], tmp_path: Path, quantizer: str, kind: str
) -> None:
    made = run(planned(folder("sd"), quantizer=quantizer), TorchEngine(threads=1), tmp_path)
    assert [made[name] for name in NAMES] == plain.paint_together(folder("sd"), kind, SEEDS, prompt=PROMPTS)


def test_each_image_has_the_noise_that_it_has_alone(engine: Engine, tmp_path: Path) -> None:
    together = run(planned("builtin:shapes"), engine, tmp_path / "together")
    alone = run(planned("builtin:shapes", 1), engine, tmp_path / "alone")

    def differ(one: bytes, other: bytes) -> int:
        first, second = (numpy.frombuffer(each, "uint8").astype(int) for each in (one, other))
        return int(abs(first - second).max())

    assert together["alone.png"] == alone["alone.png"]
    for name in NAMES:
        # The last bits of products of another size: a step of 255 here and there.
        assert differ(together[name], alone[name]) <= 2
    assert differ(together["cat-3.png"], alone["cat-4.png"]) > 50


def test_negative_prompts_and_noise_in_each_step_are_each_image_s_own(
    engine: Engine, folder: Callable[[str], Path]
) -> None:
    own = {"prompt": PROMPTS, "negative_prompt": ["blue", "", "a tree"], "eta": 1.0}
    made = scene(folder("sd"))
    pipeline = engine.assemble(made.pipeline, load(engine, made))
    generation = Generation({**made.generation.arguments, **own}, SEEDS)
    images = drawn_together(engine, pipeline, generation, lambda done, total: None)
    expected = plain.paint_together(folder("sd"), "none", SEEDS, **own)
    assert [image.tobytes() for image in images] == expected


def test_what_is_missing_comes_again_with_the_same_bytes(engine: Engine, tmp_path: Path) -> None:
    plan = planned("builtin:shapes")
    run(plan, engine, tmp_path)
    before = hashes(tmp_path)
    for name in NAMES:
        (tmp_path / name).unlink()
        run(plan, engine, tmp_path)
        assert hashes(tmp_path) == before, name


def test_parts_that_come_and_go_change_no_bit(folder: Callable[[str], Path], tmp_path: Path) -> None:
    plan = planned(folder("sd"))
    whole = run(plan, TorchEngine(threads=1), tmp_path / "whole")
    weighty = [part.bytes for part in plan.components.values() if part.dtype is not None]
    tight = planned(folder("sd"), options=f"--memory {max(weighty) + (1 << 20)}B")
    assert tight.memory is not None
    assert [step.id for step in tight.steps if isinstance(step, Generate)] == ["g1", "g2", "g3"]
    assert run(tight, TorchEngine(threads=1), tmp_path / "tight") == whole


def test_a_pipeline_that_makes_another_number_of_pictures_is_an_error(
    engine: Engine, folder: Callable[[str], Path]
) -> None:
    made = scene(folder("sd"))
    pipeline = engine.assemble(made.pipeline, load(engine, made))
    generation = Generation({**made.generation.arguments, "prompt": ["one"]}, [1, 2])
    with pytest.raises(EngineError):
        drawn_together(engine, pipeline, generation, lambda done, total: None)
