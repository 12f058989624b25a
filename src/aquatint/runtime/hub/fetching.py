"""Fetches what requests come to, several files at a time, and tells how it goes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

from aquatint.catalog.checkpoints import CheckpointError
from aquatint.catalog.hub_files import Request
from aquatint.runtime.events import Event, FetchFinished, FetchProgress, FetchStarted
from aquatint.runtime.hub.cache import RemoteFile, point
from aquatint.runtime.hub.connection import explained, online
from aquatint.runtime.hub.listing import Listing, look_up, require_room
from aquatint.runtime.hub.transfer import Counter, fetch_file

_AT_A_TIME = 4
_TOLD_EACH = 0.2  # seconds


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


def _fetch(listing: Listing, sink: Callable[[Event], None]) -> None:
    """Fetch what is lacking of `listing`, several files at a time. Raises `CheckpointError`."""
    request, files = listing.request, listing.lacking
    began = time.monotonic()
    counted = Counter()
    sink(FetchStarted(request.repository, listing.commit, len(files), listing.bytes, listing.kept))

    def ended(error: BaseException | None) -> None:
        interrupted = isinstance(error, KeyboardInterrupt)
        sink(FetchFinished(request.repository, listing.commit, counted.bytes, listing.bytes,
                           time.monotonic() - began, error is not None, interrupted))  # fmt: skip

    try:
        with online(), explained(request):
            # The last one is what the others are known by.
            for group in (files[:-1], files[-1:]):
                _fetch_files(listing, group, counted, lambda: sink(FetchProgress(counted.bytes, listing.bytes)))
            point(request.repository, request.revision or "main", listing.commit)
    except BaseException as error:
        ended(error)
        raise
    ended(None)


def _fetch_files(listing: Listing, files: Sequence[RemoteFile], counted: Counter, tell: Callable[[], None]) -> None:
    """Put `files` into the cache, several at a time, and `tell` now and then; raise what the first to fail raises."""
    errors: list[BaseException] = []
    stopping, waiting = threading.Event(), queue.SimpleQueue[RemoteFile]()
    for file in files:
        waiting.put(file)

    def work() -> None:
        try:
            while not waiting.empty():
                fetch_file(listing.request.repository, listing.commit, waiting.get_nowait(), counted, stopping)
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
