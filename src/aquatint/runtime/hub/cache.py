"""Where the hub's local cache has what: huggingface_hub's own layout, and beside a content what has come of it so far.

Asks nobody: what files a repository has is told by the caller.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository: its size in bytes, and the name that the cache gives its content."""

    name: str
    size: int
    content: str


def is_there(repository: str, commit: str, file: RemoteFile) -> bool:
    """Return whether the cache has `file` whole, at `commit`."""
    return size_of(repository_folder(repository) / "snapshots" / commit / file.name) == file.size


def kept_bytes(repository: str, file: RemoteFile) -> int:
    """Return how many bytes of what `file` holds are there, by an earlier attempt or another commit."""
    if size_of(content_file(repository, file)) == file.size:
        return file.size
    return min(file.size, size_of(begun_file(repository, file)) or 0)


def cache_folder() -> Path:
    """Return the folder that the cache is in, which need not be there."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser().absolute()


def repository_folder(repository: str) -> Path:
    """Return the folder of a repository in the cache."""
    return cache_folder() / f"models--{repository.replace('/', '--')}"


def content_file(repository: str, file: RemoteFile) -> Path:
    """Return where the cache has what `file` holds, once it is whole."""
    return repository_folder(repository) / "blobs" / file.content


def begun_file(repository: str, file: RemoteFile) -> Path:
    """Return where there is as much of it as has come."""
    return content_file(repository, file).with_suffix(".incomplete")


def size_of(file: Path) -> int | None:
    """Return the size of `file` in bytes, None if it isn't there."""
    try:
        return file.stat().st_size
    except OSError:
        return None


def point(repository: str, revision: str, commit: str) -> None:
    """Let `revision` mean `commit` in the cache, which is to have all that was asked for."""
    if revision == commit:
        return
    reference = repository_folder(repository) / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    temporary = reference.with_name(f".{secrets.token_hex(8)}.tmp")
    temporary.write_text(commit, encoding="utf-8")
    os.replace(temporary, reference)
