"""Statements that go on with what others have made, without a file between them: bit for bit what plain programs do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aquatint.catalog import tensor_files
from aquatint.diagnostics import Diagnostics, render
from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.plan.steps import Load, plan_from_json, plan_to_json
from aquatint.runtime.engine import Engine
from aquatint.runtime.events import Event, ImageWritten, LoadFinished, StatementFailed, StatementSkipped, Warned
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
SHORT_CALL = CALL | {"num_inference_steps": 2}
SHORT = 'prompt: "a red cat", seed: 7, num_inference_steps: 2'
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


def plainly(folder: Path) -> Any:
    """Return the pipeline of a plain program, with weights in fresh memory: where they lie decides bits."""
    import diffusers
    import torch

    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    for module in pipeline.components.values():
        for tensor in (*module.parameters(), *module.buffers()) if isinstance(module, torch.nn.Module) else ():
            tensor.data = tensor.data.clone()
    return pipeline


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
@pytest.mark.parametrize("name", ["sd", "sd3", "wan", "stable-audio"])
def test_what_is_not_decoded_loads_no_decoder_and_is_the_library_s(
    engine: Engine, folder: Tiny, tmp_path: Path, name: str
) -> None:
    import torch

    sides = "" if name == "stable-audio" else ", size: 64x64"
    text = f'model b {{ source: "{folder(name)}" }}\ngenerate b {{ {SHORT}{sides}, output: "x.safetensors" }}\n'
    counts = {}
    for what, script in (("latents", text), ("decoded", text.replace(', output: "x.safetensors"', ""))):
        evaluation = Interpreter(World()).evaluate(parse(Source("x", script)).script, Diagnostics())
        assert evaluation.plan is not None
        counts[what] = {
            evaluation.plan.components[step.component].role for step in evaluation.plan.steps if isinstance(step, Load)
        }
    assert counts["decoded"] - counts["latents"] == {"vae"}
    events: list[Event] = []
    plan = Interpreter(World()).evaluate(parse(Source("x", text)).script, Diagnostics()).plan
    assert plan is not None
    Executor(engine, events.append, Options(tmp_path, OutputPolicy.RESUME)).run(plan)
    assert {event.role for event in events if isinstance(event, LoadFinished)} == counts["latents"]
    assert [event.message for event in events if isinstance(event, StatementFailed | Warned)] == []
    [ours] = tensor_files.unpacked((tmp_path / "x.safetensors").read_bytes()).values()
    pipeline = plainly(folder(name))
    given = SHORT_CALL | ({} if name == "stable-audio" else {"width": 64, "height": 64})
    made = pipeline(**given, generator=torch.Generator("cpu").manual_seed(7), output_type="latent")
    assert ours.data == next(iter(made.values())).numpy().tobytes()


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
def test_a_picture_in_the_place_of_a_prompt(engine: Engine, folder: Tiny, tmp_path: Path) -> None:
    import diffusers

    prior, decoder = folder("flux-redux"), folder("flux")
    Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 60).convert("RGB").save(tmp_path / "photo.png")
    text = f"""
        model p {{ source: "{prior}" }}
        model d {{ source: "{decoder}" }}
        let made = generate p {{ image: "{tmp_path / "photo.png"}", prompt: "a red cat", prompt_embeds_scale: 0.5 }}
        generate d {{
            prompt_embeds: made.prompt_embeds, pooled_prompt_embeds: made.pooled_prompt_embeds
            num_inference_steps: {STEPS}, seed: 7, size: 64x64, output: "cat.png"
        }}
    """
    assert run(engine, text, tmp_path)[0] == [None, "cat.png"]
    with Image.open(tmp_path / "photo.png") as photo:
        redux = diffusers.FluxPriorReduxPipeline(**parts(prior))
        embeds = redux(image=photo, prompt="a red cat", prompt_embeds_scale=0.5)
    theirs = call("FluxPipeline", parts(decoder), **embeds, num_inference_steps=STEPS, width=64, height=64).images[0]
    assert pixels(tmp_path / "cat.png") == theirs.tobytes()
    without = call("FluxPipeline", parts(decoder), prompt="a red cat", num_inference_steps=STEPS, width=64, height=64)
    assert without.images[0].tobytes() != theirs.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("handed_on", ["pil", "pt"])
def test_a_second_stage_takes_the_picture_and_the_encoder_of_the_first(
    engine: Engine, folder: Tiny, tmp_path: Path, handed_on: str
) -> None:
    base, second = folder("if"), folder("if-super")
    of_base = f'output_type: "{handed_on}"' + (', output: "one.png"' if handed_on == "pil" else "")
    text = f"""
        model b {{ source: "{base}" }}
        model s {{ source: "{second}", text_encoder {{ source: "{base}", subfolder: "text_encoder" }} }}
        let one = generate b {{ {SHORT}, size: 16x16, {of_base} }}
        generate s {{ {SHORT}, image: one, output: "two.png" }}
    """
    assert run(engine, text, tmp_path)[0] == ["one.png" if handed_on == "pil" else None, "two.png"]
    # As programs for these checkpoints do it: the prompt is encoded once, and the second has no encoder.
    components = parts(base)
    encoding = plain.assembled(base, "none")
    embeds, others = encoding.encode_prompt(CALL["prompt"], device="cpu")
    given = {"prompt_embeds": embeds, "negative_prompt_embeds": others, "num_inference_steps": 2}
    one = call("IFPipeline", {**components, "requires_safety_checker": False}, **given, width=16, height=16,
               output_type=handed_on).images  # fmt: skip
    left_out = {"text_encoder": None, "tokenizer": None, "requires_safety_checker": False}
    two = call("IFSuperResolutionPipeline", parts(second) | left_out, **given, image=one).images[0]
    assert pixels(tmp_path / "two.png") == two.tobytes()


@pytest.mark.slow
def test_an_upscaler_takes_a_picture_or_latents_of_anything(engine: Engine, folder: Tiny, tmp_path: Path) -> None:
    text = f"""
        model m {{ source: "{folder("sd")}" }}
        model x4 {{ source: "{folder("upscaler")}" }}
        model x2 {{ source: "{folder("latent-upscaler")}" }}
        let small = generate m {{ {SHORT}, size: 16x16, output: "small.png" }}
        let latents = generate m {{ {SHORT}, size: 16x16, output_type: "latent" }}
        generate x4 {{ {SHORT}, image: small, noise_level: 10, output: "four.png" }}
        generate x2 {{ {SHORT}, image: latents, output: "two.png" }}
        generate x2 {{ {SHORT}, image: small, output: "encoded.png" }}
    """
    assert run(engine, text, tmp_path)[0] == ["small.png", None, "four.png", "two.png", "encoded.png"]
    first = {"requires_safety_checker": False, **parts(folder("sd"))}
    x4, x2 = parts(folder("upscaler")), parts(folder("latent-upscaler"))
    size = {"width": 16, "height": 16}
    small = call("StableDiffusionPipeline", first, **SHORT_CALL, **size).images[0]
    latents = call("StableDiffusionPipeline", first, **SHORT_CALL, **size, output_type="latent").images
    four = call("StableDiffusionUpscalePipeline", x4, **SHORT_CALL, image=small, noise_level=10).images[0]
    assert four.size == (64, 64) and pixels(tmp_path / "four.png") == four.tobytes()
    for name, given in (("two", latents), ("encoded", small)):
        theirs = call("StableDiffusionLatentUpscalePipeline", x2, **SHORT_CALL, image=given).images[0]
        assert theirs.size == (32, 32) and pixels(tmp_path / f"{name}.png") == theirs.tobytes()


@pytest.mark.slow
def test_a_cascade_s_decoder_is_loaded_by_the_name_that_its_checkpoints_have(
    engine: Engine, folder: Tiny, tmp_path: Path
) -> None:
    from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel

    prior, decoder = folder("cascade-prior"), folder("cascade-decoder")
    assert json.loads((decoder / "model_index.json").read_bytes())["vqgan"] == ["wuerstchen", "PaellaVQModel"]
    text = f"""
        model p {{ source: "{prior}" }}
        model d {{ source: "{decoder}" }}
        let made = generate p {{ {SETTINGS}, size: 64x64 }}
        generate d {{ {SETTINGS}, image_embeddings: made.image_embeddings, guidance_scale: 1.1, output: "cat.png" }}
    """
    assert run(engine, text, tmp_path)[0] == [None, "cat.png"]
    index = json.loads((decoder / "model_index.json").read_bytes())
    components = {role: plain.part(decoder, role, *index[role], "none")
                  for role in ("decoder", "scheduler", "text_encoder", "tokenizer")}  # fmt: skip
    components |= {"vqgan": PaellaVQModel.from_pretrained(decoder / "vqgan"), "latent_dim_scale": 2.0}
    made = call("StableCascadePriorPipeline", parts(prior) | {"resolution_multiple": 8}, **CALL, width=64, height=64)
    theirs = call("StableCascadeDecoderPipeline", components, **CALL, image_embeddings=made.image_embeddings,
                  guidance_scale=1.1).images[0]  # fmt: skip
    assert pixels(tmp_path / "cat.png") == theirs.tobytes()


@pytest.mark.slow
def test_what_goes_on_with_a_failure_is_skipped(engine: Engine, folder: Tiny, tmp_path: Path) -> None:
    # What prompts have become passes the plan, and no call if it is of another width.
    wrong = tensor_files.packed({"x": tensor_files.Tensor("F32", (1, 3, 8), bytes(4 * 3 * 8))}, {})
    (tmp_path / "wrong.safetensors").write_bytes(wrong)
    embeds = ", ".join(f'{name}: "{tmp_path}/wrong.safetensors"' for name in ("prompt_embeds", "pooled_prompt_embeds"))
    text = refining(folder("sdxl"), "refined.png").replace(
        SETTINGS, f"{embeds}, seed: 7, num_inference_steps: {STEPS}", 1
    )
    made, failed, skipped = run(engine, text, tmp_path / "out")
    assert (made, len(failed)) == ([], 1)
    assert skipped == ["it needs `latents` of `g1`, which was not made"]
