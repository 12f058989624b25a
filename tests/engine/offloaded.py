"""Adapters and caches of what is offloaded, on the device of `second_device`: `python offloaded.py FOLDER BUILD OUT`.

FOLDER is a tiny Stable Diffusion, beside it in `adapter` is one with a T2I-Adapter, and in `flux` one of that family;
BUILD is where the device is compiled, OUT where adapters and pictures are written. In a process of its own, since a
device can't be taken back. Scripts are planned for `cuda`, and their plans run with the name of the device that there
is; what bitsandbytes refuses to quantize for that is quantized on the CPU, and is then used as if it had been.

Prints JSON: for every kind of quantizer and way of offloading the pictures of a script, those of plain programs with
that way and with none, what failed, how many components were loaded more than once, and the bytes that are left on the
device.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

import second_device
from second_device import NAME

from aquatint.catalog import compatibility
from aquatint.diagnostics import render
from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.plan.steps import Generate, Plan
from aquatint.runtime.engine import Generation
from aquatint.runtime.events import Event, LoadStarted, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.torch_engine import TorchEngine, offloading
from aquatint.runtime.torch_engine.libraries import libraries
from aquatint.source import Source
from aquatint.syntax.parser import parse
from engine import plain
from support import ip_adapters, loras
from support.quantizer_kinds import KINDS
from support.scenes import drawn
from support.tiny.texts import WIDTH

WAYS = ("model", "group", "sequential")
PLAIN = {"none": "none", "bnb-8bit": "bnb8", "bnb-4bit": "nf4", "sdnq": "sdnq-int8"}
PROMPT = "a red <toy> cat"
CACHES: Mapping[str, tuple[str, Mapping[str, Any], tuple[str, ...]]] = {
    "first-block": ("FirstBlockCacheConfig", {"threshold": 0.9}, WAYS),
    "broadcast": ("PyramidAttentionBroadcastConfig", {"spatial_attention_block_skip_range": 3}, ("group",)),
    "faster": ("FasterCacheConfig", {"is_guidance_distilled": True, "tensor_format": "BCHW"}, ("model", "sequential")),
    "magnitudes": ("MagCacheConfig", {"mag_ratios": [1.0] * 4, "num_inference_steps": 4}, ("group",)),
    "taylor": ("TaylorSeerCacheConfig", {"cache_interval": 2, "disable_cache_before_step": 1}, ("sequential",)),
}
"""The configurations of caches, their options, and the ways of offloading that each is tried with."""

TURNS = ("plain", "loras", "words", "pictures", "plain")
"""What the statements of a script have on, in their order: one comes after another that had something else on."""


def main(folder: Path, build: Path, out: Path) -> dict[str, dict[str, Any]]:
    """Return what comes of all cases."""
    TorchEngine(threads=1)  # imports the libraries before there is another device
    _write(folder, out)
    on_it = second_device.device(build)
    found: dict[str, dict[str, Any]] = {}
    for kind in PLAIN:
        expected = _by_plain_program(folder, out, kind, None)
        for way in WAYS:
            if compatibility.cell(kind, f"offload-{way}").answer == "refused":
                continue
            plan = _planned(_script(folder, out, kind, way))
            run = _quantized_elsewhere if kind.startswith("bnb") else _run
            found[f"{kind} {way}"] = {"expected": expected, **run(plan, out / f"{kind}-{way}", on_it)}
            if kind == "none":
                found[f"{kind} {way}"]["plain"] = _by_plain_program(folder, out, kind, way)
    steered = folder.with_name("adapter")
    expected = _steered_by_plain_program(steered, out)
    for way in WAYS:
        plan = _planned(_steered_script(steered, out, way))
        found[f"steered {way}"] = {"expected": expected, **_run(plan, out / f"steered-{way}", on_it)}
    flux = folder.with_name("flux")
    for name, (config, options, ways) in CACHES.items():
        expected = _cached_by_plain_program(flux, config, options)
        for way in ways:
            plan = _planned(_cached_script(flux, config, options, way))
            found[f"{name} {way}"] = {"expected": expected, **_run(plan, out / f"{name}-{way}", on_it)}
    return found


def _write(folder: Path, out: Path) -> None:
    """Write a LoRA for the denoiser, another for the text encoder as well, a textual inversion and an IP-Adapter."""
    import torch
    from safetensors.torch import save_file

    pipeline = plain.assembled(folder, "none")
    loras.write(pipeline, out / "denoiser", 1, ["unet"])
    loras.write(pipeline, out / "both", 2, ["unet", "text_encoder"])
    ip_adapters.write(pipeline, out / "pictures", 4, "plain")
    generator = torch.Generator().manual_seed(3)
    save_file({"<toy>": torch.randn((2, WIDTH), generator=generator)}, out / "toy.safetensors")
    Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 60).convert("RGB").save(out / "picture.png")


def _loras(kind: str) -> dict[str, float]:
    """Return the LoRAs of a kind's pictures and their weights: bitsandbytes' text encoders take none."""
    return {"denoiser": 0.5} if kind.startswith("bnb") else {"both": 0.5}


def _script(folder: Path, out: Path, kind: str, way: str) -> str:
    """Return a script whose statements want other adapters each."""
    quantizer = f'"{KINDS[kind]}"' if KINDS[kind] else "none"
    given = [f'lora {{ source: "{out / name}", weight: {weight} }}' for name, weight in _loras(kind).items()]
    own = {
        "plain": "", "loras": ", ".join(given), "words": f'textual_inversion {{ source: "{out / "toy.safetensors"}" }}',
        "pictures": f'ip_adapter {{ source: "{out / "pictures"}", scale: 0.5 }}, image_encoder {{ quantizer: none }}',
    }  # fmt: skip
    lines = [f'model m {{ source: "{folder}", dtype: float32, quantizer: {quantizer}, offload: "{way}" }}']
    for number, turn in enumerate(TURNS):
        more = f'ip_adapter_image: "{out / "picture.png"}",' if turn == "pictures" else ""
        lines.append(
            f'generate (m with {{ {own[turn]} }}) {{ prompt: "{PROMPT}", seed: 7, num_inference_steps: 2, '
            f'size: 64x64, {more} output: "{number}.png" }}'
        )
    return "\n".join(lines)


def _steered_script(folder: Path, out: Path, way: str) -> str:
    """Return a script whose pictures follow another one, by one T2I-Adapter and by two."""
    picture = f'"{out / "picture.png"}"'
    return "\n".join([
        f'model m {{ source: "{folder}", dtype: float32, offload: "{way}" }}',
        f'model two extends m {{ adapter {{ source: "{folder / "adapter"}" }}, '
        f'adapter {{ source: "{folder / "adapter"}" }} }}',
        f'generate m {{ prompt: "{PROMPT}", seed: 7, num_inference_steps: 2, size: 64x64, image: {picture}, '
        'output: "0.png" }',
        f'generate two {{ prompt: "{PROMPT}", seed: 7, num_inference_steps: 2, size: 64x64, '
        f'image: [{picture}, {picture}], adapter_conditioning_scale: [0.8, 0.5], output: "1.png" }}',
    ])  # fmt: skip


def _steered_by_plain_program(folder: Path, out: Path) -> list[str]:
    import diffusers

    pipeline, picture = plain.assembled(folder, "none"), Image.open(out / "picture.png")
    _to_device(second_device.modules(pipeline))
    one = _drawn(pipeline, image=picture)
    pipeline.adapter = diffusers.MultiAdapter([pipeline.adapter, pipeline.adapter])
    two = _drawn(pipeline, image=[picture, picture], adapter_conditioning_scale=[0.8, 0.5])
    return [_digest(one), _digest(two)]


def _cached_script(folder: Path, config: str, options: Mapping[str, Any], way: str) -> str:
    """Return a script that draws with a cache, after a picture without one."""
    cache = ", ".join(f"{name}: {json.dumps(value)}" for name, value in {"config": config, **options}.items())
    call = f'{{ prompt: "{PROMPT}", seed: 7, num_inference_steps: 4, size: 64x64, output: '
    return "\n".join([
        f'model m {{ source: "{folder}", dtype: float32, offload: "{way}" }}',
        f'generate m {call}"0.png" }}', f'generate (m with {{ cache {{ {cache} }} }}) {call}"1.png" }}',
        f'generate (m with {{ cache {{ {cache} }} }}) {call}"2.png" }}',
    ])  # fmt: skip


def _cached_by_plain_program(folder: Path, name: str, options: Mapping[str, Any]) -> list[str]:
    import diffusers

    pipeline = plain.assembled(folder, "none")
    _to_device(second_device.modules(pipeline))
    without = _drawn(pipeline, num_inference_steps=4)
    config = getattr(diffusers.hooks, name)
    if "current_timestep_callback" in config.__dataclass_fields__:
        options = {**options, "current_timestep_callback": lambda: pipeline.current_timestep}
    pipeline.transformer.enable_cache(config(**options))
    return [_digest(without), *[_digest(_drawn(pipeline, num_inference_steps=4))] * 2]


def _planned(text: str) -> Plan:
    """Return the plan of a script by the name of the device that there is."""
    parsed = parse(Source("script.aqt", text))
    evaluation = Interpreter(World(device="cuda")).evaluate(parsed.script, parsed.diagnostics)
    plan = evaluation.plan
    assert plan is not None, [render(item) for item in evaluation.diagnostics]
    own = {
        key: msgspec.structs.replace(each, device=NAME) if each.device == "cuda" else each
        for key, each in plan.components.items()
    }
    return msgspec.structs.replace(plan, components=own, device=NAME)


def _run(plan: Plan, out: Path, on_it: Callable[[], int]) -> dict[str, Any]:
    """Run a plan with an engine of its own."""
    failures: list[str] = []
    loaded: list[str] = []

    def sink(event: Event) -> None:
        if isinstance(event, LoadStarted):
            loaded.append(event.component)
        if isinstance(event, StatementFailed):
            failures.append(event.message)

    gc.collect()
    before = on_it()
    Executor(TorchEngine(plan.device, threads=1), sink, Options(output_dir=out)).run(plan)
    gc.collect()
    return {
        "pictures": [_digest(Image.open(file)) for file in sorted(out.glob("*.png"))], "failures": failures,
        "again": len(loaded) - len(set(loaded)), "left": on_it() - before,
    }  # fmt: skip


def _quantized_elsewhere(plan: Plan, out: Path, on_it: Callable[[], int]) -> dict[str, Any]:
    """Draw the pictures of a plan with an engine of its own, of components that were loaded for the CPU."""
    engine = TorchEngine("cpu", threads=1)
    gc.collect()
    before = on_it()
    live = {}
    for key, component in plan.components.items():
        loaded = engine.load(msgspec.structs.replace(component, device="cpu"))
        if isinstance(loaded.object, libraries().torch.nn.Module):
            _to_device([loaded.object])
            offloading.wait(loaded.object)
        live[key] = replace(loaded, component=component)
    pictures = []
    for step in plan.steps:
        if isinstance(step, Generate):
            pipeline = plan.pipelines[step.pipeline]
            parts = {role: None if key is None else live[key] for role, key in pipeline.parts.items()}
            arguments = dict(step.arguments)
            if step.deferred:
                arguments["ip_adapter_image"] = Image.open(out.parent / "picture.png").convert("RGB")
            generation = Generation(arguments, [step.outputs[0].seed])
            assembled = engine.assemble(pipeline, parts)
            pictures.append(_digest(drawn(engine, assembled, generation, lambda done, total: None)))
    gc.collect()
    left = on_it() - before
    for loaded in live.values():
        engine.release(loaded)
    return {"pictures": pictures, "failures": [], "again": 0, "left": left}


def _by_plain_program(folder: Path, out: Path, kind: str, way: str | None) -> list[str]:
    """Return the pictures of plain programs: one for each that differs, since diffusers doesn't undo all of it."""
    made = {turn: _digest(_plain_picture(folder, out, kind, way, turn)) for turn in dict.fromkeys(TURNS)}
    return [made[turn] for turn in TURNS]


def _plain_picture(folder: Path, out: Path, kind: str, way: str | None, turn: str) -> Image.Image:
    pipeline = plain.assembled(folder, PLAIN[kind])
    more: Mapping[str, Any] = {}
    match turn:
        case "loras":
            for name, weight in _loras(kind).items():
                pipeline.load_lora_weights(str(out / name), weight_name=loras.NAME, adapter_name=name)
                pipeline.set_adapters([name], [weight])
        case "words":
            pipeline.load_textual_inversion(str(out / "toy.safetensors"))
        case "pictures":
            # Asked to cast itself, a quantized model refuses; here all is of one data type.
            pipeline.unet.to = lambda *given, **named: pipeline.unet
            pipeline.load_ip_adapter(str(out / "pictures"), subfolder="", weight_name="ip-adapter.safetensors")
            del pipeline.unet.to
            pipeline.set_ip_adapter_scale(0.5)
            more = {"ip_adapter_image": Image.open(out / "picture.png").convert("RGB")}
    modules = second_device.modules(pipeline)
    for module in modules:
        for tensor in module.parameters():
            # In memory of their own: where they are mapped from a file, products are rounded otherwise.
            tensor.data = tensor.data.clone()
    _to_device(modules)
    if way is not None:
        offloading.enable(libraries(), pipeline, way, NAME)
    return _drawn(pipeline, **more)


def _to_device(modules: Sequence[Any]) -> None:
    """Bring modules to the device as if bitsandbytes had quantized them there."""
    for layer in second_device.unpacked(modules):
        layer.weight = layer.weight.to(NAME)
    for module in modules:
        module.to(NAME)


def _drawn(pipeline: Any, **more: Any) -> Image.Image:
    import torch

    call = {"prompt": PROMPT, "num_inference_steps": 2, "width": 64, "height": 64} | more
    image: Image.Image = pipeline(**call, generator=torch.Generator("cpu").manual_seed(7)).images[0]
    return image


def _digest(image: Any) -> str:
    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()[:16]


if __name__ == "__main__":
    print(json.dumps(main(*map(Path, sys.argv[1:])), indent=1))
