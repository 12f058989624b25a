"""The number types that sdnq stores weights in, as data.

The names are those of `sdnq.common.accepted_weight_dtypes` in sdnq 0.2.8; a test holds them against the installed
library. A name tells its width: `int5`, `uint4`, `float6_e3m2fn` (signed), `float6_e3m3fnu` (unsigned).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FAMILIES: dict[int, str] = {
    1: "uint1 float1_e1m0fnu",
    2: "int2 uint2 float2_e1m0fn float2_e1m1fnu float2_e2m0fnu",
    3: "int3 uint3 float3_e1m1fn float3_e2m0fn float3_e1m2fnu float3_e2m1fnu float3_e3m0fnu",
    4: """int4 uint4 float4_e1m2fn float4_e2m1fn float4_e3m0fn float4_e1m3fnu float4_e2m2fnu float4_e3m1fnu
          float4_e4m0fnu""",
    5: """int5 uint5 float5_e1m3fn float5_e2m2fn float5_e3m1fn float5_e4m0fn float5_e1m4fnu float5_e2m3fnu
          float5_e3m2fnu float5_e4m1fnu float5_e5m0fnu""",
    6: """int6 uint6 float6_e1m4fn float6_e2m3fn float6_e3m2fn float6_e4m1fn float6_e5m0fn float6_e1m5fnu
          float6_e2m4fnu float6_e3m3fnu float6_e4m2fnu float6_e5m1fnu""",
    7: """int7 uint7 float7_e1m5fn float7_e2m4fn float7_e3m3fn float7_e4m2fn float7_e5m1fn float7_e1m6fnu
          float7_e2m5fnu float7_e3m4fnu float7_e4m3fnu float7_e5m2fnu""",
    8: """int8 uint8 float8_e4m3fn float8_e5m2 float8_e1m6fn float8_e2m5fn float8_e3m4fn float8_e4m3fn_sdnq
          float8_e5m2fn float8_e1m7fnu float8_e2m6fnu float8_e3m5fnu float8_e4m4fnu float8_e5m3fnu float8_e8m0fnu
          float8_e4m3fnuz float8_e5m2fnuz""",
    9: """int9 uint9 float9_e1m7fn float9_e2m6fn float9_e3m5fn float9_e4m4fn float9_e5m3fn float9_e1m8fnu
          float9_e2m7fnu float9_e3m6fnu float9_e4m5fnu float9_e5m4fnu""",
    10: """int10 uint10 float10_e1m8fn float10_e2m7fn float10_e3m6fn float10_e4m5fn float10_e5m4fn float10_e1m9fnu
           float10_e2m8fnu float10_e3m7fnu float10_e4m6fnu float10_e5m5fnu""",
    11: """int11 uint11 float11_e1m9fn float11_e2m8fn float11_e3m7fn float11_e4m6fn float11_e5m5fn float11_e1m10fnu
           float11_e2m9fnu float11_e3m8fnu float11_e4m7fnu float11_e5m6fnu""",
    12: """int12 uint12 float12_e1m10fn float12_e2m9fn float12_e3m8fn float12_e4m7fn float12_e5m6fn float12_e1m11fnu
           float12_e2m10fnu float12_e3m9fnu float12_e4m8fnu float12_e5m7fnu""",
    13: """int13 uint13 float13_e1m11fn float13_e2m10fn float13_e3m9fn float13_e4m8fn float13_e5m7fn float13_e1m12fnu
           float13_e2m11fnu float13_e3m10fnu float13_e4m9fnu float13_e5m8fnu""",
    14: """int14 uint14 float14_e1m12fn float14_e2m11fn float14_e3m10fn float14_e4m9fn float14_e5m8fn float14_e1m13fnu
           float14_e2m12fnu float14_e3m11fnu float14_e4m10fnu float14_e5m9fnu""",
    15: """int15 uint15 float15_e1m13fn float15_e2m12fn float15_e3m11fn float15_e4m10fn float15_e5m9fn float15_e1m14fnu
           float15_e2m13fnu float15_e3m12fnu float15_e4m11fnu float15_e5m10fnu""",
    16: """int16 uint16 bfloat16 float16 float16_e1m14fn float16_e2m13fn float16_e3m12fn float16_e4m11fn
           float16_e5m10fn float16_e1m15fnu float16_e2m14fnu float16_e3m13fnu float16_e4m12fnu float16_e5m11fnu""",
    32: "int32 uint32 float32",
}
"""Width in bits -> the types of that width, each under one name."""

ALIASES: dict[str, str] = {
    "bool": "uint1", "int1": "uint1", "fp1": "float1_e1m0fnu", "ufp1": "float1_e1m0fnu",
    "fp2": "float2_e1m0fn", "ufp2": "float2_e1m1fnu", "fp3": "float3_e1m1fn", "ufp3": "float3_e1m2fnu",
    "fp4": "float4_e2m1fn", "ufp4": "float4_e2m2fnu", "fp5": "float5_e2m2fn", "ufp5": "float5_e2m3fnu",
    "fp6": "float6_e3m2fn", "ufp6": "float6_e3m3fnu", "fp7": "float7_e3m3fn", "ufp7": "float7_e3m4fnu",
    "fp8": "float8_e4m3fn", "ufp8": "float8_e4m4fnu", "fp9": "float9_e4m4fn", "ufp9": "float9_e4m5fnu",
    "fp10": "float10_e5m4fn", "ufp10": "float10_e5m5fnu", "fp11": "float11_e5m5fn", "ufp11": "float11_e5m6fnu",
    "fp12": "float12_e5m6fn", "ufp12": "float12_e5m7fnu", "fp13": "float13_e5m7fn", "ufp13": "float13_e5m8fnu",
    "fp14": "float14_e5m8fn", "ufp14": "float14_e5m9fnu", "fp15": "float15_e5m9fn", "ufp15": "float15_e5m10fnu",
    "fp16": "float16", "ufp16": "float16_e5m11fnu", "bf16": "bfloat16", "fp32": "float32",
}  # fmt: skip
"""The library's second names."""

BITS: dict[str, int] = {name: bits for bits, names in FAMILIES.items() for name in names.split()}
"""Every type's width, under its one name."""

NAMES: tuple[str, ...] = (*BITS, *ALIASES)
"""Every name that the library accepts."""

MATMUL_NAMES: tuple[str, ...] = ("int8", "uint8", "float8_e4m3fn", "float16", "fp8", "fp16")
"""The types that a quantized matrix product can be computed in."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a type is refused though the library accepts it, and the nearest type that works.

    `error` is the relative mean squared error of a small UNet's output, against float32, with its weights so stored.
    """

    reason: str
    error: float
    instead: str
    instead_error: float


_WRAPS = "the largest weight of each group wraps around to the smallest"
_OVERFLOWS = "the largest weight of each group overflows"

REFUSED: dict[str, Refusal] = {
    "uint9": Refusal(_WRAPS, 0.49, "int9", 3.3e-5),
    "uint10": Refusal(_WRAPS, 0.46, "int10", 6.8e-6),
    "uint11": Refusal(_WRAPS, 0.44, "int11", 1.9e-6),
    "uint12": Refusal(_WRAPS, 0.44, "int12", 4.2e-7),
    "uint13": Refusal(_WRAPS, 0.44, "int13", 1.2e-7),
    "uint14": Refusal(_WRAPS, 0.45, "int14", 2.6e-8),
    "uint15": Refusal(_WRAPS, 0.45, "int15", 8.0e-9),
    "int32": Refusal(_OVERFLOWS, 0.32, "int16", 1.9e-9),
    "uint32": Refusal(_OVERFLOWS, 0.44, "uint16", 2.0e-9),
    "float32": Refusal("some hardware takes its scales, denormal numbers, for zero", 0.94, "float16", 2.5e-7),
    "float8_e8m0fnu": Refusal("it has no sign", 2.4, "float8_e4m3fn", 4.9e-3),
}
"""Types that sdnq 0.2.8 stores without complaint and reads back wrong, so that pictures come out broken.

The errors are those of `test_every_type_that_is_refused_is_as_wrong_as_is_said`.
"""

UNSIGNED_INTEGERS: tuple[str, ...] = tuple(name for name in BITS if name.startswith("uint"))

UNSIGNED: tuple[str, ...] = tuple(name for name in BITS if name.startswith("uint") or name.endswith("fnu"))
"""Types that reach from a group's smallest weight to its largest, and so have an offset beside the scale."""

CODEBOOK_TYPES: tuple[str, ...] = tuple(name for name in UNSIGNED_INTEGERS if BITS[name] <= 8)
"""Types that a codebook is fitted for. The library takes `uint16` too, with 65536 values for every group."""

NOT_ORDERED = frozenset(
    {"int32", "uint32", "float32", "bfloat16", "float8_e8m0fnu", "float8_e4m3fnuz", "float8_e5m2fnuz"}
)
"""Types that `use_dynamic_quantization` can't start from: they are missing from `sdnq.common.weights_dtype_order`."""

_MINIMUM = re.compile(r"(?:minimum[-_]?)?(u?)(?:int)?(\d+)[-_]?(?:bits?)?", re.IGNORECASE)


def one_name(name: str) -> str:
    """Return the type's one name: `fp8` is `float8_e4m3fn`."""
    return ALIASES.get(name, name)


def minimum_width(key: str) -> str | None:
    """Return the type that a key of `modules_dtype_dict` such as `minimum_6bit` stands for, or None for other keys."""
    lowered = key.lower()
    if not (lowered.startswith("minimum") or lowered.endswith(("bit", "bits"))):
        return None
    found = _MINIMUM.fullmatch(lowered)
    if found is None:
        return None
    unsigned = found[1] == "u" or int(found[2]) <= 4
    return one_name(f"{'u' if unsigned else ''}int{int(found[2])}")
