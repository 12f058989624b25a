"""What installed packages add to the catalog by entry points: a record of the kind that the group is for.

This program's own are found in the same way. A checkout's are those that its `pyproject.toml` declares: it may never
have been installed, or not since that file was changed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from aquatint.diagnostics import did_you_mean

PROGRAM = "aquatint"
"""The distribution whose entry points are the program's own."""


class Named(Protocol):
    """A record that packages can bring: its name and other names of it."""

    @property
    def name(self) -> str: ...

    @property
    def aliases(self) -> tuple[str, ...]: ...


Kind = TypeVar("Kind", bound=Named)


class Extensions(Generic[Kind]):
    """The records of `kind` in an entry point group; `what` is what messages call one, `many` several.

    An entry point's name is its record's. A name that two packages claim is neither's: what a script means must not
    depend on which of them is found first.
    """

    def __init__(self, group: str, kind: type[Kind], what: str, many: str) -> None:
        self.group = group
        self.kind = kind
        self.what = what
        self.many = many

    def find(self, name: str) -> Kind | None:
        """Return the record called `name`, which may be an alias; None if there is none, or none that can be used."""
        return next((each for each in self.all() if name in (each.name, *each.aliases)), None)

    def all(self) -> tuple[Kind, ...]:
        """Return every record: the program's own by name, then those of other packages by name."""
        return self._records[0]

    def names(self) -> tuple[str, ...]:
        """Return every name that `find` knows, for suggestions."""
        return tuple(name for each in self.all() for name in (each.name, *each.aliases))

    def unusable(self) -> dict[str, str]:
        """Return the names of entry points whose records can't be used, and why."""
        return dict(self._records[1])

    def lack(self, name: str) -> tuple[str, str]:
        """Return what to say of `name`, which `find` doesn't know, and a way out."""
        reason = self.unusable().get(name)
        if reason is None:
            return f"there is no {self.what} `{name}`", did_you_mean(name, self.names(), self.many)
        help = "uninstall all but one of them"
        if len(self._claims(name)) == 1:
            known = ", ".join(f"`{each}`" for each in self.names())
            help = f"another package brings it: update that package, or take one of {known}"
        return f"the {self.what} `{name}` can't be used: {reason}", help

    @cached_property
    def _entries(self) -> list[EntryPoint]:
        found = sorted(_entry_points(self.group), key=lambda each: (each.name, each.value))
        return sorted(found, key=_is_own, reverse=True)

    def _claims(self, name: str) -> list[EntryPoint]:
        return [each for each in self._entries if each.name == name]

    @cached_property
    def _records(self) -> tuple[tuple[Kind, ...], dict[str, str]]:
        """The records that can be used, and by the names of entry points why others can't be."""
        found: list[Kind] = []
        unusable: dict[str, str] = {}
        taken: set[str] = set()
        for entry in self._entries:
            claims = self._claims(entry.name)
            if len(claims) > 1:
                told = ", ".join(f"`{each.value}` of {_package(each)}" for each in claims)
                unusable[entry.name] = f"{len(claims)} packages claim that name: {told}"
                continue
            try:
                made = entry.load()
            except Exception as error:  # whatever a stranger's module raises while it is imported
                unusable[entry.name] = f"`{entry.value}` can't be imported: {error or type(error).__name__}"
                continue
            if not isinstance(made, self.kind):
                kind_name = f"{self.kind.__module__}.{self.kind.__qualname__}"
                unusable[entry.name] = f"`{entry.value}` is a {type(made).__name__} and no `{kind_name}`"
                continue
            reason = next(_faults(made, entry.name, taken, self.what), None)
            if reason is None:
                found.append(made)
                taken |= {made.name, *made.aliases}
            else:
                unusable[entry.name] = f"`{entry.value}` {reason}"
        return tuple(found), unusable


@cache
def _checkout() -> dict[str, dict[str, str]] | None:
    """Return the entry points of the checkout that this module is in, by group; None if it is in none."""
    folder = Path(__file__).resolve().parents[2]
    file = folder.parent / "pyproject.toml"
    if folder.name != "src" or not file.is_file():
        return None
    told: dict[str, dict[str, str]] = tomllib.loads(file.read_text(encoding="utf-8"))["project"]["entry-points"]
    return told


def _entry_points(group: str) -> Iterator[EntryPoint]:
    """Yield the entry points in `group`, those of a checkout instead of what was installed of it."""
    checkout = _checkout()
    if checkout is not None:
        yield from (EntryPoint(name, value, group) for name, value in checkout.get(group, {}).items())
    yield from (each for each in entry_points(group=group) if checkout is None or not _is_own(each))


def _package(entry: EntryPoint) -> str:
    return PROGRAM if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


def _is_own(entry: EntryPoint) -> bool:
    # Those of a checkout were read from its file, and belong to no distribution.
    return entry.dist is None or entry.dist.name == PROGRAM


def _faults(made: Named, name: str, taken: set[str], what: str) -> Iterator[str]:
    if made.name != name:
        yield f"calls itself `{made.name}`"
    if clash := sorted({made.name, *made.aliases} & taken):
        yield f"takes the name `{clash[0]}`, which another {what} has"
