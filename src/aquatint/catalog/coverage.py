"""Whether a quantizer finds anything to do in a component, told from the names and shapes of its tensors.

Only what is certain is said: a backend skips more layers than can be known here, by lists of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aquatint.catalog.checkpoints import Tensor
from aquatint.catalog.quantizers import canonical
from aquatint.diagnostics import did_you_mean

_WORD = re.compile(r"[A-Za-z_]\w*")
# What sdnq never takes for a Linear's weight, though it has two dimensions.
_EMBEDDING = re.compile(r"embed|shared|wte|wpe|position", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Misfit:
    """A name of a layer in `setting` that no layer has; or, where both are None, that there is nothing to quantize."""

    setting: str | None
    name: str | None
    help: str | None


def misfits(backend: str, options: Mapping[str, Any], tensors: Iterable[Tensor]) -> list[Misfit]:
    """Return why a quantizer whose `options` have no problems of their own is of no use for these `tensors`."""
    if backend not in ("bnb", "sdnq"):
        return []  # what another package's backend takes is not known here
    values = canonical(backend, options)
    held = list(tensors)
    if not any(_may_quantize(backend, values, tensor) for tensor in held):
        help = "set `quant_conv: true`: it has convolutions" if _has_convolutions(backend, values, held) else None
        return [Misfit(None, None, help)]
    parts = {part for tensor in held for part in tensor.name.split(".")}
    words = {part for part in parts if not part.isdecimal()}
    # Patterns and dotted paths are the backend's affair; a lone word is a part of some layer's name, or of none.
    return [
        Misfit(setting, name, did_you_mean(name, words, "parts of names"))
        for setting, name in _named_modules(backend, values)
        if _WORD.fullmatch(name) and name not in parts
    ]


def _may_quantize(backend: str, values: Mapping[str, Any], tensor: Tensor) -> bool:
    if not tensor.name.endswith("weight"):
        return False
    if backend != "sdnq":
        return len(tensor.shape) == 2
    is_linear = len(tensor.shape) == 2 and (values["quant_embedding"] or not _EMBEDDING.search(tensor.name))
    is_convolution = len(tensor.shape) in (3, 4, 5) and values["quant_conv"]
    return bool(is_linear or is_convolution) and _is_large_enough(values, tensor)


def _is_large_enough(values: Mapping[str, Any], tensor: Tensor) -> bool:
    large = tensor.numel >= values["minimum_allowed_numel"]
    return bool(large and max(tensor.shape[:2]) >= values["minimum_allowed_channel_size"])


def _has_convolutions(backend: str, values: Mapping[str, Any], tensors: list[Tensor]) -> bool:
    return backend == "sdnq" and any(len(t.shape) in (3, 4, 5) and _is_large_enough(values, t) for t in tensors)


def _named_modules(backend: str, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (setting, name) for each module that the options name."""
    if backend != "sdnq":
        return [("llm_int8_skip_modules", name) for name in values["llm_int8_skip_modules"] or ()]
    named = [
        (setting, name)
        for setting in ("modules_to_not_convert", "modules_to_not_use_matmul")
        for name in values[setting] or ()
    ]
    for names in (values["modules_dtype_dict"] or {}).values():
        named += [("modules_dtype_dict", name) for name in ([names] if isinstance(names, str) else names)]
    return named + [("modules_quant_config", name) for name in values["modules_quant_config"] or {}]
