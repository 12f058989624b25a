"""What a plan's outputs are to be, against what is there: which are done, which may be replaced, what is written.

The journal says what was written by whom; here it is held against the plan's fingerprints and the files themselves.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path

from msgspec.structs import replace

from aquatint import __version__
from aquatint.catalog import media
from aquatint.plan.fingerprints import Planned, planned
from aquatint.plan.keys import digest
from aquatint.plan.steps import ImageRef, Json, Plan, TensorRef
from aquatint.plan.uses import Reference, awaits
from aquatint.runtime.failures import cannot, reason
from aquatint.runtime.journal import Content, EngineEntry, Entry, Journal
from aquatint.runtime.metadata import installed_version

WRITTEN_BY = "written by"
"""Beside what an engine says of itself, the versions of what draws sheets and writes files."""


class State(StrEnum):
    """How an output stands."""

    DONE = "done"  # its file is there, and is what the plan wants
    STALE = "stale"  # its file is there as this program wrote it, and the plan wants another one now
    CHANGED = "changed"  # its file was written by this program, and has been changed since
    UNKNOWN = "unknown"  # there is a file of its name that the journal doesn't know
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Standing:
    """How one output stands; `file` is where it is, or where the one is that is in its way; `why` it is stale."""

    planned: Planned
    state: State
    file: Path
    why: tuple[str, ...] = ()
    is_elsewhere: bool = False  # not where the plan wants it, where something else was in its way


class Ledger:
    """The outputs of `plan` in the folder of `journal`, for an engine that says `facts` of itself.

    Without a journal nothing is ever done, and nothing is recorded. `known` has what steps have yielded beside images,
    and may grow; `complain` is told of a journal that can't be kept, once.
    """

    def __init__(
        self,
        plan: Plan,
        journal: Journal | None,
        facts: Mapping[str, Json],
        surroundings: dict[str, Json],
        known: Collection[object] = (),
        complain: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.plan = plan
        self.journal = journal
        with_what = made_with(facts, plan)
        self.engine = EngineEntry(digest(with_what, 8), with_what, surroundings)
        self.known = known
        self.complain = complain
        self.planned: dict[str, Planned] = {}
        for each in map(_with_encoder, planned(plan)):
            # Two of one name, in a plan that no script comes to, can't both be there: neither is ever done.
            self.planned[each.path] = replace(each, parts=None) if each.path in self.planned else each
        self.written: set[str] = set()
        self._steps = {step.id: step for step in plan.steps}
        self._paths = {(each.step, each.index): each.path for each in self.planned.values()}
        self._script = "" if journal is None else _name_of(plan.script, journal.root)
        self._is_off = False
        self._done: dict[str, Path | None] = {}

    def done(self, path: str) -> Path | None:
        """Return where the output `path` is, if it was there when this was first asked, as the plan wants it."""
        if path not in self._done:
            entry = self._entry_of(path)
            self._done[path] = None if entry is None or self.journal is None else self.journal.locate(entry)
        return self._done[path]

    def standing(self, path: str, target: Path) -> Standing:
        """Return how the output `path` stands, which the plan wants at `target`."""
        wanted = self.planned[path]
        if self.journal is None:
            return Standing(wanted, State.UNKNOWN if os.path.lexists(target) else State.MISSING, target)
        if (done := self.done(path)) is not None:
            return Standing(wanted, State.DONE, done, is_elsewhere=not _is_same(done, target))
        for entry in self.journal.of_output(path):
            if self.journal.holds(entry) and self._is_of_this_script(entry):
                file = self.journal.locate(entry)
                return Standing(wanted, State.STALE, file, tuple(self._why(entry)), not _is_same(file, target))
        if not os.path.lexists(target):
            return Standing(wanted, State.MISSING, target)
        wrote = [*self.journal.of_file(target)]
        of_others = any(self.journal.holds(entry) for entry in wrote)
        return Standing(wanted, State.CHANGED if wrote and not of_others else State.UNKNOWN, target)

    def of_other_engines(self) -> tuple[int, list[str]]:
        """Return how many outputs aren't done for the engine's sake alone, and in what it is another one than then."""
        number = 0
        names: set[str] = set()
        for path, wanted in self.planned.items():
            if self.journal is None or wanted.parts is None or self.done(path) is not None:
                continue
            for entry in self.journal.of_output(path):
                if entry.parts == wanted.parts and self.journal.holds(entry):
                    number += 1
                    names.update(self._why(entry))
                    break
        return number, sorted(names)

    def is_ours(self, path: str, place: Path) -> bool:
        """Return whether what is at `place` may make room for the output `path`.

        It may if nobody has touched it since this program wrote it for the same output: by the same script, or by
        another one that wanted the same.
        """
        return self.journal is not None and any(
            entry.output == path and (self._is_of_this_script(entry) or self._is_wanted(entry))
            for entry in self.journal.of_file(place)
            if self.journal.holds(entry)
        )

    def done_meanwhile(self, path: str) -> bool:
        """Return whether another process has just made the output `path` as the plan wants it."""
        return self.done(path) is None and self._entry_of(path) is not None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run the body, which writes an output, while no other process writes one; raises `EngineError`."""
        with ExitStack() as stack:
            if self.journal is not None:
                try:
                    stack.enter_context(self.journal.alone())
                except OSError as error:
                    self._refused(error)
            yield

    def record(self, path: str, place: Path, content: Content) -> None:
        """Note that `content` is about to be put at `place` for the output `path`; raises `EngineError`."""
        wanted = self.planned.get(path)
        if self.journal is None or wanted is None or self._is_off:
            return
        parts = wanted.parts if self._is_whole(wanted) else None
        entry = Entry(path, self.journal.name(place), self._script, self.engine.id, content, parts)
        try:
            self.journal.add(*([] if self.journal.knows(self.engine) else [self.engine]), entry)
        except OSError as error:
            self._refused(error)

    def wrote(self, path: str) -> None:
        """Note that the output `path` is there now."""
        self.written.add(path)

    def _refused(self, error: OSError) -> None:
        assert self.journal is not None
        if error.errno not in _CANT_BE_KEPT:
            # What is written now would be unknown to the next run, and lie in its way.
            raise cannot(f"write the journal `{self.journal.path}`", error) from error
        if not self._is_off:
            self._is_off = True
            why = f"can't keep the journal `{self.journal.path}`: {reason(error)}"
            self.complain(f"{why}; the next run won't know what this one has done")

    def _entry_of(self, path: str) -> Entry | None:
        """Return the entry of a file that is what the plan wants of the output `path`."""
        wanted = self.planned.get(path)
        if self.journal is None or wanted is None or wanted.parts is None:
            return None
        entries = self.journal.of_output(path)
        return next((entry for entry in entries if self._is_wanted(entry) and self.journal.holds(entry)), None)

    def _is_wanted(self, entry: Entry) -> bool:
        wanted = self.planned.get(entry.output)
        return wanted is not None and entry.parts == wanted.parts is not None and entry.engine == self.engine.id

    def _is_of_this_script(self, entry: Entry) -> bool:
        # What is typed or comes in on standard input has no name by which the next one would be the same script.
        return entry.script == self._script and not entry.script.startswith("<")

    def _is_whole(self, wanted: Planned) -> bool:
        """Return whether what is made for `wanted` is made of all that the plan makes it of."""
        return wanted.parts is not None and self._has_all(wanted.step)

    def _has_all(self, step: str) -> bool:
        return all(self._is_there(reference) for reference in awaits(self._steps[step]))

    def _is_there(self, reference: Reference) -> bool:
        if isinstance(reference, TensorRef):
            reference = reference.image
        if not isinstance(reference, ImageRef):
            return reference in self.known and self._has_all(reference.step)
        path = self._paths.get((reference.step, reference.index))
        if path is None:
            # Of this plan, it was made for this run's sake; of another, nobody knows here what it was made of.
            return reference.step in self._steps and self._has_all(reference.step)
        return self.done(path) is not None or (path in self.written and self._is_whole(self.planned[path]))

    def _why(self, entry: Entry) -> Iterator[str]:
        """Yield what is another than it was when the file of `entry` was written."""
        wanted = self.planned[entry.output].parts
        if entry.parts is None or wanted is None:
            yield "not all of it was made" if entry.parts is None else "made of another plan's images"
            return
        yield from (name for name in sorted({*entry.parts, *wanted}) if entry.parts.get(name) != wanted.get(name))
        if entry.engine != self.engine.id and self.journal is not None:
            yield from differences(self.journal.facts(entry.engine), self.engine.facts)


def made_with(facts: Mapping[str, Json], plan: Plan) -> dict[str, Json]:
    """Return all that decides bytes beside a plan: what the engine says, and what writes the files."""
    versions: dict[str, Json] = {"aquatint": __version__, "pillow": version("pillow")}
    if plan.aquatint != __version__:
        versions["plan"] = plan.aquatint  # its metadata say so
    return {**facts, WRITTEN_BY: versions}


def _with_encoder(planned: Planned) -> Planned:
    """Return `planned` with the version of what encodes its file, where that isn't in all that the engine says."""
    if planned.parts is None or not planned.path.lower().endswith(media.SUFFIX_OF_PACKAGE):
        return planned
    encoder = digest(installed_version(media.PACKAGE))
    return replace(planned, parts={**planned.parts, f"version of {media.PACKAGE}": encoder})


def differences(old: Mapping[str, Json], new: Mapping[str, Json], of: str = "") -> Iterator[str]:
    """Yield the names of what differs, those in a map in the map's stead."""
    for name in sorted({*old, *new}):
        before, now = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            yield from differences(before, now, "" if name == "variables" else "version of ")
        elif before != now:
            yield of + name


_CANT_BE_KEPT = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOLCK, errno.ENOTSUP,
    errno.EOPNOTSUPP, errno.ENOSYS,
)  # fmt: skip
# A folder in which no journal can be kept; a run goes on without.


def _is_same(one: Path, other: Path) -> bool:
    return os.path.abspath(one) == os.path.abspath(other)


def _name_of(script: str, root: Path) -> str:
    """Return what entries call a script: its path from the output folder, so that both can move together."""
    return script if script.startswith("<") else os.path.relpath(script, root)
