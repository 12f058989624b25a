"""The names of what a plan writes: whether they are names at all, and that no two statements write the same.

Where a run writes them, and what it does with files that exist, is the run's business.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from aquatint.catalog.models import OUTPUT_SUFFIXES
from aquatint.diagnostics import Diagnostics, Label
from aquatint.language.values import Setting
from aquatint.source import Span


def written(path: str) -> str:
    """Return `path` as a plan has it: without what names no folder, such as the dot in `./cat.png`."""
    return str(PurePosixPath(path)) if "./" in path or "//" in path else path


def _above(file: str) -> Iterator[str]:
    while file := file.rpartition("/")[0]:
        yield file


class OutputNames:
    """The names that one plan's statements have taken."""

    def __init__(self, diagnostics: Diagnostics, folder: str) -> None:
        self.diagnostics = diagnostics
        self.folder = folder  # that relative names are in
        self._spans: dict[str, Span] = {}
        self._numbers: dict[str, int] = {}  # the last one given to a name that was taken
        self._folders: dict[str, Span] = {}  # those around them, each with one that is in it

    def place_of(self, path: str) -> Span | None:
        """Return where a statement so far writes the file `path`, or None."""
        return self._spans.get(self._file(path))

    def is_good(self, setting: Setting, suffixes: Sequence[str] = OUTPUT_SUFFIXES, what: str = "pictures") -> bool:
        """Return whether `setting` names a file with one of `suffixes`, or report why not."""
        text = setting.value
        parts = text.split("/")
        name = parts[-1]
        dot = name.rfind(".")
        suffix = name[dot:].lower() if 0 < dot < len(name) - 1 else ""
        if not text.isprintable():
            message = "`output` has a character that doesn't belong into a name"
            self.diagnostics.error("wrong-value", message, setting.span,
                                   help="take it out, or name the file with `slug(...)`")  # fmt: skip
            return False
        if not text.strip() or not name or name in suffixes:
            self.diagnostics.error(
                "wrong-value", "`output` names no file", setting.span, help="write a name such as `out/cat.png`"
            )
            return False
        if suffix not in suffixes:
            why = f"{what} can't be written as `{suffix}`" if suffix else f"`{text}` doesn't say as what to write it"
            self.diagnostics.error("wrong-value", why, setting.span,
                        help="end the name with one of " + ", ".join(f"`{s}`" for s in suffixes))  # fmt: skip
            return False
        if any(len(part.encode()) > 250 for part in parts):
            self.diagnostics.error(
                "wrong-value", "this name is too long for a file", setting.span, help="shorten it with `slug(...)`"
            )
            return False
        return True

    def claim(self, path: str, span: Span) -> bool:
        """Return whether no other statement of the plan writes to `path`."""
        file = self._file(path)
        first = self._spans.get(file)
        if first is None:
            return self._claim_place(file, path, span)
        if first == span and self.diagnostics.is_called:
            self.diagnostics.error("duplicate-output", f"more than one turn or call writes `{path}`", span,
                                   help="put what differs into the name, such as what the task is given")  # fmt: skip
        elif first == span:
            self.diagnostics.error("duplicate-output", f"more than one turn of this loop writes `{path}`", span,
                                   help="put what differs into the name, as in `{{ seed }}`")  # fmt: skip
        else:
            self.diagnostics.error("duplicate-output", f"`{path}` is written by an earlier statement", span,
                                   labels=(Label(first, "here"),), help="give one of them another name")  # fmt: skip
        return False

    def _claim_place(self, file: str, path: str, span: Span) -> bool:
        """Take the name `file`, which is free, unless it lies in what another statement writes, or that in it."""
        message, other = f"another statement writes files in `{path}`", self._folders.get(file)
        if other is None:
            message, other = f"`{path}` lies in what another statement writes", self._around(file, span)
        if other is not None:
            self.diagnostics.error("duplicate-output", message, span, labels=(Label(other, "here"),),
                                   help="write one beside the other")  # fmt: skip
            return False
        self._spans[file] = span
        return True

    def _around(self, file: str, span: Span) -> Span | None:
        """Return what writes a folder around `file`, as one whole; note the folders for those that come later."""
        new = []
        for folder in _above(file):
            if folder in self._folders:
                break  # nobody writes it, nor any above it
            if folder in self._spans:
                return self._spans[folder]
            new.append(folder)
        self._folders.update(dict.fromkeys(new, span))
        return None

    def free(self, path: str, span: Span) -> str:
        """Take `path`, or the first name made of it that no statement before has taken, and return it."""
        stem, suffix = posixpath.splitext(path)
        number = self._numbers.get(path, 1)
        free = path if number == 1 else f"{stem}-{number}{suffix}"
        while self._file(free) in self._spans:
            number += 1
            free = f"{stem}-{number}{suffix}"
        self._numbers[path] = number
        self._spans[self._file(free)] = span
        return free

    def _file(self, path: str) -> str:
        """Return one name for all those of a file, as far as that can be told without looking for links."""
        whole = posixpath.normpath(posixpath.join(self.folder, posixpath.expanduser(path)))
        return "/" + whole.lstrip("/") if whole.startswith("/") else whole
