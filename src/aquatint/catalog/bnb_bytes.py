"""What bitsandbytes makes of a layer: which ones it takes in diffusers and in transformers, and the bytes they hold.

Sources: `bitsandbytes.functional.quantize_4bit` and `int8_vectorwise_quant`; `replace_with_bnb_linear` of diffusers
(`quantizers/bitsandbytes/utils.py`) and of transformers (`integrations/bitsandbytes.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aquatint.catalog.layers import Held, Holding, Layer, Left, Unfit, is_tame

BLOCK = 64
"""Weights that share a scale with 4 bits."""
NESTED_BLOCK = 256
"""Scales that share a scale with double quantization."""

_CODE = 16 * 4  # the 16 values of the 4-bit type, float32
_NESTED_CODE = 256 * 4  # those of the 8-bit type that scales are stored in
_STORAGE_BYTES = {"uint8": 1, "int8": 1, "float16": 2, "bfloat16": 2, "float32": 4}


def held(options: Mapping[str, Any], layer: Layer) -> Holding:
    """Return what `layer` comes to with the canonical `options` of `bnb`."""
    if (left := _left(options, layer)) is not None:
        return left
    if options["bits"] == 8:
        return _held(options, layer, _eight_bits(layer))
    packed, storage = _ceiling(layer.numel, 2), options["bits4_quant_storage"]
    if packed % _STORAGE_BYTES[storage]:
        return Unfit(
            f"{packed} bytes of packed weights can't be seen as `{storage}`", "leave `bits4_quant_storage` out"
        )
    return _held(options, layer, packed + _scales(options, layer))


def _held(options: Mapping[str, Any], layer: Layer, size: int) -> Held:
    # transformers then takes what is placed on a CPU to be left alone; where that is isn't known here.
    may_stay = options["llm_int8_enable_fp32_cpu_offload"] and not layer.network.is_diffusers
    return Held(size, layer.bytes if may_stay else size)


def _eight_bits(layer: Layer) -> int:
    rows = layer.shape[1] if layer.kind == "Conv1D" else layer.shape[0]
    return layer.numel + 4 * rows


def _scales(options: Mapping[str, Any], layer: Layer) -> int:
    blocks = _ceiling(layer.numel, BLOCK)
    if not options["bits4_use_double_quant"]:
        return 4 * blocks + _CODE
    offset = 4
    return blocks + 4 * _ceiling(blocks, NESTED_BLOCK) + offset + _CODE + _NESTED_CODE


def _left(options: Mapping[str, Any], layer: Layer) -> Left | None:
    """Return why the library leaves `layer` alone, or None."""
    skipped = options["llm_int8_skip_modules"]
    is_taken, is_named = (
        (layer.base == "Linear", _is_part) if layer.network.is_diffusers
        else (layer.kind in ("Linear", "Conv1D"), _is_named)
    )  # fmt: skip
    if not is_taken:
        return Left(f"it takes no `{layer.kind}`, only Linear layers", is_gap=layer.base == "Linear")
    for name in skipped or ():
        if is_named(name, layer.name):
            return Left(f"`llm_int8_skip_modules` names `{name}`")
    if any(is_named(name, layer.name) for name in layer.network.facts.float32):
        return Left("their class keeps them from it (`_keep_in_fp32_modules`)")
    if not layer.network.is_diffusers and skipped is None and any(_matches(name, layer.name) for name in _heads(layer)):
        return Left("transformers leaves the last layer of a model and its output alone")
    return None


def _is_part(name: str, path: str) -> bool:
    """Return whether diffusers takes `name` for a layer: its last part, its whole path, or any part but the last."""
    return name in (path.rpartition(".")[2], path) or f"{name}." in path


def _heads(layer: Layer) -> list[str]:
    facts = layer.network.facts
    names = [re.escape(name).replace(r"\#", r"\d+") for name in (facts.last, facts.output) if name]
    if facts.tied_always or layer.network.config.get("tie_word_embeddings", facts.tied_by_default):
        names += [name.removesuffix(".weight") for pair in (facts.tied or {}).items() for name in pair]
    return names


def _is_named(skipped: str, name: str) -> bool:
    # As this program's engine hands them on: a plain name means any part of a path, what is a pattern stays one.
    if re.fullmatch(r"[\w.-]+", skipped):
        return _matches(rf"(?:.*\.)?{re.escape(skipped)}", name)
    return is_tame(skipped) and not skipped.startswith("*") and "**" not in skipped and _matches(skipped, name)


def _matches(pattern: str, name: str) -> bool:
    """Return whether transformers takes `pattern` for `name`: up to the end of a part of it, or as its end."""
    return bool(re.match(rf"(?:{pattern})(?:(?<=\.)|(?=\.|$))", name)) or name.endswith(pattern)


def _ceiling(count: int, of: int) -> int:
    return -(-count // of)
