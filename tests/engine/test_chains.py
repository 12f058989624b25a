"""Statements that go on with what others have made, without a file between them: bit for bit what plain programs do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aquatint.catalog import tensor_files
from aquatint.diagnostics import render
from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.plan.steps import plan_from_json, plan_to_json
from aquatint.runtime.engine import Engine
from aquatint.runtime.events import Event, ImageWritten, StatementFailed, StatementSkipped
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.journal import Journal
from aquatint.runtime.metadata import read_metadata
from aquatint.runtime.outputs import OutputPolicy
from aquatint.source import Source
from aquatint.syntax.parser import parse
from engine import plain

Tiny = Callable[[str], Path]

STEPS = 4
CALL: dict[str, Any] = {"prompt": "a red cat", "num_inference_steps": STEPS}
SETTINGS = f'prompt: "a red cat", seed: 7, num_inference_steps: {STEPS}'


def run(engine: Engine, text: str, out: Path) -> tuple[list[str | None], list[str], list[str]]:
    """Run a script; return the names of what was made, None for what has no file, and why others failed or weren't."""
    parsed = parse(Source("chains.aqt", text))
    evaluation = Interpreter(World()).evaluate(parsed.script, parsed.diagnostics)
    assert evaluation.plan is not None, [render(each) for each in evaluation.diagnostics]
    plan = plan_from_json(plan_to_json(evaluation.plan))
    events: list[Event] = []
    Executor(engine, events.append, Options(out, OutputPolicy.RESUME, journal=Journal(out))).run(plan)
    made = [event.path and Path(event.path).name for event in events if isinstance(event, ImageWritten)]
    failed = [event.message for event in events if isinstance(event, StatementFailed)]
    return made, failed, [event.reason for event in events if isinstance(event, StatementSkipped)]


def parts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = plain.assembled(folder, "none").components
    return found


def call(class_name: str, components: dict[str, Any], **arguments: Any) -> Any:
    import diffusers
    import torch

    pipeline = getattr(diffusers, class_name)(**components)
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(**arguments, generator=torch.Generator("cpu").manual_seed(7))


def pixels(file: Path) -> bytes:
    return Image.open(file).convert("RGB").tobytes()


def refining(folder: Path, *outputs: str) -> str:
    base = f'let base = generate b {{ {SETTINGS}, size: 64x64, denoising_end: 0.5, output_type: "latent" }}'
    refined = [f'generate b {{ {SETTINGS}, image: base, denoising_start: 0.5, output: "{name}" }}' for name in outputs]
    return "\n".join([f'model b {{ source: "{folder}" }}', base, *refined])


@pytest.mark.slow
def test_a_refiner_goes_on_where_the_base_has_stopped(engine: Engine, folder: Tiny, tmp_path: Path) -> None:
    text = refining(folder("sdxl"), "refined.png")
    assert run(engine, text, tmp_path)[0] == [None, "refined.png"]
    components = parts(folder("sdxl"))
    base = call("StableDiffusionXLPipeline", components, **CALL, width=64, height=64, denoising_end=0.5,
                output_type="latent").images  # fmt: skip
    theirs = call("StableDiffusionXLImg2ImgPipeline", components, **CALL, image=base, denoising_start=0.5).images[0]
    assert pixels(tmp_path / "refined.png") == theirs.tobytes()
    # What has no file is made anew only for something that is missing.
    made, failed, skipped = run(engine, text, tmp_path)
    assert (made, failed) == ([], [])
    assert skipped[0] == "nothing that is left to do needs what it yields"
    assert run(engine, refining(folder("sdxl"), "refined.png", "again.png"), tmp_path)[0] == [None, "again.png"]
    assert pixels(tmp_path / "again.png") == pixels(tmp_path / "refined.png")


@pytest.mark.slow
def test_latents_in_a_file_are_the_library_s_and_are_gone_on_with(engine: Engine, folder: Tiny, tmp_path: Path) -> None:
    written = f'generate b {{ {SETTINGS}, size: 64x64, output: "x.safetensors" }}'
    text = f'model b {{ source: "{folder("sdxl")}" }}\nlet x = {written}\n'
    used = f'generate b {{ {SETTINGS}, image: x, strength: 0.9, output: "two.png" }}'
    assert run(engine, text + used, tmp_path)[0] == ["x.safetensors", "two.png"]
    components = parts(folder("sdxl"))
    theirs = call("StableDiffusionXLPipeline", components, **CALL, width=64, height=64, output_type="latent").images
    body = (tmp_path / "x.safetensors").read_bytes()
    [(name, ours)] = tensor_files.unpacked(body).items()
    assert (name, ours.dtype, ours.shape) == ("latents", "F32", tuple(theirs.shape))
    assert ours.data == theirs.numpy().tobytes()
    record = read_metadata(tmp_path / "x.safetensors")["aquatint"]
    assert (record["kind"], record["arguments"]["output_type"], "size" in record) == ("tensors", "latent", False)
    two = call("StableDiffusionXLImg2ImgPipeline", components, **CALL, image=theirs, strength=0.9).images[0]
    assert pixels(tmp_path / "two.png") == two.tobytes()
    # From its file, as a later run finds it, and as another script names it.
    (tmp_path / "two.png").unlink()
    assert run(engine, text + used, tmp_path)[0] == ["two.png"]
    assert pixels(tmp_path / "two.png") == two.tobytes()
    other = text.partition("let")[0] + used.replace("image: x", f'image: "{tmp_path / "x.safetensors"}"')
    assert run(engine, other, tmp_path / "other")[0] == ["two.png"]
    assert pixels(tmp_path / "other" / "two.png") == two.tobytes()
    # It is what decides the picture: with another file it is made anew.
    (tmp_path / "x.safetensors").write_bytes(tensor_files.packed({"latents": ours}, {}))
    assert run(engine, other, tmp_path / "other")[0] == ["two.png"]


@pytest.mark.slow
def test_a_decoder_takes_the_members_of_what_its_prior_makes(engine: Engine, folder: Tiny, tmp_path: Path) -> None:
    prior, decoder = folder("kandinsky-prior"), folder("kandinsky-decoder")
    text = f"""
        model p {{ source: "{prior}" }}
        model d {{ source: "{decoder}" }}
        let made = generate p {{ {SETTINGS} }}
        generate d {{
            image_embeds: made.image_embeds, negative_image_embeds: made.negative_image_embeds
            num_inference_steps: {STEPS}, seed: 7, size: 64x64, output: "cat.png"
        }}
    """
    assert run(engine, text, tmp_path)[0] == [None, "cat.png"]
    embeds = call("KandinskyV22PriorPipeline", parts(prior), **CALL)
    theirs = call("KandinskyV22Pipeline", parts(decoder), image_embeds=embeds.image_embeds,
                  negative_image_embeds=embeds.negative_image_embeds, num_inference_steps=STEPS,
                  width=64, height=64).images[0]  # fmt: skip
    assert pixels(tmp_path / "cat.png") == theirs.tobytes()


@pytest.mark.slow
def test_what_goes_on_with_a_failure_is_skipped(engine: Engine, folder: Tiny, tmp_path: Path) -> None:
    # Latents of another model's channels pass the plan, and no call.
    wrong = tensor_files.packed({"latents": tensor_files.Tensor("F32", (1, 3, 8, 8), bytes(4 * 3 * 64))}, {})
    (tmp_path / "wrong.safetensors").write_bytes(wrong)
    text = refining(folder("sdxl"), "refined.png").replace("size: 64x64", f'latents: "{tmp_path}/wrong.safetensors"')
    made, failed, skipped = run(engine, text, tmp_path / "out")
    assert (made, len(failed)) == ([], 1)
    assert skipped == ["it needs `latents` of `g1`, which was not made"]
