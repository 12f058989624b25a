"""Nothing but the plan decides the bits: not the global generator, the order of the work, or what was loaded before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import msgspec
import pytest
import torch

from aquatint.runtime.engine import Engine, Generation
from aquatint.runtime.torch_engine import weights
from support.scenes import Scene, component, drawn, load, paint, scene

Tiny = Callable[[str], Path]
RANDOM = "sdnq;type=uint4;use-svd=true;svd-rank=8"


def tensors(module: Any) -> list[bytes]:
    return [tensor.contiguous().view(torch.uint8).numpy().tobytes() for _, _, tensor in weights.held(torch, module)]


@pytest.mark.parametrize("role", ["text_encoder", "text_encoder_2", "transformer"])
def test_svd_does_not_draw_from_what_happened_before(engine: Engine, folder: Tiny, role: str) -> None:
    asked = component(folder("flux"), role, RANDOM)
    torch.manual_seed(1)
    first = tensors(engine.load(asked).object)
    torch.manual_seed(2)
    torch.rand(5)
    assert tensors(engine.load(asked).object) == first


def test_svd_draws_from_the_key(engine: Engine, folder: Tiny) -> None:
    asked = component(folder("sd"), "text_encoder", RANDOM)
    other = msgspec.structs.replace(asked, key="another")
    assert tensors(engine.load(asked).object) != tensors(engine.load(other).object)


def test_the_global_generator_is_left_alone(engine: Engine, folder: Tiny) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    paint(engine, scene(folder("sd"), {"unet": RANDOM}))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("scheduler", ["EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler"])
def test_a_scheduler_that_draws_noise_repeats(engine: Engine, folder: Tiny, scheduler: str) -> None:
    made = scene(folder("sd"))
    pipeline = engine.assemble(made.pipeline, load(engine, made))
    asked = replace(made.generation, scheduler=scheduler)
    first, second = (drawn(engine, pipeline, asked, lambda done, total: None).tobytes() for _ in range(2))
    assert first == second


def test_a_scheduler_of_one_image_is_not_that_of_the_next(engine: Engine, folder: Tiny) -> None:
    made = scene(folder("sd"))
    pipeline = engine.assemble(made.pipeline, load(engine, made))
    first = drawn(engine, pipeline, made.generation, lambda done, total: None).tobytes()
    other = replace(made.generation, scheduler="EulerDiscreteScheduler")
    assert drawn(engine, pipeline, other, lambda done, total: None).tobytes() != first
    assert drawn(engine, pipeline, made.generation, lambda done, total: None).tobytes() == first


def test_every_pipeline_has_its_own_scheduler(engine: Engine, folder: Tiny) -> None:
    made = scene(folder("sd"))
    parts = load(engine, made)
    one, other = (engine.assemble(made.pipeline, parts) for _ in range(2))
    held = parts["scheduler"]
    assert held is not None
    schedulers = [held.object, one.make().scheduler, one.make().scheduler, other.make().scheduler]
    assert len({id(scheduler) for scheduler in schedulers}) == 4
    assert one.places == other.places


def test_a_pipeline_in_the_middle_of_another_ones_loop_disturbs_nothing(engine: Engine, folder: Tiny) -> None:
    made = replace_steps(scene(folder("sd")), 4)
    parts = load(engine, made)
    asked = replace(made.generation, scheduler="EulerAncestralDiscreteScheduler")
    one, other = (engine.assemble(made.pipeline, parts) for _ in range(2))
    first = drawn(engine, one, asked, lambda done, total: None).tobytes()

    def between(done: int, total: int) -> None:
        if done == 2:
            drawn(engine, other, replace(asked, seeds=[31]), lambda done, total: None)

    assert drawn(engine, one, asked, between).tobytes() == first


def replace_steps(made: Scene, steps: int) -> Scene:
    arguments = dict(made.generation.arguments) | {"num_inference_steps": steps}
    return Scene(made.pipeline, made.components, Generation(arguments, made.generation.seeds))


@pytest.mark.parametrize("uri", ["bnb", "sdnq"])
def test_a_quantizer_used_twice_gives_the_same_twice(engine: Engine, folder: Tiny, uri: str) -> None:
    # One configuration object for two loads of Flux quantized one layer fewer the second time.
    asked = [component(folder("flux"), role, uri) for role in ("transformer", "text_encoder", "transformer")]
    before = msgspec.json.encode(asked)
    loaded = [engine.load(each) for each in asked]
    assert loaded[0].quantized_layers == loaded[2].quantized_layers
    assert tensors(loaded[0].object) == tensors(loaded[2].object)
    assert msgspec.json.encode(asked) == before


@pytest.mark.parametrize("uri", [None, "bnb", "bnb;bits=4;double-quant=true", "sdnq;type=uint4", RANDOM])
def test_every_tensor_is_in_memory_of_its_own(engine: Engine, folder: Tiny, uri: str | None) -> None:
    # A weight mapped from its file starts at any multiple of 8, and matrix products round differently there.
    module = engine.load(component(folder("flux"), "transformer", uri)).object
    found = [tensor for _, _, tensor in weights.held(torch, module) if tensor.numel()]
    assert found
    assert all(tensor.data_ptr() % 64 == 0 for tensor in found)


def test_bnb_keeps_one_copy_of_its_8_bit_weights(engine: Engine, folder: Tiny) -> None:
    module = engine.load(component(folder("sd"), "text_encoder", "bnb")).object
    layer = module.get_submodule(next(n for n, m in module.named_modules() if type(m).__name__ == "Linear8bitLt"))
    assert layer.weight.CB.data_ptr() == layer.weight.data.data_ptr()


def test_tied_weights_stay_tied(engine: Engine, folder: Tiny) -> None:
    module = engine.load(component(folder("flux"), "text_encoder_2")).object
    assert module.shared.weight is module.encoder.embed_tokens.weight


def test_release_frees_what_others_still_hold(engine: Engine, folder: Tiny) -> None:
    for uri in (None, "bnb", "bnb;bits=4;double-quant=true", "sdnq"):
        loaded = engine.load(component(folder("sd"), "unet", uri))
        engine.release(loaded)
        assert weights.total_bytes(torch, loaded.object) == 0


def test_options_of_a_scheduler_are_what_diffusers_makes_of_them(engine: Engine, folder: Tiny) -> None:
    made = scene(folder("sd"))
    pipeline = engine.assemble(made.pipeline, load(engine, made))
    # Two steps have the same noise levels however these are spaced.
    asked = replace(made.generation, arguments={**made.generation.arguments, "num_inference_steps": 4})
    for text, name, options in [
        ("EulerDiscreteScheduler;use-karras-sigmas=true", "EulerDiscreteScheduler", {"use_karras_sigmas": True}),
        ("+;timestep-spacing=trailing", "PNDMScheduler", {"timestep_spacing": "trailing"}),
    ]:
        image = drawn(engine, pipeline, replace(asked, scheduler=text), lambda done, total: None)
        other = drawn(engine, pipeline, replace(asked, scheduler=name), lambda done, total: None)
        assert image.tobytes() != other.tobytes()
        program = diffusers.DiffusionPipeline.from_pretrained(folder("sd"))
        program.set_progress_bar_config(disable=True)
        program.scheduler = getattr(diffusers, name).from_config(program.scheduler.config, **options)
        generator = torch.Generator("cpu").manual_seed(asked.seeds[0])
        assert program(**asked.arguments, generator=generator).images[0].tobytes() == image.tobytes()
