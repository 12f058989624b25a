"""The bytes that a layer comes to with sdnq: packed weights, scales and zero points, low-rank factors, codebooks.

Follows `sdnq.quantizer.sdnq_quantize_layer_weight` of sdnq 0.2.8. Which layers it takes is in `sdnq_layers`. A dynamic
quantization chooses the type by the weights themselves, so of it only the least and the most can be said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any

from aquatint.catalog.layers import WIDTHS, Held, Holding, Layer, Unfit, sdnq_order
from aquatint.catalog.sdnq_layers import CONVOLUTIONS, EMBEDDINGS, TRANSPOSED, channels, left, loaded_as, recipe
from aquatint.catalog.sdnq_types import BITS

MATMUL_LEAST, MATMUL_MULTIPLE = 32, 16
"""Least size of both sides of a layer, and what they must be multiples of, for a quantized matrix product."""

# Stored as they are, one number in one element; all others are packed.
_PLAIN = frozenset({
    "int8", "uint8", "int16", "uint16", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz",
    "float8_e5m2fnuz", "float8_e8m0fnu", "int32", "uint32", "float32",
})  # fmt: skip
# Above this a scale in half precision would be no normal number, so that it stays in float32.
_LARGEST_WITH_HALF_SCALES = 16384


def held(options: Mapping[str, Any], layer: Layer) -> Holding:
    """Return what `layer` comes to with the canonical `options` of `sdnq`."""
    if (untouched := left(options, layer)) is not None:
        return untouched
    settled = recipe(options, layer)
    first = _quantized(settled, layer)
    if _is_cast_to_its_weights(layer) and (settled["weights_dtype"] != "int8" or settled["use_dynamic_quantization"]):
        return Unfit(
            "its class turns inputs into the type that the weights are stored in, unless that is `int8`",
            f'leave `add_skip_keys` on, or write `modules_dtype_dict: {{ "int8": ["{_CAST}"] }}`',
        )
    if isinstance(first, Unfit) or not settled["use_dynamic_quantization"]:
        return first
    order = sdnq_order()
    later = order[order.index(settled["weights_dtype"]) :] if settled["weights_dtype"] in order else ()
    if settled["use_codebook"]:
        later = tuple(name for name in later if name.startswith("uint"))
    choices = [_quantized(settled | {"weights_dtype": name}, layer) for name in later]
    sizes = [first.least, *(choice.least for choice in choices if isinstance(choice, Held))]
    # Where no type is exact enough the layer stays as it is.
    return Held(min(sizes), max(*sizes, layer.bytes))


_CAST = "wo"


def _is_cast_to_its_weights(layer: Layer) -> bool:
    """Return whether the layer's class turns its inputs into the type of the weight, as T5 and its kin do with `wo`.

    `T5DenseGatedActDense.forward` of transformers 5.23; it knows bitsandbytes' `int8` for a type that means another.
    """
    return (
        not layer.network.is_diffusers
        and layer.name.rpartition(".")[2] == _CAST
        and _CAST in layer.network.facts.float32
    )


def _quantized(settled: Mapping[str, Any], layer: Layer) -> Held | Unfit:
    """Return the bytes of one layer whose options are decided."""
    dtype, rank = settled["weights_dtype"], 0
    if settled["use_svd"]:
        # What torch.svd_lowrank makes of a rank above a side.
        rank = min(settled["svd_rank"], layer.shape[0], layer.numel // layer.shape[0])
    product = _Product.of(settled, layer)
    groups = _groups(_group_size(settled, layer, product, rank), channels(layer))
    if (unfit := _unfit(layer, product, groups)) is not None:
        return unfit
    if dtype == "bfloat16" and product.is_quantized and product.is_float and product.bits == 16:
        # The scales are the least numbers that there are, so the weights are the greatest.
        return Unfit("float16, in which it would be multiplied, has no room for its weights as sdnq stores `bfloat16`",
                     "set `quantized_matmul_dtype: int8`, or store the weights as `float16`")  # fmt: skip
    weights = _packed(dtype, layer.numel)
    if weights is None:
        return Unfit(f"{layer.numel} weights can't be packed as `{dtype}`", _PACKING_HELP)
    scales = _scales(settled, layer, product, groups)
    if isinstance(scales, Unfit):
        return scales
    factors = (layer.shape[0] + layer.numel // layer.shape[0]) * rank * WIDTHS[loaded_as(layer)]
    size = weights + scales + factors
    return Held(size, size)


_PACKING_HELP = (
    "leave it out by `modules_to_not_convert`, or give it `int8`, which isn't packed, by `modules_dtype_dict`"
)


@dataclass(frozen=True, slots=True)
class _Product:
    """How a layer's matrix product is computed: whether quantized, and whether on the weights as they are stored."""

    is_quantized: bool
    requantizes: bool
    is_flat: bool  # a convolution's weight is made a matrix first
    is_float: bool
    bits: int

    @property
    def is_direct(self) -> bool:
        """Whether the product takes the stored weights as they are."""
        return self.is_quantized and not self.requantizes

    @classmethod
    def of(cls, settled: Mapping[str, Any], layer: Layer) -> _Product:
        dtype = settled["weights_dtype"]
        wanted = settled["quantized_matmul_dtype"] or _matmul_dtype(dtype)
        bits, is_float = BITS[wanted], wanted.startswith("float")
        fits = layer.kind in CONVOLUTIONS | {"Linear"} and all(
            side >= MATMUL_LEAST and side % MATMUL_MULTIPLE == 0 for side in layer.shape[:2]
        )
        requantizes = bool(
            settled["use_codebook"] or settled["scale_dtype"] or settled["zero_point_dtype"]
            or BITS[dtype] > bits or _is_integer(dtype) == is_float or (_is_unsigned(dtype) and is_float)
            or (not _is_integer(dtype) and is_float and dtype not in _PLAIN
                and (BITS[dtype] >= bits or _largest(dtype) > _largest(wanted)))
        )  # fmt: skip
        is_quantized = bool(settled["use_quantized_matmul"]) and fits
        is_flat = is_quantized and not requantizes and dtype in _PLAIN and layer.kind in CONVOLUTIONS
        return cls(is_quantized, requantizes, is_flat, is_float, bits)


def _group_size(settled: Mapping[str, Any], layer: Layer, product: _Product, rank: int) -> int:
    """Return how many weights share a scale; -1 is a row, -2 the whole tensor."""
    bits = BITS[settled["weights_dtype"]]
    if settled["group_size"] != 0:
        return int(settled["group_size"])
    if product.is_direct and bits >= 6:
        return -1
    more = (layer.kind == "Linear") + bool(rank) + 3 * bool(settled["use_codebook"])
    return 1 << (1 + bits + more)


def _groups(group: int, width: int) -> int:
    """Return into how many groups a row of `width` goes: the nearest number of them, from above, that divides it.

    0 stands for one scale in all.
    """
    if group == -2:
        return 0
    if group < 0 or group >= width:
        return 1
    count = width // group
    while count * group != width:
        count -= 1
        if count <= 1:
            return 1
        group = width // count
    return count


def _unfit(layer: Layer, product: _Product, groups: int) -> Unfit | None:
    """Return why sdnq fails with groups of this size: while it quantizes, or later when the layer is used."""
    if groups > 1 and layer.kind in TRANSPOSED and layer.shape[0] != layer.shape[1]:
        why = "sdnq can't split the rows of a transposed convolution that has more channels on one side"
        return Unfit(why, "set `group_size: -1`")
    if groups == 0 and layer.kind in EMBEDDINGS:
        return Unfit("sdnq can't read rows of an embedding that has one scale for all", "set `group_size: -1`")
    if layer.kind in CONVOLUTIONS and product.is_quantized:
        is_wide = layer.numel != layer.shape[0] * layer.shape[1]
        if product.is_flat and groups > 1 and is_wide:
            return Unfit("sdnq can't split the rows of a convolution that it multiplies as it is stored", _PRODUCT_HELP)
        if not product.is_flat and groups <= 1:
            return Unfit("sdnq forgets the shape of a convolution that it multiplies in one group", _PRODUCT_HELP)
    return None


_PRODUCT_HELP = "leave `use_quantized_matmul_conv` out, or name such layers in `modules_to_not_use_matmul`"


def _scales(settled: Mapping[str, Any], layer: Layer, product: _Product, groups: int) -> int | Unfit:
    """Return the bytes of scales, zero points, and what they are quantized with in turn."""
    dtype = settled["weights_dtype"]
    if groups == 0:
        count = 1
    elif product.is_flat:
        count = layer.shape[0] * groups
    else:
        count = layer.numel // channels(layer) * groups
    if settled["use_codebook"]:
        count *= 2 ** BITS[dtype]
    for_scales = settled["scale_dtype"]
    kinds = [for_scales]
    if _is_unsigned(dtype) and not settled["use_codebook"]:
        kinds.append(settled["zero_point_dtype"] or for_scales)
    width = WIDTHS[loaded_as(layer)] if _casts_scales(settled, product) else 4
    total = 0
    for kind in kinds:
        if kind is None:
            total += count * width
            continue
        packed = _packed(kind, count)
        if packed is None:
            return Unfit(f"its {count} scales can't be packed as `{kind}`", "use `int8` for scales, which isn't packed")
        levels = 2 ** BITS[kind] if settled["use_codebook_scale"] else 1 + _is_unsigned(kind)
        total += packed + 4 * levels
    return total


def _casts_scales(settled: Mapping[str, Any], product: _Product) -> bool:
    """Return whether the scales have the component's own type rather than float32."""
    return bool(
        not settled["dequantize_fp32"] and not settled["scale_dtype"] and not settled["zero_point_dtype"]
        and _largest(settled["weights_dtype"]) <= _LARGEST_WITH_HALF_SCALES
        and not (product.is_quantized and product.is_float and product.bits == 16)
    )  # fmt: skip


def _packed(dtype: str, count: int) -> int | None:
    """Return the bytes of `count` numbers, or None where they don't fill the words that they are packed in."""
    bits = BITS[dtype]
    if dtype in _PLAIN or bits in (8, 16):
        return count * bits // 8
    word = 8 if bits < 8 else 16
    if count % (word // gcd(word, bits)):
        return None
    # One bit each, but sdnq leaves eight of them in an int64.
    return count if bits == 1 else count * bits // 8


def _matmul_dtype(weights_dtype: str) -> str:
    if _is_integer(weights_dtype):
        return "uint8" if weights_dtype == "uint8" else "int8"
    return "float8_e4m3fn" if BITS[weights_dtype] < 16 else "float16"


def _is_integer(dtype: str) -> bool:
    return "int" in dtype


def _is_unsigned(dtype: str) -> bool:
    return dtype.startswith("uint") or dtype.endswith("fnu")


_FLOAT = re.compile(r"_e(\d+)m(\d+)")
_LARGEST = {
    "float8_e4m3fn": 448.0, "float8_e4m3fnuz": 240.0, "float16": 65504.0, "bfloat16": 3.4e38, "float32": 3.4e38,
    "float8_e8m0fnu": 1.7e38,
}  # fmt: skip


def _largest(dtype: str) -> float:
    """Return the largest number of a type: `2^(n - 1) - 1`, or that of a float without infinities."""
    if dtype in _LARGEST:
        return _LARGEST[dtype]
    if _is_integer(dtype):
        return float(2 ** (BITS[dtype] - (not _is_unsigned(dtype))) - 1)
    exponent, mantissa = map(int, _FLOAT.findall(dtype)[0])
    return float(2**2 ** (exponent - 1) * (2 - 2.0**-mantissa))
