"""Estimates from headers are the bytes that are really held: of every family, with every backend, as every dtype."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from sdnq.quantizer import SDNQConfig, sdnq_quantize_layer

from aquatint.catalog import checkpoints, estimates, sdnq_bytes
from aquatint.catalog.estimates import Estimate
from aquatint.catalog.layers import Held, Layer, Network, Unfit
from aquatint.catalog.quantizers import backend, canonical
from aquatint.catalog.sdnq_types import BITS, REFUSED
from aquatint.plan.steps import Component
from aquatint.runtime.engine import Engine
from support.scenes import component, quantization

Tiny = Callable[[str], Path]

FAMILIES = ("sd", "sdxl", "sd3", "flux", "zimage")
DTYPES = ("float32", "bfloat16", "float16")

# Bytes of what a component computes when it is made, the frequencies of rotary positions, which are in no file.
ROTARY = {("zimage", "text_encoder"): 128}

URIS = (
    None,
    "bnb",
    "bnb;bits=4;bits4-quant-type=nf4;bits4-use-double-quant=true",
    "sdnq;type=int8",
    "sdnq;type=uint4;quant-conv=true;scale-dtype=uint8;group-size=16;modules-to-not-convert=attn2,*out*",
    'sdnq;type=uint4;use-svd=true;svd-rank=8;modules-dtype-dict={"int8":["attn1","q_proj"],"minimum_6bit":["ff"]}',
)
MORE_URIS = (
    "bnb;bits=4",
    "bnb;bits=4;bits4-quant-storage=bfloat16;skip-modules=attn1,q_proj",
    "sdnq;type=uint4;quant-conv=true",
    'sdnq;type=uint4;add-skip-keys=false;dequantize-fp32=false;modules-dtype-dict={"int8":["wo"]}',
    "sdnq;type=uint2;use-codebook=true;codebook-steps=1",
    "sdnq;type=int8;quant-embedding=true;quant-conv=true;use-quantized-matmul=true;minimum-allowed-numel=0",
    'sdnq;type=int6;modules-quant-config={"attn2":{"use_svd":true,"svd_rank":4},"k_proj":{"group_size":16}}',
)


def estimate(made: Component, folder: Path) -> Estimate:
    part = checkpoints.read_checkpoint(str(folder)).parts[made.role]
    assert part is not None and made.dtype is not None
    if made.quantization is None:
        return estimates.as_filed(folder, part, None, made.dtype)
    known = backend(made.quantization.backend)
    assert known is not None
    network, tensors = estimates.read(folder, part, None, made.dtype)
    return estimates.quantized(network, tensors, known, made.quantization.options)


def roles(folder: Path) -> list[str]:
    parts = checkpoints.read_checkpoint(str(folder)).parts
    return [role for role, part in parts.items() if part is not None and part.has_weights]


def check(engine: Engine, family: str, folder: Path, dtype: str, uri: str | None) -> None:
    for role in roles(folder):
        made = component(folder, role, uri, dtype)
        told = estimate(made, folder)
        if told.quantized == 0 and uri is not None:
            continue
        loaded = engine.load(made)
        assert told.least == told.most
        assert 0 <= loaded.bytes - told.least <= ROTARY.get((family, role), 0), f"{role} as {dtype} with {uri}"
        assert (told.quantized, told.layers) == (loaded.quantized_layers, loaded.layers), role
        engine.release(loaded)


@pytest.mark.parametrize("uri", URIS)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_estimated_is_held(engine: Engine, folder: Tiny, family: str, uri: str | None) -> None:
    # A dtype each, in turn; the slow test has all of them.
    dtype = DTYPES[(FAMILIES.index(family) + URIS.index(uri)) % len(DTYPES)]
    check(engine, family, folder(family), dtype, uri)


@pytest.mark.slow
@pytest.mark.parametrize("uri", [*URIS, *MORE_URIS])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_all_of_them(engine: Engine, folder: Tiny, family: str, dtype: str, uri: str | None) -> None:
    check(engine, family, folder(family), dtype, uri)


@pytest.mark.parametrize(("family", "role"), [("sd", "unet"), ("flux", "text_encoder_2")])
def test_of_a_dynamic_quantization_the_bounds_are_known(engine: Engine, folder: Tiny, family: str, role: str) -> None:
    made = component(folder(family), role, "sdnq;type=uint4;dynamic=true;dynamic-loss-threshold=0.001")
    told = estimate(made, folder(family))
    assert told.least < engine.load(made).bytes < told.most


@pytest.mark.parametrize(
    "uri",
    ["bnb", "bnb;bits=4;bits4-quant-type=nf4;bits4-use-double-quant=true", "sdnq;type=uint4", "sdnq;use-svd=true"],
)
@pytest.mark.parametrize(("family", "role"), [("sd", "unet"), ("flux", "text_encoder_2")])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_stored_quantized(
    engine: Engine, folder: Tiny, tmp_path: Path, family: str, role: str, uri: str, dtype: str
) -> None:
    loaded = engine.load(component(folder(family), role, uri, dtype))
    loaded.object.save_pretrained(tmp_path / role)
    part = checkpoints.read_checkpoint(str(folder(family))).parts[role]
    assert part is not None
    stored = checkpoints.read_component(tmp_path, role, part)
    again = engine.load(replaced(component(folder(family), role, None, dtype), tmp_path))
    assert estimates.as_filed(tmp_path, stored, None, dtype).least == again.bytes


def replaced(made: Component, folder: Path) -> Component:
    return msgspec.structs.replace(made, source=str(folder), key=f"stored in {folder}")


SHAPES = {
    "Linear": lambda out, channels, side: torch.nn.Linear(channels, out),
    "Conv1d": lambda out, channels, side: torch.nn.Conv1d(channels, out, side),
    "Conv2d": lambda out, channels, side: torch.nn.Conv2d(channels, out, side),
    "ConvTranspose2d": lambda out, channels, side: torch.nn.ConvTranspose2d(channels, out, side),
    "Embedding": lambda out, channels, side: torch.nn.Embedding(out, channels),
}
INPUTS = {
    "Linear": lambda channels: torch.ones(2, 32, channels),
    "Conv1d": lambda channels: torch.ones(1, channels, 40),
    "Conv2d": lambda channels: torch.ones(1, channels, 9, 9),
    "ConvTranspose2d": lambda channels: torch.ones(1, channels, 9, 9),
    "Embedding": lambda channels: torch.tensor([[1, 2]]),
}


def drawn(count: int) -> Iterator[tuple[str, tuple[int, int, int], dict[str, Any], str]]:
    """Yield (kind, sizes, options, dtype) of layers, the same ones each time."""
    chance = random.Random(20)
    # Whether a float16 product of bfloat16 weights overflows is up to the inputs.
    types = [name for name in BITS if name not in REFUSED and name != "bfloat16"]
    for _ in range(count):
        kind = chance.choice(["Linear", "Linear", "Linear", *SHAPES])
        sizes = (
            chance.choice([32, 33, 48, 64, 96, 128]), chance.choice([32, 48, 64, 65, 100, 256, 512]),
            chance.choice([1, 3]),
        )  # fmt: skip
        options: dict[str, Any] = {"weights_dtype": chance.choice(types), "minimum_allowed_numel": 0}
        options |= {"quant_conv": True, "quant_embedding": True}
        likely: list[tuple[float, dict[str, Any]]] = [
            (0.4, {"group_size": chance.choice([-2, -1, 8, 16, 24, 32, 64])}),
            (0.2, {"scale_dtype": chance.choice(types)}),
            (0.1, {"zero_point_dtype": chance.choice(types)}),
            (0.3, {"use_quantized_matmul": True, "use_quantized_matmul_conv": True}),
            (0.3, {"quantized_matmul_dtype": chance.choice(["int8", "uint8", "float8_e4m3fn", "float16"])}),
            (0.2, {"use_svd": True, "svd_rank": chance.choice([4, 32, 200]), "svd_steps": 1}),
            (0.2, {"use_hadamard": True}),
            (0.2, {"dequantize_fp32": False}),
        ]
        for probability, more in likely:
            options |= more if chance.random() < probability else {}
        if options["weights_dtype"] in ("uint2", "uint3", "uint4") and chance.random() < 0.5:
            options |= {"use_codebook": True, "codebook_steps": 1}
        yield kind, sizes, options, chance.choice(DTYPES)


@pytest.mark.parametrize("count", [400, pytest.param(8000, marks=pytest.mark.slow)])
def test_sdnq_layer_by_layer(count: int) -> None:
    unlike = []
    kinds_of_end = set()
    for kind, (out, channels, side), options, dtype in drawn(count):
        module = SHAPES[kind](out, channels, side)
        layer = Layer("x.y", kind, tuple(module.weight.shape), dtype, Network("diffusers", "Unknown", dtype, {}))
        told = sdnq_bytes.held(canonical("sdnq", options), layer)
        found, is_sound = by_sdnq(module, kind, channels, canonical("sdnq", options), dtype)
        kinds_of_end.add(type(told))
        if (isinstance(told, Held) and told != Held(found, found)) or (isinstance(told, Unfit) and is_sound):
            unlike.append((kind, layer.shape, options, dtype, told, found))
    assert unlike == []
    assert kinds_of_end == {Held, Unfit}


def by_sdnq(module: Any, kind: str, channels: int, options: dict[str, Any], dtype: str) -> tuple[int, bool]:
    """Return the bytes that sdnq makes of a layer, and whether numbers come of it; -1 where that raises."""
    given = {name: value for name, value in options.items() if value is not None}
    torch_dtype = getattr(torch, dtype)
    try:
        made, _ = sdnq_quantize_layer(module, SDNQConfig(**given), torch_dtype=torch_dtype, param_name="x.y.weight")
        if kind != "Embedding":
            made.bias.data = made.bias.data.to(torch_dtype)
        inputs = INPUTS[kind](channels)
        outputs = made(inputs if kind == "Embedding" else inputs.to(torch_dtype))
    except Exception:
        return -1, False
    size = sum(each.numel() * each.element_size() for name, each in made.named_parameters() if name != "bias")
    return size, bool(outputs.isfinite().all())


def test_gpt2s_layers_are_left_by_sdnq_and_taken_by_bnb(engine: Engine, tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_embd=128, n_layer=2, n_head=4, vocab_size=256, n_positions=64))
    model.save_pretrained(tmp_path / "text_encoder")
    part = checkpoints.Part("text_encoder", "transformers", "GPT2LMHeadModel", "text_encoder", True)
    network, tensors = estimates.read(tmp_path, part, None, "float32")
    made = Component(
        "gpt2", part.role, part.library, part.class_name, str(tmp_path), part.subfolder, None, None, "float32", "cpu",
        None, "", 0,
    )  # fmt: skip
    sdnq, bnb = backend("sdnq"), backend("bnb")
    assert sdnq is not None and bnb is not None
    left = estimates.quantized(network, tensors, sdnq, canonical("sdnq", {}))
    assert (left.quantized, [(kept.why, len(kept.layers)) for kept in left.left if kept.is_gap]) == (
        0, [("it does not know the class `Conv1D`", 8)],
    )  # fmt: skip
    assert engine.load(made).bytes == left.least
    for uri in ("bnb", "bnb;bits=4"):
        asked = quantization(uri)
        assert asked is not None
        taken = estimates.quantized(network, tensors, bnb, asked.options)
        loaded = engine.load(msgspec.structs.replace(made, quantization=asked, key=uri))
        assert (taken.quantized, taken.least) == (8, loaded.bytes)
        assert loaded.quantized_layers == 8
