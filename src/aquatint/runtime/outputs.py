"""Writes pictures to disk: whole or not at all, and by a policy for names that are taken.

What goes into a file beside its pixels is in `metadata`; what a file is called is the plan's choice.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
from collections.abc import Iterator
from enum import StrEnum
from itertools import count
from pathlib import Path

from PIL.Image import Image

from aquatint.runtime.engine import EngineError
from aquatint.runtime.failures import cannot
from aquatint.runtime.metadata import About, embedded
from aquatint.runtime.picture_texts import Format

FORMATS: dict[str, Format] = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""The suffixes that can be written, in lower case."""

SIDECAR = ".json"
"""What is put behind a picture's whole name for the file that its record is in: two formats of one name have two."""


class OutputPolicy(StrEnum):
    """What becomes of a picture whose file exists already."""

    NUMBER = "number"  # it goes to the first free name: x-2.png, x-3.png, ...
    OVERWRITE = "overwrite"
    SKIP = "skip"  # it isn't made
    ERROR = "error"


class Outputs:
    """The folder of a run; relative paths are resolved against `root`."""

    def __init__(self, root: Path, policy: OutputPolicy) -> None:
        self.root = root
        self.policy = policy

    def locate(self, path: str) -> Path:
        """Return where the plan's `path` is on disk."""
        return self.root / path

    def exists(self, path: str) -> bool:
        """Return whether the name `path` is taken, be it by a link to nothing."""
        try:
            return os.path.lexists(self.locate(path))
        except ValueError:  # a NUL in the name; writing says so
            return False

    def taken(self, path: str) -> EngineError:
        """Return the error that `path` exists under the policy `error`."""
        return EngineError(f"`{self.locate(path)}` exists", "move it away, or choose another policy for existing files")

    def write(self, path: str, image: Image, about: About | None) -> Path | None:
        """Write `image` and return the file's name; None under `skip` when the name was taken meanwhile.

        Nothing is visible under the final name before all of it is on disk, the file beside it included, if `about`
        asks for one. Raises `EngineError`.
        """
        target = self.locate(path)
        form = FORMATS.get(target.suffix.lower())
        if form is None:
            known = ", ".join(FORMATS)
            raise EngineError(f"can't write `{target}`: its name says no picture format", f"end it in one of {known}")
        beside = about.text.encode() if about is not None and about.beside else None
        return self.write_bytes(path, encoded(image, form, about), beside)

    def write_bytes(self, path: str, body: bytes, beside: bytes | None = None) -> Path | None:
        """Write a file of `body` as `write` does a picture, and one of `beside` next to it."""
        target = self.locate(path)
        if "\0" in path:
            raise EngineError(f"can't write `{target}`: its name holds a NUL character")
        make_folder(target.parent)
        try:
            return self._place(target, body, beside)
        except OSError as error:
            raise cannot(f"write `{target}`", error) from error

    def _place(self, target: Path, body: bytes, beside: bytes | None) -> Path | None:
        with (
            _temporary(target.parent, body) as temporary,
            contextlib.nullcontext() if beside is None else _temporary(target.parent, beside) as second,
        ):
            names = _numbered(target) if self.policy is OutputPolicy.NUMBER else iter([target])
            for name in names:
                # First the file beside it: a picture that is there is a statement that is done.
                if second is not None and not self._place_beside(second, name):
                    continue
                if self.policy is OutputPolicy.OVERWRITE:
                    os.replace(temporary, name)
                    return name
                if not os.path.lexists(name) and _claim(temporary, name):
                    return name
                if second is not None and self.policy is not OutputPolicy.SKIP:
                    _beside(name).unlink()
        if self.policy is OutputPolicy.ERROR:
            raise self.taken(str(target))
        return None

    def _place_beside(self, temporary: Path, name: Path) -> bool:
        """Put `temporary` beside the picture `name`, which isn't there yet, or return False if that name is taken."""
        beside = _beside(name)
        match self.policy:
            case OutputPolicy.OVERWRITE:
                os.replace(temporary, beside)
                return True
            case OutputPolicy.SKIP if not os.path.lexists(name):
                # Left by a run that ended right there.
                os.replace(temporary, beside)
                return True
            case OutputPolicy.ERROR if os.path.lexists(beside):
                raise self.taken(str(beside))
        return not os.path.lexists(name) and not os.path.lexists(beside) and _claim(temporary, beside)


def encoded(image: Image, form: Format, about: About | None) -> bytes:
    """Return `image` as a file of `form`; the same picture and text give the same bytes."""
    buffer = io.BytesIO()
    extra = {} if about is None or not about.inside else embedded(form, about)
    match form:
        case "PNG":
            image.save(buffer, "PNG", **extra)
        case "JPEG":
            image.convert("RGB").save(buffer, "JPEG", quality=95, subsampling=0, **extra)
        case "WEBP":
            # Lossless: pictures are compared by their pixels.
            image.save(buffer, "WEBP", lossless=True, **extra)
    return buffer.getvalue()


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
    except (FileExistsError, NotADirectoryError) as error:
        raise EngineError(
            f"can't make the folder `{folder}`: a file is in its way", "move the file away, or choose another folder"
        ) from error
    except OSError as error:
        raise cannot(f"make the folder `{folder}`", error) from error


@contextlib.contextmanager
def _temporary(folder: Path, body: bytes) -> Iterator[Path]:
    """Hold `body` in a hidden file of `folder`, on disk to the last byte; remove what is left of it afterwards."""
    # A short name of its own: one made from the target's could be too long where the target's is not.
    path = folder / f".aquatint-{secrets.token_hex(8)}.tmp"
    try:
        # Not tempfile: its files are private to the user, whatever the umask says.
        with open(path, "xb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


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
