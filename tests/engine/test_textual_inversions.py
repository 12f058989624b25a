"""Textual inversions: pictures beside those of plain programs, and components that are what they were without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aquatint.plan.steps import Plan
from aquatint.runtime.events import Event, LoadStarted, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.metadata import read_metadata
from aquatint.runtime.residents import Residents
from aquatint.runtime.store import Store
from aquatint.runtime.torch_engine import TorchEngine
from engine import plain
from support import planned
from support.tiny.texts import WIDTH

Tiny = Callable[[str], Path]

QUANTIZERS = {
    "none": "", "bnb8": 'quantizer: "bnb;bits=8"', "sdnq-int8": 'quantizer: "sdnq;type=int8;quant-conv=true"',
}  # fmt: skip
PROMPT = "a red <toy> cat by <style>"
CALL = {"num_inference_steps": 2, "width": 64, "height": 64}
SLOW = pytest.mark.slow


def written(folder: Path, **tensors: Any) -> Path:
    """Write a textual inversion of random numbers: the shapes of its tensors by their names."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(len(tensors) + sum(map(ord, folder.name)))
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = {name: torch.randn(shape, generator=generator) for name, shape in tensors.items()}
    save_file(made, folder)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Textual inversions of one vector and of three, and one of two for both encoders of SDXL."""
    root = tmp_path_factory.mktemp("embeddings")
    return {
        "toy": written(root / "toy.safetensors", **{"<toy>": (WIDTH,)}),
        "style": written(root / "style.safetensors", **{"<style>": (3, WIDTH)}),
        "pair": written(root / "pair.safetensors", clip_l=(2, WIDTH), clip_g=(2, WIDTH)),
    }


def run(engine: TorchEngine, plan: Plan, out: Path) -> list[Event]:
    """Run `plan`, which must go well, and return the events."""
    events: list[Event] = []
    Executor(engine, events.append, Options(output_dir=out)).run(plan)
    assert [event.message for event in events if isinstance(event, StatementFailed)] == []
    return events


def pixels(file: Path) -> bytes:
    return Image.open(file).convert("RGB").tobytes()


def drawn(pipeline: Any, prompt: str = PROMPT, **more: Any) -> bytes:
    """Return the pixels of a picture by a plain pipeline."""
    import torch

    image = pipeline(prompt=prompt, **CALL, **more, generator=torch.Generator("cpu").manual_seed(7)).images[0]
    return bytes(image.convert("RGB").tobytes())


def draw(model: str, name: str, prompt: str = PROMPT, more: str = "") -> str:
    return (
        f'generate {model} {{ prompt: "{prompt}", seed: 7, num_inference_steps: 2, size: 64x64, {more} '
        f'output: "{name}.png" }}'
    )


def in_order(plan: Plan, files: dict[str, Path]) -> list[str]:
    """Return the names of the textual inversions in the order of the plan, in which they get their numbers."""
    pipeline = next(each for each in plan.pipelines.values() if "textual_inversion_2" in each.parts)
    roles = [role for role in pipeline.parts if role.startswith("textual_inversion")]
    sources = [plan.components[pipeline.parts[role] or ""].source for role in sorted(roles)]
    return [next(name for name, file in files.items() if str(file) == source) for source in sources]


@pytest.mark.parametrize("kind", ["none", *(pytest.param(kind, marks=SLOW) for kind in ("bnb8", "sdnq-int8"))])
def test_pictures_are_those_of_a_plain_program(
    engine: TorchEngine, folder: Tiny, files: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    both = f'textual_inversion {{ source: "{files["toy"]}" }}, textual_inversion {{ source: "{files["style"]}" }}'
    statements = [
        draw("m", "plain"), draw(f"(m with {{ {both} }})", "both"), draw("m", "again"),
        draw(f'(m with {{ textual_inversion {{ source: "{files["toy"]}", token: "cat-toy" }} }})', "one", "a cat-toy"),
    ]  # fmt: skip
    plan = planned.plan(planned.model(folder("sd"), QUANTIZERS[kind], after="\n".join(statements)))
    events = run(engine, plan, tmp_path)
    loaded = [event.component for event in events if isinstance(event, LoadStarted)]
    assert len(loaded) == len(set(loaded)) == len(plan.components)
    made = {name: pixels(tmp_path / f"{name}.png") for name in ("plain", "both", "again", "one")}
    pipeline = plain.assembled(folder("sd"), kind)
    expected = {"plain": drawn(pipeline)}
    for name in in_order(plan, files):
        pipeline.load_textual_inversion(str(files[name]))
    expected |= {"both": drawn(pipeline), "again": expected["plain"]}
    pipeline = plain.assembled(folder("sd"), kind)
    pipeline.load_textual_inversion(str(files["toy"]), token="cat-toy")
    assert made == expected | {"one": drawn(pipeline, "a cat-toy")}
    assert len(set(made.values())) == 3
    said = read_metadata(tmp_path / "both.png")["aquatint"]["pipeline"]["textual_inversions"]
    assert sorted((use["token"], use["vectors"], use["tensors"]) for use in said.values()) == [
        ("<style>", 3, {"text_encoder": "<style>"}), ("<toy>", 1, {"text_encoder": "<toy>"}),
    ]  # fmt: skip


@SLOW
def test_both_encoders_of_sdxl(engine: TorchEngine, folder: Tiny, files: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    block = f'textual_inversion {{ source: "{files["pair"]}", token: "<style>" }}'
    run(engine, planned.plan(planned.model(folder("sdxl"), block, after=draw("m", "out"))), tmp_path)
    pipeline = plain.assembled(folder("sdxl"), "none")
    before = drawn(pipeline)
    tensors = load_file(files["pair"])
    for number, name in (("", "clip_l"), ("_2", "clip_g")):
        pipeline.load_textual_inversion(
            {"<style>": tensors[name]}, text_encoder=getattr(pipeline, f"text_encoder{number}"),
            tokenizer=getattr(pipeline, f"tokenizer{number}"),
        )  # fmt: skip
    assert pixels(tmp_path / "out.png") == drawn(pipeline) != before


@SLOW
def test_weighted_and_with_kept_embeddings(folder: Tiny, files: dict[str, Path], tmp_path: Path) -> None:
    block = f'textual_inversion {{ source: "{files["style"]}" }}'
    statements = [
        draw("m", "plain", "a <style> cat"), draw("m", "unweighted", "a <style> cat", 'weighter: "a1111",'),
        draw("m", "weighted", "a (<style>:1.5) cat", 'weighter: "a1111",'),
        draw("m", "long", "a <style> " + "cat, " * 18, 'weighter: "a1111",'),
        draw("(m with { textual_inversion: none })", "without", "a <style> cat"),
    ]  # fmt: skip
    plan = planned.plan(planned.model(folder("sd"), block, after="\n".join(statements)))
    made = []
    for name in ("first", "later"):
        engine = TorchEngine(threads=1, embeddings=Store(tmp_path / "store"))
        run(engine, plan, tmp_path / name)
        made.append([pixels(file) for file in sorted((tmp_path / name).glob("*.png"))])
    assert made[0] == made[1]
    assert len(made[0]) == 5
    assert len(set(made[0])) == 4
    assert pixels(tmp_path / "first" / "plain.png") == pixels(tmp_path / "first" / "unweighted.png")


def test_a_component_is_what_it_was_when_its_vectors_go(
    engine: TorchEngine, folder: Tiny, files: dict[str, Path]
) -> None:
    block = f'textual_inversion {{ source: "{files["style"]}" }}'
    plan = planned.plan(planned.model(folder("sd"), block, after=draw("m", "out")))
    [pipeline] = plan.pipelines.values()
    keys = {role: key for role, key in pipeline.parts.items() if key is not None}
    residents = Residents(engine)
    live = {role: residents.load(plan.components[key]) for role, key in keys.items()}
    encoder, tokenizer = live["text_encoder"].object, live["tokenizer"].object
    words = tokenizer.get_vocab()
    layer = encoder.get_input_embeddings()
    assembled = residents.assembled(pipeline, plan.components)
    assert tokenizer.get_vocab() == words
    made = assembled.make()
    assert len(made.tokenizer) == len(tokenizer) + 3
    tokens = made.tokenizer("a <style> <style>_1 <style>_2", return_tensors="pt")["input_ids"]
    made.text_encoder(tokens)
    assert len(layer._forward_hooks) == len(layer._forward_pre_hooks) == 1
    assert encoder.get_input_embeddings() is layer
    residents.evict(keys["textual_inversion"])
    assert len(layer._forward_hooks) == len(layer._forward_pre_hooks) == 0
    residents.release_all()
