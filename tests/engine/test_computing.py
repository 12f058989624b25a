"""How models compute: pictures beside those of plain programs, and modules that compute as they did afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aquatint.catalog.networks import ON_CPU
from aquatint.catalog.pipelines import attention_backends, caches, networks
from aquatint.plan.steps import Plan
from aquatint.runtime.events import Event, LoadStarted, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.torch_engine import TorchEngine
from engine import plain
from support import planned

Tiny = Callable[[str], Path]
SLOW = pytest.mark.slow
CALL: dict[str, Any] = {"prompt": "a red cat", "num_inference_steps": 4, "width": 64, "height": 64}
DRAW = 'prompt: "a red cat", seed: 7'


def run(engine: TorchEngine, plan: Plan, out: Path) -> list[Event]:
    """Run `plan`, which must go well, and return the events."""
    events: list[Event] = []
    Executor(engine, events.append, Options(output_dir=out)).run(plan)
    assert [event.message for event in events if isinstance(event, StatementFailed)] == []
    return events


def pixels(file: Path) -> bytes:
    return Image.open(file).convert("RGB").tobytes()


def plainly(folder: Path, setting: Callable[[Any], None], **call: Any) -> bytes:
    """Return the pixels of a plain program's picture, made after `setting` was done to its pipeline."""
    import torch
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as registry

    pipeline = plain.assembled(folder, "none")
    before = registry.get_active_backend()[0]
    try:
        setting(pipeline)
        made = pipeline(**CALL | call, generator=torch.Generator("cpu").manual_seed(7))
    finally:
        registry.set_active_backend(before)
    return made.images[0].convert("RGB").tobytes()


def cached(name: str, **options: Any) -> Callable[[Any], None]:
    """Return what puts diffusers' cache of that configuration on a pipeline's transformer."""

    def put(pipeline: Any) -> None:
        import diffusers
        import torch

        given = {key: getattr(torch, value) if key.endswith("_dtype") else value for key, value in options.items()}
        config = getattr(diffusers.hooks, name)
        if "current_timestep_callback" in config.__dataclass_fields__:
            given["current_timestep_callback"] = lambda: pipeline.current_timestep
        pipeline.transformer.enable_cache(config(**given))

    return put


def in_tiles(pipeline: Any) -> None:
    pipeline.vae.enable_tiling()


def attending(backend: str) -> Callable[[Any], None]:
    return lambda pipeline: pipeline.transformer.set_attention_backend(backend)


RATIOS = [1.0] * 4
CASES: dict[str, tuple[str, str, Callable[[Any], None], dict[str, int]]] = {
    "tiling": ("sd", "vae { tiling: true }", in_tiles, {"width": 96, "num_inference_steps": 1}),
    "first-block": (
        "flux", 'cache { config: "FirstBlockCacheConfig", threshold: 0.9 }',
        cached("FirstBlockCacheConfig", threshold=0.9), {},
    ),
    "attention": (
        "zimage", 'transformer { attention: "_native_math" }', attending("_native_math"), {"num_inference_steps": 6},
    ),
    "broadcast": (
        "flux", 'cache { config: "PyramidAttentionBroadcastConfig", spatial_attention_block_skip_range: 3 }',
        cached("PyramidAttentionBroadcastConfig", spatial_attention_block_skip_range=3), {},
    ),
    "faster": (
        "flux", 'cache { config: "FasterCacheConfig", is_guidance_distilled: true, tensor_format: "BCHW" }',
        cached("FasterCacheConfig", is_guidance_distilled=True, tensor_format="BCHW"), {},
    ),
    "magnitudes": (
        "flux", f'cache {{ config: "MagCacheConfig", mag_ratios: {RATIOS}, num_inference_steps: 4 }}',
        cached("MagCacheConfig", mag_ratios=RATIOS, num_inference_steps=4), {},
    ),
    "taylor": (
        "qwenimage", """cache {
            config: "TaylorSeerCacheConfig", cache_interval: 2, disable_cache_before_step: 1
            taylor_factors_dtype: float32
        }""",
        cached("TaylorSeerCacheConfig", cache_interval=2, disable_cache_before_step=1, taylor_factors_dtype="float32"),
        {},
    ),
}  # fmt: skip
CASES["compiled"] = (
    "qwenimage", "compile: true", lambda pipeline: pipeline.transformer.compile_repeated_blocks(),
    {"num_inference_steps": 1},
)  # fmt: skip
FAST = ("tiling", "first-block")


@pytest.mark.parametrize("case", [name if name in FAST else pytest.param(name, marks=SLOW) for name in CASES])
def test_pictures_are_those_of_a_plain_program(engine: TorchEngine, folder: Tiny, tmp_path: Path, case: str) -> None:
    family, setting, done, call = CASES[case]
    given = CALL | call
    draw = f"size: {given['width']}x64, num_inference_steps: {given['num_inference_steps']}, {DRAW}"
    names = {"plain": "m", "one": f"(m with {{ {setting} }})", "again": f"(m with {{ {setting} }})", "last": "m"}
    text = "\n".join(f'generate {model} {{ {draw}, output: "{name}.png" }}' for name, model in names.items())
    plan = planned.plan(planned.model(folder(family), "", after=text))
    events = run(engine, plan, tmp_path)
    loaded = [event.component for event in events if isinstance(event, LoadStarted)]
    assert len(loaded) == len(set(loaded)) == len(plan.components)
    made = {name: pixels(tmp_path / f"{name}.png") for name in names}
    without, one = plainly(folder(family), lambda pipeline: None, **call), plainly(folder(family), done, **call)
    assert made == {"plain": without, "one": one, "again": one, "last": without}
    assert one != without


@SLOW
def test_a_cache_that_a_class_refuses_leaves_nothing_behind(engine: TorchEngine, folder: Tiny, tmp_path: Path) -> None:
    cache = 'cache { config: "FirstBlockCacheConfig" }'
    text = "\n".join([
        f'generate (m with {{ {cache} }}) {{ {DRAW}, num_inference_steps: 2, size: 64x64, output: "bad.png" }}',
        f'generate m {{ {DRAW}, num_inference_steps: 2, size: 64x64, output: "good.png" }}',
    ])  # fmt: skip
    events: list[Event] = []
    plan = planned.plan(planned.model(folder("ovis"), "", after=text))
    Executor(engine, events.append, Options(output_dir=tmp_path)).run(plan)
    [failed] = [event.message for event in events if isinstance(event, StatementFailed)]
    assert failed.startswith("can't put a FirstBlockCacheConfig on a OvisImageTransformer2DModel: ")
    assert pixels(tmp_path / "good.png") == plainly(folder("ovis"), lambda pipeline: None, num_inference_steps=2)


@SLOW
def test_the_catalog_says_of_classes_what_they_say_of_themselves() -> None:
    import diffusers
    from diffusers.hooks.text_kv_cache import TextKVCacheConfig
    from diffusers.models.attention_dispatch import AttentionBackendName
    from diffusers.models.cache_utils import CacheMixin

    found = [each for name in sorted(networks()) if (each := getattr(diffusers, name, None)) is not None]
    assert len(found) > 60
    for each in found:
        known = networks()[each.__name__]
        assert ("cache" in known) == issubclass(each, CacheMixin), each
        assert ("compile" in known) == bool(getattr(each, "_repeated_blocks", None)), each
        assert all(hasattr(each, f"enable_{ability}") for ability in ("tiling", "slicing") if ability in known), each
    for name, fields in caches().items():
        assert list(fields) == list(getattr(diffusers.hooks, name, TextKVCacheConfig).__dataclass_fields__), name
    assert list(attention_backends()) == [each.value for each in AttentionBackendName]


@SLOW
@pytest.mark.parametrize("backend", ON_CPU)
def test_attention_that_a_cpu_is_said_to_have(engine: TorchEngine, folder: Tiny, tmp_path: Path, backend: str) -> None:
    draw = f'generate m {{ {DRAW}, num_inference_steps: 1, size: 64x64, output: "a.png" }}'
    run(engine, planned.plan(planned.model(folder("flux"), f'attention: "{backend}"', after=draw)), tmp_path)
    assert pixels(tmp_path / "a.png") == plainly(folder("flux"), attending(backend), num_inference_steps=1)
