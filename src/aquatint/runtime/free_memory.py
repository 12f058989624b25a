"""How much of the computer's memory this process could still take, as the system tells it."""

from __future__ import annotations

import re
from pathlib import Path

_STATUS = {"RLIMIT_AS": "VmSize", "RLIMIT_DATA": "VmData"}
"""Limits of a process, with the line of `/proc/self/status` that they limit."""


def available() -> int | None:
    """Return the bytes that programs could take without swapping, None where the system doesn't tell."""
    return _line(Path("/proc/meminfo"), "MemAvailable")


def left() -> int | None:
    """Return the bytes that this process can still take: what is available, within its own limits; None if unknown."""
    return min((found for found in (available(), *_within_limits()) if found is not None), default=None)


def _within_limits() -> list[int]:
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return []
    found = []
    for name, line in _STATUS.items():
        limit = resource.getrlimit(getattr(resource, name))[0]
        taken = _line(Path("/proc/self/status"), line)
        if limit != resource.RLIM_INFINITY and taken is not None:
            found.append(max(0, limit - taken))
    return found


def _line(path: Path, name: str) -> int | None:
    """Return the bytes that the line `name` of a file of the kernel's tells, in its kB."""
    try:
        found = re.search(rf"^{name}:\s*(\d+) kB$", path.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) << 10 if found else None
