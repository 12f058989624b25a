"""What the files of a checkpoint hold, to the last byte: a hash of each, remembered as long as the file is untouched.

A component's identity in a plan samples large files, which tells the usual changes apart and not every possible one:
a fine-tune that changes a few late bytes of a tensor has the same. What is kept for weeks has to be told apart for
certain. A file counts as untouched while its device, inode, size and both times stay; one that changed a moment before
it was hashed is hashed again next time, since a clock's tick may hide a second change.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

import msgspec
import xxhash

from aquatint.plan.steps import Record
from aquatint.runtime.store.manifest import file_hash

SETTLED = 2.0
"""Seconds without a change after which a file's times are believed: the coarsest clock of a file system, FAT's."""

WORTHWHILE = 1 << 20
"""Bytes of a file from which on its hash is remembered; smaller ones are read each time."""


class Changed(Exception):
    """A file changed while it was looked at."""


class Stamp(Record, frozen=True):
    """What tells that a file was not touched: the kernel's account of it, times in nanoseconds."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


class _Known(Record, frozen=True):
    path: str
    stamp: Stamp
    xxh3: str


def stamps(files: Iterable[Path]) -> dict[Path, Stamp]:
    """Return the stamp of each file."""
    return {file: stamp(file) for file in files}


def stamp(file: Path) -> Stamp:
    """Return the stamp of `file`, links followed."""
    status = os.stat(file)
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def content(files: Mapping[Path, Stamp], root: Path, memory: Path) -> str:
    """Return one hash of the names below `root` and the bytes of `files`; raise `Changed` if a stamp isn't true now.

    Where a file is that isn't below `root` is no matter.

    `memory` is the folder in which hashes are remembered; without it, all is hashed anew.
    """
    total = xxhash.xxh3_128()
    for file, before in sorted(files.items()):
        found = _remembered(file, before, memory)
        if found is None:
            found = file_hash(file)
            if stamp(file) != before:
                raise Changed(str(file))
            _remember(file, before, found, memory)
        elif stamp(file) != before:
            raise Changed(str(file))
        name = file.relative_to(root).as_posix() if file.is_relative_to(root) else None
        total.update(msgspec.json.encode([name, before.size, found]))
    return total.hexdigest()


def forget(memory: Path) -> int:
    """Remove from `memory` what is about files that are gone or were touched; return how many that were."""
    removed = 0
    with suppress(FileNotFoundError):
        for name in os.listdir(memory):
            known = _read(memory / name)
            with suppress(OSError):
                if known is not None and stamp(Path(known.path)) == known.stamp:
                    continue
            with suppress(FileNotFoundError):
                (memory / name).unlink()
                removed += 1
    return removed


def _place(file: Path, memory: Path) -> Path:
    return memory / f"{xxhash.xxh3_128_hexdigest(os.fsencode(file.absolute()))}.json"


def _remembered(file: Path, now: Stamp, memory: Path) -> str | None:
    known = _read(_place(file, memory))
    return known.xxh3 if known is not None and known.path == str(file.absolute()) and known.stamp == now else None


def _read(place: Path) -> _Known | None:
    try:
        return msgspec.json.decode(place.read_bytes(), type=_Known)
    except (OSError, msgspec.DecodeError):
        return None


def _remember(file: Path, now: Stamp, xxh3: str, memory: Path) -> None:
    if now.size < WORTHWHILE or time.time() - max(now.modified, now.changed) / 1e9 < SETTLED:
        return
    place = _place(file, memory)
    temporary = place.with_suffix(f".{token_hex(4)}.tmp")
    # A memory that can't be written costs time and nothing else.
    with suppress(OSError):
        try:
            temporary.write_bytes(msgspec.json.encode(_Known(str(file.absolute()), now, xxh3)))
            os.replace(temporary, place)
        finally:
            temporary.unlink(missing_ok=True)
