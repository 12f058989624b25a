"""Whether a quantizer does what was meant in a component, told from the estimate of what it makes of its layers.

Estimates are made in `estimates`; where in a script these findings belong is the language's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aquatint.catalog.backend import Backend
from aquatint.catalog.checkpoints import Tensor
from aquatint.catalog.estimates import Estimate
from aquatint.catalog.layers import Held, Layer
from aquatint.catalog.quantizer_backends import backends
from aquatint.diagnostics import did_you_mean

_WORD = re.compile(r"[A-Za-z_]\w*")
_SHOWN = 3  # names of layers in a message


@dataclass(frozen=True, slots=True)
class Misfit:
    """A name of a layer in `setting` that no layer has."""

    setting: str
    name: str
    help: str | None


@dataclass(frozen=True, slots=True)
class Failing:
    """Layers with which a backend fails, all for one reason."""

    why: str
    layers: str
    help: str | None


def is_idle(estimate: Estimate) -> bool:
    """Return whether the backend finds nothing to quantize; False where nobody says what it takes."""
    return estimate.is_known and estimate.quantized == 0 and not estimate.unfit


def help_if_idle(options: Mapping[str, Any], estimated: Callable[[Mapping[str, Any]], Estimate]) -> str | None:
    """Return which switch would give the backend something to do; `estimated` is of the component with options."""
    for name, what in (("quant_conv", "convolutions"), ("quant_embedding", "embeddings")):
        if options.get(name) is False and estimated({**options, name: True}).quantized:
            return f"set `{name}: true`: it has {what}"
    return None


def gaps(backend: Backend, estimate: Estimate) -> list[tuple[str, str | None]]:
    """Return (what to say, help) of layers that the backend leaves without a word because it can't convert them."""
    return [
        (
            f"leaves {len(kept.layers)} of {estimate.layers} layers "
            f"({sum(layer.bytes for layer in kept.layers):,} bytes) as they are, since {kept.why}: "
            + _names(kept.layers),
            _help_for(kept.layers),
        )
        for kept in estimate.left if kept.is_gap
    ]  # fmt: skip


def _help_for(layers: Iterable[Layer]) -> str | None:
    others = [
        f"`{other.name}`" for other in backends()
        if other.held is not None and all(isinstance(other.held(other.canonical({}), layer), Held) for layer in layers)
    ]  # fmt: skip
    return f"{' and '.join(others)} can take them" if others else None


def failing(estimate: Estimate) -> list[Failing]:
    """Return the layers with which the backend fails, by reason."""
    reasons: dict[tuple[str, str | None], list[Any]] = {}
    for layer, unfit in estimate.unfit:
        reasons.setdefault((unfit.why, unfit.help), []).append(layer)
    return [Failing(why, _names(layers), help) for (why, help), layers in reasons.items()]


def misfits(backend: Backend, options: Mapping[str, Any], tensors: Iterable[Tensor]) -> list[Misfit]:
    """Return the names of layers in canonical `options` that none of `tensors` has."""
    parts = {part for tensor in tensors for part in tensor.name.split(".")}
    words = {part for part in parts if not part.isdecimal()}
    # Patterns and dotted paths are the backend's affair; a lone word is a part of some layer's name, or of none.
    return [
        Misfit(setting, name, did_you_mean(name, words, "parts of names"))
        for setting, name in _named_modules(backend, options)
        if _WORD.fullmatch(name) and name not in parts
    ]


def _named_modules(backend: Backend, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (setting, name) for each module that the options name: in lists, and in maps to lists or from modules."""
    for setting in backend.schema.settings:
        value = options[setting.name]
        if setting.type == "names":
            yield from ((setting.name, name) for name in value or ())
        elif setting.type == "map":
            for key, under in (value or {}).items():
                names = [key] if isinstance(under, Mapping) else [under] if isinstance(under, str) else under
                yield from ((setting.name, name) for name in names)


def _names(layers: Iterable[Any]) -> str:
    names = [f"`{layer.name}`" for layer in layers]
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
