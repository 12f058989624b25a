"""Which kind of processor computes: on another kind the last bits of a product may be others."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from aquatint.plan.keys import digest


@cache
def processor() -> str:
    """Return a hash of what the system says of its processor's kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return digest([platform.machine(), platform.processor()], 8)
    kinds = ("vendor_id", "model name", "flags", "Features", "CPU implementer", "CPU part")
    return digest([platform.machine(), *_first(lines, kinds)], 8)


def _first(lines: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the first line of each name in `names`, as far as there is one."""
    return [line for name in names for line in [next((line for line in lines if line.startswith(name)), "")] if line]
