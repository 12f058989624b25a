"""Plans from elsewhere: a LoRA is beside components of its pipeline, and nothing else is read as one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from aquatint.diagnostics import render
from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.plan.steps import LoraUse, Pipeline, PlanError
from aquatint.plan.validate import validate
from aquatint.source import Source
from aquatint.syntax.parser import parse
from support.plans import component, load, pipeline, plan


def adapted(loras: dict[str, LoraUse], library: str = "diffusers.loaders", offload: str | None = None) -> None:
    """Validate a plan with a LoRA in its pipeline."""
    parts = {"unet": "u", "lora": "l"}
    reader = msgspec.structs.replace(
        component("l", "lora"), library=library, class_name="StableDiffusionLoraLoaderMixin"
    )
    whole: Pipeline = msgspec.structs.replace(pipeline("p", parts), loras=loras or msgspec.UNSET, offload=offload)
    unet = msgspec.structs.replace(component("u"), offload=offload)
    lora = msgspec.structs.replace(reader, offload=offload)
    validate(plan([unet, lora], [whole], [load("u"), load("l")]))


def test_a_lora_beside_a_component() -> None:
    adapted({"lora": LoraUse(0.5, ["unet"])})
    adapted({"lora": LoraUse(0.5, ["unet"])}, offload="model")


@pytest.mark.parametrize(("loras", "options", "said"), [
    ({}, {}, "pipeline `p` has no use for its `lora`"),
    ({"lora": LoraUse(0.5, ["unet"])}, {"library": "diffusers"}, "pipeline `p` has no use for its `lora`"),
    ({"style": LoraUse(0.5, ["unet"])}, {}, "pipeline `p` has a LoRA `style` that can't be added to it"),
    ({"lora": LoraUse(float("inf"), ["unet"])}, {}, "pipeline `p` has a LoRA `lora` that can't be added to it"),
    ({"lora": LoraUse(1.0, ["vae"])}, {}, "pipeline `p` has a LoRA `lora` for `vae`, which it lacks"),
    ({"lora": LoraUse(1.0, ["lora"])}, {}, "pipeline `p` has a LoRA `lora` for `lora`, which it lacks"),
])  # fmt: skip
def test_what_is_no_such_plan(loras: dict[str, LoraUse], options: dict[str, str], said: str) -> None:
    with pytest.raises(PlanError) as error:
        adapted(loras, **options)
    assert str(error.value) == said


def test_without_peft(models: Path) -> None:
    text = 'model m { source: "models/sd", lora { source: "models/loras/ink.safetensors" } }\n'
    parsed = parse(Source("script.aqt", text))
    world = World(is_installed=lambda package: package != "peft")
    evaluation = Interpreter(world).evaluate(parsed.script, parsed.diagnostics)
    assert [render(each) for each in evaluation.diagnostics] == [
        """error[package-not-installed]: a LoRA needs `peft`, which is not installed
 --> script.aqt:1:32
  |
1 | model m { source: "models/sd", lora { source: "models/loras/ink.safetensors" } }
  |                                ^^^^
  = help: install it: `pip install "aquatint[lora]"`"""
    ]
