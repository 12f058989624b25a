"""Whether this machine has a device, by torch's name for it, and what is taken of its memory."""

from __future__ import annotations

from typing import Any

from aquatint.runtime.engine import DeviceMemory


def has_device(torch: Any, device: str) -> bool:
    """Return whether there is `device`, such as "cpu" or "cuda:1"; ROCm's devices are called cuda, too."""
    kind, _, number = device.partition(":")
    try:
        # Not run here for GPUs beyond the answer no: there is none.
        count = torch.get_device_module(kind).device_count()
    except (AssertionError, AttributeError, RuntimeError):
        return False  # a kind that this torch doesn't know, or was made without
    return int(number or 0) < int(count)


def memory(torch: Any, device: str, afresh: bool) -> DeviceMemory | None:
    """Return what tensors take of `device`, and the most since the peak was begun `afresh`; None where none tells."""
    kind = device.partition(":")[0]
    if kind not in ("cuda", "xpu"):
        return None
    # Not run here: there is no GPU.
    of_kind = getattr(torch, kind)
    if afresh:
        of_kind.reset_peak_memory_stats(device)
    return DeviceMemory(of_kind.memory_allocated(device), of_kind.max_memory_allocated(device))


def name(torch: Any, device: str) -> str:
    """Return what kind of thing `device` is, as its driver calls it; the name of the device itself for others."""
    kind = device.partition(":")[0]
    # Not run here: there is no GPU.
    return str(getattr(torch, kind).get_device_name(device)) if kind in ("cuda", "xpu") else kind
