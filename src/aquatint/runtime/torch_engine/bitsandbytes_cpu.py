"""bitsandbytes in diffusers models on a CPU: the check for a GPU, lifted while a model is loaded.

bitsandbytes itself has CPU kernels, and transformers uses them. diffusers raises "No GPU found" before it looks. Its
two quantizers are exchanged for subclasses that leave out that check and place the model on the CPU; with a GPU in the
machine, and outside a load, nothing is exchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from aquatint.runtime.torch_engine.libraries import Libraries

METHODS = ("bitsandbytes_4bit", "bitsandbytes_8bit")


@contextmanager
def without_gpu_check(libraries: Libraries) -> Iterator[None]:
    """Run the body with quantizers that accept a machine without a GPU; do nothing where there is one."""
    if has_gpu(libraries.torch):
        yield
        return
    from diffusers.quantizers import auto

    originals = {method: auto.AUTO_QUANTIZER_MAPPING[method] for method in METHODS}
    auto.AUTO_QUANTIZER_MAPPING.update({method: _on_cpu(original) for method, original in originals.items()})
    try:
        yield
    finally:
        auto.AUTO_QUANTIZER_MAPPING.update(originals)


def has_gpu(torch: Any) -> bool:
    """Return whether torch sees any device that diffusers' check accepts."""
    return bool(
        torch.cuda.is_available()
        or (hasattr(torch, "xpu") and torch.xpu.is_available())
        or torch.backends.mps.is_available()
    )


@cache
def _on_cpu(quantizer: type) -> type:
    class OnCpu(quantizer):  # type: ignore[misc, valid-type]  # a class of an untyped library
        def validate_environment(self, *args: Any, **kwargs: Any) -> None:
            """Accept: the packages are this program's own dependencies, and the CPU is where the model goes."""

        def update_device_map(self, device_map: Any) -> Any:
            return {"": "cpu"}

    OnCpu.__name__ = OnCpu.__qualname__ = f"{quantizer.__name__}OnCpu"
    return OnCpu
