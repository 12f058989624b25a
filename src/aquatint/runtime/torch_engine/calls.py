"""Calls of pipelines that can stop where a submodule isn't there, and go on when it is.

A call runs the library's own code in a greenlet: a stack of its own in the same thread, which is left where it waits.
What is global to the thread (torch's generator, gradient mode and autocast) is a call's own, too, while it runs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from aquatint.runtime.engine import EngineError, Needs
from aquatint.runtime.torch_engine import determinism
from aquatint.runtime.torch_engine.generating import Told
from aquatint.runtime.torch_engine.libraries import heard
from aquatint.runtime.torch_engine.standins import Place

_KINDS = ("cpu", "cuda", "xpu", "mps")


class NotLoaded(EngineError):
    """A module is needed outside of a call, where nothing can wait for it."""


class TorchCall:
    """A call that is under way; `work` is the whole of it, `places` are what it may wait for, `devices` where they are.

    Nothing is done before the first `advance`. `warnings` are for people. Each time it goes on it is inside of what
    `around` returns.
    """

    def __init__(
        self,
        torch: Any,
        work: Callable[[Told], Any],
        places: Sequence[Place],
        seed: int,
        devices: Sequence[str],
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.warnings: list[str] = []
        self._torch = torch
        self._work = work
        self._places = places
        self._seed = seed
        self._devices = devices
        self._around = around
        self._begin()

    def _begin(self) -> None:
        self._random = determinism.Stream(self._torch, self._seed, self._devices)
        self._autocast: list[str] = []
        self._corrections = self._corrected()
        self._told: list[warnings.WarningMessage] = []
        self._greenlet = greenlet(lambda: self._work(self._told))
        self._waits = False

    def _corrected(self) -> int:
        return sum(place.corrections for place in self._places)

    def advance(self) -> Any:
        """Go on until the call needs a submodule that isn't there, and return `Needs`, or to its end: the result.

        What the call raises comes out of here, and ends it.
        """
        if self._waits and self._corrected() != self._corrections:
            # It had been told something of a submodule that isn't so.
            self.close()
            self._begin()
        torch = self._torch
        with torch.no_grad(), self._random.drawn_from(), heard(self.warnings), _overheard(self._told), self._around():
            for kind in self._autocast:
                torch.set_autocast_enabled(kind, True)
            self._greenlet.parent = getcurrent()
            try:
                result = self._greenlet.switch()
            finally:
                self._autocast = [kind for kind in _KINDS if torch.is_autocast_enabled(kind)]
                for kind in self._autocast:
                    torch.set_autocast_enabled(kind, False)
        self._waits = not self._greenlet.dead
        return Needs(result.component.role, result.component.key) if self._waits else result

    def close(self) -> None:
        """Give up a call that waits: what it holds is let go."""
        if self._waits:
            self._waits = False
            self._greenlet.parent = getcurrent()
            with self._torch.no_grad():
                self._greenlet.throw(GreenletExit)


@contextmanager
def _overheard(told: list[warnings.WarningMessage]) -> Iterator[None]:
    """Let Python's warnings in the body be added to `told`, at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, filename, lineno, file=None, line=None: told.append(
            warnings.WarningMessage(message, category, filename, lineno, file, line)
        )
        yield


def wait(place: Place) -> None:
    """Leave the call that is running until the module of `place` is there."""
    current = getcurrent()
    while place.live is None:
        if current.parent is None:
            raise NotLoaded(f"`{place.component.role}` is needed before it is loaded")
        current.parent.switch(place)
