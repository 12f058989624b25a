"""Models on two devices at once, the CPU and the one of `second_device`: `python several_devices.py FOLDER BUILD OUT`.

FOLDER is a tiny Stable Diffusion, BUILD where the device is compiled, OUT where pictures are written. In a process of
its own, since a device can't be taken back. Scripts are planned for `cuda`, and their plans run with the name of the
device that there is.

Prints JSON: for every case the digests of its pictures' pixels by file, what failed, the most bytes that tensors took
of the device after a load, how many bytes of weights the plan has there at most, and how often it evicts.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

import second_device
from second_device import NAME

from aquatint.plan.memory import held, memories, peak
from aquatint.plan.steps import Evict, Plan
from aquatint.runtime.events import Event, LoadFinished, Returned, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.torch_engine import TorchEngine
from engine.plain import assembled
from support import cases, loras

TWO = """
let first = generate m { prompt: "a red cat", num_inference_steps: 2, width: 64, height: 64, seed: 7, output: "1.png" }
generate m {
    prompt: "a blue cat", num_inference_steps: 4, image: first[0], strength: 0.5, seed: 8, output: "2.png"
}
"""
IN_TURNS = """
let other = m with { unet { quantizer: sdnq } }
for one in [m, other, m] {
    generate one { prompt: "a red cat", num_inference_steps: 2, width: 64, height: 64, seed: 7 }
}
"""
PLACES = {
    "all on the CPU": ("device: cpu", "cpu", "cpu", "cpu"),
    "all on the device": ("", NAME, NAME, NAME),
    "encoder on the CPU": ("text_encoder { device: cpu }", "cpu", NAME, NAME),
    "denoiser on the CPU": ("unet { device: cpu }", NAME, "cpu", NAME),
    "decoder on the CPU": ("vae { device: cpu }", NAME, NAME, "cpu"),
    "decoder alone on the device": ("device: cpu, vae { device: cuda }", "cpu", "cpu", NAME),
}
"""Settings of a model by what they come to, and where its text encoder, its denoiser and its VAE are then."""

WITH_LORA = "encoder on the CPU, with a LoRA"
"""As `encoder on the CPU`, with a LoRA that is for the text encoder and for the denoiser."""

APART = "text_encoder { device: cpu }, vae { device: cpu }"


@dataclass(frozen=True)
class Case:
    """The settings of a model and what is done with it; what is planned for, and whether the device is scarce.

    Where the device is scarce it has room for the largest of its components, and statements run in the script's order.
    """

    settings: str
    statements: str = IN_TURNS
    device: str = "cuda"
    is_scarce: bool = False


CASES = {
    "in turns, with room": Case(APART),
    "in turns": Case(APART, is_scarce=True),
    "in turns, planned for the CPU": Case(f"device: cuda, {APART}", device="cpu", is_scarce=True),
}


def main(folder: Path, build: Path, out: Path) -> dict[str, Any]:
    """Return what comes of all cases, with the digests of plain programs' pictures under `plain`, if there are any."""
    TorchEngine(threads=1)  # imports the libraries before there is another device
    lora = loras.write(assembled(folder, "none"), out / "lora", 1, ["unet", "text_encoder"])
    on_it = second_device.device(build)
    found: dict[str, Any] = {}
    places = PLACES | {WITH_LORA: (f'text_encoder {{ device: cpu }}, lora {{ source: "{lora}" }}', "cpu", NAME, NAME)}
    for name, (settings, *devices) in places.items():
        plan = planned(folder, Case(settings, TWO))
        own = plain(folder, *devices, lora=lora if name == WITH_LORA else None)
        found[name] = {**run(plan, out / name, on_it), "plain": own}
    return found | {name: run(planned(folder, case), out / name, on_it) for name, case in CASES.items()}


def planned(folder: Path, case: Case) -> Plan:
    """Return the plan of a case by the name of the device that there is."""
    text = f'model m {{\n    source: "{folder}", dtype: float32\n    {case.settings}\n}}\n{case.statements}\n'

    def made(options: str) -> Plan:
        evaluation = cases.evaluate(text, cases.options_of(f"--device {case.device} {options}"))
        assert evaluation.plan is not None, cases.errors(evaluation)
        return evaluation.plan

    plan = made("")
    if case.is_scarce:
        most = max(held(each).most for each in plan.components.values() if each.device == "cuda")
        plan = made(f"--order script --memory {'' if case.device == 'cuda' else 'cuda='}{most // 1024 + 1}KiB")
    own = {
        key: msgspec.structs.replace(each, device=NAME) if each.device == "cuda" else each
        for key, each in plan.components.items()
    }
    return msgspec.structs.replace(plan, components=own, device=NAME if plan.device == "cuda" else plan.device)


def run(plan: Plan, out: Path, on_it: Callable[[], int]) -> dict[str, Any]:
    """Run a plan with an engine of its own."""
    failures: list[str] = []
    gc.collect()
    most, before = 0, on_it()

    def sink(event: Event) -> None:
        nonlocal most
        if isinstance(event, LoadFinished | Returned):
            most = max(most, on_it() - before)
        if isinstance(event, StatementFailed):
            failures.append(event.message)

    engine = TorchEngine(plan.device, threads=1)
    Executor(engine, sink, Options(output_dir=out)).run(plan)
    digests = {file.name: hashlib.sha256(Image.open(file).tobytes()).hexdigest() for file in sorted(out.glob("*.png"))}
    return {
        "pictures": digests, "failures": failures, "most": most,
        "evicted": sum(isinstance(step, Evict) for step in plan.steps),
        "weights": peak(plan, memory=NAME).held.most if NAME in memories(plan) else 0,
    }  # fmt: skip


def plain(folder: Path, encoder: str, denoiser: str, decoder: str, lora: Path | None) -> list[str]:
    """Return the digests of the pictures of a plain program that moves tensors from device to device itself."""
    import torch
    from diffusers import AutoencoderKL, StableDiffusionImg2ImgPipeline, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, requires_safety_checker=False)
    if lora is not None:
        pipeline.load_lora_weights(str(lora), weight_name=loras.NAME)
    texts, reader = pipeline.text_encoder.to(encoder), pipeline.tokenizer
    pipeline.text_encoder = None
    pipeline.to(denoiser)
    vae = AutoencoderKL.from_pretrained(folder, subfolder="vae").to(decoder)
    scale = vae.config.scaling_factor

    def encoded(prompt: str) -> Any:
        ids = reader(prompt, padding="max_length", max_length=reader.model_max_length, truncation=True,
                     return_tensors="pt").input_ids  # fmt: skip
        return texts(ids.to(encoder))[0].to(denoiser)

    def made(pipeline: Any, prompt: str, generator: Any, **more: Any) -> Image.Image:
        pipeline.set_progress_bar_config(disable=True)
        latents = pipeline(prompt_embeds=encoded(prompt), negative_prompt_embeds=encoded(""), output_type="latent",
                           generator=generator, **more).images  # fmt: skip
        decoded = vae.decode((latents / scale).to(decoder)).sample
        [image] = pipeline.image_processor.postprocess(decoded.cpu())
        return image

    with torch.no_grad():
        generator = torch.Generator("cpu").manual_seed(7)
        first = made(pipeline, "a red cat", generator, num_inference_steps=2, width=64, height=64)
        generator = torch.Generator("cpu").manual_seed(8)
        pixels = pipeline.image_processor.preprocess(first).to(decoder)
        latents = vae.encode(pixels).latent_dist.sample(generator).to(denoiser) * scale
        other = StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
        second = made(other, "a blue cat", generator, image=latents, num_inference_steps=4, strength=0.5)
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in (first, second)]


if __name__ == "__main__":
    print(json.dumps(main(*map(Path, sys.argv[1:])), indent=1))
