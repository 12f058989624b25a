"""The journal of an output folder: what was written there, as lines of JSON that are only ever added to.

A line is on the disk *before* its file gets its name, and holds the hash of the file's bytes: a kill between the two
leaves a line whose file isn't there, never a file that nobody knows. So a line alone says nothing is done; its file
must be there with those bytes. What a line must say for an output to be done is in `ledger`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import msgspec

from aquatint.plan.fingerprints import Parts
from aquatint.plan.keys import digest
from aquatint.plan.steps import Json
from aquatint.runtime.store import locks

FOLDER = ".aquatint"
"""The folder in an output folder that holds the journal."""

FILE, LOCK = "journal.jsonl", "lock"

VERSION = 1

_HASH = 16  # bytes of a file's hash

COMPACT_AT = 1 << 20
"""Bytes below which a journal isn't written anew, however much of it is out of date."""


class Content(msgspec.Struct, frozen=True):
    """What a file, or all files of a folder, hold: how many bytes, and their hash."""

    size: int
    blake2b: str


class Entry(msgspec.Struct, frozen=True, tag="output", tag_field="entry", omit_defaults=True):
    """One file or folder that was written, or was about to be.

    `output` is what the plan calls it, `file` where it went, relative to the output folder if it is in there; `script`
    is the script's path in the same way, or its name in angle brackets. `parts` is the fingerprint, None for what isn't
    all that the plan wanted, such as a sheet with an empty place. `engine` names an `EngineEntry`.
    """

    output: str
    file: str
    script: str
    engine: str
    content: Content
    parts: Parts | None = None
    version: int = VERSION


class EngineEntry(msgspec.Struct, frozen=True, tag="engine", tag_field="entry", omit_defaults=True):
    """What an engine said of itself (`facts`), in which `surroundings`; `id` is the hash of its facts."""

    id: str
    facts: dict[str, Json]
    surroundings: dict[str, Json]
    version: int = VERSION


_decoder = msgspec.json.Decoder(Entry | EngineEntry)


class Journal:
    """The journal of the output folder `root`, and what has been read of it so far.

    Reading never fails: lines that are torn, of other versions or no lines at all count as not there. Processes that
    write at once take turns by `alone`, inside of which `read` shows what the others have added.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / FOLDER / FILE
        self.engines: dict[tuple[str, str], EngineEntry] = {}  # by id and hash of the surroundings
        self._entries: dict[str, dict[tuple[str, str], Entry]] = {}  # by file, then by content and fingerprint
        self._by_output: dict[str, list[Entry]] = {}
        self._at: tuple[int, int] = (0, 0)  # which file was read, and how far
        self._least = 0  # bytes that it had when it was last written anew
        self._hashes: dict[tuple[str, int, int, int], str] = {}
        self.read()

    def read(self) -> None:
        """Read what was added since, by whomever."""
        try:
            with open(self.path, "rb") as file:
                inode, size = os.fstat(file.fileno()).st_ino, os.fstat(file.fileno()).st_size
                known, offset = self._at
                if inode != known or size < offset:  # another process has compacted it, or it is a new one
                    offset = 0
                file.seek(offset)
                body = file.read()
        except OSError:
            return
        whole = body.rfind(b"\n") + 1
        self._at = inode, offset + whole
        for line in body[:whole].splitlines():
            try:
                entry = _decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if entry.version == VERSION:
                self._learn(entry)

    def of_output(self, output: str) -> Iterable[Entry]:
        """Return what was written for `output`, the latest first."""
        return reversed(self._by_output.get(output, []))

    def of_file(self, path: Path) -> Iterable[Entry]:
        """Return what was written to the file or folder at `path`, the latest first."""
        return reversed(self._entries.get(self.name(path), {}).values())

    def knows(self, engine: EngineEntry) -> bool:
        """Return whether it has that entry already."""
        return self.engines.get((engine.id, digest(engine.surroundings))) == engine

    def facts(self, engine: str) -> dict[str, Json]:
        """Return what the engine with that id said of itself, nothing if that line is gone."""
        return next((entry.facts for (id, _), entry in self.engines.items() if id == engine), {})

    def name(self, path: Path) -> str:
        """Return what entries call `path`: relative to the output folder, if it is in there."""
        absolute = os.path.abspath(path)
        root = os.path.abspath(self.root)
        return os.path.relpath(absolute, root) if absolute.startswith(os.path.join(root, "")) else absolute

    def locate(self, entry: Entry) -> Path:
        """Return where the file of `entry` is."""
        return self.root / entry.file

    def holds(self, entry: Entry) -> bool:
        """Return whether the file of `entry` is there, with the bytes that were written."""
        return self.content(self.locate(entry), entry.content.size) == entry.content

    def content(self, path: Path, size: int | None = None) -> Content | None:
        """Return what is at `path`, None if it isn't there, can't be read, or hasn't `size` bytes."""
        there = self._size(path)
        if there is None or size not in (None, there):
            return None
        try:
            return content_of_folder(path, self._hash) if path.is_dir() else Content(there, self._hash(path))
        except OSError:
            return None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run the body while no other process writes to this journal; raises `OSError` where none can be kept."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locks.alone(self.path.with_name(LOCK)) if locks.AVAILABLE else nullcontext():
            self.read()
            yield

    def add(self, *entries: Entry | EngineEntry) -> None:
        """Add `entries`, and wait until they are on the disk; to be called in `alone`. Raises `OSError`."""
        # Where someone has removed it under a run that goes on, what is still there stays known. Never afterwards: the
        # files of `entries` aren't there yet.
        if self._is_gone() or self._at[1] > max(COMPACT_AT, 2 * self._least):
            self._write_anew()
        self._append(entries)
        for entry in entries:
            self._learn(entry)

    def _append(self, entries: Iterable[Entry | EngineEntry]) -> None:
        body = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            end = os.fstat(handle).st_size
            if end:
                os.lseek(handle, end - 1, os.SEEK_SET)
                if os.read(handle, 1) != b"\n":
                    body = b"\n" + body  # the last line is torn: it stays one of its own, which nobody reads
            try:
                written = os.write(handle, body)
                while written < len(body):
                    written += os.write(handle, body[written:])
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, end)
                raise
            self._at = os.fstat(handle).st_ino, end + len(body)
        finally:
            os.close(handle)

    def _is_gone(self) -> bool:
        return bool(self._at[0]) and not self.path.exists()

    def _lines(self) -> list[Entry | EngineEntry]:
        """Return the entries that are worth keeping: those whose file is there with as many bytes as were written."""
        kept = [
            entry for entries in self._entries.values() for entry in entries.values()
            if self._size(self.locate(entry)) == entry.content.size
        ]  # fmt: skip
        return [*self.engines.values(), *kept]

    def _write_anew(self) -> None:
        temporary = self.path.with_name(f"{FILE}.new")
        body = b"".join(msgspec.json.encode(entry) + b"\n" for entry in self._lines())
        with open(temporary, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)
        self._at = self.path.stat().st_ino, len(body)
        self._least = len(body)

    def _learn(self, entry: Entry | EngineEntry) -> None:
        if isinstance(entry, EngineEntry):
            key = entry.id, digest(entry.surroundings)
            self.engines.pop(key, None)
            self.engines[key] = entry  # the latest is the last
            return
        entries = self._entries.setdefault(entry.file, {})
        written = entry.content.blake2b, digest([entry.parts, entry.engine, entry.output, entry.script])
        if written in entries:  # made again: it is the latest now
            old = entries.pop(written)
            self._by_output[old.output].remove(old)
        entries[written] = entry
        self._by_output.setdefault(entry.output, []).append(entry)

    def _size(self, path: Path) -> int | None:
        """Return the bytes of the file, or of all files of the folder, at `path`; None if there is neither."""
        try:
            if path.is_dir():
                return sum((path / name).stat().st_size for name in files_below(path))
            return path.stat().st_size if path.is_file() else None
        except OSError:
            return None

    def _hash(self, path: Path) -> str:
        """Return the hash of the file at `path`, which is read once as long as nobody touches it."""
        about = os.stat(path)
        key = os.path.abspath(path), about.st_ino, about.st_size, about.st_mtime_ns
        if key not in self._hashes:
            self._hashes[key] = hash_of_file(path)
        return self._hashes[key]


def content_of_bytes(body: bytes) -> Content:
    """Return the content of a file of `body`."""
    hash = _blake2b()
    hash.update(body)
    return Content(len(body), hash.hexdigest())


def content_of_folder(folder: Path, hash_of: Callable[[Path], str] | None = None) -> Content:
    """Return the content of all files below `folder` together, with their names; `hash_of` is one file's hash."""
    names = files_below(folder)
    hashes = {name: (hash_of or hash_of_file)(folder / name) for name in names}
    return Content(sum((folder / name).stat().st_size for name in names), digest(hashes, _HASH))


def hash_of_file(path: Path) -> str:
    """Return the hash of the file at `path`: that of `b2sum --length 128`."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, _blake2b).hexdigest()


def files_below(folder: Path) -> list[str]:
    """Return the names of all files below `folder`, sorted."""
    return sorted(
        Path(place, name).relative_to(folder).as_posix() for place, _, names in os.walk(folder) for name in names
    )


def _blake2b() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=_HASH)
