"""Tensors read by threads from the moment a load begins, while the library still builds the module.

Nothing but reading is done there: the libraries patch torch for the whole process while they load, so they stay in the
caller's thread. Each tensor is read into the memory that it will be used in, and is its taker's alone. All may lie
there before the first is taken, so this is for files whose tensors stay as they are.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aquatint.runtime.torch_engine.tensor_files import TensorFile

RUN = 64 << 20
"""Bytes that are read by one call. A thread waits up to five milliseconds before each, as Python's switching has it,
while the module is built: read one by one, small tensors would come no sooner than without threads."""

THREADS = 2
"""While one has the system provide memory for its run, the other keeps the disk busy. With a single one a component of
2.9 GB took 3.6 s from the disk, with two 2.7 s."""


class ReadAhead:
    """One file's tensors, on their way from the moment that this is made."""

    def __init__(self, file: TensorFile, reader: Executor) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._coming: dict[str, tuple[Future[None], Any]] = {}
        for names in file.runs(RUN):
            # Laid out here: a thread has a heap of its own, of small pieces. It takes no memory until it is filled.
            run = [(name, file.blank(name)) for name in names]
            future = reader.submit(file.fill, run)
            self._coming |= {name: (future, blank) for name, blank in run}

    def read(self, name: str) -> Any:
        """Return the tensor called `name` as `TensorFile.read` does, and raise what that raises."""
        with self._lock:
            coming = self._coming.pop(name, None)
        if coming is None:  # it was taken before
            return self._file.read(name)
        future, blank = coming
        future.result()
        return self._file.formed(name, blank)


@contextmanager
def read_ahead(files: Iterable[TensorFile]) -> Iterator[dict[Path, ReadAhead]]:
    """Run the body while threads read `files`, one after the other; yield what has their tensors.

    What is not read when the body ends stays unread.
    """
    reader = ThreadPoolExecutor(THREADS, "read-ahead")
    try:
        yield {file.file: ReadAhead(file, reader) for file in files}
    finally:
        # The files may be closed then.
        reader.shutdown(cancel_futures=True)
