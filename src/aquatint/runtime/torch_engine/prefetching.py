"""Files read ahead: the system's cache gets what will be loaded next, while something else is computed.

Only bytes are read here. Modules are never built in a second thread: the libraries patch torch for the whole process
while they load.
"""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from queue import SimpleQueue

from aquatint.catalog import checkpoints
from aquatint.catalog.pipelines import LOADERS, OWN
from aquatint.plan.steps import Component

_CHUNK = 8 << 20


class Prefetcher:
    """Reads the files of one component at a time."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[list[Path] | None] = SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        # One thread from the beginning: where memory has run out Python waits forever for a new one to start.
        threading.Thread(target=_work, args=(self._tasks, self._idle), name="aquatint-prefetch", daemon=True).start()
        weakref.finalize(self, self._tasks.put, None)

    def read(self, component: Component) -> bool:
        """Begin to read the component's weights, unless others are being read; return whether that is done."""
        # An adapter or a projector is small, and one file.
        if component.dtype is None or component.library in (LOADERS, OWN) or not self._idle.is_set():
            return False
        try:
            folder = checkpoints.locate(component.source, component.revision)
            files = checkpoints.weight_files(folder, component.subfolder, component.variant, component.single_file)
        except checkpoints.CheckpointError:
            return False  # loading says what is wrong
        self._idle.clear()
        self._tasks.put(files)
        return True

    def wait(self) -> None:
        """Return when nothing is being read."""
        self._idle.wait()


def _work(tasks: SimpleQueue[list[Path] | None], idle: threading.Event) -> None:
    while (files := tasks.get()) is not None:
        try:
            _read(files)
        except MemoryError:
            pass  # it is only to be faster
        finally:
            idle.set()


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
