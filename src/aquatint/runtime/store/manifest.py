"""What an entry says about itself: which component it is, its files with their checksums, what it must load to.

The manifest is written last, so a folder that has one was whole once. XXH3 of 128 bits finds what disks and cut writes
do, at the speed of memory; it is no defence against someone who writes into the store on purpose.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import xxhash

from aquatint.plan.steps import Json, Record

FORMAT = 1
NAME = "manifest.json"

SMALL = 1 << 20
"""Bytes of a file up to which it is hashed before it is loaded. What larger ones held shows on the live module."""

_CHUNK = 4 << 20


class Damaged(Exception):
    """An entry is not what was written; the message says what is wrong, after "it" or "its"."""


class About(Record, frozen=True):
    """Which component an entry is, or an embedding is of, for people and for finding what nothing asks for any more."""

    role: str
    library: str
    class_name: str
    source: str
    subfolder: str
    dtype: str
    quantizer: str  # its URI; "none" for none
    bytes: int  # held once loaded
    engine: dict[str, Json]  # what the engine said of itself: versions, device, threads
    state: str  # fingerprint of the live module; empty for an embedding


class File(Record, frozen=True):
    """One file of an entry: its name without folders, its size in bytes, its XXH3 in hexadecimal digits."""

    name: str
    bytes: int
    xxh3: str


class Manifest(Record, frozen=True):
    """`created` is in seconds since 1970. `checksum` is that of everything else."""

    format: int
    address: str
    about: About
    files: list[File]
    created: float
    checksum: str = ""

    def signed(self) -> Manifest:
        """Return this manifest with its checksum."""
        bare = msgspec.structs.replace(self, checksum="")
        body = msgspec.json.encode(bare, order="deterministic")
        return msgspec.structs.replace(bare, checksum=xxhash.xxh3_128_hexdigest(body))


def written(folder: Path, address: str, about: About, created: float) -> Manifest:
    """Write the manifest of the files in `folder`, each of which is on the disk then, and return it."""
    names = sorted(os.listdir(folder))
    files = [File(name, (folder / name).stat().st_size, file_hash(folder / name)) for name in names]
    manifest = Manifest(FORMAT, address, about, files, created).signed()
    (folder / NAME).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    for name in (*names, NAME):
        sync(folder / name)
    sync(folder)
    return manifest


def read(folder: Path) -> Manifest:
    """Return the manifest in `folder`; raise `Damaged`, or `FileNotFoundError` where there is no such folder."""
    try:
        body = (folder / NAME).read_bytes()
    except FileNotFoundError:
        folder.stat()
        raise Damaged("its manifest is missing") from None
    try:
        manifest = msgspec.json.decode(body, type=Manifest)
    except (msgspec.DecodeError, RecursionError):
        raise Damaged("its manifest can't be read") from None
    if manifest.signed() != manifest or manifest.format != FORMAT or manifest.address != folder.name:
        raise Damaged("its manifest is not the one that was written")
    return manifest


def look_over(folder: Path, manifest: Manifest, whole: bool) -> None:
    """Raise `Damaged` unless `folder` has the files of `manifest`: names, sizes, and content of the small ones.

    With `whole` the content of all of them, which reads every byte.
    """
    there = set(os.listdir(folder)) - {NAME}
    expected = {file.name for file in manifest.files}
    if there != expected:
        odd = sorted(there ^ expected)[0]
        raise Damaged(f"its file `{odd}` is missing" if odd in expected else f"it has a file `{odd}` too many")
    for file in manifest.files:
        path = folder / file.name
        size = path.lstat().st_size
        if size != file.bytes or not path.is_file():
            raise Damaged(f"its file `{file.name}` has {size:,} bytes and not {file.bytes:,}")
        if (whole or size <= SMALL) and file_hash(path) != file.xxh3:
            raise Damaged(f"its file `{file.name}` has other content than was written")


def file_hash(path: Path) -> str:
    """Return the XXH3 of 128 bits of the file at `path`, in hexadecimal digits."""
    digest = xxhash.xxh3_128()
    for chunk in chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def chunks(path: Path) -> Iterator[memoryview]:
    """Yield the file's bytes, piece by piece; a piece is gone when the next one is asked for."""
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    with open(path, "rb", buffering=0) as stream:
        while size := stream.readinto(buffer):
            yield view[:size]


def sync(path: Path) -> None:
    """Return when the file or folder at `path` is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def to_json(manifest: Manifest) -> dict[str, Json]:
    """Return `manifest` as a JSON value."""
    found: dict[str, Json] = json.loads(msgspec.json.encode(manifest))
    return found
