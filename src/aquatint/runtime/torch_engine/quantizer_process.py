"""The run's side of the process that quantizes beside it: starts and ends it, and asks it for components.

Only lines of JSON go between the two, and what the process has made is in the store. Which components are worth it is
`runtime.beside`'s affair, what the process does `quantizer_program`'s.
"""

from __future__ import annotations

import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

import msgspec

from aquatint.plan.steps import Component, Json, Record
from aquatint.runtime.store import Store

_PROGRAM = """\
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from aquatint.runtime.torch_engine.quantizer_program import main
main()
"""
# The same path for modules, so that it finds the very same libraries.


class Settings(Record, frozen=True):
    """The first line to the process: the store, as `Store` has it, and what the run's engine says of itself."""

    folder: str
    budget: int
    minimum: int
    reserve: int
    facts: dict[str, Json]


class Request(Record, frozen=True):
    """Every other line: what is `wanted` from now on, in that order, or the key of what is no more, to be answered."""

    wanted: list[Component] | None = None
    leave: str | None = None


class Answer(Record, frozen=True):
    """A line from the process about a component: whether it has `made` an entry of it, or why it couldn't.

    None was made of what it was told to leave before it had begun, of what was in the store, and of what can't be kept.
    """

    key: str
    made: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a component: whether the process has `made` an entry of it; a warning for people, or None."""

    made: bool = False
    warning: str | None = None


class QuantizerProcess:
    """The process of one engine, which runs while something is wanted of it. Called from one thread.

    After its first failure it is not started again: the reason, such as a lack of memory, is likely to be there still.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted: list[str] = []
        self._answers: dict[str, Answer] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._kill: weakref.finalize[[subprocess.Popen[bytes]], QuantizerProcess] | None = None
        self._failed: str | None = None
        self._is_given_up = False

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    @property
    def wanted(self) -> frozenset[str]:
        """The keys of what it was asked for, and the run has not come to."""
        return frozenset(self._wanted)

    def want(self, components: Sequence[Component], facts: Mapping[str, Json]) -> None:
        """Ask for entries of `components`, in that order, and for nothing else from now on; with none it ends."""
        keys = [component.key for component in components]
        if not keys:
            self.end()
            return
        if self._is_given_up or keys == self._wanted:
            return
        self._wanted = keys
        try:
            if self._process is None:
                self._start(facts)
            self._say(Request(wanted=list(components)))
        except OSError as error:
            self._failed = error.strerror or str(error)

    def outcome(self, component: Component) -> Outcome:
        """Return what came of `component`, which the run needs now; wait for that if the process is at work on it."""
        if component.key not in self._wanted:
            return Outcome()
        self._wanted.remove(component.key)
        answer = self._answer(component.key)
        if answer is not None and answer.error is None:
            return Outcome(answer.made)
        failed = self._failed if answer is None else answer.error
        self.give_up()
        return Outcome(warning=f"`{component.role}` was not quantized beside the run, and is quantized now: {failed}")

    def end(self) -> None:
        """End the process, whatever it is at; what it hasn't finished is in no entry."""
        if self._kill is not None:
            self._kill()
        self._process = self._kill = None
        self._wanted.clear()
        self._answers.clear()

    def give_up(self) -> None:
        """End the process for good."""
        self.end()
        self._is_given_up = True

    def _start(self, facts: Mapping[str, Json]) -> None:
        self._process = subprocess.Popen(
            # -P: a module in the current folder is none of Python's.
            [sys.executable, "-P", "-c", _PROGRAM, msgspec.json.encode(sys.path).decode()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            # Ctrl-C is for the run, and goes to everything in the terminal's session.
            start_new_session=True,
        )  # fmt: skip
        self._kill = weakref.finalize(self, _kill, self._process)
        store = self._store
        self._say(Settings(str(store.folder), store.budget, store.minimum, store.reserve, dict(facts)))

    def _say(self, line: Record) -> None:
        assert self._process is not None
        stream = _stream(self._process.stdin)
        stream.write(msgspec.json.encode(line) + b"\n")
        stream.flush()

    def _answer(self, key: str) -> Answer | None:
        """Return the answer about what has that key, None if there will be none; `_failed` says why."""
        if self._process is None:
            return None
        with suppress(OSError):  # it has ended: what it said before counts, and what is missing shows below
            self._say(Request(leave=key))
        while key not in self._answers:
            line = _stream(self._process.stdout).readline()
            if not line.endswith(b"\n"):
                self._failed = _end_of(self._process.wait())
                return None
            answer = msgspec.json.decode(line, type=Answer)
            self._answers[answer.key] = answer
        return self._answers.pop(key)


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def _end_of(code: int) -> str:
    return f"its process was killed by signal {-code}" if code < 0 else f"its process ended with code {code}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        with suppress(OSError):  # what was not written is of no use any more
            _stream(stream).close()
