"""Which quantized components the store may keep: backends, options and dtypes whose reload is held to be bit-equal.

`tests/engine/test_store_reload.py` goes through every line of this table. What is not in it is quantized each time:
another package's backend, an option that came with a newer version, a device that the tests don't run on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aquatint.catalog.quantizer_backends import BNB, SDNQ
from aquatint.plan.steps import Component

DEVICES = frozenset({"cpu"})
DTYPES = frozenset({"float32", "float16", "bfloat16"})

ANY = None
"""All values that the backend's checks let pass."""


@dataclass(frozen=True, slots=True)
class Covered:
    """The options of a backend with the values that are read back as they were; `ANY` for all."""

    options: Mapping[str, tuple[Any, ...] | None]

    def has(self, options: Mapping[str, Any]) -> bool:
        """Return whether all of the canonical `options` are covered."""
        return all(name in self.options and _within(self.options[name], value) for name, value in options.items())


COVERED: Mapping[str, Covered] = {
    BNB.name: Covered({
        "bits": ANY,
        "bits4_compute_dtype": ANY,
        "bits4_quant_type": ANY,
        "bits4_use_double_quant": ANY,
        # diffusers takes the shapes of all others for wrong ones.
        "bits4_quant_storage": ("uint8",),
        "llm_int8_threshold": ANY,
        "llm_int8_skip_modules": ANY,
        "llm_int8_enable_fp32_cpu_offload": ANY,
    }),
    SDNQ.name: Covered({
        "weights_dtype": ANY,
        # sdnq 0.2.8 forgets these two on loading and takes the scales for plain ones.
        "scale_dtype": (None,),
        "zero_point_dtype": (None,),
        "group_size": ANY,
        "quant_conv": ANY,
        "quant_embedding": ANY,
        "use_quantized_matmul": ANY,
        "use_quantized_matmul_conv": ANY,
        "quantized_matmul_dtype": ANY,
        "use_svd": ANY,
        "svd_rank": ANY,
        "svd_steps": ANY,
        "use_hadamard": ANY,
        "hadamard_group_size": ANY,
        "use_codebook": ANY,
        "codebook_steps": ANY,
        "use_codebook_scale": (False,),
        "use_stochastic_rounding": ANY,
        "use_dynamic_quantization": ANY,
        "dynamic_loss_threshold": ANY,
        "dequantize_fp32": ANY,
        "add_skip_keys": ANY,
        "minimum_allowed_numel": ANY,
        "minimum_allowed_channel_size": ANY,
        "modules_to_not_convert": ANY,
        "modules_to_not_use_matmul": ANY,
        "modules_dtype_dict": ANY,
        "modules_quant_config": ANY,
        "quantization_device": (None, "cpu"),
        "return_device": (None, "cpu"),
        "non_blocking": ANY,
    }),
}  # fmt: skip


def is_covered(component: Component) -> bool:
    """Return whether the store may keep `component` and give it back."""
    quantization = component.quantization
    if quantization is None or component.device not in DEVICES or component.dtype not in DTYPES:
        return False
    covered = COVERED.get(quantization.backend)
    return covered is not None and covered.has(quantization.options)


def _within(values: tuple[Any, ...] | None, value: Any) -> bool:
    return values is ANY or value in values
