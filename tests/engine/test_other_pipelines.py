"""Pipelines that differ from most in what they are made of or make, with the real libraries on tiny checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.runtime.engine import Engine
from aquatint.runtime.events import Event, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.media_files import read_clip, read_tensors
from aquatint.source import Source
from aquatint.syntax.parser import parse
from engine import plain

Tiny = Callable[[str], Path]


def run(engine: Engine, text: str, out: Path) -> None:
    parsed = parse(Source("others.aqt", text))
    evaluation = Interpreter(World()).evaluate(parsed.script, parsed.diagnostics)
    assert evaluation.plan is not None, [each.message for each in evaluation.diagnostics]
    events: list[Event] = []
    Executor(engine, events.append, Options(output_dir=out)).run(evaluation.plan)
    assert [event.message for event in events if isinstance(event, StatementFailed)] == []


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 60).convert("RGB").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def plainly(folder: Path, **call: Any) -> Any:
    """Return what a plain program's call of a checkpoint's class comes to."""
    import torch

    return plain.assembled(folder, "none")(**call, generator=torch.Generator("cpu").manual_seed(7))


@pytest.mark.slow
def test_one_with_two_schedulers_begins_each_picture_with_new_ones(
    engine: Engine, folder: Tiny, tmp_path: Path
) -> None:
    call = {"prior_num_inference_steps": 2, "num_inference_steps": 2}
    settings = ", ".join(f"{name}: {value}" for name, value in call.items())
    statement = f'generate m {{ prompt: "a red cat", seed: 7, size: 64x64, {settings}, output: "%s.png" }}\n'
    model = f'model m {{ source: "{folder("kandinsky-both")}" }}\n'
    run(engine, model + statement % "one" + statement % "two", tmp_path)
    theirs = plainly(folder("kandinsky-both"), prompt="a red cat", width=64, height=64, **call).images[0]
    for name in ("one", "two"):
        with Image.open(tmp_path / f"{name}.png") as ours:
            assert ours.convert("RGB").tobytes() == theirs.tobytes()


@pytest.mark.slow
def test_what_a_pipeline_changes_in_its_networks_is_for_its_own_calls(
    engine: Engine, folder: Tiny, tmp_path: Path
) -> None:
    # Each pipeline of this class that is made lets two networks change places with some of their layers.
    made, statement = folder("versatile-texts"), 'prompt: "a red cat", seed: 7, num_inference_steps: 2, size: 64x64'
    text = f"""
        model m {{ source: "{made}" }}
        model other {{ source: "{made}", vae {{ tiling: true }} }}
        generate m {{ {statement}, output: "one.png" }}
        generate m {{ {statement}, output: "two.png" }}
        generate other {{ {statement}, output: "three.png" }}
        generate m {{ {statement}, output: "four.png" }}
    """
    run(engine, text, tmp_path)
    theirs = plainly(made, prompt="a red cat", width=64, height=64, num_inference_steps=2).images[0].tobytes()
    for name in ("one", "two", "three", "four"):
        with Image.open(tmp_path / f"{name}.png") as ours:
            assert ours.convert("RGB").tobytes() == theirs, name


@pytest.mark.slow
def test_tensors_for_each_point_of_a_picture(engine: Engine, folder: Tiny, tmp_path: Path, photo: Path) -> None:
    import torch

    made = folder("marigold")
    text = f'model m {{ source: "{made}" }}\ngenerate m {{ image: "{photo}", seed: 7, num_inference_steps: 2, '
    run(engine, text + 'processing_resolution: 0, output: "depth.safetensors" }', tmp_path)
    with Image.open(photo) as opened:
        theirs = plainly(made, image=opened, num_inference_steps=2, processing_resolution=0, output_type="pt")
    [(name, ours)] = read_tensors(tmp_path / "depth.safetensors").values.items()
    assert name == "prediction"
    assert bytes(ours.data) == theirs.prediction.contiguous().view(torch.uint8).numpy().tobytes()


@pytest.mark.slow
def test_arrays_of_numbers_are_the_frames_of_a_video(engine: Engine, folder: Tiny, tmp_path: Path) -> None:
    made = folder("text2video-zero")
    call = {"video_length": 2, "num_inference_steps": 2, "t0": 0, "t1": 1}
    settings = ", ".join(f"{name}: {value}" for name, value in call.items())
    text = f'model m {{ source: "{made}" }}\ngenerate m {{ prompt: "a red cat", seed: 7, size: 64x64, {settings}, '
    run(engine, text + 'output: "one.webp" }', tmp_path)
    theirs = plainly(made, prompt="a red cat", width=64, height=64, **call).images
    assert theirs.shape == (2, 64, 64, 3)
    ours = b"".join(frame.tobytes() for frame in read_clip(tmp_path / "one.webp").frames)
    assert ours == (theirs * 255).round().astype("uint8").tobytes()


@pytest.mark.slow
def test_a_controlnet_of_several_modes_is_told_which(engine: Engine, folder: Tiny, tmp_path: Path, photo: Path) -> None:
    made = folder("flux-controlnet-union")
    call = {"prompt": "a red cat", "num_inference_steps": 2, "width": 64, "height": 64}
    text = f'model m {{ source: "{made}" }}\n' + "\n".join(
        f'generate m {{ prompt: "a red cat", seed: 7, num_inference_steps: 2, size: 64x64, control_image: "{photo}", '
        f'control_mode: {mode}, output: "{mode}.png" }}'
        for mode in (0, 2)
    )
    run(engine, text, tmp_path)
    drawn = []
    for mode in (0, 2):
        with Image.open(photo) as opened:
            theirs = plainly(made, control_image=opened, control_mode=mode, **call).images[0]
        with Image.open(tmp_path / f"{mode}.png") as ours:
            drawn.append(ours.convert("RGB").tobytes())
        assert drawn[-1] == theirs.tobytes()
    assert drawn[0] != drawn[1]


@pytest.mark.slow
def test_one_number_is_the_strength_of_each_of_several_controlnets(
    engine: Engine, folder: Tiny, tmp_path: Path, photo: Path
) -> None:
    import torch
    from diffusers import FluxControlNetPipeline

    union, other = folder("flux-controlnet-union"), folder("flux-controlnet")
    text = f"""
        model m {{ source: "{union}", controlnet {{ source: "{union}" }}, controlnet {{ source: "{other}" }} }}
        generate m {{
            prompt: "a red cat", seed: 7, num_inference_steps: 2, size: 64x64, control_image: ["{photo}", "{photo}"]
            control_mode: [2, 0], controlnet_conditioning_scale: 0.5, output: "two.png"
        }}
    """
    run(engine, text, tmp_path)
    parts = plain.assembled(union, "none").components
    parts["controlnet"] = [
        plain.part(made, "controlnet", "diffusers", "FluxControlNetModel", "none") for made in (union, other)
    ]
    with Image.open(photo) as opened:
        # The number alone its class doesn't take for two.
        theirs = FluxControlNetPipeline(**parts)(
            "a red cat", control_image=[opened, opened], control_mode=[2, 0], controlnet_conditioning_scale=[0.5, 0.5],
            num_inference_steps=2, width=64, height=64, generator=torch.Generator("cpu").manual_seed(7),
        ).images[0]  # fmt: skip
    with Image.open(tmp_path / "two.png") as ours:
        assert ours.convert("RGB").tobytes() == theirs.tobytes()


@pytest.mark.slow
def test_a_class_that_diffusers_puts_around_one_of_transformers_is_saved_and_loaded_again(
    engine: Engine, folder: Tiny, tmp_path: Path
) -> None:
    call = 'generate m { prompt: "a red cat", seed: 7, num_inference_steps: 2, size: 64x64, '
    call += 'use_resolution_binning: false, output: "%s.png" }\n'
    text = f'model m {{ source: "{folder("prx")}", quantizer: "sdnq;type=int8" }}\nsave m {{ to: "saved" }}\n'
    run(engine, text + call % "one", tmp_path)
    run(engine, f'model m {{ source: "{tmp_path / "saved"}" }}\n' + call % "two", tmp_path)
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert one.tobytes() == two.tobytes()
