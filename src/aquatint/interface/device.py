"""Which device a plan is made for when nobody says: found by files of the drivers, without importing torch.

Not run on a machine with a GPU: only the last answer, `cpu`, has been seen.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

# torch calls AMD's devices `cuda` too.
_DRIVERS = (("cuda", Path("/dev/nvidiactl")), ("cuda", Path("/dev/kfd")))


def default_device() -> str:
    """Return `cuda` where a driver of NVIDIA's or AMD's is loaded, `mps` on an Apple silicon Mac, else `cpu`."""
    for device, file in _DRIVERS:
        if file.exists():
            return device
    return "mps" if sys.platform == "darwin" and platform.machine() == "arm64" else "cpu"
