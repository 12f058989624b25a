"""The live module has the backend's layers, with the options that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch
from sdnq.layers import SDNQLayer

from aquatint.catalog import checkpoints, estimates, quantizers
from aquatint.plan.steps import Component
from aquatint.runtime.engine import Engine, Loaded
from support.scenes import component, drawn, load, quantization, scene

KINDS = {"unet": ("sd", "unet"), "transformer": ("flux", "transformer"), "clip": ("sd", "text_encoder"),
         "t5": ("flux", "text_encoder_2")}  # fmt: skip
Tiny = Callable[[str], Path]


def layers(module: Any, kind: type) -> list[Any]:
    return [layer for layer in module.modules() if isinstance(layer, kind)]


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, folder: Tiny) -> Iterator[tuple[Path, str]]:
    name, role = KINDS[request.param]
    yield folder(name), role


def test_without_a_quantizer_nothing_is_replaced(engine: Engine, place: tuple[Path, str]) -> None:
    loaded = engine.load(component(*place))
    assert loaded.quantized_layers == 0
    assert loaded.layers > 10
    assert loaded.bytes >= sum(parameter.nbytes for parameter in loaded.object.parameters())


def test_bnb_8(engine: Engine, place: tuple[Path, str]) -> None:
    plain, loaded = engine.load(component(*place)), engine.load(component(*place, "bnb;llm-int8-threshold=3.5"))
    found = layers(loaded.object, bitsandbytes.nn.Linear8bitLt)
    assert len(found) == loaded.quantized_layers > 10
    assert {layer.weight.dtype for layer in found} == {torch.int8}
    assert {layer.state.threshold for layer in found} == {3.5}
    assert loaded.layers == plain.layers
    assert loaded.bytes < plain.bytes


@pytest.mark.parametrize("storage", ["uint8", "int8", "float16", "bfloat16", "float32"])
@pytest.mark.parametrize("kind", ["fp4", "nf4"])
def test_bnb_4(engine: Engine, place: tuple[Path, str], kind: str, storage: str) -> None:
    doubled = "true" if kind == "nf4" else "false"
    uri = f"bnb;bits=4;bits4-quant-type={kind};bits4-quant-storage={storage};bits4-use-double-quant={doubled}"
    loaded = engine.load(component(*place, f"{uri};bits4-compute-dtype=bfloat16"))
    found = layers(loaded.object, bitsandbytes.nn.Linear4bit)
    assert len(found) == loaded.quantized_layers > 10
    assert {layer.weight.dtype for layer in found} == {getattr(torch, storage)}
    assert {layer.compute_dtype for layer in found} == {torch.bfloat16}
    assert {layer.weight.quant_state.quant_type for layer in found} == {kind}
    assert {layer.weight.quant_state.nested for layer in found} == {kind == "nf4"}


def test_bnb_counts_its_scales_as_bytes(engine: Engine, folder: Tiny) -> None:
    scales = [
        engine.load(component(folder("sd"), "unet", f"bnb;bits=4;bits4-use-double-quant={doubled}")).bytes
        for doubled in ("false", "true")
    ]
    assert scales[1] < scales[0]


def test_bnb_leaves_skipped_modules_alone(engine: Engine, place: tuple[Path, str]) -> None:
    part = {"unet": "attn1", "transformer": "attn", "text_encoder": "self_attn", "text_encoder_2": "SelfAttention"}
    for bits in (8, 4):
        module = engine.load(component(*place, f"bnb;bits={bits};skip-modules={part[place[1]]}")).object
        kinds = (bitsandbytes.nn.Linear8bitLt, bitsandbytes.nn.Linear4bit)
        replaced = [name for name, layer in module.named_modules() if isinstance(layer, kinds)]
        assert replaced
        assert not [name for name in replaced if part[place[1]] in name.split(".")]


@pytest.mark.parametrize("kind", ["int8", "uint4", "float8_e4m3fn"])
def test_sdnq(engine: Engine, place: tuple[Path, str], kind: str) -> None:
    plain = engine.load(component(*place))
    loaded = engine.load(component(*place, f"sdnq;type={kind};group-size=32"))
    found = layers(loaded.object, SDNQLayer)
    assert len(found) == loaded.quantized_layers > 10
    assert {layer.sdnq_dequantizer.weights_dtype for layer in found} == {kind}
    assert {layer.sdnq_dequantizer.group_size for layer in found} == {32}
    assert loaded.layers == plain.layers
    assert loaded.bytes < plain.bytes


def test_sdnq_takes_convolutions_when_asked(engine: Engine, folder: Tiny) -> None:
    without, taken = (
        engine.load(component(folder("sd"), "unet", f"sdnq;quant-conv={conv}")) for conv in ("false", "true")
    )
    assert not any(isinstance(layer, torch.nn.Conv2d) for layer in layers(without.object, SDNQLayer))
    assert any(isinstance(layer, torch.nn.Conv2d) for layer in layers(taken.object, SDNQLayer))
    assert taken.bytes < 0.5 * without.bytes


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("type=uint4;use-svd=true;svd-rank=8", {"svd_rank": 8}),
        ("type=uint4;use-hadamard=true;hadamard-group-size=64", {"use_hadamard": True, "hadamard_group_size": 64}),
        ("type=uint2;use-codebook=true;codebook-steps=3", {"use_codebook": True, "codebook_steps": 3}),
        ("type=uint4;scale-dtype=uint8", {"scale_dtype": "uint8"}),
        ("quantized-matmul=true;quantized-matmul-dtype=fp8", {"quantized_matmul_dtype": "float8_e4m3fn"}),
        ("quantized-matmul=true;quantized-matmul-dtype=fp8", {"use_quantized_matmul": True}),
        ("type=fp4", {"weights_dtype": "float4_e2m1fn"}),
    ],
)
def test_sdnq_gets_its_options(engine: Engine, folder: Tiny, options: str, expected: dict[str, Any]) -> None:
    found = layers(engine.load(component(folder("sd"), "text_encoder", f"sdnq;{options}")).object, SDNQLayer)
    assert found
    for name, value in expected.items():
        assert {getattr(layer.sdnq_dequantizer, name) for layer in found} == {value}


def test_sdnq_gives_modules_their_own_types(engine: Engine, folder: Tiny) -> None:
    uri = 'sdnq;type=uint4;modules-dtype-dict={"int8":["mlp"],"minimum_6bit":["q_proj"]}'
    uri += ';modules-quant-config={"k_proj":{"type":"fp8"}};modules-to-not-convert=out_proj'
    module = engine.load(component(folder("sd"), "text_encoder", uri)).object
    kinds = {
        name.rpartition(".")[2]: layer.sdnq_dequantizer.weights_dtype
        for name, layer in module.named_modules() if isinstance(layer, SDNQLayer)
    }  # fmt: skip
    assert kinds == {"fc1": "int8", "fc2": "int8", "q_proj": "int6", "k_proj": "float8_e4m3fn", "v_proj": "uint4"}


def test_sdnq_chooses_types_by_itself_when_asked(engine: Engine, folder: Tiny) -> None:
    uri = "sdnq;type=uint4;dynamic=true;dynamic-loss-threshold=0.001"
    found = layers(engine.load(component(folder("sd"), "text_encoder", uri)).object, SDNQLayer)
    assert {layer.sdnq_dequantizer.weights_dtype for layer in found} <= {"uint5", "int5", "int6"}


def test_a_quantizer_that_replaces_nothing_is_seen(engine: Engine, folder: Tiny) -> None:
    loaded = engine.load(component(folder("sd"), "text_encoder", "sdnq;minimum-allowed-numel=1000000"))
    assert loaded.quantized_layers == 0
    assert loaded.layers == 12


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("uri", [None, "bnb", "bnb;bits=4", "sdnq"])
def test_the_rest_is_of_the_dtype_asked_for(engine: Engine, folder: Tiny, uri: str | None, dtype: str) -> None:
    module = engine.load(component(folder("sd"), "unet", uri, dtype)).object
    assert module.conv_in.weight.dtype == getattr(torch, dtype)
    assert module.conv_norm_out.weight.dtype == getattr(torch, dtype)


def test_parts_without_weights_are_loaded_too(engine: Engine, folder: Tiny) -> None:
    for role in ("tokenizer", "scheduler"):
        loaded = engine.load(component(folder("sd"), role))
        assert type(loaded.object).__name__ in ("CLIPTokenizer", "PNDMScheduler")
        assert (loaded.bytes, loaded.layers, loaded.quantized_layers) == (0, 0, 0)


@pytest.mark.parametrize(("uri", "replaced"), [("bnb", 8), ("bnb;bits=4;quant-type=nf4", 8), ("sdnq", 0)])
def test_conv1d_of_transformers_is_a_layer_that_only_bnb_takes(
    engine: Engine, tmp_path: Path, uri: str, replaced: int
) -> None:
    # sdnq leaves it out without a word, so the count must show it.
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.pytorch_utils import Conv1D

    config = GPT2Config(vocab_size=64, n_positions=32, n_embd=128, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")

    def load_with(uri: str | None) -> Loaded:
        return engine.load(Component(
            key=f"gpt2 {uri}", role="text_encoder", library="transformers", class_name="GPT2LMHeadModel",
            source=str(tmp_path), subfolder="gpt2", variant=None, revision=None, dtype="float32", device="cpu",
            quantization=quantization(uri), identity="", bytes=0,
        ))  # fmt: skip

    plain, loaded = load_with(None), load_with(uri)
    assert (plain.quantized_layers, plain.layers) == (0, 9)
    assert (loaded.quantized_layers, loaded.layers) == (replaced, 9)
    assert len(layers(loaded.object, Conv1D)) == 8 - replaced
    words = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        exact, found = (each.object(words).logits for each in (plain, loaded))
    if replaced:
        assert loaded.bytes < 0.5 * plain.bytes
        assert not torch.equal(found, exact)
        assert float(((found - exact) ** 2).mean() / (exact**2).mean()) < 0.1
    else:
        assert loaded.bytes == plain.bytes
        assert torch.equal(found, exact)


def test_a_vae_can_be_quantized(engine: Engine, folder: Tiny) -> None:
    made = scene(folder("sd"), {"vae": "sdnq;quant-conv=true", "unet": "bnb"})
    parts = load(engine, made)
    vae = parts["vae"]
    assert vae is not None
    assert vae.quantized_layers > 10
    pipeline = engine.assemble(made.pipeline, parts)
    assert drawn(engine, pipeline, made.generation, lambda done, total: None).size == (64, 64)


@pytest.mark.parametrize("kind", ["int8", "uint8", "uint4", "int4", "float8_e4m3fn", "int16"])
def test_t5_computes_with_its_last_layers_in_int8_alone(engine: Engine, folder: Tiny, kind: str) -> None:
    source, uri = folder("flux"), f"sdnq;type={kind};add-skip-keys=false"
    network, tensors = estimates.read(source, like(source, "text_encoder_2"), None, "float32")
    backend, options = quantizers.parse_uri(uri)
    found = quantizers.backend(backend)
    assert found is not None
    told = estimates.quantized(network, tensors, found, quantizers.canonical(backend, options))
    assert {layer.name.rpartition(".")[2] for layer, _ in told.unfit} == (set() if kind == "int8" else {"wo"})
    module = engine.load(component(source, "text_encoder_2", uri)).object
    try:
        with torch.no_grad():
            module(torch.tensor([[1, 2, 3]]))
    except RuntimeError as error:
        assert kind != "int8" and "same dtype" in str(error)
    else:
        assert kind == "int8"


def like(source: Path, role: str) -> checkpoints.Part:
    """Return the part of that role."""
    part = checkpoints.read_checkpoint(str(source)).parts[role]
    assert part is not None
    return part
