"""bitsandbytes on a CPU: diffusers' check for a GPU lifted while a model is loaded, quantizing that stays in the
processor's cache, and unfit kernels avoided.

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
from types import SimpleNamespace
from typing import Any

from aquatint.runtime.torch_engine.libraries import Libraries
from aquatint.runtime.torch_engine.streaming import StateDict

METHODS = ("bitsandbytes_4bit", "bitsandbytes_8bit")
AT_ONCE = 1 << 18
"""Weights that are quantized at a time: a multiple of every block size, whose intermediate floats fit a cache. A weight
of SDXL's takes a fifth of the time in 8 bits, and two thirds of it in 4."""

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


@contextmanager
def in_parts(torch: Any) -> Iterator[None]:
    """Run the body, which quantizes on a CPU, with each weight quantized in parts of some rows or blocks.

    bitsandbytes' kernels for the CPU are written in torch's operations, each of which goes through the whole weight in
    float32. Rows and blocks don't know of each other, so the bits are the same.
    """
    operations = torch.ops.bitsandbytes
    rowwise, blockwise = operations.int8_vectorwise_quant, operations.quantize_4bit

    def int8_vectorwise_quant(weight: Any, threshold: float = 0.0) -> Any:
        if threshold or weight.dim() != 2 or weight.device.type != "cpu" or not weight.numel():
            return rowwise.default(weight, threshold)
        parts = [rowwise.default(part) for part in weight.split(max(1, AT_ONCE // weight.shape[1]))]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts]), None

    def quantize_4bit(weight: Any, blocksize: int, quant_type: str, quant_storage: Any) -> Any:
        if weight.device.type != "cpu" or not weight.numel():
            return blockwise.default(weight, blocksize, quant_type, quant_storage)
        parts = [
            blockwise.default(part, blocksize, quant_type, quant_storage)
            for part in weight.reshape(-1).split(AT_ONCE)
        ]  # fmt: skip
        return tuple(torch.cat(each) for each in zip(*parts, strict=True))

    # Stands for an operation: the library calls its one overload.
    operations.int8_vectorwise_quant = SimpleNamespace(default=int8_vectorwise_quant)
    operations.quantize_4bit = SimpleNamespace(default=quantize_4bit)
    try:
        yield
    finally:
        operations.int8_vectorwise_quant, operations.quantize_4bit = rowwise, blockwise


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
