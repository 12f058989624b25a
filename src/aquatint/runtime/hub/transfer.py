"""One file from the hub into its local cache, going on where an earlier attempt has ended."""

from __future__ import annotations

import hashlib
import os
import threading
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aquatint.catalog.checkpoints import CheckpointError
from aquatint.runtime.hub.cache import RemoteFile, begun_file, cache_folder, content_file, repository_folder, size_of

_SHA256 = 64
# Digits: large files are named by it in the cache, and others by their SHA-1 in git.


class _Stopped(Exception):
    """Another file can't be fetched, or the user has had enough."""


class Counter:
    """Adds up bytes from several threads."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lock = threading.Lock()

    def add(self, count: float) -> None:
        with self._lock:
            self.bytes += int(count)


class _Bar:
    """What huggingface_hub takes for a progress bar: counts, and breaks a file off when all is to stop."""

    def __init__(self, counted: Counter, stopping: threading.Event, **_told: Any) -> None:
        self.counted = counted
        self.stopping = stopping

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def update(self, count: float | None = 1) -> None:
        if self.stopping.is_set():
            raise _Stopped
        self.counted.add(count or 0)


def fetch_file(repository: str, commit: str, file: RemoteFile, counted: Counter, stopping: threading.Event) -> None:
    """Put `file` into the cache. What there is of its content stays if this is broken off."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]

    if stopping.is_set():
        raise _Stopped
    bar = partial(_Bar, counted, stopping)
    content, begun = content_file(repository, file), begun_file(repository, file)
    lock = cache_folder() / ".locks" / repository_folder(repository).name / f"{file.content}.lock"
    for folder in (content.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    # huggingface_hub throws away what it has of a file when it is interrupted: large ones are fetched by its own
    # function into a file of ours, and it finds the content there. What is larger than it takes so is left to it.
    if file.size <= constants.MAX_HTTP_DOWNLOAD_SIZE:
        with WeakFileLock(lock):
            if size_of(content) != file.size:
                content.unlink(missing_ok=True)
                url = hf_hub_url(repository, file.name, revision=commit)
                at = get_hf_file_metadata(url)
                headers = build_hf_headers()
                if at.location.split("/")[2:3] != url.split("/")[2:3]:
                    headers.pop("authorization", None)  # the login is for the hub, and not for where files lie
                with begun.open("ab") as stream:
                    if stream.tell() > file.size:
                        stream.truncate(0)
                    had = stream.tell()
                    http_get(at.location, stream, resume_size=had, headers=headers, expected_size=file.size,
                             tqdm_class=bar)  # type: ignore[arg-type]  # fmt: skip
                if had and len(file.content) == _SHA256 and _sha256(begun) != file.content:
                    begun.unlink()
                    raise CheckpointError(
                        "damaged-checkpoint", f"`{file.name}` of `{repository}` has not come as the hub has it",
                        "fetch it again: it begins anew",
                    )  # fmt: skip
                os.replace(begun, content)
    # Finds the content there, and links to it.
    hf_hub_download(repository, file.name, revision=commit, tqdm_class=bar)  # type: ignore[call-overload]


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
