"""Every option of both backends: a script sets it, it arrives in the library's objects, and it does what is said.

There is a case for each setting of the schemas; a new setting without one fails. A case compares two quantizers that
differ in its setting alone, by the bytes that the component holds and by what it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch

from aquatint.catalog.bnb import BNB
from aquatint.catalog.quantizers import format_uri
from aquatint.catalog.sdnq import SDNQ
from aquatint.plan.steps import Component
from aquatint.runtime.engine import Engine, EngineError, Loaded
from aquatint.runtime.torch_engine.devices import has_device
from support import planned

Tiny = Callable[[str], Path]
BOTH, OUTPUT, NOTHING = {"bytes", "output"}, {"output"}, set[str]()


@dataclass(frozen=True)
class Case:
    """A setting's `value`, the `other` options that it needs, and what it changes in the component `role`.

    `why` is there where it changes nothing that a test on a CPU can see.
    """

    value: Any
    changes: set[str]
    other: Mapping[str, Any] = field(default_factory=dict)
    role: str = "unet"
    dtype: str = "float32"
    why: str = ""


UINT4 = {"weights_dtype": "uint4"}
FOUR = {"bits": 4}
MATMUL = {"use_quantized_matmul": True}
OF_SDNQ = {
    "weights_dtype": Case("uint4", BOTH),
    "scale_dtype": Case("uint8", BOTH, UINT4),
    "zero_point_dtype": Case("uint8", BOTH, UINT4),
    "group_size": Case(32, BOTH, UINT4),
    "quant_conv": Case(True, BOTH),
    "quant_embedding": Case(True, BOTH, {"add_skip_keys": False}, role="text_encoder"),
    "use_quantized_matmul": Case(True, OUTPUT),
    "use_quantized_matmul_conv": Case(True, BOTH, {"quant_conv": True}),
    "quantized_matmul_dtype": Case("float16", OUTPUT, MATMUL),
    "use_svd": Case(True, BOTH, UINT4),
    "svd_rank": Case(4, BOTH, UINT4 | {"use_svd": True}),
    "svd_steps": Case(1, OUTPUT, UINT4 | {"use_svd": True}),
    "use_hadamard": Case(True, OUTPUT, UINT4),
    "hadamard_group_size": Case(16, OUTPUT, UINT4 | {"use_hadamard": True}),
    "use_codebook": Case(True, BOTH, UINT4, role="text_encoder"),
    "codebook_steps": Case(2, OUTPUT, UINT4 | {"use_codebook": True}, role="text_encoder"),
    "use_codebook_scale": Case(True, BOTH, UINT4 | {"scale_dtype": "uint8"}, role="text_encoder"),
    "use_dynamic_quantization": Case(True, BOTH, {"weights_dtype": "int2"}),
    "dynamic_loss_threshold": Case(0.001, BOTH, UINT4 | {"use_dynamic_quantization": True}, role="text_encoder"),
    "dequantize_fp32": Case(False, BOTH, UINT4, role="text_encoder", dtype="float16"),
    "add_skip_keys": Case(False, BOTH, {"minimum_allowed_numel": 0, "minimum_allowed_channel_size": 0}),
    "minimum_allowed_numel": Case(20000, BOTH),
    "minimum_allowed_channel_size": Case(200, BOTH),
    "modules_to_not_convert": Case(["attn2"], BOTH),
    "modules_to_not_use_matmul": Case(["attn2"], OUTPUT, MATMUL),
    "modules_dtype_dict": Case({"uint4": ["attn1"]}, BOTH),
    "modules_quant_config": Case({"attn1": {"group_size": 16}}, BOTH, UINT4),
    "use_stochastic_rounding": Case(True, OUTPUT),
    "quantization_device": Case("cpu", NOTHING, why="the only device here is the one that is taken anyway"),
    "return_device": Case("cpu", NOTHING, why="the only device here is the one that is taken anyway"),
    "non_blocking": Case(True, NOTHING, why="there are no copies between devices"),
}
OF_BNB = {
    "bits": Case(4, BOTH),
    "bits4_compute_dtype": Case("bfloat16", OUTPUT, FOUR),
    "bits4_quant_type": Case("nf4", OUTPUT, FOUR),
    "bits4_use_double_quant": Case(True, BOTH, FOUR),
    "bits4_quant_storage": Case("float16", NOTHING, FOUR, why="the same bits, under the name of another type"),
    "llm_int8_threshold": Case(0.5, OUTPUT),
    "llm_int8_skip_modules": Case(["to_q", "q_proj"], BOTH),
    "llm_int8_enable_fp32_cpu_offload": Case(True, BOTH, role="text_encoder"),
}
OF_BNB_IN_DIFFUSERS = OF_BNB | {
    "llm_int8_enable_fp32_cpu_offload": Case(True, NOTHING, why="diffusers heeds it where a component is split"),
}
CASES = {("bnb", "unet"): OF_BNB_IN_DIFFUSERS, ("bnb", "text_encoder"): OF_BNB, ("sdnq", None): OF_SDNQ}
SETTINGS = [(BNB, s.name, role) for s in BNB.schema.settings for role in ("unet", "text_encoder")] + [
    (SDNQ, s.name, None) for s in SDNQ.schema.settings
]


@pytest.fixture(scope="module")
def baselines() -> dict[tuple[Any, ...], tuple[int, torch.Tensor]]:
    """What was found of a component already, by what its script says: many settings are held against the same."""
    return {}


@pytest.mark.parametrize(("backend", "name", "role"), SETTINGS, ids=lambda value: getattr(value, "name", value))
def test_a_setting_arrives_and_does_what_is_said(
    engine: Engine, folder: Tiny, baselines: dict[Any, Any], backend: Any, name: str, role: str | None
) -> None:
    case = CASES[backend.name, role][name]
    role = role or case.role
    options = {**case.other, name: case.value}
    asked = component(folder("sd"), role, backend.name, options, case.dtype)
    loaded = engine.load(asked)
    for option, value in options.items():
        assert says(configured(loaded.object, backend.name, option), value), option
    if values := in_layers(loaded.object, name):
        assert case.value in values
    key = role, backend.name, case.dtype, repr(case.other)
    if key not in baselines:
        baselines[key] = found(engine.load(component(folder("sd"), role, backend.name, case.other, case.dtype)))
    size, output = found(loaded)
    assert asked.held is not None
    assert 0.98 * asked.held.least <= size <= 1.02 * asked.held.most
    without_size, without_output = baselines[key]
    assert torch.isfinite(output).all()
    changed = {"bytes"} & {"bytes" if size != without_size else ""}
    changed |= {"output"} & {"output" if not torch.equal(output, without_output) else ""}
    assert changed == case.changes, (size, without_size)
    assert bool(case.why) == (not case.changes)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps", "xpu"])
@pytest.mark.parametrize("name", ["quantization_device", "return_device"])
def test_a_device_that_is_not_there_is_named(engine: Engine, folder: Tiny, name: str, device: str) -> None:
    if has_device(torch, device):
        pytest.skip("it is there")
    for role in ("unet", "text_encoder"):
        with pytest.raises(EngineError) as error:
            engine.load(component(folder("sd"), role, "sdnq", {name: device}, "float32"))
        assert str(error.value) == f"`{name}`: there is no device `{device}` on this machine"
        assert error.value.help == f"leave `{name}` out"


def component(folder: Path, role: str, backend: str, options: Mapping[str, Any], dtype: str) -> Component:
    """Return the component of a script whose quantizer has `options`, written in a block and as a URI."""
    lines = "".join(f"    {name}: {written(value)}\n" for name, value in options.items())
    settings = f"dtype: {dtype}\n    {role} {{ quantizer: q }}"
    block = f"quantizer q {{\n    backend: {backend}\n{lines}}}"
    uri = f"quantizer q = {written(format_uri(backend, options))}"
    first, second = (planned.components(planned.model(folder, settings, each))[role] for each in (block, uri))
    assert first.key == second.key
    return first


def written(value: Any) -> str:
    """Return `value` as a script writes it."""
    match value:
        case bool() | None:
            return {True: "true", False: "false", None: "none"}[value]
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case list():
            return "[" + ", ".join(map(written, value)) + "]"
        case dict():
            return "{ " + ", ".join(f"{written(key)}: {written(inside)}" for key, inside in value.items()) + " }"
    return str(value)


def configured(module: Any, backend: str, name: str) -> Any:
    """Return what the library's configuration of the live `module` has for a setting."""
    if backend == "sdnq":
        return getattr(module.quantization_config, name)
    configuration = module.config.quantization_config
    if name == "bits":
        return 4 if configuration.load_in_4bit else 8
    value = getattr(configuration, name.replace("bits4_", "bnb_4bit_"))
    return str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value


def in_layers(module: Any, name: str) -> set[Any]:
    """Return the values that sdnq's layers of the live `module` have for a setting, if they know it."""
    layers = [layer.sdnq_dequantizer for layer in module.modules() if hasattr(layer, "sdnq_dequantizer")]
    return {getattr(layer, name) for layer in layers if hasattr(layer, name)}


def says(held: Any, value: Any) -> bool:
    """Return whether `held` is `value`; to lists and maps the library may have added of its own."""
    match value:
        case list():
            return all(any(name in each for each in held) for name in value)
        case dict():
            return all(set(inside) <= set(held[key]) for key, inside in value.items())
    return bool(held == value)


def found(loaded: Loaded) -> tuple[int, torch.Tensor]:
    """Return the bytes that the component holds, and what it computes for the same input each time."""
    module = loaded.object
    for layer in module.modules():
        if isinstance(layer, bitsandbytes.nn.Linear4bit):
            # Some processors have a kernel that computes in bfloat16, whatever is asked for.
            layer.support_avx512bf16_for_cpu = False
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        if hasattr(module, "text_model") or "CLIPText" in type(module).__name__:
            words = torch.randint(2, 100, (1, 77), generator=generator)
            return loaded.bytes, module(words)[0]
        latents = torch.randn(1, 4, 16, 16, generator=generator)
        words = torch.randn(1, 77, 128, generator=generator)
        return loaded.bytes, module(latents, torch.tensor([500]), words).sample
