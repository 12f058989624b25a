"""Files read ahead: the system's cache gets what will be loaded next, while something else is computed.

Only bytes are read here. Modules are never built in a second thread: the libraries patch torch for the whole process
while they load.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from aquatint.catalog import checkpoints
from aquatint.plan.steps import Component

_CHUNK = 8 << 20


class Prefetcher:
    """Reads the files of one component at a time."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def read(self, component: Component) -> bool:
        """Begin to read the component's weights, unless others are being read; return whether that is done."""
        if component.dtype is None or (self._thread is not None and self._thread.is_alive()):
            return False
        try:
            folder = checkpoints.locate(component.source, component.revision)
            files = checkpoints.weight_files(folder, component.subfolder, component.variant)
        except checkpoints.CheckpointError:
            return False  # loading says what is wrong
        self._thread = threading.Thread(target=_read, args=(files,), name="aquatint-prefetch", daemon=True)
        self._thread.start()
        return True

    def wait(self) -> None:
        """Return when nothing is being read."""
        if self._thread is not None:
            self._thread.join()


def _read(files: list[Path]) -> None:
    scratch = memoryview(bytearray(_CHUNK))
    for file in files:
        try:
            with open(file, "rb", buffering=0) as stream:
                if hasattr(os, "posix_fadvise"):
                    os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
                while stream.readinto(scratch):
                    pass
        except OSError:
            return  # loading says what is wrong
