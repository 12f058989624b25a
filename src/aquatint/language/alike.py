"""Which models are the same, so that what is found out of one needn't be found out of the next.

Holds keys of models by their settings, with their places and without; what a model comes to is `resolution`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aquatint.language.values import Model, Quantizer, shown


def by_place(model: Model) -> Any:
    """Return what is equal for two models that are made alike by the same parts of a script.

    Their defaults are left out: those are what `generate` does with a model.
    """
    blocks = [
        model.settings, *(model.parts[role] for role in sorted(model.parts)),
        *(each.settings for adapters in model.adapters.values() for each in adapters),
    ]  # fmt: skip
    return model.name, tuple((role, model.part_spans.get(role)) for role in sorted(model.parts)), tuple(
        tuple((name, identity(setting.value), setting.span, setting.layer) for name, setting in block.items())
        for block in blocks
    )  # fmt: skip


def by_settings(model: Model) -> Any:
    """Return what is equal for two models whose settings are, wherever in a script they stand."""
    adapters = [(kind, each.settings) for kind in sorted(model.adapters) for each in model.adapters[kind]]
    blocks = [("", model.settings), *sorted(model.parts.items()), *adapters]
    return tuple((role, tuple((name, identity(block[name].value)) for name in sorted(block))) for role, block in blocks)


def identity(value: Any) -> Any:
    """Return what is equal for equal values of a setting only, and can be a key."""
    if isinstance(value, Quantizer):
        return value.name, value
    if isinstance(value, tuple | Mapping):
        return shown(value)
    return type(value), value
