"""What other installed packages add to the catalog, by entry points: a record of the kind that the group is for.

Reading the entry points of every installed package takes time, so it is done only when a name isn't the program's own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol, TypeVar


class Named(Protocol):
    """A record that packages can bring: its name and other names of it."""

    @property
    def name(self) -> str: ...

    @property
    def aliases(self) -> tuple[str, ...]: ...


Kind = TypeVar("Kind", bound=Named)


def extensions(
    group: str, kind: type[Kind], own: Collection[Kind], what: str
) -> tuple[tuple[Kind, ...], tuple[tuple[str, str], ...]]:
    """Return the records of `kind` in the entry point group, by name, and which can't be used, and why.

    An entry point's name is its record's; `own` are the program's, whose names are taken; `what` is what they are.
    """
    # Imported here: scripts that use this program's own records don't pay for it.
    from importlib.metadata import entry_points

    found: list[Kind] = []
    unusable: list[tuple[str, str]] = []
    taken = {name for each in own for name in (each.name, *each.aliases)}
    for entry in sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value)):
        try:
            made = entry.load()
        except Exception as error:  # whatever a stranger's module raises while it is imported
            unusable.append((entry.name, f"`{entry.value}` can't be imported: {error or type(error).__name__}"))
            continue
        if not isinstance(made, kind):
            kind_name = f"{kind.__module__}.{kind.__qualname__}"
            unusable.append((entry.name, f"`{entry.value}` is a {type(made).__name__} and no `{kind_name}`"))
            continue
        reason = next(_faults(made, entry.name, taken, what), None)
        if reason is None:
            found.append(made)
            taken |= {made.name, *made.aliases}
        else:
            unusable.append((entry.name, f"`{entry.value}` {reason}"))
    return tuple(found), tuple(unusable)


def _faults(made: Named, name: str, taken: set[str], what: str) -> Iterator[str]:
    if made.name != name:
        yield f"calls itself `{made.name}`"
    if clash := sorted({made.name, *made.aliases} & taken):
        yield f"takes the name `{clash[0]}`, which another {what} has"
