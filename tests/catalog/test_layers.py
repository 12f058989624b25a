"""The catalog of layers: what it says of well-known classes, and that it is up to date with the installed libraries."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aquatint.catalog import bnb_bytes, estimates, sdnq_bytes
from aquatint.catalog.checkpoints import Tensor
from aquatint.catalog.layers import Held, Layer, Left, Network, Unfit, kind
from aquatint.catalog.quantizers import canonical

ROOT = Path(__file__).parents[2]
DATA = ROOT / "src" / "aquatint" / "catalog" / "data" / "layers.json"
SCRIPT = ROOT / "scripts" / "make_layer_catalog.py"


def network(class_name: str, library: str = "transformers", dtype: str = "float32", **config: Any) -> Network:
    return Network(library, class_name, dtype, config)


def layer(name: str, shape: tuple[int, ...], of: Network, kind: str = "Linear") -> Layer:
    return Layer(name, kind, shape, of.dtype, of)


@pytest.mark.parametrize(
    ("class_name", "name", "dimensions", "expected"),
    [
        ("T5EncoderModel", "shared", 2, "Embedding"),
        ("T5EncoderModel", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias", 2, "Embedding"),
        ("T5EncoderModel", "encoder.block.0.layer.0.SelfAttention.q", 2, "Linear"),
        ("CLIPTextModel", "text_model.embeddings.token_embedding", 2, "Embedding"),
        ("GPT2LMHeadModel", "transformer.h.3.attn.c_attn", 2, "Conv1D"),
        ("UNet2DConditionModel", "conv_in", 4, "Conv2d"),
        ("UNet2DConditionModel", "time_embedding.linear_1", 2, "Linear"),
        ("UNet2DConditionModel", "class_embedding", 2, "Embedding"),
        ("FluxTransformer2DModel", "context_embedder", 2, "Linear"),
        ("AutoencoderKLWan", "decoder.conv_in", 5, "WanCausalConv3d"),
        ("SpeechT5HifiGan", "upsampler.1", 3, "ConvTranspose1d"),
        # Classes that no catalog has are judged by their names.
        ("SomethingNew", "model.embed_tokens", 2, "Embedding"),
        ("SomethingNew", "x_embedder", 2, "Linear"),
        ("SomethingNew", "patch_embed.proj", 4, "Conv2d"),
    ],
)  # fmt: skip
def test_kinds(class_name: str, name: str, dimensions: int, expected: str) -> None:
    assert kind(network(class_name), name, dimensions) == expected


def test_what_one_linear_layer_comes_to() -> None:
    flux = layer("transformer_blocks.0.ff.net.2", (3072, 12288), network("FluxTransformer2DModel", "diffusers"))
    weights = 3072 * 12288
    rows = 3072
    sizes = {
        uri: sdnq_bytes.held(canonical("sdnq", options), flux)
        for uri, options in {
            "int8": {}, "uint4": {"weights_dtype": "uint4"},
            "svd": {"weights_dtype": "int8", "use_svd": True, "svd_rank": 16},
            "scales": {"weights_dtype": "uint4", "scale_dtype": "uint8"},
        }.items()
    }  # fmt: skip
    # 2 ** (1 + bits + 1) weights share a scale, and with SVD twice as many.
    groups = {"int8": 12288 // 1024, "uint4": 12288 // 64, "svd": 12288 // 2048}
    expected = {
        "int8": weights + 4 * rows * groups["int8"],
        "uint4": weights // 2 + 2 * 4 * rows * groups["uint4"],
        "svd": weights + 4 * rows * groups["svd"] + 4 * 16 * (3072 + 12288),
        "scales": weights // 2 + 2 * rows * groups["uint4"] + 2 * 2 * 4,
    }
    assert sizes == {uri: Held(size, size) for uri, size in expected.items()}
    eight, four = ({"bits": 8}, {"bits": 4, "bits4_use_double_quant": True})
    blocks = weights // 64
    assert bnb_bytes.held(canonical("bnb", eight), flux) == Held(weights + 4 * rows, weights + 4 * rows)
    nested = weights // 2 + blocks + blocks // 256 * 4 + 4 + 64 + 1024
    assert bnb_bytes.held(canonical("bnb", four), flux) == Held(nested, nested)


T5 = network("T5EncoderModel")
FLUX = network("FluxTransformer2DModel", "diffusers")


@pytest.mark.parametrize(
    ("backend", "options", "at", "expected"),
    [
        ("sdnq", {}, layer("encoder.block.0.layer.1.DenseReluDense.wo", (512, 1024), T5),
         Left("they are on sdnq's list for the model (`add_skip_keys`)")),
        ("sdnq", {"add_skip_keys": False}, layer("encoder.block.0.layer.1.DenseReluDense.wo", (512, 1024), T5),
         Held(512 * 1024 + 4 * 512, 512 * 1024 + 4 * 512)),
        ("bnb", {}, layer("encoder.block.0.layer.1.DenseReluDense.wo", (512, 1024), T5),
         Left("their class keeps them from it (`_keep_in_fp32_modules`)")),
        ("bnb", {}, layer("encoder.block.0.layer.0.SelfAttention.o", (512, 512), T5),
         Held(512 * 512 + 4 * 512, 512 * 512 + 4 * 512)),
        ("bnb", {}, layer("text_projection", (768, 768), network("CLIPTextModelWithProjection")),
         Left("transformers leaves the last layer of a model and its output alone")),
        ("bnb", {"llm_int8_skip_modules": ["ff"]}, layer("transformer_blocks.0.ff.net.2", (64, 64), FLUX),
         Left("`llm_int8_skip_modules` names `ff`")),
        ("sdnq", {}, layer("x_embedder", (3072, 64), FLUX),
         Left("they are on sdnq's list for the model (`add_skip_keys`)")),
        ("sdnq", {}, layer("a", (128, 100), FLUX),
         Left("they have fewer than 16384 weights (`minimum_allowed_numel`)")),
        ("sdnq", {}, layer("a", (4096, 16), FLUX),
         Left("they have fewer than 32 input channels (`minimum_allowed_channel_size`)")),
        ("sdnq", {}, layer("h.0.attn.c_attn", (768, 2304), network("GPT2Model"), "Conv1D"),
         Left("it does not know the class `Conv1D`", is_gap=True)),
        ("bnb", {}, layer("h.0.attn.c_attn", (768, 2304), network("GPT2Model"), "Conv1D"),
         Held(768 * 2304 + 4 * 2304, 768 * 2304 + 4 * 2304)),
        ("sdnq", {"weights_dtype": "uint4", "minimum_allowed_numel": 0}, layer("a", (33, 65), FLUX),
         Unfit("2145 weights can't be packed as `uint4`",
               "leave it out by `modules_to_not_convert`, or give it `int8`, which isn't packed, by "
               "`modules_dtype_dict`")),
        ("bnb", {"bits": 4, "bits4_quant_storage": "float32"}, layer("a", (33, 65), FLUX),
         Unfit("1073 bytes of packed weights can't be seen as `float32`", "leave `bits4_quant_storage` out")),
    ],
)  # fmt: skip
def test_what_stays_and_what_fails(backend: str, options: dict[str, Any], at: Layer, expected: object) -> None:
    held = {"bnb": bnb_bytes.held, "sdnq": sdnq_bytes.held}[backend]
    assert held(canonical(backend, options), at) == expected


@pytest.mark.parametrize("pattern", ["*" * 200 + "x", "(a+)+$", ".*" * 50, "["])
@pytest.mark.parametrize("backend", ["bnb", "sdnq"])
def test_no_pattern_keeps_a_plan_from_ending(backend: str, pattern: str) -> None:
    option = {"bnb": "llm_int8_skip_modules", "sdnq": "modules_to_not_convert"}[backend]
    held = {"bnb": bnb_bytes.held, "sdnq": sdnq_bytes.held}[backend]
    assert isinstance(held(canonical(backend, {option: [pattern]}), layer("a" * 200 + "!", (512, 512), T5)), Held)


@pytest.mark.parametrize(
    ("class_name", "config", "names", "kept"),
    [
        ("T5EncoderModel", {"tie_word_embeddings": False}, ["shared.weight", "encoder.embed_tokens.weight"], 1),
        ("T5EncoderModel", {}, ["shared.weight", "decoder.block.0.layer.0.SelfAttention.q.weight"], 1),
        ("Qwen3ForCausalLM", {"tie_word_embeddings": True}, ["model.embed_tokens.weight", "lm_head.weight"], 1),
        ("Qwen3ForCausalLM", {"tie_word_embeddings": False}, ["model.embed_tokens.weight", "lm_head.weight"], 2),
        # A name from before the language model was moved one down.
        ("Qwen2_5_VLForConditionalGeneration", {"tie_word_embeddings": True},
         ["model.embed_tokens.weight", "lm_head.weight"], 1),
        ("GPT2LMHeadModel", {}, ["transformer.h.0.attn.bias", "transformer.h.0.attn.c_attn.bias"], 1),
    ],
)  # fmt: skip
def test_what_is_shared_or_not_read_counts_once_or_not_at_all(
    class_name: str, config: dict[str, Any], names: list[str], kept: int
) -> None:
    tensors = [Tensor(name, "F32", (8, 8), 0, 256) for name in names]
    found = estimates.plain(network(class_name, **config), tensors)
    assert (found.parameters, found.least, found.most) == (64 * kept, 256 * kept, 256 * kept)


@pytest.mark.parametrize("library", ["diffusers", "transformers", "sdnq"])
def test_the_catalog_names_the_installed_versions(library: str) -> None:
    assert json.loads(DATA.read_text())[library] == importlib.metadata.version(library)


@pytest.mark.slow
def test_the_catalog_is_up_to_date(tmp_path: Path) -> None:
    subprocess.run([sys.executable, SCRIPT, tmp_path / "layers.json"], check=True, capture_output=True)
    assert (tmp_path / "layers.json").read_text() == DATA.read_text()
