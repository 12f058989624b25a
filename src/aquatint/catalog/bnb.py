"""The `bnb` backend, bitsandbytes, as data; its settings are in `bnb_settings`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aquatint.catalog import bnb_bytes, bnb_settings
from aquatint.catalog.backend import Backend, Constraint

ANY_PATH = r"(?:.*\.)?"
"""The pattern that a name of a module follows where a library wants to match its whole path."""


def _label(options: Mapping[str, Any]) -> str:
    kind = "int8" if options["bits"] == 8 else options["bits4_quant_type"]
    marks = ["dq"] if options["bits4_use_double_quant"] else []
    if options["bits4_compute_dtype"] != "float32":
        marks.append(options["bits4_compute_dtype"])
    return "+".join([kind, *marks])


def _stored_options(configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    four = bool(configuration.get("load_in_4bit"))
    # Both libraries write all options, those of the other width too.
    options = {name: value for name, value in configuration.items() if name.startswith("bnb_4bit_") == four}
    skipped = configuration.get("llm_int8_skip_modules")
    if isinstance(skipped, list):
        options["llm_int8_skip_modules"] = [_name_of(each) for each in skipped]
    if four:
        options.pop("llm_int8_threshold", None)
    return options | {"bits": 4 if four else 8}


def _name_of(pattern: Any) -> Any:
    # What the engine makes of a name for transformers, which takes patterns: see `bitsandbytes_backend`.
    if isinstance(pattern, str) and pattern.startswith(ANY_PATH):
        return re.sub(r"\\(.)", r"\1", pattern.removeprefix(ANY_PATH))
    return pattern


def _unreadable(options: Mapping[str, Any], library: str) -> tuple[str, ...]:
    # diffusers takes the shapes of such weights for wrong ones; transformers reads all of them.
    odd = options["bits"] == 4 and options["bits4_quant_storage"] != "uint8"
    return ("bits4_quant_storage",) if odd and library == "diffusers" else ()


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
    held=bnb_bytes.held,
    constraints=(
        Constraint(
            ("bits4_compute_dtype", "bits4_quant_type", "bits4_use_double_quant", "bits4_quant_storage"),
            (("bits", (4,)),),
        ),
        Constraint(("llm_int8_threshold",), (("bits", (8,)),)),
    ),
    method="bitsandbytes",
    stored_options=_stored_options,
    untraced=("llm_int8_enable_fp32_cpu_offload",),
    unreadable=_unreadable,
)
