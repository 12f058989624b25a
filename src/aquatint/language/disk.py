"""The files of this machine, as plans may see them: never written, and none that could be waited for."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from itertools import islice
from typing import Literal, NamedTuple

Kind = Literal["file", "folder", "other"]


class Entry(NamedTuple):
    """Something in a folder. A link is of the kind that it leads to; devices, pipes and broken links are "other"."""

    name: str
    kind: Kind
    is_link: bool = False


class Disk:
    """Names files relative to the working folder. Both methods raise `OSError`."""

    def read(self, path: str, limit: int) -> bytes:
        """Return the first `limit` bytes of a file, which must be a regular one: a pipe or a device may never end."""
        # Asked before it is opened, which may do something to a device; and after, since it may be another by then.
        _check_regular(os.stat(path).st_mode)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb") as stream:
            _check_regular(os.fstat(stream.fileno()).st_mode)
            return stream.read(limit)

    def entries(self, folder: str, limit: int) -> list[Entry]:
        """Return up to `limit` entries of a folder, sorted by name if that is all."""
        with os.scandir(folder or ".") as found:
            return sorted(Entry(each.name, _kind(each), each.is_symlink()) for each in islice(found, limit))


def under(folder: str, path: str) -> str:
    """Return where the file is that a script in `folder` calls `path`: `~` is the user's own folder."""
    return posixpath.join(folder, posixpath.expanduser(path))


def _kind(entry: os.DirEntry[str]) -> Kind:
    return "folder" if entry.is_dir() else "file" if entry.is_file() else "other"


def _check_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe, not a file")
