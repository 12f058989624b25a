"""Locks on files between processes, which the kernel drops when their owner ends, however it ends.

They are `flock`'s: of the open file, so that two threads of one process exclude each other as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where the store is off
    AVAILABLE = False
else:
    AVAILABLE = True


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Run the body while nobody else runs one with the same `path`, which is made if it isn't there."""
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def share(file: IO[bytes]) -> None:
    """Hold `file` together with others until it is closed; waits for whoever holds it alone."""
    fcntl.flock(file, fcntl.LOCK_SH)


def take(file: IO[bytes] | int) -> bool:
    """Hold `file`, or what has that descriptor, until it is closed; return False at once if someone else holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def hold(file: IO[bytes] | int, path: Path) -> bool:
    """Hold `file`, just made at `path`, so that no run takes it for one that a kill left.

    Return False if one has, and removed it or is about to: between making a file and holding it there is a moment.
    """
    try:
        return not AVAILABLE or (take(file) and path.exists())
    except OSError:  # a file system without locks, where nothing is removed either
        return True
