"""T2I-Adapters: pictures beside those of plain programs, with one and with two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from PIL import Image

from aquatint.diagnostics import render
from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.plan.steps import Plan
from aquatint.runtime.events import Event, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.torch_engine import TorchEngine
from aquatint.source import Source
from aquatint.syntax.parser import parse
from engine import plain
from support import planned

Tiny = Callable[[str], Path]

DRAW = 'prompt: "a red cat", seed: 7, num_inference_steps: 2, size: 64x64'


def plan(text: str) -> Plan:
    """Return the plan of a script that reads files."""
    parsed = parse(Source("steered.aqt", text))
    evaluation = Interpreter(World()).evaluate(parsed.script, parsed.diagnostics)
    assert evaluation.plan is not None, [render(item) for item in evaluation.diagnostics]
    return evaluation.plan


def pixels(file: Path) -> bytes:
    return Image.open(file).convert("RGB").tobytes()


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("adapter", "none"),
        pytest.param("sdxl-adapter", "none", marks=pytest.mark.slow),
        pytest.param("adapter", "sdnq-int8", marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning:diffusers")
def test_pictures_are_those_of_a_plain_program(
    engine: TorchEngine, folder: Tiny, tmp_path: Path, family: str, kind: str
) -> None:
    file = tmp_path / "edges.png"
    Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 60).convert("RGB").save(file)
    quantizer = "" if kind == "none" else 'quantizer: "sdnq;type=int8;quant-conv=true"'
    own = folder(family) / "adapter"
    elsewhere = f'adapter {{ source: "{own}" }}'
    alone = f'adapter {{ source: "{own}/diffusion_pytorch_model.safetensors", config: "{own}" }}'
    call = f'{DRAW}, adapter_conditioning_scale: 0.8, image: "{file}"'
    made = plan(planned.model(folder(family), quantizer, after="\n".join([
        f'generate m {{ {call}, output: "one.png" }}',
        f'model two extends m {{ {elsewhere}, {alone} }}',
        f'generate two {{ {DRAW}, adapter_conditioning_scale: [0.8, 0.5], image: ["{file}", "{file}"], '
        'output: "two.png" }',
    ])))  # fmt: skip
    events: list[Event] = []
    Executor(engine, events.append, Options(output_dir=tmp_path)).run(made)
    assert [event.message for event in events if isinstance(event, StatementFailed)] == []
    pipeline = plain.assembled(folder(family), "none" if kind == "none" else _but_adapter(kind))
    picture = Image.open(file)
    given = {"adapter_conditioning_scale": 0.8, "image": picture}
    assert pixels(tmp_path / "one.png") == _drawn(pipeline, **given)
    pipeline.adapter = diffusers.MultiAdapter([pipeline.adapter, pipeline.adapter])
    several = _drawn(pipeline, adapter_conditioning_scale=[0.8, 0.5], image=[picture, picture])
    assert pixels(tmp_path / "two.png") == several
    assert pixels(tmp_path / "one.png") != several


def _but_adapter(kind: str) -> dict[str, str]:
    return {"unet": kind, "text_encoder": kind}


def _drawn(pipeline: Any, **call: Any) -> bytes:
    made = pipeline(**plain.CALL, generator=torch.Generator("cpu").manual_seed(7), **call)
    return bytes(made.images[0].convert("RGB").tobytes())


def test_one_that_a_checkpoint_lacks_makes_another_pipeline_of_it(folder: Tiny, tmp_path: Path) -> None:
    file = tmp_path / "edges.png"
    Image.new("RGB", (64, 64)).save(file)
    own, other = folder("sd"), folder("adapter") / "adapter"
    made = plan(planned.model(own, f'adapter {{ source: "{other}" }}',
                              after=f'generate m {{ {DRAW}, image: "{file}" }}'))  # fmt: skip
    assert [pipeline.class_name for pipeline in made.pipelines.values()] == ["StableDiffusionAdapterPipeline"]
