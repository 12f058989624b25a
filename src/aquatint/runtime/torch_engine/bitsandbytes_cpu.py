"""bitsandbytes on a CPU: diffusers' check for a GPU lifted while a model is loaded, and unfit kernels avoided.

bitsandbytes itself has CPU kernels, and transformers uses them. diffusers raises "No GPU found" before it looks. Its
two quantizers are exchanged for subclasses that leave out that check and place the model on the CPU, for the time of a
load and only where the component goes to a CPU.

On processors with AVX512-BF16 bitsandbytes packs a 4-bit layer anew on its first use and computes in bfloat16, whatever
the compute type; layers whose sizes its packing can't divide make it fail. Those are kept on the general kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from aquatint.runtime.torch_engine.libraries import Libraries
from aquatint.runtime.torch_engine.streaming import StateDict

METHODS = ("bitsandbytes_4bit", "bitsandbytes_8bit")
PACKED_ROWS = 32  # `block_n` of bitsandbytes.functional._convert_weight_packed_for_cpu


@contextmanager
def without_gpu_check() -> Iterator[None]:
    """Run the body, which loads a diffusers model for a CPU, with quantizers that need no GPU and use none."""
    from diffusers.quantizers import auto

    originals = {method: auto.AUTO_QUANTIZER_MAPPING[method] for method in METHODS}
    auto.AUTO_QUANTIZER_MAPPING.update({method: _on_cpu(original) for method, original in originals.items()})
    try:
        yield
    finally:
        auto.AUTO_QUANTIZER_MAPPING.update(originals)


def avoid_unfit_packing(libraries: Libraries, module: Any) -> None:
    """Keep 4-bit layers that the packed kernel can't take on the general one."""
    for layer in module.modules():
        if isinstance(layer, libraries.bitsandbytes.nn.Linear4bit):
            state = layer.weight.quant_state
            if layer.out_features % PACKED_ROWS or state is None or layer.in_features % state.blocksize:
                layer.support_avx512bf16_for_cpu = False


def is_packed(libraries: Libraries, module: Any) -> bool:
    """Return whether a use of `module` has packed a 4-bit layer of it anew, which loses the exact scales."""
    layers = (layer for layer in module.modules() if isinstance(layer, libraries.bitsandbytes.nn.Linear4bit))
    return any(getattr(layer.weight.quant_state, "packing_format_for_cpu", False) for layer in layers)


@cache
def _on_cpu(quantizer: type) -> type:
    class OnCpu(quantizer):  # type: ignore[misc]  # a class of an untyped library
        def validate_environment(self, *args: Any, **kwargs: Any) -> None:
            """Accept: the packages are this program's own dependencies, and the CPU is where the model goes."""

        def update_device_map(self, device_map: Any) -> Any:
            return {"": "cpu"}

        def maybe_update_state_dict(self, state_dict: Any) -> Any:
            """Put a file's tensors with those that wait for their other half, reading none of them."""
            if not isinstance(state_dict, StateDict):
                return super().maybe_update_state_dict(state_dict)
            return StateDict(super().maybe_update_state_dict(state_dict.slices()))

        def create_quantized_param(
            self, model: Any, param_value: Any, param_name: str, target_device: Any, state_dict: Any, *more: Any,
            **options: Any,
        ) -> None:  # fmt: skip
            """Show stored 4-bit weights their own scales only: diffusers goes through all tensors for each of them."""
            if self.pre_quantized and self.quantization_config.load_in_4bit and isinstance(state_dict, StateDict):
                state_dict = state_dict.below(f"{param_name}.")
            super().create_quantized_param(model, param_value, param_name, target_device, state_dict, *more, **options)

    OnCpu.__name__ = OnCpu.__qualname__ = f"{quantizer.__name__}OnCpu"
    return OnCpu
