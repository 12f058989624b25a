"""Adapters and caches of models that are offloaded: on a second device, and that others' modules stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from PIL import Image
from torch._dynamo.utils import counters

from aquatint.plan.steps import Generate, Plan
from aquatint.runtime.engine import EngineError, Generation
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.torch_engine import TorchEngine
from engine import plain
from support import cases, loras, planned
from support.scenes import drawn

Tiny = Callable[[str], Path]

MEMORY = 2**18
"""Bytes on a device that are less than a model's weights: a picture's own may not have been freed yet."""

DRAW = 'prompt: "a red cat", seed: 7, num_inference_steps: 2, size: 64x64'


@pytest.mark.slow
def test_on_a_second_device(folder: Tiny, on_second_device: Callable[..., Any], tmp_path: Path) -> None:
    folder("adapter"), folder("flux")  # beside it
    found = on_second_device("offloaded.py", folder("sd"), tmp_path)
    assert list(found) == [
        "none model", "none group", "none sequential", "bnb-8bit model", "bnb-8bit group", "bnb-8bit sequential",
        "bnb-4bit model", "sdnq model", "sdnq group", "sdnq sequential", "steered model", "steered group",
        "steered sequential", "first-block model", "first-block group", "first-block sequential", "broadcast group",
        "faster model", "faster sequential", "magnitudes group", "taylor sequential",
    ]  # fmt: skip
    for name, each in found.items():
        assert each["failures"] == [], name
        # As by programs that are on the device as a whole, and by those that offload.
        assert each["pictures"] == each["expected"] == each.get("plain", each["expected"]), name
        # Of adapters the last picture is the first one again, and of caches the second one.
        assert len(set(each["pictures"])) == (4 if name.startswith(("none", "bnb", "sdnq")) else 2), name
        assert each["again"] == 0, name
        # bitsandbytes' 8-bit weights stay there.
        assert (each["left"] < MEMORY) == (not name.startswith("bnb-8bit")), name


def offloaded(text: str) -> Plan:
    """Return the plan of a script for a GPU, as if the CPU were one: what is offloaded moves from there to there."""
    evaluation = cases.evaluate(text, cases.options_of("--device cuda"))
    assert evaluation.plan is not None, cases.errors(evaluation)
    plan = evaluation.plan
    own = {key: msgspec.structs.replace(each, device="cpu") for key, each in plan.components.items()}
    return msgspec.structs.replace(plan, components=own, device="cpu")


@pytest.mark.parametrize("way", ["model", pytest.param("group", marks=pytest.mark.slow)])
def test_what_is_shared_stays_as_it_is(engine: TorchEngine, folder: Tiny, tmp_path: Path, way: str) -> None:
    loras.write(plain.assembled(folder("sd"), "none"), tmp_path / "ink", 1, ["unet", "text_encoder"])
    block = f'lora {{ source: "{tmp_path / "ink"}" }}'
    statements = f"generate m {{ {DRAW} }}\ngenerate (m with {{ {block} }}) {{ {DRAW} }}"

    def pictures(plan: Plan, live: dict[str, Any], order: list[int]) -> list[bytes]:
        steps = [step for step in plan.steps if isinstance(step, Generate)]
        made = []
        for step in (steps[number] for number in order):
            pipeline = plan.pipelines[step.pipeline]
            parts = {role: None if key is None else live[key] for role, key in pipeline.parts.items()}
            assembled = engine.assemble(pipeline, parts)
            generation = Generation(step.arguments, [step.outputs[0].seed])
            made.append(drawn(engine, assembled, generation, lambda done, total: None).tobytes())
        return made

    plan = planned.plan(planned.model(folder("sd"), "", after=statements))
    live = {key: engine.load(each) for key, each in plan.components.items()}
    without, with_one = pictures(plan, live, [0, 1])
    for each in live.values():
        engine.release(each)
    plan = offloaded(planned.model(folder("sd"), f'dtype: float32, offload: "{way}"', after=statements))
    live = {key: engine.load(each) for key, each in plan.components.items()}
    unet = next(each.object for each in live.values() if each.component.role == "unet")
    names = sorted(unet.state_dict())
    assert pictures(plan, live, [0, 1, 1, 0]) == [without, with_one, with_one, without]
    # A call that fails leaves nothing behind.
    step = [step for step in plan.steps if isinstance(step, Generate)][1]
    pipeline = plan.pipelines[step.pipeline]
    assembled = engine.assemble(pipeline, {role: live.get(key or "") for role, key in pipeline.parts.items()})
    wrong = Generation(step.arguments | {"prompt_embeds": "none"}, [7])
    with pytest.raises(EngineError, match="can't make this image"):
        drawn(engine, assembled, wrong, lambda done, total: None)
    assert not any(hasattr(module, "_hf_hook") for module in unet.modules())
    assert pictures(plan, live, [1, 0]) == [with_one, without]
    engine.release(next(each for each in live.values() if each.component.role == "lora"))
    assert sorted(unet.state_dict()) == names
    for each in live.values():
        if each.component.role != "lora":
            engine.release(each)


@pytest.mark.slow
def test_compiled(engine: TorchEngine, folder: Tiny, tmp_path: Path) -> None:
    def plainly(prepare: Callable[[Any], None]) -> bytes:
        pipeline = plain.assembled(folder("qwenimage"), "none")
        prepare(pipeline)
        image = pipeline(**plain.CALL | {"num_inference_steps": 1}, generator=torch.Generator("cpu").manual_seed(7))
        return bytes(image.images[0].convert("RGB").tobytes())

    def offloaded_and_compiled(pipeline: Any) -> None:
        pipeline.enable_model_cpu_offload(device="cpu")
        pipeline.transformer.compile_repeated_blocks()

    without, compiled = plainly(lambda pipeline: None), plainly(offloaded_and_compiled)
    assert compiled != without
    turns = {"m": without, "c": compiled, "(c with { compile: none })": without}
    for way in ("model", "group"):
        lines = [f'model m {{ source: "{folder("qwenimage")}", dtype: float32, offload: "{way}" }}',
                 "model c extends m { compile: true }"]  # fmt: skip
        lines += [
            f'generate {model} {{ prompt: "a red cat", seed: 7, num_inference_steps: 1, size: 64x64, '
            f'output: "{way}-{number}.png" }}'
            for number, model in enumerate([*turns, "c"])
        ]
        before = counters["stats"]["unique_graphs"]
        Executor(engine, lambda event: None, Options(output_dir=tmp_path)).run(offloaded("\n".join(lines)))
        # What was compiled is used for the second picture.
        assert counters["stats"]["unique_graphs"] <= before + 1
        pictures = [Image.open(tmp_path / f"{way}-{number}.png").convert("RGB").tobytes() for number in range(4)]
        assert pictures == [*turns.values(), compiled]
