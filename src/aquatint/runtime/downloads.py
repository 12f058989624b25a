"""Fetches what scripts name by addresses on the web, and keeps it where `catalog.addresses` says.

Nothing is asked twice: what is kept is left to the caller. Only what is what it is to be is kept, and only whole.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aquatint import __version__
from aquatint.catalog import addresses, checkpoints, picture_files, tensor_files, video_files
from aquatint.catalog.addresses import AddressError, Download
from aquatint.catalog.checkpoints import CheckpointError
from aquatint.runtime.events import DownloadFinished, DownloadStarted, Event

if TYPE_CHECKING:
    import httpx2

_MOST = {
    "picture": picture_files.BYTES_LIMIT, "video": video_files.BYTES_LIMIT, "tensors": tensor_files.BYTES_LIMIT,
    "weights": 16 << 30,
}  # fmt: skip
_LONGEST = {"weights": 6 * 3600.0}
_USUALLY = 600.0
# Seconds for all of a file.
_GONE = (404, 410)
_OF_A_PAGE = "name the address of the file itself, not that of a page that shows it"
_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """How many seconds a server may take to answer, to be silent, and to send all of a file, and how many bytes.

    Without `whole` and `bytes` they are those that a file of that kind may have.
    """

    connect: float = 10
    silence: float = 30
    whole: float | None = None
    bytes: int | None = None


def fetch(
    wanted: Sequence[Download], sink: Callable[[Event], None], limits: Limits | None = None
) -> dict[Download, AddressError]:
    """Fetch what is `wanted` anew, and return why, for what can't be had. `sink` is told how it goes."""
    failures: dict[Download, AddressError] = {}
    for download in wanted:
        began, failed, size = time.monotonic(), True, 0
        sink(DownloadStarted(download.address))
        try:
            addresses.check(download.address)
            size = _kept(download, limits or Limits())
            failed = False
        except AddressError as error:
            failures[download] = error
        finally:
            sink(DownloadFinished(download.address, size, time.monotonic() - began, failed))
    return failures


def _kept(download: Download, limits: Limits) -> int:
    """Keep what the address gives, if it is what is wanted, and return its bytes. Raises `AddressError`."""
    file = addresses.kept(download.address)
    temporary = file.with_name(f".{secrets.token_hex(8)}.tmp")
    another = f"name another folder with `{addresses.FOLDER_VARIABLE}`"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as stream:
                size = sum(map(stream.write, _parts(download, limits)))
            _check(download, temporary)
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            full = f"the disk of `{file.parent}` is full"
            raise AddressError("too-little-disk", full, f"make room, or {another}") from None
        raise AddressError("unwritable-file", f"can't write into `{file.parent}`", another) from None
    return size


def _parts(download: Download, limits: Limits) -> Iterator[bytes]:
    """Yield what the address gives. Raises `AddressError`, which quotes nothing of what the server says."""
    import httpx2

    address = download.address
    most = limits.bytes or _MOST[download.kind]
    whole = limits.whole or _LONGEST.get(download.kind, _USUALLY)
    size = 0
    timeout = httpx2.Timeout(limits.silence, connect=limits.connect)
    # As it is: what is packed could become more than there is memory for.
    headers = {"User-Agent": f"aquatint/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
    ends = time.monotonic() + whole
    try:
        with (
            httpx2.Client(timeout=timeout, headers=headers, follow_redirects=True, max_redirects=_REDIRECTS) as client,
            client.stream("GET", address) as response,
        ):
            _check_status(address, response)
            if int(response.headers.get("Content-Length", "0")) > most:
                raise _too_large(address, most)
            for part in response.iter_raw():
                size += len(part)
                if size > most:
                    raise _too_large(address, most)
                if time.monotonic() > ends:
                    raise _unreachable(address, f"it takes longer than {whole:g} seconds")
                yield part
    except httpx2.TimeoutException:
        raise _unreachable(address, "it takes too long to answer") from None
    except httpx2.TooManyRedirects:
        raise _unreachable(address, f"it leads on more than {_REDIRECTS} times") from None
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL):
        raise _unreachable(address, "it leads to what is no address on the web") from None
    except (httpx2.HTTPError, OSError, ValueError):
        raise _unreachable(address, "there is no connection, or it has broken") from None


def _check_status(address: str, response: httpx2.Response) -> None:
    status = response.status_code
    if status in _GONE:
        raise AddressError("missing-file", f"there is nothing at `{address}`: its server answers {status}",
                           "is it spelt as a browser shows it?")  # fmt: skip
    if not response.is_success:
        raise _unreachable(address, f"its server answers {status}")


def _too_large(address: str, most: int) -> AddressError:
    return AddressError("too-large", f"`{address}` gives more than {most >> 20} MiB")


def _unreachable(address: str, why: str) -> AddressError:
    return AddressError("unreachable-address", f"`{address}` can't be fetched: {why}",
                        "try again, or fetch the file in another way, and name it")  # fmt: skip


def _check(download: Download, file: Path) -> None:
    """Raise `AddressError` unless what is in `file` is what is wanted."""
    try:
        match download.kind:
            case "picture":
                picture_files.size_of(file.read_bytes())
            case "video":
                video_files.facts_of(file.read_bytes())
            case "tensors":
                tensor_files.unpacked(file.read_bytes())
            case "weights":
                # Of its size alone the header is read.
                checkpoints.read_header(file)
    except CheckpointError as error:
        raise AddressError("malformed-file", f"what `{download.address}` gives is damaged, or no safetensors file",
                           _OF_A_PAGE) from error  # fmt: skip
    except (picture_files.NoPicture, video_files.NoVideo, tensor_files.NoTensors) as error:
        raise AddressError(
            "malformed-file", f"what `{download.address}` gives {error}", _OF_A_PAGE
        ) from None  # fmt: skip
