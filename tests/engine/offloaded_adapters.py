"""Adapters of models that are offloaded, on the device of `second_device`: `python offloaded_adapters.py FOLDER BUILD OUT`.

FOLDER is a tiny Stable Diffusion, BUILD where the device is compiled, OUT where adapters and pictures are written. In a
process of its own, since a device can't be taken back. Scripts are planned for `cuda`, and their plans run with the
name of the device that there is; the picture in each is drawn by a plain program, too.

Prints JSON: for every kind of quantizer and way of offloading the digests of the pictures' pixels by file, those of the
plain program under `plain`, what failed, how often a component was loaded again, and the share of all bytes of weights
that is on the device once the pictures are made.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import second_device
from second_device import NAME

from aquatint.catalog import compatibility
from aquatint.diagnostics import render
from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.plan.steps import Plan
from aquatint.runtime.events import Event, LoadStarted, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.torch_engine import TorchEngine, offloading
from aquatint.runtime.torch_engine.libraries import libraries
from aquatint.source import Source
from aquatint.syntax.parser import parse
from engine import plain
from support import ip_adapters, loras
from support.quantizer_kinds import KINDS
from support.tiny.texts import WIDTH

WAYS = (None, "model", "group", "sequential")
DRAW = "seed: 7, num_inference_steps: 2, width: 64, height: 64"
PLAIN = {"none": "none", "bnb-8bit": "bnb8", "bnb-4bit": "nf4", "sdnq": "sdnq-int8"}


def main(folder: Path, build: Path, out: Path) -> dict[str, Any]:
    """Return what comes of all cases."""
    TorchEngine(threads=1)  # imports the libraries before there is another device
    written(folder, out)
    on_it = second_device.device(build)
    found: dict[str, Any] = {}
    for kind in PLAIN:
        for way in WAYS:
            if way is None or compatibility.cell(kind, f"offload-{way}").answer != "refused":
                made = planned(script(folder, out, kind, way))
                found[f"{kind} {way}"] = run(made, out / f"{kind}-{way}", on_it)
    return found


def written(folder: Path, out: Path) -> None:
    """Write a LoRA for the denoiser, one for the text encoder as well, and a textual inversion."""
    import torch
    from safetensors.torch import save_file

    pipeline = plain.assembled(folder, "none")
    loras.write(pipeline, out / "one", 1, ["unet"])
    loras.write(pipeline, out / "two", 2, ["unet", "text_encoder"])
    generator = torch.Generator().manual_seed(3)
    save_file({"<toy>": torch.randn((2, WIDTH), generator=generator)}, out / "toy.safetensors")


def script(folder: Path, out: Path, kind: str, way: str | None) -> str:
    """Return a script whose statements want other adapters each."""
    quantizer = f'quantizer: "{KINDS[kind]}"' if KINDS[kind] else "quantizer: none"
    offload = f'offload: "{way}"' if way else "offload: none"
    second = "one" if kind.startswith("bnb") else "two"
    settings = {
        "plain": "", "one": f'lora {{ source: "{out}/one" }}',
        "two": f'lora {{ source: "{out}/{second}", weight: 0.5 }}, '
               f'textual_inversion {{ source: "{out}/toy.safetensors" }}',
    }  # fmt: skip
    lines = [f'model plain {{ source: "{folder}", dtype: float32, {quantizer}, {offload} }}']
    lines += [f"model {name} extends plain {{ {own} }}" for name, own in settings.items() if own]
    lines += [
        f'generate {name} {{ prompt: "a red <toy> cat", {DRAW}, output: "{number}-{name}.png" }}'
        for number, name in enumerate(["plain", "one", "two", "plain", "one"])
    ]
    return "\n".join(lines)


def planned(text: str) -> Plan:
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


def run(plan: Plan, out: Path, on_it: Callable[[], int]) -> dict[str, Any]:
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
    engine = TorchEngine(plan.device, threads=1)
    executor = Executor(engine, sink, Options(output_dir=out))
    executor.run(plan)
    gc.collect()
    digests = {file.name: hashlib.sha256(Image.open(file).tobytes()).hexdigest()[:12] for file in sorted(out.glob("*.png"))}
    return {"pictures": digests, "failures": failures, "again": len(loaded) - len(set(loaded)), "left": on_it() - before}


if __name__ == "__main__":
    print(json.dumps(main(*map(Path, sys.argv[1:])), indent=1))
