"""The `bnb` backend, bitsandbytes, as data; its settings are in `bnb_settings`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aquatint.catalog import bnb_settings
from aquatint.catalog.backend import Backend, Constraint


def _label(options: Mapping[str, Any]) -> str:
    kind = "int8" if options["bits"] == 8 else options["bits4_quant_type"]
    marks = ["dq"] if options["bits4_use_double_quant"] else []
    if options["bits4_compute_dtype"] != "float32":
        marks.append(options["bits4_compute_dtype"])
    return "+".join([kind, *marks])


BNB = Backend(
    name="bnb",
    aliases=("bitsandbytes",),
    help="bitsandbytes: 8-bit LLM.int8 and 4-bit nf4 or fp4, of Linear layers only. Widely used and quick to load; the "
    "convolutions of a UNet stay as they are.",
    schema=bnb_settings.SCHEMA,
    package="bitsandbytes",
    distribution="bitsandbytes",
    install="pip install bitsandbytes",
    engine="aquatint.runtime.torch_engine.bitsandbytes_backend",
    label=_label,
    constraints=(
        Constraint(
            ("bits4_compute_dtype", "bits4_quant_type", "bits4_use_double_quant", "bits4_quant_storage"),
            (("bits", (4,)),),
        ),
        Constraint(("llm_int8_threshold",), (("bits", (8,)),)),
    ),
)
