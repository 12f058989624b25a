"""The process that quantizes beside a run: puts what it is asked for into the store, as the run's engine would.

It ends when its run does, however that ends: the pipe that it reads is closed then. The lines that go through it are
`quantizer_process`'s.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from aquatint.plan.steps import Component
from aquatint.runtime.failures import explain
from aquatint.runtime.store import Store
from aquatint.runtime.torch_engine.engine import TorchEngine
from aquatint.runtime.torch_engine.quantizer_process import Answer, Request, Settings


def main() -> None:
    """Do what standard input asks for until it ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print is no answer
    with suppress(OSError):
        # Where memory runs out, the system is to end this process and not the run.
        Path("/proc/self/oom_score_adj").write_text("1000")
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=Settings)
    # Read from now on: the run may want something else, or end, while the libraries are imported or a component loads.
    desk = _Desk(answers)
    threading.Thread(target=desk.read, args=(sys.stdin.buffer,), daemon=True).start()
    store = Store(Path(settings.folder), settings.budget, settings.minimum, settings.reserve)
    facts = settings.facts
    engine = TorchEngine(str(facts["device"]), int(str(facts["threads"])), store, tiling=bool(facts.get("tiling")))
    if engine.describe() != facts:
        sys.exit("what is made here would be nothing that the run looks for")
    while True:
        desk.done(_answer(engine, desk.next()))


def _answer(engine: TorchEngine, component: Component) -> Answer:
    kept = engine.counters.stored
    try:
        engine.release(engine.load(component))
    except Exception as error:
        return Answer(component.key, error=explain(error, f"quantizing `{component.role}`")[0])
    return Answer(component.key, made=engine.counters.stored > kept)


class _Desk:
    """What is wanted, and what has been begun: one thread reads it, the other works at it."""

    def __init__(self, answers: IO[bytes]) -> None:
        self._answers = answers
        self._changed = threading.Condition()
        self._wanted: list[Component] = []
        self._begun: set[str] = set()

    def read(self, requests: IO[bytes]) -> None:
        """Take in what the run asks for; end the process with it."""
        for line in requests:
            request = msgspec.json.decode(line, type=Request)
            with self._changed:
                if request.wanted is not None:
                    self._wanted = [component for component in request.wanted if component.key not in self._begun]
                    self._changed.notify()
                elif request.leave is not None and request.leave not in self._begun:
                    self._wanted = [component for component in self._wanted if component.key != request.leave]
                    self._write(Answer(request.leave))
        # Not an exception: the other thread may be in the middle of a load. Half an entry is none.
        os._exit(0)

    def next(self) -> Component:
        """Wait for a component, and return it as begun."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted)
            component = self._wanted.pop(0)
            self._begun.add(component.key)
            return component

    def done(self, answer: Answer) -> None:
        """Tell what came of what was begun."""
        with self._changed:
            self._write(answer)

    def _write(self, answer: Answer) -> None:
        self._answers.write(msgspec.json.encode(answer) + b"\n")
