"""How much memory this process takes: now, and at most while it is watched.

What a device holds is the engine's to know. Nothing here imports a library that computes.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_STATM = Path("/proc/self/statm")

INTERVAL = 0.05
"""Seconds between two looks. One takes some 20 microseconds."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of this process in memory, as the system counts them.

    `resident` has the pages of files that are mapped, which the system may drop at any time; `own` is without them, and
    None where the system doesn't tell them apart.
    """

    resident: int
    own: int | None


Probe = Callable[[], Usage | None]
"""Returns the memory that is taken now; None where that can't be told."""


def usage() -> Usage | None:
    """Return what this process takes now, or None where neither the system nor psutil tells."""
    return _from_proc() or _from_psutil()


def _from_proc() -> Usage | None:
    """Return what Linux tells."""
    try:
        _, resident, shared, *_ = map(int, _STATM.read_text().split())
    except (OSError, ValueError):
        return None
    return Usage(resident * mmap.PAGESIZE, (resident - shared) * mmap.PAGESIZE)


def _from_psutil() -> Usage | None:
    """Return what psutil tells, which is for the systems without `/proc`."""
    try:
        import psutil
    except ImportError:
        return None
    return Usage(psutil.Process().memory_info().rss, None)


class Meter:
    """The memory that is taken above a baseline, and its peak from `begin` to `end`.

    The baseline is what is taken when a meter is made. Between calls a thread looks, for what a load takes and gives
    back again would never be seen otherwise.
    """

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self.baseline = probe()
        self.peak = self.baseline
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Forget the peak that there was, and look again and again from now on."""
        self.end()
        self.peak = None
        if self.now() is None:
            return
        self._over.clear()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look for the last time; `peak` stays."""
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            self._thread = None
            self.now()

    def now(self) -> Usage | None:
        """Return what is taken now."""
        found = self._probe()
        if found is not None:
            with self._lock:
                self.peak = found if self.peak is None else _higher(self.peak, found)
        return found

    def above(self) -> Usage | None:
        """Return by how much the peak is above the baseline; None if nothing was measured."""
        if self.peak is None or self.baseline is None:
            return None
        own = None
        if self.peak.own is not None and self.baseline.own is not None:
            own = max(0, self.peak.own - self.baseline.own)
        return Usage(max(0, self.peak.resident - self.baseline.resident), own)

    def _watch(self) -> None:
        while not self._over.wait(INTERVAL):
            self.now()


def _higher(one: Usage, other: Usage) -> Usage:
    own = None if one.own is None or other.own is None else max(one.own, other.own)
    return Usage(max(one.resident, other.resident), own)
