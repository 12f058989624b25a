"""Addresses on the web where a script names a file: which are taken, and where what they have given is kept.

What is kept is whole, and goes by its address; planning and running look at nothing else. Fetching is the runtime's
business.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

from aquatint.catalog import tensor_files

FOLDER_VARIABLE = "AQUATINT_DOWNLOADS"
"""The variable of the environment that names the folder in which what came from addresses is kept."""

SCHEMES = ("http", "https")

Kind = Literal["picture", "video", "tensors", "weights"]
"""What an address is to give; the weights of an adapter are tensors of any size."""

_ADDRESS = re.compile(r"[a-z]{3,5}://", re.IGNORECASE)
_VIDEOS = (".mp4", ".mov", ".webm", ".mkv")
_UNFIT = re.compile(r"[\x00-\x20\x7f]")
_STORE_VARIABLE = "AQUATINT_STORE"


@dataclass(frozen=True, slots=True)
class Download:
    """Something that is wanted from the web: an address, and what it is to give."""

    address: str
    kind: Kind


class AddressError(Exception):
    """An address doesn't give what is wanted of it; `code` names the mistake, `help` says what to do."""

    def __init__(self, code: str, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.help = help


def is_address(text: str) -> bool:
    """Return whether `text` is meant for an address, which may be one that isn't taken."""
    return _ADDRESS.match(text) is not None


def check(address: str) -> None:
    """Raise `AddressError` for an address that is not asked."""
    try:
        parts = urlsplit(address)
        host, login, _ = parts.hostname, parts.username, parts.port
    except ValueError:
        host = login = None
    else:
        if parts.scheme not in SCHEMES:
            raise AddressError("wrong-value", f"nothing is taken from `{parts.scheme}:` addresses",
                               "addresses begin with `http://` or `https://`")  # fmt: skip
    if login is not None:
        # It would be in plans and in the records of pictures.
        raise AddressError("wrong-value", "an address can't have a login in it", "fetch the file, and name it")
    if not host or _UNFIT.search(address):
        raise AddressError("wrong-value", f"`{address}` is no address", "copy it as a browser shows it")


def kind_of(address: str) -> Kind:
    """Return what an address gives by its name, for one of which no script says what is wanted."""
    suffix = PurePosixPath(urlsplit(address).path).suffix.lower()
    return "weights" if suffix == tensor_files.SUFFIX else "video" if suffix in _VIDEOS else "picture"


def folder() -> Path:
    """Return the folder of what is kept, which need not be there: beside the store's, or inside of one with a name."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named).expanduser().absolute()
    store = os.environ.get(_STORE_VARIABLE)
    if store and store != "off":
        return Path(store).expanduser().absolute() / "downloads"
    from platformdirs import user_cache_path

    return user_cache_path("aquatint", appauthor=False) / "downloads"


def kept(address: str) -> Path:
    """Return the file that has what `address` gave, if that was fetched."""
    return folder() / hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()


def place(path: str) -> str:
    """Return the file in which the contents of `path` are, which may be an address."""
    return str(kept(path)) if is_address(path) else path
