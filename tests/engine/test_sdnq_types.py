"""The table of number types is that of the installed sdnq, and so is the list of those that it gets wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sdnq
import sdnq.common
import torch

from aquatint.catalog import bnb_settings, sdnq_settings, sdnq_types
from aquatint.catalog.quantizers import canonical
from aquatint.runtime.engine import Engine
from support.scenes import component

Tiny = Callable[[str], Path]


def test_names_are_those_of_the_library() -> None:
    assert set(sdnq_types.NAMES) == set(sdnq.common.accepted_weight_dtypes)
    assert set(sdnq_types.MATMUL_NAMES) == set(sdnq.common.accepted_matmul_dtypes)
    assert len(sdnq_types.NAMES) == len(set(sdnq_types.NAMES))


def test_aliases_and_widths_are_those_of_the_library() -> None:
    known = sdnq.common.dtype_dict
    for alias, name in sdnq_types.ALIASES.items():
        assert known[alias] is known[name]
    assert {name: known[name]["num_bits"] for name in sdnq_types.BITS} == sdnq_types.BITS
    of_library = {name for name in sdnq_types.BITS if known[name]["is_integer"] and known[name]["is_unsigned"]}
    assert set(sdnq_types.UNSIGNED_INTEGERS) == of_library
    assert set(sdnq_types.BITS) - set(sdnq.common.weights_dtype_order) == sdnq_types.NOT_ORDERED


# What only training reads, and what is no option.
NOT_OFFERED = {"is_training", "use_grad_ckpt", "use_static_quantization", "sdnq_version", "kwargs"}


def test_options_and_defaults_are_those_of_the_library() -> None:
    of_library = {name: p.default for name, p in inspect.signature(sdnq.SDNQConfig).parameters.items()}
    assert set(sdnq_settings.SCHEMA.names()) == of_library.keys() - NOT_OFFERED
    for setting in sdnq_settings.SCHEMA.settings:
        assert setting.default == of_library[setting.name], setting.name


@pytest.mark.parametrize("idle", [{"use_static_quantization": False}, {"use_grad_ckpt": False}])
def test_options_of_training_that_are_not_offered_change_nothing_here(folder: Tiny, idle: dict[str, bool]) -> None:
    without, with_it = (by_hand(folder("sd"), weights_dtype="int8", **options) for options in ({}, idle))
    assert torch.equal(output(without), output(with_it))
    assert without.get_memory_footprint() == with_it.get_memory_footprint()


@pytest.mark.parametrize("library", ["diffusers", "transformers"])
def test_options_and_defaults_of_bnb_are_those_of_the_libraries(library: str) -> None:
    config = __import__(library).BitsAndBytesConfig(load_in_8bit=True)
    options = canonical("bnb", {})
    # `bits` is two options there; the last one is for training.
    apart = {"load_in_8bit", "load_in_4bit", "kwargs", "llm_int8_has_fp16_weight"}
    offered = {name.replace("bits4_", "bnb_4bit_") for name in options.keys() - {"bits"}}
    assert offered == inspect.signature(type(config)).parameters.keys() - apart
    for name in ("threshold", "skip_modules", "enable_fp32_cpu_offload"):
        assert options[f"llm_int8_{name}"] == getattr(config, f"llm_int8_{name}")
    for name in ("quant_type", "use_double_quant"):
        assert options[f"bits4_{name}"] == getattr(config, f"bnb_4bit_{name}")
    for name in ("compute_dtype", "quant_storage"):
        assert getattr(torch, options[f"bits4_{name}"]) == getattr(config, f"bnb_4bit_{name}")
    assert len(bnb_settings.SCHEMA.settings) == len(options)


def output(unet: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 4, 16, 16, generator=generator)
    words = torch.randn(1, 77, 128, generator=generator)
    with torch.no_grad():
        return unet(latents, torch.tensor([500]), words).sample  # type: ignore[no-any-return]


def error(unet: Any, exact: torch.Tensor) -> float:
    return float(((output(unet) - exact) ** 2).mean() / (exact**2).mean())


@pytest.mark.parametrize(
    ("name", "most"),
    [("int8", 5e-4), ("uint8", 5e-4), ("uint4", 0.06), ("int4", 0.08), ("float8_e4m3fn", 0.02), ("int16", 1e-6)],
)
def test_a_sane_type_is_near_the_exact_output(engine: Engine, folder: Tiny, name: str, most: float) -> None:
    exact = output(engine.load(component(folder("sd"), "unet")).object)
    loaded = engine.load(component(folder("sd"), "unet", f"sdnq;type={name};quant-conv=true"))
    assert error(loaded.object, exact) < most


# What a type may lose, by its width: between the best and the worst of each, which have one exponent bit.
MOST = {1: 4, 2: 4, 3: 1.5, 4: 1.2, 5: 1.2, 6: 0.8, 7: 0.2, 8: 0.1, 9: 0.05, 10: 0.03, 11: 0.02}


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in sdnq_types.BITS if n not in sdnq_types.REFUSED])
def test_every_type_that_is_accepted_works(engine: Engine, folder: Tiny, name: str) -> None:
    exact = output(engine.load(component(folder("sd"), "unet")).object)
    loaded = engine.load(component(folder("sd"), "unet", f"sdnq;type={name};quant-conv=true"))
    lost = error(loaded.object, exact)
    engine.release(loaded)
    assert loaded.quantized_layers == 76
    assert lost < MOST.get(sdnq_types.BITS[name], 0.01)


@pytest.fixture(params=sdnq_types.REFUSED)
def hardware(request: pytest.FixtureRequest) -> Iterator[str]:
    """A refused type's name, on a processor that goes wrong with it."""
    flushes = request.param == "float32"
    assert torch.set_flush_denormal(flushes) or not flushes
    yield request.param
    torch.set_flush_denormal(False)


def by_hand(folder: Path, **options: Any) -> Any:
    """Return the UNet in `folder` as diffusers and sdnq load it, without this program."""
    from diffusers import UNet2DConditionModel

    settings = {"quantization_config": sdnq.SDNQConfig(**options)} if options else {}
    return UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32, **settings).eval()


@pytest.mark.slow
def test_every_type_that_is_refused_is_as_wrong_as_is_said(folder: Tiny, hardware: str) -> None:
    refusal = sdnq_types.REFUSED[hardware]
    exact = output(by_hand(folder("sd")))
    for name, said in ((hardware, refusal.error), (refusal.instead, refusal.instead_error)):
        wrong = by_hand(folder("sd"), weights_dtype=name, quant_conv=True)
        assert error(wrong, exact) == pytest.approx(said, rel=0.1), name


def test_bfloat16_is_wrong_where_denormal_numbers_are_taken_for_zero(folder: Tiny) -> None:
    exact = output(by_hand(folder("sd")))
    assert error(by_hand(folder("sd"), weights_dtype="bfloat16", quant_conv=True), exact) < 1e-4
    assert torch.set_flush_denormal(True)
    try:
        assert error(by_hand(folder("sd"), weights_dtype="bfloat16", quant_conv=True), exact) > 0.5
    finally:
        torch.set_flush_denormal(False)
