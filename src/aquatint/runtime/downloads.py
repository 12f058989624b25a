"""Fetches what scripts name by addresses on the web, and keeps it where `catalog.addresses` says.

Nothing is asked twice: what is kept is left to the caller. Only what is what it is to be is kept, and only whole.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aquatint import __version__
from aquatint.catalog import addresses, picture_files, tensor_files, video_files
from aquatint.catalog.addresses import AddressError, Download
from aquatint.runtime.events import DownloadFinished, DownloadStarted, Event

if TYPE_CHECKING:
    import httpx2

_MOST = {
    "picture": picture_files.BYTES_LIMIT, "video": video_files.BYTES_LIMIT, "tensors": tensor_files.BYTES_LIMIT,
}  # fmt: skip
_GONE = (404, 410)
_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """How many seconds a server may take to answer, to be silent, and to send all of a file, and how many bytes.

    Without `bytes` they are those that a file of that kind may have.
    """

    connect: float = 10
    silence: float = 30
    whole: float = 600
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
            body = _body(download, limits or Limits())
            size = len(body)
            _check(download, body)
            _keep(download, body)
            failed = False
        except AddressError as error:
            failures[download] = error
        finally:
            sink(DownloadFinished(download.address, size, time.monotonic() - began, failed))
    return failures


def _body(download: Download, limits: Limits) -> bytes:
    """Return what the address gives. Raises `AddressError`, which quotes nothing of what the server says."""
    import httpx2

    address = download.address
    most = limits.bytes or _MOST[download.kind]
    timeout = httpx2.Timeout(limits.silence, connect=limits.connect)
    # As it is: what is packed could become more than there is memory for.
    headers = {"User-Agent": f"aquatint/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
    ends = time.monotonic() + limits.whole
    try:
        with (
            httpx2.Client(timeout=timeout, headers=headers, follow_redirects=True, max_redirects=_REDIRECTS) as client,
            client.stream("GET", address) as response,
        ):
            _check_status(address, response)
            if int(response.headers.get("Content-Length", "0")) > most:
                raise _too_large(address, most)
            body = bytearray()
            for part in response.iter_raw():
                body += part
                if len(body) > most:
                    raise _too_large(address, most)
                if time.monotonic() > ends:
                    raise _unreachable(address, f"it takes longer than {limits.whole:g} seconds")
    except httpx2.TimeoutException:
        raise _unreachable(address, "it takes too long to answer") from None
    except httpx2.TooManyRedirects:
        raise _unreachable(address, f"it leads on more than {_REDIRECTS} times") from None
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL):
        raise _unreachable(address, "it leads to what is no address on the web") from None
    except (httpx2.HTTPError, OSError, ValueError):
        raise _unreachable(address, "there is no connection, or it has broken") from None
    return bytes(body)


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


def _check(download: Download, body: bytes) -> None:
    """Raise `AddressError` unless `body` is what is wanted."""
    try:
        match download.kind:
            case "picture":
                picture_files.size_of(body)
            case "video":
                video_files.facts_of(body)
            case "tensors":
                tensor_files.unpacked(body)
    except (picture_files.NoPicture, video_files.NoVideo, tensor_files.NoTensors) as error:
        raise AddressError(
            "malformed-file", f"what `{download.address}` gives {error}",
            "name the address of the file itself, not that of a page that shows it",
        ) from None  # fmt: skip


def _keep(download: Download, body: bytes) -> None:
    file = addresses.kept(download.address)
    temporary = file.with_name(f".{secrets.token_hex(8)}.tmp")
    another = f"name another folder with `{addresses.FOLDER_VARIABLE}`"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(body)
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            full = f"the disk of `{file.parent}` is full"
            raise AddressError("too-little-disk", full, f"make room, or {another}") from None
        raise AddressError("unwritable-file", f"can't write into `{file.parent}`", another) from None
