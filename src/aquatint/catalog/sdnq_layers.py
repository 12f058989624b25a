"""Which layers sdnq takes, and with which settings: its skip lists, its least sizes, and the rules for single modules.

Follows `check_quant_is_allowed`, `check_param_name_in`, `get_quant_kwargs` and `add_module_skip_keys` in `sdnq.utils`.
The bytes that a layer comes to are in `sdnq_bytes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aquatint.catalog.layers import Layer, Left, is_tame, skipped_by_sdnq
from aquatint.catalog.sdnq_types import BITS, minimum_width

# By the name of the class: what derives from one of these has another name, and stays.
EMBEDDINGS = frozenset({"Embedding", "Gemma4TextScaledWordEmbedding"})
CONVOLUTIONS = frozenset({"Conv1d", "Conv2d", "Conv3d"})
TRANSPOSED = frozenset({"ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"})


def left(options: Mapping[str, Any], layer: Layer) -> Left | None:
    """Return why sdnq leaves `layer` alone with the canonical `options`, or None where it takes it."""
    name = f"{layer.name}.weight"
    if (named := match(name, options["modules_to_not_convert"] or ())) is not None:
        return Left(f"`modules_to_not_convert` names `{named}`")
    if options["add_skip_keys"] and match(name, _own_list(layer)) is not None:
        return Left("they are on sdnq's list for the model (`add_skip_keys`)")
    if layer.base == "Embedding" and not options["quant_embedding"]:
        return Left("they are embeddings, and `quant_embedding` is off")
    if layer.base in CONVOLUTIONS | TRANSPOSED and not options["quant_conv"]:
        return Left("they are convolutions, and `quant_conv` is off")
    if layer.kind not in {"Linear"} | EMBEDDINGS | CONVOLUTIONS | TRANSPOSED:
        return Left(f"it does not know the class `{layer.kind}`", is_gap=True)
    if channels(layer) < (least := options["minimum_allowed_channel_size"]):
        return Left(f"they have fewer than {least} input channels (`minimum_allowed_channel_size`)")
    if layer.numel < (least := options["minimum_allowed_numel"]):
        return Left(f"they have fewer than {least} weights (`minimum_allowed_numel`)")
    return None


def recipe(options: Mapping[str, Any], layer: Layer) -> dict[str, Any]:
    """Return the options as they are for one layer: with its own type and settings."""
    name = f"{layer.name}.weight"
    settled = dict(options)
    by_module = options["modules_quant_config"] or {}
    if (module := match(name, by_module)) is not None:
        settled |= by_module[module]
    settled["weights_dtype"] = _type(settled["weights_dtype"], options["modules_dtype_dict"] or {}, name)
    if layer.kind in CONVOLUTIONS | TRANSPOSED:
        settled["use_quantized_matmul"] = settled["use_quantized_matmul_conv"]
    if match(name, options["modules_to_not_use_matmul"] or ()) is not None:
        settled["use_quantized_matmul"] = False
    return settled


def channels(layer: Layer) -> int:
    """Return the input channels of `layer` as sdnq counts them: a row of an embedding has its width."""
    if layer.kind in CONVOLUTIONS:
        return layer.shape[1]
    return layer.shape[0] if layer.kind in TRANSPOSED else layer.shape[-1]


def loaded_as(layer: Layer) -> str:
    """Return the torch dtype that sdnq takes for a layer's own: through transformers it is not told of exceptions."""
    return layer.dtype if layer.network.is_diffusers else layer.network.dtype


def match(name: str, listed: Iterable[str]) -> str | None:
    """Return what in `listed` stands for the parameter `name`: a part of it, all of it, `.prefix`, or a pattern."""
    parts = name.split(".")
    for each in listed:
        if each.startswith("."):
            if name.startswith(each[1:]):
                return each
        elif each == name or each in parts or ("*" in each and _is_like(each, name)):
            return each
    return None


def _is_like(pattern: str, name: str) -> bool:
    regex = pattern.replace(".*", "\\.*").replace("*", ".*")
    return is_tame(pattern) and re.match(regex, name) is not None


def _own_list(layer: Layer) -> list[str]:
    facts = layer.network.facts
    listed = [*skipped_by_sdnq(layer.network.class_name), *facts.float32]
    if not layer.network.is_diffusers:
        # transformers adds a model's last parameter and its output; both by names without `.weight`.
        listed += [name for name in (facts.last, facts.output) if name]
        listed += [name for pair in (facts.tied or {}).items() for name in pair]
    return listed


def _type(weights_dtype: str, by_type: Mapping[str, Iterable[str]], name: str) -> str:
    for key, modules in by_type.items():
        if match(name, modules) is not None:
            least = minimum_width(key)
            if least is None:
                return key
            if BITS[weights_dtype] < BITS[least]:
                return least
    return weights_dtype
