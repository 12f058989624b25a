"""torchao as a backend: what a script may say. Read while planning, so nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aquatint.catalog.backend import Backend
from aquatint.catalog.layers import WIDTHS, Held, Holding, Layer, Left
from aquatint.catalog.settings import Schema, Setting

SCHEMA = Schema("torchao", (
    Setting(
        "weights_dtype", "str",
        "The type that the weights of Linear layers are stored in, with one scale per row.",
        default="int8", choices=("int8", "float8_e4m3fn"), aliases=("type",),
    ),
    Setting(
        "modules_to_not_convert", "names",
        "Modules to leave unquantized: any part of a path.",
        aliases=("skip_modules",),
    ),
))  # fmt: skip


def _label(options: Mapping[str, Any]) -> str:
    return str(options["weights_dtype"])


def _held(options: Mapping[str, Any], layer: Layer) -> Holding:
    """Return what a layer comes to: a byte for each weight, and each row's scale, with integers its zero point too."""
    if layer.base != "Linear":
        return Left(f"it takes no `{layer.kind}`, only Linear layers")
    for name in (*(options["modules_to_not_convert"] or ()), *layer.network.facts.float32):
        if f".{name}." in f".{layer.name}.":
            return Left(f"`{name}` is to stay as it is")
    size = layer.numel + layer.shape[0] * (WIDTHS[layer.dtype] + (options["weights_dtype"] == "int8"))
    return Held(size, size)


TORCHAO = Backend(
    name="torchao",
    aliases=(),
    help="torchao: 8-bit integers or floats, weights only, of Linear layers.",
    schema=SCHEMA,
    package="torchao",
    distribution="torchao",
    install="pip install torchao",
    engine="aquatint_torchao.engine",
    label=_label,
    held=_held,
    method="torchao",
)
