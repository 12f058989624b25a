"""The quantization backends that there are, as data: settings, package, and which settings need which.

Each backend's settings are in a module of their own; the checks that read all this are in `quantizers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aquatint.catalog import bnb_settings, sdnq_settings, sdnq_types
from aquatint.catalog.settings import Schema


@dataclass(frozen=True, slots=True)
class Constraint:
    """`settings` may differ from their defaults only where a setting in `needs` has one of its values."""

    settings: tuple[str, ...]
    needs: tuple[tuple[str, tuple[Any, ...]], ...]
    consequence: str = "has no effect"
    help: str | None = None


@dataclass(frozen=True, slots=True)
class Backend:
    """A library that quantizes. `extra` is aquatint's own, as in `pip install "aquatint[sdnq]"`."""

    name: str
    aliases: tuple[str, ...]
    help: str
    schema: Schema
    package: str
    extra: str | None  # None: it comes with aquatint
    constraints: tuple[Constraint, ...] = ()
    empty_is_unset: bool = False  # whether an empty list or map says the same as leaving the setting out


BNB = Backend(
    name="bnb",
    aliases=("bitsandbytes",),
    help="bitsandbytes: 8-bit LLM.int8 and 4-bit nf4 or fp4, of Linear layers only. Widely used and quick to load; the "
    "convolutions of a UNet stay as they are.",
    schema=bnb_settings.SCHEMA,
    package="bitsandbytes",
    extra=None,
    constraints=(
        Constraint(
            ("bits4_compute_dtype", "bits4_quant_type", "bits4_use_double_quant", "bits4_quant_storage"),
            (("bits", (4,)),),
        ),
        Constraint(("llm_int8_threshold",), (("bits", (8,)),)),
    ),
)

SDNQ = Backend(
    name="sdnq",
    aliases=(),
    help="SDNQ: any width from 1 to 16 bits, integers and floats, of Linear layers and with `quant_conv` of "
    "convolutions. The package is under GPL-3.0-only and is installed as an extra.",
    schema=sdnq_settings.SCHEMA,
    package="sdnq",
    extra="sdnq",
    constraints=(
        Constraint(("svd_rank", "svd_steps"), (("use_svd", (True,)),)),
        Constraint(("hadamard_group_size",), (("use_hadamard", (True,)),)),
        Constraint(("codebook_steps",), (("use_codebook", (True,)),)),
        Constraint(
            ("use_codebook",), (("weights_dtype", sdnq_types.UNSIGNED_INTEGERS),), "can't be used",
            "a codebook needs an unsigned integer type, such as `uint4`",
        ),
        Constraint(
            ("use_codebook_scale",), (("scale_dtype", sdnq_types.UNSIGNED_INTEGERS),), "can't be used",
            "a codebook for the scales needs an unsigned integer type for them, such as `scale_dtype: uint8`",
        ),
        Constraint(("dynamic_loss_threshold",), (("use_dynamic_quantization", (True,)),)),
        Constraint(
            ("use_dynamic_quantization",),
            (("weights_dtype", tuple(n for n in sdnq_types.BITS if n not in sdnq_types.NOT_ORDERED)),),
            "can't be used", "start from a type such as `uint4` or `int8`",
        ),
        Constraint(("use_quantized_matmul_conv",), (("quant_conv", (True,)),)),
        Constraint(
            ("quantized_matmul_dtype", "modules_to_not_use_matmul"),
            (("use_quantized_matmul", (True,)), ("use_quantized_matmul_conv", (True,))),
        ),
    ),
    empty_is_unset=True,
)  # fmt: skip

_BACKENDS = (BNB, SDNQ)


def backends() -> tuple[Backend, ...]:
    """Return every backend."""
    return _BACKENDS


def backend(name: str) -> Backend | None:
    """Return the backend called `name`, or None."""
    return next((each for each in _BACKENDS if name == each.name or name in each.aliases), None)


def backend_names() -> tuple[str, ...]:
    """Return every name that `backend` knows, for suggestions."""
    return tuple(name for each in _BACKENDS for name in (each.name, *each.aliases))
