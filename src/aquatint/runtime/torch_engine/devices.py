"""Whether this machine has a device, by torch's name for it."""

from __future__ import annotations

from typing import Any


def has_device(torch: Any, device: str) -> bool:
    """Return whether there is `device`, such as "cpu" or "cuda:1"; ROCm's devices are called cuda, too."""
    kind, _, number = device.partition(":")
    # Not run here beyond the answer no: there is no GPU.
    count = {
        "cpu": lambda: 1,
        "cuda": torch.cuda.device_count,
        "mps": lambda: int(torch.backends.mps.is_available()),
        "xpu": lambda: torch.xpu.device_count() if hasattr(torch, "xpu") else 0,
    }.get(kind)
    return count is not None and int(number or 0) < count()
