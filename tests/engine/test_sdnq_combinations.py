"""Which options of sdnq go together: what is accepted gives sound results, and what is refused goes wrong by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sdnq
import torch
from sdnq.quantizer import sdnq_quantize_layer_weight

from aquatint.catalog import sdnq_types
from aquatint.catalog.quantizers import problems
from aquatint.runtime.engine import Engine
from engine.test_sdnq_types import by_hand, error, output
from support.scenes import component

Tiny = Callable[[str], Path]
ACCEPTED = [name for name in sdnq_types.BITS if name not in sdnq_types.REFUSED]
# All integers, and of the floats those with a short name and those of 8 bits.
TRIED = [name for name in ACCEPTED if "int" in name or name in sdnq_types.ALIASES.values() or "float8" in name]
PRODUCTS = (None, "int8", "uint8", "float8_e4m3fn", "float16")


def written(options: dict[str, Any]) -> str:
    """Return the options as a URI."""
    return ";".join(["sdnq", *(f"{name}={str(value).lower()}" for name, value in options.items())])


@pytest.fixture(scope="module")
def measured(engine: Engine, folder: Tiny) -> Callable[..., float]:
    """Return the error of a UNet's output with a quantizer of these options, which are accepted."""
    exact = output(by_hand(folder("sd")))

    @cache
    def of(**options: Any) -> float:
        loaded = engine.load(component(folder("sd"), "unet", written(options)))
        measured = error(loaded.object, exact)
        engine.release(loaded)  # each of them is held otherwise, gigabytes in all
        return measured

    return of


@pytest.mark.slow
@pytest.mark.parametrize("product", PRODUCTS)
def test_a_quantized_product_loses_little_beside_what_the_type_loses(
    measured: Callable[..., float], product: str | None
) -> None:
    tried = 0
    for name in TRIED:
        options: dict[str, Any] = {"weights_dtype": name, "use_quantized_matmul": True}
        if product is not None:
            options["quantized_matmul_dtype"] = product
        if problems("sdnq", options) == []:
            assert measured(**options) < 1.1 * measured(weights_dtype=name) + 5e-4, name
            tried += 1
    # bfloat16 has no product in float16, which is also what none comes to.
    assert len(TRIED) - tried == (product in (None, "float16"))


def test_a_product_of_bfloat16_in_float16_overflows_and_is_refused(folder: Tiny) -> None:
    options: dict[str, Any] = {"weights_dtype": "bfloat16", "use_quantized_matmul": True}
    for product in (None, "float16"):
        given = options | {"quantized_matmul_dtype": product}
        assert not torch.isfinite(output(by_hand(folder("sd"), **given))).all()
        assert [problem.code for problem in problems("sdnq", given)] == ["contradicting-settings"]
    sound = options | {"quantized_matmul_dtype": "int8"}
    assert problems("sdnq", sound) == []
    assert torch.isfinite(output(by_hand(folder("sd"), **sound))).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIED)
def test_scales_may_have_any_accepted_type_and_eight_bit_integers_lose_nothing(
    measured: Callable[..., float], name: str
) -> None:
    found = measured(weights_dtype="uint4", scale_dtype=name, quant_conv=True)
    assert found < 3
    if name in ("int8", "uint8"):
        assert found == pytest.approx(measured(weights_dtype="uint4", quant_conv=True), rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", sdnq_types.CODEBOOK_TYPES)
def test_a_codebook_is_no_worse_than_even_steps_where_it_is_accepted(measured: Callable[..., float], name: str) -> None:
    assert measured(weights_dtype=name, use_codebook=True) < 1.3 * measured(weights_dtype=name)


def test_a_codebook_of_sixteen_bits_is_larger_than_what_it_stores() -> None:
    weight = torch.randn(32, 64)
    options: dict[str, Any] = {"use_codebook": True, "codebook_steps": 1}
    _, tensors = sdnq_quantize_layer_weight(weight, "Linear", weights_dtype="uint16", **options)
    assert tensors["scale"].nbytes > 1000 * weight.nbytes
    assert [p.setting for p in problems("sdnq", {"weights_dtype": "uint16", **options})] == ["use_codebook"]


@pytest.mark.parametrize("wrong", [{"scale_dtype": "int8"}, {"scale_dtype": "uint8", "zero_point_dtype": "int8"}])
def test_a_codebook_of_signed_scales_fails_and_is_refused(wrong: dict[str, Any]) -> None:
    options: dict[str, Any] = {"weights_dtype": "uint4", "use_codebook_scale": True, **wrong}
    with pytest.raises(AssertionError, match="unsigned"):
        sdnq_quantize_layer_weight(torch.randn(64, 128), "Linear", **options)
    assert [p.setting for p in problems("sdnq", options)] == ["use_codebook_scale"]


@pytest.mark.parametrize("name", sorted(sdnq_types.NOT_ORDERED - set(sdnq_types.REFUSED)))
def test_a_dynamic_quantization_can_start_from_ordered_types_only(name: str) -> None:
    options: dict[str, Any] = {"weights_dtype": name, "use_dynamic_quantization": True}
    layer = torch.nn.Linear(128, 128)
    with pytest.raises(ValueError, match="not in list"):
        sdnq.quantizer.sdnq_quantize_layer(layer, sdnq.SDNQConfig(**options))
    assert [p.setting for p in problems("sdnq", options)] == ["use_dynamic_quantization"]


@pytest.mark.parametrize(
    ("idle", "beside"),
    [
        ({"zero_point_dtype": "uint8"}, {"weights_dtype": "int8"}),
        ({"zero_point_dtype": "uint8"}, {"weights_dtype": "uint3", "use_codebook": True}),
        ({"use_stochastic_rounding": True}, {"weights_dtype": "uint3", "use_codebook": True}),
        ({"svd_rank": 4, "svd_steps": 2}, {"weights_dtype": "uint4"}),
        ({"hadamard_group_size": 16}, {"weights_dtype": "uint4"}),
        ({"codebook_steps": 2}, {"weights_dtype": "uint4"}),
        ({"quantized_matmul_dtype": "int8"}, {"weights_dtype": "uint4"}),
        ({"dynamic_loss_threshold": 1e-4}, {"weights_dtype": "uint4"}),
    ],
)
def test_what_is_said_to_have_no_effect_has_none(idle: dict[str, Any], beside: dict[str, Any]) -> None:
    assert {p.setting for p in problems("sdnq", beside | idle)} == set(idle)
    weight = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    without, with_it = (quantized(weight, options) for options in (beside, beside | idle))
    assert without.keys() == with_it.keys()
    assert all(torch.equal(tensor, with_it[name]) for name, tensor in without.items())


def quantized(weight: torch.Tensor, options: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors that sdnq makes of the weight of a Linear layer."""
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight.clone()
    configuration = sdnq.SDNQConfig(**options, minimum_allowed_numel=0)
    made, _ = sdnq.quantizer.sdnq_quantize_layer(layer, configuration)
    return dict(made.named_parameters())
