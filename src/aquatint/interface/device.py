"""Which device a plan is made for when nobody says, and what is known of a device: without importing torch.

Found by the files of drivers, and of NVIDIA's memory by its own program. Not run on a machine with a GPU: only the
answers for `cpu` have been seen.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from aquatint.catalog.hardware import SHARED_MEMORY
from aquatint.runtime.free_memory import available

if TYPE_CHECKING:
    from aquatint.language.world import Hardware

# torch calls AMD's devices `cuda` too.
_DRIVERS = (("cuda", Path("/dev/nvidiactl")), ("cuda", Path("/dev/kfd")))


def default_device() -> str:
    """Return `cuda` where a driver of NVIDIA's or AMD's is loaded, `mps` on an Apple silicon Mac, else `cpu`."""
    for device, file in _DRIVERS:
        if file.exists():
            return device
    return "mps" if sys.platform == "darwin" and platform.machine() == "arm64" else "cpu"


def hardware(device: str) -> Hardware:
    """Return what can be found out of `device`: of one that this machine lacks, nothing."""
    from aquatint.language.world import Hardware

    kind, _, number = device.partition(":")
    if kind in SHARED_MEMORY:
        # Both compute in the computer's own memory.
        is_here = kind == "cpu" or default_device() == "mps"
        return Hardware(_processor() if is_here else device, _memory() if is_here else None)
    if kind != "cuda" or default_device() != "cuda":
        return Hardware(device, None)
    found = [*_nvidia(), *_amd()]
    index = int(number or 0)
    return found[index] if index < len(found) else Hardware(device, None)


def lacks(device: str) -> bool:
    """Return whether this machine is known not to have `device`; of `xpu` nothing is known here."""
    kind, _, number = device.partition(":")
    if kind in ("cpu", "xpu"):
        return False
    if kind != default_device():
        return True
    # Not run here: there is no GPU. Of those that there are, some may be hidden from torch.
    count = len([*_nvidia(), *_amd()]) if kind == "cuda" else 1
    return 0 < count <= int(number or 0)


MARGIN = 2 << 30
"""Bytes of the free memory that a plan leaves for the libraries and for computing, unless it is told what there is."""


def free_memory(device: str) -> int | None:
    """Return the bytes of `device` that nobody uses now, None where that can't be found out."""
    kind, _, number = device.partition(":")
    if kind in SHARED_MEMORY:
        return available() if kind == "cpu" or default_device() == "mps" else None
    if kind != "cuda" or default_device() != "cuda":
        return None
    # Not run here: there is no GPU.
    free = [*_nvidia_free(), *_amd_free()]
    index = int(number or 0)
    return free[index] if index < len(free) else None


def _nvidia_free() -> Iterator[int]:
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return
    yield from (int(line) << 20 for line in done.stdout.split() if line.isdigit())


def _amd_free() -> Iterator[int]:
    for file in sorted(Path("/sys/class/drm").glob("card*/device/mem_info_vram_total")):
        try:
            used = int(file.with_name("mem_info_vram_used").read_text(encoding="utf-8"))
            yield int(file.read_text(encoding="utf-8")) - used
        except (OSError, ValueError):
            continue


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: *(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine() or "cpu"


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _nvidia() -> Iterator[Hardware]:
    from aquatint.language.world import Hardware

    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return
    for line in done.stdout.splitlines():
        name, _, mebibytes = line.rpartition(",")
        yield Hardware(name.strip(), int(mebibytes) << 20 if mebibytes.strip().isdigit() else None)


def _amd() -> Iterator[Hardware]:
    from aquatint.language.world import Hardware

    for file in sorted(Path("/sys/class/drm").glob("card*/device/mem_info_vram_total")):
        product = file.with_name("product_name")
        try:
            name = product.read_text(encoding="utf-8").strip() if product.exists() else "AMD GPU"
            yield Hardware(name, int(file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
