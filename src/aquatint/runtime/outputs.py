"""Writes pictures and other media to disk: whole or not at all, and by a policy for names that are taken.

What is in a file is made in `media_files`, what it says of itself in `metadata`; its name is the plan's choice.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, nullcontext
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import assert_never

from aquatint.catalog.media import FPS
from aquatint.runtime.engine import EngineError
from aquatint.runtime.failures import cannot
from aquatint.runtime.journal import Content, content_of_bytes
from aquatint.runtime.ledger import Ledger
from aquatint.runtime.media import Medium
from aquatint.runtime.media_files import FORMATS, encoded
from aquatint.runtime.metadata import About
from aquatint.runtime.store import locks

_PREFIX, _SUFFIX = ".aquatint-", ".part"  # of a file that is being written

SIDECAR = ".json"
"""What is put behind a picture's whole name for the file that its record is in: two formats of one name have two."""


class OutputPolicy(StrEnum):
    """What becomes of a picture whose file exists already.

    A file is ours where the journal says that this program wrote it for that output, and nobody has touched it since.
    """

    RESUME = "resume"  # what is done already isn't made; what is ours is replaced, and `number` goes for all else
    REDO = "redo"  # the same, but everything is made
    NUMBER = "number"  # it goes to the first free name: x-2.png, x-3.png, ...
    OVERWRITE = "overwrite"
    SKIP = "skip"  # it isn't made
    ERROR = "error"


class Outputs:
    """The folder of a run; relative paths are resolved against `root`. `ledger` knows what is there and is told."""

    def __init__(self, root: Path, policy: OutputPolicy, ledger: Ledger | None = None) -> None:
        self.root = root
        self.policy = policy
        self.ledger = ledger
        self._tried: dict[Path, OSError | None] = {}  # by folder, what came of writing there

    def locate(self, path: str) -> Path:
        """Return where the plan's `path` is on disk; `~` is the user's folder, as it is in a model's `source`."""
        return self.root / os.path.expanduser(path)

    def exists(self, path: str) -> bool:
        """Return whether the name `path` is taken, be it by a link to nothing."""
        return _is_taken(self.locate(path))

    def taken(self, path: str) -> EngineError:
        """Return the error that `path` exists under the policy `error`."""
        return EngineError(f"`{self.locate(path)}` exists", "move it away, or choose another policy for existing files")

    def settled(self, path: str | None, target: Path | None = None) -> Path | None:
        """Return where the output `path` is, if the policy is not to make it again; None if it is to be made.

        `target` is where it is to be, if that isn't where `locate` says. What is written nowhere has no path.
        """
        if path is None:
            return None
        target = target or self.locate(path)
        if self.policy not in (OutputPolicy.RESUME, OutputPolicy.SKIP):
            return None
        done = None if self.ledger is None else self.ledger.done(path)
        return target if done is None and self.policy is OutputPolicy.SKIP and _is_taken(target) else done

    def refusal(self, target: Path) -> EngineError | None:
        """Return why nothing can be written to the name `target`, as far as its folder tells, or None if something can.

        That is found out by trying, in the folder or the nearest above it that is there: what a mode, a mount or a file
        system allows is known for sure in no other way. No folder is made.
        """
        folder = target.parent
        if "\0" in str(target):
            return None  # writing says so
        if folder not in self._tried:
            self._tried[folder] = _tried(folder)
        match self._tried[folder]:
            case None:
                return None
            case error if os.path.isdir(folder):
                return cannot(f"write `{target}`", error)
            case error:
                return _not_made(folder, error)

    def why(self, there: Path, more: int = 0) -> str:
        """Return why nothing is made where `there` and `more` files beside it are settled."""
        one, several = ("is done", "are done") if self.policy is OutputPolicy.RESUME else ("exists", "exist")
        return f"`{there}` and {more} more of its files {several}" if more else f"`{there}` {one}"

    def sweep(self, paths: Iterable[str]) -> None:
        """Remove what runs that were killed left in the folders of the outputs `paths`; what is being written stays."""
        for folder in {self.locate(path).parent for path in paths if "\0" not in path}:
            _sweep(folder)

    def write(self, path: str, medium: Medium, about: About | None, fps: float = FPS) -> Path | None:
        """Write `medium` and return the file's name; None under `skip` when the name was taken meanwhile.

        A video has `fps` frames in a second.

        Nothing is visible under the final name before all of it is on disk, the file beside it included, if `about`
        asks for one. Raises `EngineError`.
        """
        target = self.locate(path)
        form = FORMATS.get(target.suffix.lower())
        if form is None:
            known = ", ".join(FORMATS)
            raise EngineError(f"can't write `{target}`: its name says no format", f"end it in one of {known}")
        beside = about.text.encode() if about is not None and about.beside else None
        return self.write_bytes(path, encoded(medium, form, about, fps), beside)

    def write_bytes(self, path: str, body: bytes, beside: bytes | None = None) -> Path | None:
        """Write a file of `body` as `write` does a picture, and one of `beside` next to it."""
        target = self.locate(path)
        if "\0" in path:
            raise EngineError(f"can't write `{target}`: its name holds a NUL character")
        make_folder(target.parent)
        try:
            with ExitStack() as files:
                temporary = files.enter_context(_temporary(target.parent, body))
                second = None if beside is None else files.enter_context(_temporary(target.parent, beside))
                name = self.place(
                    path, _numbered(target), content_of_bytes(body),
                    lambda name: self._claim(temporary, second, name),
                    lambda name: _replace(temporary, second, name),
                )  # fmt: skip
        except OSError as error:
            raise cannot(f"write `{target}`", error) from error
        if name is None and self.policy is OutputPolicy.ERROR:
            raise self.taken(path)
        return name

    def _claim(self, temporary: Path, second: Path | None, name: Path) -> bool:
        """Give the files their names unless somebody has one, and return whether that was done."""
        # First the one beside it: a picture that is there is an output that is done.
        if second is not None and not self._claim_beside(second, name):
            return False
        if _claim(temporary, name):
            return True
        if second is not None:
            _beside(name).unlink()
        return False

    def _claim_beside(self, second: Path, name: Path) -> bool:
        beside = _beside(name)
        if os.path.lexists(name):
            return False
        if self.policy is OutputPolicy.ERROR and os.path.lexists(beside):
            raise self.taken(str(beside))
        if self.policy is OutputPolicy.SKIP or _is_record(beside):
            # Left by a run that ended right there.
            os.replace(second, beside)
            return True
        return _claim(second, beside)

    def place(
        self, path: str, names: Iterator[Path], content: Content, claim: Callable[[Path], bool],
        replace: Callable[[Path], None],
    ) -> Path | None:  # fmt: skip
        """Give the output `path`, which is on the disk under another name, its own; return that, or None.

        `names` are the one that the plan wants and those beside it. `claim` takes a name unless somebody has it, and
        returns whether it did; `replace` takes the place of what has the name. Under policies that number, the first
        name that is free or ours is taken. None means that the policy lets nothing be written, or that another process
        has just made the output.
        """
        with nullcontext() if self.ledger is None else self.ledger.writing():
            for name, is_free in self._names(path, names):
                if self.ledger is not None:
                    self.ledger.record(path, name, content)
                if not is_free:
                    replace(name)
                elif not claim(name):
                    continue
                if self.ledger is not None:
                    self.ledger.wrote(path)
                return name
        return None

    def _names(self, path: str, names: Iterator[Path]) -> Iterator[tuple[Path, bool]]:
        """Yield the names that the policy allows, each with whether it seems to be free."""
        match self.policy:
            case OutputPolicy.OVERWRITE:
                yield next(names), False
            case OutputPolicy.SKIP | OutputPolicy.ERROR:
                if not os.path.lexists(target := next(names)):
                    yield target, True
            case OutputPolicy.NUMBER:
                yield from ((name, True) for name in names if not os.path.lexists(name))
            case OutputPolicy.RESUME | OutputPolicy.REDO:
                if self.policy is OutputPolicy.RESUME and self.ledger is not None and self.ledger.done_meanwhile(path):
                    return
                for name in names:
                    if not os.path.lexists(name):
                        yield name, True
                    elif self.ledger is not None and self.ledger.is_ours(path, name):
                        yield name, False
            case _:
                assert_never(self.policy)


def _replace(temporary: Path, second: Path | None, name: Path) -> None:
    """Put the files in the place of those that have their names."""
    if second is not None:
        os.replace(second, _beside(name))
    os.replace(temporary, name)


def _is_record(beside: Path) -> bool:
    """Return whether a file beside a picture is a record that this program wrote."""
    try:
        with open(beside, "rb") as stream:
            record = json.loads(stream.read(1 << 20))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and {"version", "kind", "aquatint"} <= record.keys()


def _is_taken(target: Path) -> bool:
    try:
        return os.path.lexists(target)
    except ValueError:  # a NUL in the name; writing says so
        return False


def _beside(picture: Path) -> Path:
    return picture.with_name(f"{picture.name}{SIDECAR}")


def _numbered(target: Path) -> Iterator[Path]:
    yield target
    for number in count(2):
        yield target.with_name(f"{target.stem}-{number}{target.suffix}")


def make_folder(folder: Path) -> None:
    """Make `folder` and those above it where they are missing. Raises `EngineError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_made(folder, error) from error


def _not_made(folder: Path, error: OSError) -> EngineError:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return EngineError(
            f"can't make the folder `{folder}`: a file is in its way", "move the file away, or choose another folder"
        )
    return cannot(f"make the folder `{folder}`", error)


def _tried(folder: Path) -> OSError | None:
    """Return what keeps files from being made in `folder`, or folders above it where it isn't there."""
    try:
        path = _nearest(folder) / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        with contextlib.suppress(FileNotFoundError):  # swept away by another run
            path.unlink()
    except OSError as error:
        return error
    return None


def _nearest(folder: Path) -> Path:
    """Return `folder`, or the nearest above it that is there. Raises `OSError`, also where that is no folder."""
    while True:
        try:
            os.lstat(folder)
        except FileNotFoundError:
            folder = folder.parent
            continue
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        return folder


@contextlib.contextmanager
def _temporary(folder: Path, body: bytes) -> Iterator[Path]:
    """Hold `body` in a hidden file of `folder`, on disk to the last byte; remove what is left of it afterwards."""
    while True:
        # A short name of its own: one made from the target's could be too long where the target's is not.
        path = folder / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        try:
            # Not tempfile: its files are private to the user, whatever the umask says.
            with open(path, "xb") as file:
                if not locks.hold(file, path):
                    continue
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
                yield path
                return
        finally:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def _sweep(folder: Path) -> None:
    """Remove the hidden files of `folder` that nobody is writing."""
    if not locks.AVAILABLE:
        return
    try:
        found = list(folder.glob(f"{_PREFIX}*{_SUFFIX}"))
    except OSError:  # it can't be looked into, or its name is none
        return
    for left in found:
        with contextlib.suppress(OSError), open(left, "rb") as file:
            if locks.take(file):
                left.unlink()


def _claim(temporary: Path, name: Path) -> bool:
    """Give the file `temporary` the name `name` as well, or return False if that is taken."""
    try:
        os.link(temporary, name)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        return _claim_without_links(temporary, name)
    return True


def _claim_without_links(temporary: Path, name: Path) -> bool:
    # On file systems without hard links the name is reserved by an empty file, which a kill right here would leave.
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    os.replace(temporary, name)
    return True
