"""Writes folders to disk: whole or not at all, and by a policy for names that are taken.

What goes into them is the caller's affair; pictures are written by `outputs`.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from aquatint.plan.steps import Json
from aquatint.runtime.engine import EngineError
from aquatint.runtime.failures import cannot
from aquatint.runtime.journal import content_of_folder, files_below
from aquatint.runtime.outputs import OutputPolicy, Outputs, make_folder
from aquatint.runtime.store import locks

RECORD = "aquatint.json"
"""The file in each folder that says what wrote it, and lists the others under `files`."""

_PREFIX, _SUFFIX = ".aquatint-", ".tmp.d"


def locate(outputs: Outputs, path: str) -> Path:
    """Return where the plan's folder `path` is on disk."""
    return outputs.locate(path)


def irreplaceable(folder: Path) -> str | None:
    """Return why `folder` may not be replaced, or None if it may: if it is gone, or holds nothing but what we wrote."""
    if not os.path.lexists(folder):
        return None
    if folder.is_symlink() or not folder.is_dir():
        return "it is no folder"
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        written = set(record["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"it was not written by `save`: it has no `{RECORD}` that lists its files"
    others = [name for name in files_below(folder) if name not in written and name != RECORD]
    return f"it holds files that `save` did not write, such as `{others[0]}`" if others else None


def refuse(folder: Path, policy: OutputPolicy) -> None:
    """Raise `EngineError` where `policy` doesn't let anything be written to the name of `folder`."""
    if policy is OutputPolicy.ERROR and os.path.lexists(folder):
        raise EngineError(f"`{folder}` exists", "move it away, or choose another policy for existing files")
    if policy is OutputPolicy.OVERWRITE and (reason := irreplaceable(folder)) is not None:
        raise EngineError(f"`{folder}` is not replaced: {reason}", "move it away, or save to another folder")


def settled(outputs: Outputs, path: str) -> str | EngineError | None:
    """Return what decides before anything is loaded: why the folder `path` is not written, or how writing it fails."""
    folder = locate(outputs, path)
    if (there := outputs.settled(path, folder)) is not None:
        return outputs.why(there)
    try:
        refuse(folder, outputs.policy)
    except EngineError as error:
        return error
    return outputs.refusal(folder)


def write(
    outputs: Outputs, path: str, fill: Callable[[Path], None], record: dict[str, Json], *, size: int
) -> Path | None:
    """Write the folder `path` and return its name; None under `skip` when the name was taken meanwhile.

    `fill` is given an empty folder to write into, about `size` bytes; beside that goes `record`, as JSON, with a list
    of the files. Nothing is visible under the final name before all of it is on disk. Raises `EngineError`, and
    whatever `fill` raises.
    """
    target = locate(outputs, path)
    refuse(target, outputs.policy)
    make_folder(target.parent)
    try:
        sweep(target.parent)
        free = shutil.disk_usage(target.parent).free
        if free < size:
            raise EngineError(
                f"can't write `{target}`: it takes {size:,} bytes, and its disk has {free:,} left",
                "free some space, or save to another disk",
            )
        with _temporary(target.parent) as temporary:
            fill(temporary)
            (temporary / RECORD).write_text(
                json.dumps(record | {"files": files_below(temporary)}, indent=2, sort_keys=True) + "\n",
                encoding="utf-8",
            )
            _to_disk(temporary)
            content = content_of_folder(temporary)
            name = outputs.place(
                path, _numbered(target), content, lambda name: _claim(temporary, name),
                lambda name: _replace(temporary, name, outputs.policy),
            )  # fmt: skip
    except OSError as error:
        raise cannot(f"write `{target}`", error) from error
    if name is None:
        refuse(target, outputs.policy)
    return name


def total_bytes(folder: Path) -> int:
    """Return the bytes of all files below `folder`."""
    return sum((folder / name).stat().st_size for name in files_below(folder))


def sweep(folder: Path) -> None:
    """Remove what runs that were killed left in `folder` of folders they were writing; those of live ones stay."""
    if not locks.AVAILABLE:
        return
    for left in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            handle = os.open(left, os.O_RDONLY)
            try:
                if locks.take(handle):
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(handle)


def _claim(temporary: Path, name: Path) -> bool:
    try:
        temporary.rename(name)
    except OSError:
        if os.path.lexists(name):
            return False  # taken meanwhile
        raise
    return True


def _replace(temporary: Path, target: Path, policy: OutputPolicy) -> None:
    if not os.path.lexists(target):
        temporary.rename(target)
        return
    refuse(target, policy)
    # Two renames: no system call that Python knows exchanges folders. A kill between them leaves the old folder under
    # its hidden name, whole; never a mixture.
    old = target.with_name(f"{_PREFIX}{secrets.token_hex(8)}.old")
    target.rename(old)
    temporary.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _numbered(target: Path) -> Iterator[Path]:
    yield target
    for number in count(2):
        yield target.with_name(f"{target.name}-{number}")


@contextlib.contextmanager
def _temporary(parent: Path) -> Iterator[Path]:
    """Make a hidden folder in `parent`, held while the body runs; remove what is left of it afterwards."""
    while True:
        path = parent / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        path.mkdir()
        try:
            with _held(path) as is_held:
                if is_held:
                    yield path
                    return
        finally:
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Hold the new `folder` while the body runs; yield False if another run swept it away before it could be held."""
    if not locks.AVAILABLE:
        yield True
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        yield locks.hold(handle, folder)
    finally:
        os.close(handle)


def _to_disk(folder: Path) -> None:
    """Wait until everything below `folder` is on the disk, and not only on its way there."""
    for place, _, names in os.walk(folder):
        for path in (*(Path(place, name) for name in names), *([Path(place)] if sys.platform != "win32" else [])):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
