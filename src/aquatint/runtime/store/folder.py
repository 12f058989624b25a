"""A store's folder: entries come into being whole or not at all, are read while nobody removes them, and make room.

    entries/ADDRESS/    one component, as the libraries store it, or one embedding, with its manifest
    unfinished/NAME/    being written, or being removed; NAME.lock is held by the writer while it lives
    contents/           what checkpoint files hold (`contents.py`)
    unfit/PREFIX        components that the libraries don't read back as they were written
    lock                held for the moments in which an entry appears or disappears

A process may be killed at any point: the kernel lets go of its locks, what it had not finished stays in `unfinished`,
and whoever writes next sweeps that out. Methods raise `OSError` where the disk refuses.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from aquatint.runtime.store import contents, locks, manifest
from aquatint.runtime.store.manifest import About, Damaged, Manifest

BUDGET = 20 << 30
MINIMUM = 64 << 20
RESERVE = 1 << 30
"""Bytes: a run still has to write its pictures."""

# https://bford.info/cachedir/: programs that make backups leave such a folder out.
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# What aquatint has made and can make again.\n"


class NoRoom(Exception):
    """An entry does not fit; the message says into what."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it lies there. `manifest` is None and `damage` says why where that can't be read.

    `bytes` are those on the disk, `used` is the time of the last use in seconds since 1970.
    """

    address: str
    folder: Path
    manifest: Manifest | None
    damage: str | None
    bytes: int
    used: float


@dataclass(frozen=True, slots=True)
class Reading:
    """An entry that is not removed while it is held; `folder` has the libraries' own files."""

    folder: Path
    manifest: Manifest

    def used(self) -> None:
        """Note that the entry was of use now."""
        with suppress(OSError):  # a store that can't be written can still be read
            os.utime(self.folder / manifest.NAME)

    def look_over(self, whole: bool = False) -> None:
        """Raise `Damaged` unless the entry's files are those that were written, with `whole` to the last byte."""
        manifest.look_over(self.folder, self.manifest, whole)


@dataclass(frozen=True, slots=True)
class Swept:
    """What was removed: entries with the reason, and folders that nobody was going to finish."""

    entries: tuple[tuple[Entry, str], ...] = ()
    leftovers: int = 0


@dataclass(frozen=True, slots=True)
class Store:
    """A store in `folder`: at most `budget` bytes, of components that take at least `minimum` once loaded.

    `reserve` bytes of the disk are left free.
    """

    folder: Path
    budget: int = BUDGET
    minimum: int = MINIMUM
    reserve: int = RESERVE

    @property
    def contents(self) -> Path:
        """The folder of what is known about the content of checkpoint files."""
        return self.folder / "contents"

    def has_like(self, prefix: str) -> bool:
        """Return whether there is an entry whose address begins with `prefix`."""
        try:
            return any(name.startswith(prefix) for name in os.listdir(self._entries))
        except FileNotFoundError:
            return False

    @contextmanager
    def reading(self, address: str) -> Iterator[Reading | None]:
        """Hold the entry at `address`, None if there is none; raise `Damaged` where it is not one any more."""
        folder = self._entries / address
        try:
            file = open(folder / manifest.NAME, "rb")  # noqa: SIM115  # closed below, when the entry is let go
        except FileNotFoundError:
            if folder.is_dir():
                raise Damaged("its manifest is missing") from None
            yield None
            return
        with file:
            locks.share(file)
            if not _is_at(file, folder):  # it was removed before the lock was there
                yield None
                return
            yield Reading(folder, manifest.read(folder))

    def keep(self, address: str, about: About, size: int, fill: Callable[[Path], None]) -> bool:
        """Make the entry `address` of what `fill` writes into the empty folder that it is given, about `size` bytes.

        Returns False where there is such an entry already. Raises `NoRoom`, `OSError`, and what `fill` raises;
        nothing of the entry is there then.
        """
        self.make_room(size)
        added = self.add(address, about, fill)
        if added:
            self._shrink(self.budget, spare=address)
        return added

    def add(self, address: str, about: About, fill: Callable[[Path], None]) -> bool:
        """Make the entry as `keep` does, in the room that `make_room` has made: that looks at all that is there."""
        with self._unfinished() as folder:
            fill(folder)
            manifest.written(folder, address, about, time.time())
            with self._alone():
                if (self._entries / address).exists():
                    return False
                os.rename(folder, self._entries / address)
                manifest.sync(self._entries)
        return True

    def is_unfit(self, prefix: str) -> bool:
        """Return whether what has addresses that begin with `prefix` is known not to load as it was stored."""
        return (self._unfit / prefix).exists()

    def mark_unfit(self, prefix: str) -> None:
        """Note that what has addresses that begin with `prefix` does not load as it was stored."""
        self._unfit.mkdir(exist_ok=True, mode=0o700)
        (self._unfit / prefix).touch()

    def make_room(self, size: int) -> None:
        """Remove what was used longest ago until `size` bytes more are within the budget; raise `NoRoom`."""
        if size > self.budget:
            raise NoRoom(f"it takes more than the store's budget of {self.budget / (1 << 30):.1f} GiB")
        self.prepare()
        self.sweep()
        self._shrink(self.budget - size)
        if sum(entry.bytes for entry in self.entries()) > self.budget - size:
            raise NoRoom("the rest of the store's budget is in use")
        if shutil.disk_usage(self.folder).free < size + self.reserve:
            raise NoRoom("the disk is nearly full")

    def discard(self, address: str, read: Manifest | None) -> None:
        """Remove the entry at `address`, whose manifest was `read`, None where it couldn't be.

        One that somebody else has put there since stays.
        """
        folder = self._entries / address
        with self._alone(), suppress(FileNotFoundError):
            try:
                is_another = manifest.read(folder) != read
            except Damaged:
                is_another = False
            if not is_another:
                self._set_aside(folder)
        self.sweep()

    def collect(self, reason: Callable[[Entry], str | None]) -> Swept:
        """Remove what `reason` says, what is over the budget, what was left unfinished, and notes of no more use."""
        if not self.folder.is_dir():
            return Swept()
        swept = self.remove(reason)
        over = [(entry, "over the budget") for entry in self._shrink(self.budget)]
        contents.forget(self.contents)
        # Another version of a library may read back what this one's predecessor didn't.
        shutil.rmtree(self._unfit, ignore_errors=True)
        return Swept((*swept.entries, *over), swept.leftovers)

    def entries(self) -> list[Entry]:
        """Return the entries, the last used first."""
        found: list[Entry] = []
        with suppress(FileNotFoundError):
            for name in os.listdir(self._entries):
                with suppress(FileNotFoundError):  # removed meanwhile
                    found.append(_entry(self._entries / name))
        return sorted(found, key=lambda entry: (-entry.used, entry.address))

    def remove(self, reason: Callable[[Entry], str | None]) -> Swept:
        """Remove the entries for which `reason` says one, unless they are being read, and what was left unfinished."""
        if not self.folder.is_dir():
            return Swept()
        removed: list[tuple[Entry, str]] = []
        with self._alone():
            for entry in self.entries():
                why = reason(entry)
                if why is not None and self._unused(entry.folder):
                    removed.append((entry, why))
        return Swept(tuple(removed), self.sweep() - len(removed))

    def sweep(self) -> int:
        """Remove what writers that are no more left unfinished; return how many folders that were."""
        dead: list[Path] = []
        with self._alone():
            with suppress(FileNotFoundError):
                for name in sorted(os.listdir(self._unfinished_folder)):
                    path = self._unfinished_folder / name
                    if path.suffix == ".lock":
                        if not path.with_suffix("").exists() and _ownerless(path):
                            path.unlink()
                    elif _ownerless(path.with_name(name + ".lock")):
                        dead.append(path)
            # Inside the lock, so that what one counts no other does.
            for path in dead:
                shutil.rmtree(path, ignore_errors=True)
                path.with_name(path.name + ".lock").unlink(missing_ok=True)
        return len(dead)

    @property
    def _entries(self) -> Path:
        return self.folder / "entries"

    @property
    def _unfit(self) -> Path:
        return self.folder / "unfit"

    @property
    def _unfinished_folder(self) -> Path:
        return self.folder / "unfinished"

    def prepare(self) -> None:
        """Make the store's folders."""
        # For the user alone: whoever can write here decides what is loaded.
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self._entries, self._unfinished_folder, self.contents):
            folder.mkdir(exist_ok=True, mode=0o700)
        tag = self.folder / "CACHEDIR.TAG"
        if not tag.exists():
            tag.write_text(_TAG)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with locks.alone(self.folder / "lock"):
            yield

    @contextmanager
    def _unfinished(self) -> Iterator[Path]:
        """Hold an empty folder, which is removed afterwards if it is still there."""
        name = secrets.token_hex(8)
        folder, lock = self._unfinished_folder / name, self._unfinished_folder / f"{name}.lock"
        with self._alone():
            # Together: a folder whose lock is not held yet would look like one that a killed process left.
            held = open(lock, "xb")  # noqa: SIM115  # held until the folder is done with
            locks.take(held)
            folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
            held.close()

    def _shrink(self, limit: int, spare: str | None = None) -> list[Entry]:
        """Remove what was used longest ago until the entries take at most `limit` bytes; return what was removed."""
        removed: list[Entry] = []
        with self._alone():
            there = self.entries()
            total = sum(entry.bytes for entry in there)
            for entry in reversed(there):
                if total <= limit:
                    break
                if entry.address != spare and self._unused(entry.folder):
                    total -= entry.bytes
                    removed.append(entry)
        self.sweep()
        return removed

    def _unused(self, folder: Path) -> bool:
        """Set `folder` aside unless someone reads it; return whether it is gone. Called alone."""
        try:
            file = open(folder / manifest.NAME, "rb")  # noqa: SIM115  # held until the folder has gone
        except FileNotFoundError:
            self._set_aside(folder)
            return True
        with file:
            if not locks.take(file):
                return False
            self._set_aside(folder)
            return True

    def _set_aside(self, folder: Path) -> None:
        """Take the entry in `folder` out of the entries, to be swept. Called alone."""
        with suppress(FileNotFoundError):
            os.rename(folder, self._unfinished_folder / secrets.token_hex(8))


def _entry(folder: Path) -> Entry:
    files = [file.stat() for file in folder.iterdir()]
    size = sum(status.st_size for status in files)
    try:
        found = manifest.read(folder)
    except Damaged as damage:
        return Entry(folder.name, folder, None, str(damage), size, folder.stat().st_mtime)
    return Entry(folder.name, folder, found, None, size, (folder / manifest.NAME).stat().st_mtime)


def _is_at(file: IO[bytes], folder: Path) -> bool:
    """Return whether the open `file` is the manifest that is in `folder` now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(folder / manifest.NAME))
    except FileNotFoundError:
        return False


def _ownerless(lock: Path) -> bool:
    """Return whether nobody holds `lock`, be it that it isn't there."""
    try:
        with open(lock, "rb") as file:
            return locks.take(file)
    except FileNotFoundError:
        return True
