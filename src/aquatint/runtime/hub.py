"""Fetches what is asked for from the model hub into its local cache, and goes on where an earlier attempt ended.

The cache has huggingface_hub's own layout, locks and links, and the login is its own. Which files are needed is told by
`catalog.hub_files`. Imports huggingface_hub when it is asked to fetch, and not before.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import queue
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aquatint.catalog.checkpoints import CheckpointError
from aquatint.catalog.hub_files import Request, index_of, needed
from aquatint.plan.render import sized
from aquatint.runtime.events import Event, FetchFinished, FetchProgress, FetchStarted

_AT_A_TIME = 4
_TOLD_EACH = 0.2  # seconds
_SHA256 = 64  # digits: large files are named by it in the cache, and others by their SHA-1 in git
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# Of a commit or a content: they become the names of files.


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository: its size in bytes, and the name that the cache gives its content."""

    name: str
    size: int
    content: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What a request comes to at a commit; `lacking` are those of `files` that the cache hasn't got, in order.

    `kept` are the bytes that there are of those: an earlier attempt has left them, or another commit has the same file.
    """

    request: Request
    commit: str
    files: tuple[RemoteFile, ...]
    lacking: tuple[RemoteFile, ...]
    kept: int

    @property
    def bytes(self) -> int:
        """What is to be fetched, without what is kept."""
        return sum(file.size for file in self.lacking) - self.kept


class _Stopped(Exception):
    """Another file can't be fetched, or the user has had enough."""


def is_offline(environment: dict[str, str] | os._Environ[str] = os.environ) -> bool:
    """Return whether the environment forbids the network, in the words of huggingface_hub and transformers."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(environment.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in names)


def look_up(request: Request) -> Listing:
    """Return what `request` comes to on the hub now. Raises `CheckpointError`."""
    from huggingface_hub import HfApi

    with _online(), _explained(request):
        info = HfApi().model_info(request.repository, revision=request.revision, files_metadata=True)
        commit = info.sha or ""
        there = {
            each.rfilename: RemoteFile(each.rfilename, each.size or 0,
                                       each.lfs.sha256 if each.lfs is not None else each.blob_id or "")
            for each in info.siblings or ()
        }  # fmt: skip
        if not all(_HASH.fullmatch(name) for name in (commit, *(file.content for file in there.values()))):
            raise _unreachable(request.repository, "its answer is not in the hub's form")
        index_name = index_of(request, there)
        index = None if index_name is None else _read_index(request, commit, index_name)
        files = tuple(there[name] for name in needed(request, there, index))
        lacking = tuple(file for file in files if not _is_there(request.repository, commit, file))
        kept = sum(_kept(request.repository, file) for file in lacking)
        return Listing(request, commit, files, lacking, kept)


def fetch(requests: Sequence[Request], sink: Callable[[Event], None]) -> dict[Request, CheckpointError]:
    """Fetch what `requests` come to, and return why, for those that can't be; none is begun if one can't be found.

    `sink` is told how it goes. Raises `KeyboardInterrupt` after it has told what is kept.
    """
    failures: dict[Request, CheckpointError] = {}
    listings: list[Listing] = []
    for request in requests:
        try:
            listings.append(look_up(request))
        except CheckpointError as error:
            failures[request] = error
    if failures:
        return failures
    try:
        require_room(listings)
    except CheckpointError as error:
        return dict.fromkeys(requests, error)
    for listing in listings:
        try:
            _fetch(listing, sink)
        except CheckpointError as error:
            failures[listing.request] = error
    return failures


def require_room(listings: Sequence[Listing]) -> None:
    """Raise `CheckpointError` if the cache's disk has no room for what is to be fetched."""
    cache = _cache()
    there = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    wanted, free = sum(listing.bytes for listing in listings), shutil.disk_usage(there).free
    if wanted > free:
        raise _no_room(f"{sized(wanted)} are to be fetched, and the disk of `{cache}` has {sized(free)} free")


def _no_room(message: str) -> CheckpointError:
    return CheckpointError("too-little-disk", message, "make room, or put the cache on another disk with `HF_HOME`")


def _fetch(listing: Listing, sink: Callable[[Event], None]) -> None:
    """Fetch what is lacking of `listing`, several files at a time. Raises `CheckpointError`."""
    request, files = listing.request, listing.lacking
    if not files:
        _point(listing)
        return
    began = time.monotonic()
    counted = _Counter()
    sink(FetchStarted(request.repository, listing.commit, len(files), listing.bytes, listing.kept))

    def ended(error: BaseException | None) -> None:
        interrupted = isinstance(error, KeyboardInterrupt)
        sink(FetchFinished(request.repository, listing.commit, counted.bytes, listing.bytes,
                           time.monotonic() - began, error is not None, interrupted))  # fmt: skip

    try:
        with _online(), _explained(request):
            # The last one is what the others are known by.
            for group in (files[:-1], files[-1:]):
                _fetch_files(listing, group, counted, lambda: sink(FetchProgress(counted.bytes, listing.bytes)))
            _point(listing)
    except BaseException as error:
        ended(error)
        raise
    ended(None)


def _fetch_files(listing: Listing, files: Sequence[RemoteFile], counted: _Counter, tell: Callable[[], None]) -> None:
    """Put `files` into the cache, several at a time, and `tell` now and then; raise what the first to fail raises."""
    errors: list[BaseException] = []
    stopping, waiting = threading.Event(), queue.SimpleQueue[RemoteFile]()
    for file in files:
        waiting.put(file)

    def work() -> None:
        try:
            while not waiting.empty():
                _fetch_file(listing, waiting.get_nowait(), counted, stopping)
        except queue.Empty:  # another one has taken the last
            pass
        except BaseException as error:
            errors.append(error)
            stopping.set()

    # No pool: whoever breaks off would wait for its threads, which may wait for a hub that has fallen silent.
    workers = [threading.Thread(target=work, daemon=True) for _ in range(min(_AT_A_TIME, len(files)))]
    for worker in workers:
        worker.start()
    try:
        while not errors and (alive := [worker for worker in workers if worker.is_alive()]):
            alive[0].join(_TOLD_EACH)
            tell()
    finally:
        stopping.set()
    if errors:
        raise errors[0]


class _Counter:
    """Adds up bytes from several threads."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lock = threading.Lock()

    def add(self, count: float) -> None:
        with self._lock:
            self.bytes += int(count)


class _Bar:
    """What huggingface_hub takes for a progress bar: counts, and breaks a file off when all is to stop."""

    def __init__(self, counted: _Counter, stopping: threading.Event, **_told: Any) -> None:
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


def _fetch_file(listing: Listing, file: RemoteFile, counted: _Counter, stopping: threading.Event) -> None:
    """Put `file` into the cache. What there is of its content stays if this is broken off."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils._fixes import WeakFileLock
    from huggingface_hub.utils._headers import build_hf_headers

    if stopping.is_set():
        raise _Stopped
    repository, bar = listing.request.repository, partial(_Bar, counted, stopping)
    content, begun = _content(repository, file), _partial(repository, file)
    lock = _cache() / ".locks" / _repository_folder(repository).name / f"{file.content}.lock"
    for folder in (content.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    # huggingface_hub throws away what it has of a file when it is interrupted: large ones are fetched by its own
    # function into a file of ours, and it finds the content there. What is larger than it takes so is left to it.
    if file.size <= constants.MAX_HTTP_DOWNLOAD_SIZE:
        with WeakFileLock(lock):
            if _size(content) != file.size:
                content.unlink(missing_ok=True)
                url = hf_hub_url(repository, file.name, revision=listing.commit)
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
    hf_hub_download(repository, file.name, revision=listing.commit, tqdm_class=bar)  # type: ignore[call-overload]


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _point(listing: Listing) -> None:
    """Let the revision that was asked for mean the commit in the cache, now that all is there."""
    revision = listing.request.revision or "main"
    if revision == listing.commit:
        return
    reference = _repository_folder(listing.request.repository) / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    temporary = reference.with_name(f".{secrets.token_hex(8)}.tmp")
    temporary.write_text(listing.commit, encoding="utf-8")
    os.replace(temporary, reference)


def _read_index(request: Request, commit: str, name: str) -> dict[str, Any]:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(request.repository, name, revision=commit)
    if isinstance(cached, str):
        return _as_index(request, cached)
    # Beside the cache: there, it says that all else is there, too.
    with tempfile.TemporaryDirectory() as folder:
        return _as_index(request, hf_hub_download(request.repository, name, revision=commit, local_dir=folder))


def _as_index(request: Request, file: str) -> dict[str, Any]:
    try:
        index = json.loads(Path(file).read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        index = None
    if not isinstance(index, dict):
        raise CheckpointError("damaged-checkpoint", f"the index of `{request.repository}` is not a JSON object",
                              "name another revision")  # fmt: skip
    return index


def _is_there(repository: str, commit: str, file: RemoteFile) -> bool:
    return _size(_repository_folder(repository) / "snapshots" / commit / file.name) == file.size


def _kept(repository: str, file: RemoteFile) -> int:
    if _size(_content(repository, file)) == file.size:
        return file.size
    return min(file.size, _size(_partial(repository, file)) or 0)


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser().absolute()


def _repository_folder(repository: str) -> Path:
    return _cache() / f"models--{repository.replace('/', '--')}"


def _content(repository: str, file: RemoteFile) -> Path:
    return _repository_folder(repository) / "blobs" / file.content


def _partial(repository: str, file: RemoteFile) -> Path:
    return _content(repository, file).with_suffix(".incomplete")


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


@contextmanager
def _online() -> Iterator[None]:
    """Let huggingface_hub use the network in the body, and say nothing: loading must not, and switches it off."""
    from huggingface_hub import constants

    logger = logging.getLogger("huggingface_hub")
    before, level = constants.HF_HUB_OFFLINE, logger.level
    constants.HF_HUB_OFFLINE = False
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
        logger.setLevel(level)


@contextmanager
def _explained(request: Request) -> Iterator[None]:
    """Raise `CheckpointError` for what goes wrong in the body; no answer of the hub is quoted, and no login."""
    from huggingface_hub import constants, errors

    name = request.repository
    log_in = "log in with `hf auth login`, or set `HF_TOKEN`"
    try:
        yield
    except errors.GatedRepoError:
        raise CheckpointError(
            "gated-model", f"`{name}` is gated: the hub gives it to those who have accepted its conditions",
            f"accept them at {constants.ENDPOINT}/{name}, and {log_in}",
        ) from None  # fmt: skip
    except errors.RevisionNotFoundError:
        raise CheckpointError(
            "missing-revision", f"`{name}` has no revision `{request.revision or 'main'}` on the hub",
            f"name a branch, a tag or a commit that {constants.ENDPOINT}/{name} has",
        ) from None  # fmt: skip
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise CheckpointError(
            "missing-model", f"`{name}` is neither a folder nor a repository of the hub, unless a private one",
            f"is it spelt as on {constants.ENDPOINT}? for a private one, {log_in}",
        ) from None  # fmt: skip
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise CheckpointError("gated-model", f"the hub doesn't let your login read `{name}`", log_in) from None
        raise _unreachable(name, f"the hub answers with the status {status}") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_room(f"the disk of `{_cache()}` is full") from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise CheckpointError("unwritable-file", f"can't write into `{_cache()}`",
                                  "put the cache elsewhere with `HF_HOME`") from None  # fmt: skip
        raise _unreachable(name, "the connection has failed") from None
    except ValueError:
        raise _unreachable(name, "its answer is not in the hub's form") from None
    except _http_error() as error:
        what = "it takes too long to answer" if "Timeout" in type(error).__name__ else "there is no connection"
        raise _unreachable(name, what) from None


def _http_error() -> type[Exception]:
    """Return the base of the errors of the library that huggingface_hub speaks HTTP with, which is not always one."""
    from huggingface_hub import errors

    bases: tuple[type[Exception], ...] = errors.HfHubHTTPError.__bases__
    return next(kind for kind in bases if not issubclass(kind, OSError))


def _unreachable(name: str, why: str) -> CheckpointError:
    from huggingface_hub import constants

    return CheckpointError(
        "unreachable-hub", f"`{name}` can't be fetched from {constants.ENDPOINT}: {why}",
        "try again: what has come is kept, and fetching goes on from there",
    )  # fmt: skip
