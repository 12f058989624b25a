"""Which quantized components the store may keep: those whose reload is held to be bit-equal by a test.

`tests/engine/test_store_reload.py` goes through every name in here. What isn't here is quantized each time: another
package's backend, an option that came with a newer version, a device that the tests don't run on.
"""

from __future__ import annotations

from collections.abc import Mapping

from aquatint.catalog.bnb import BNB
from aquatint.catalog.sdnq import SDNQ
from aquatint.catalog.stored import unreadable
from aquatint.plan.steps import Component, Json

LIBRARIES = frozenset({"diffusers", "transformers"})
DTYPES = frozenset({"float32", "float16", "bfloat16"})
DEVICES = frozenset({"cpu"})

OPTIONS: Mapping[str, frozenset[str]] = {
    BNB.name: frozenset({
        "bits", "bits4_compute_dtype", "bits4_quant_type", "bits4_use_double_quant", "bits4_quant_storage",
        "llm_int8_threshold", "llm_int8_skip_modules", "llm_int8_enable_fp32_cpu_offload",
    }),
    SDNQ.name: frozenset({
        "weights_dtype", "scale_dtype", "zero_point_dtype", "group_size", "quant_conv", "quant_embedding",
        "use_quantized_matmul", "use_quantized_matmul_conv", "quantized_matmul_dtype", "use_svd", "svd_rank",
        "svd_steps", "use_hadamard", "hadamard_group_size", "use_codebook", "codebook_steps", "use_codebook_scale",
        "use_stochastic_rounding", "use_dynamic_quantization", "dynamic_loss_threshold", "dequantize_fp32",
        "add_skip_keys", "minimum_allowed_numel", "minimum_allowed_channel_size", "modules_to_not_convert",
        "modules_to_not_use_matmul", "modules_dtype_dict", "modules_quant_config", "quantization_device",
        "return_device", "non_blocking",
    }),
}  # fmt: skip
"""The options of each backend that are covered, with every value but these and those that `unreadable` names."""

_ONLY: Mapping[str, tuple[Json, ...]] = {
    "quantization_device": (None, *DEVICES),
    "return_device": (None, *DEVICES),
    # sdnq 0.2.8 rounds as ever after a reload, which decides what a quantized product gives.
    "use_stochastic_rounding": (False,),
}


def is_covered(component: Component) -> bool:
    """Return whether the store may keep `component` and give it back."""
    quantization = component.quantization
    if quantization is None:
        return False
    options = quantization.options
    return (
        component.library in LIBRARIES
        and component.dtype in DTYPES
        and component.device in DEVICES
        and options.keys() <= OPTIONS.get(quantization.backend, frozenset())
        and all(_is_plain(each) for each in (options, *(options.get("modules_quant_config") or {}).values()))
        and not unreadable(quantization.backend, options, component.library)
    )


def _is_plain(options: Mapping[str, Json]) -> bool:
    return all(options[name] in values for name, values in _ONLY.items() if name in options)
