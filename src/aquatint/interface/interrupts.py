"""What Ctrl-C does while a plan runs: once asks the run to stop when what it is at is finished, twice stops it now.

Where somebody waits before a prompt, once stops it now.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Self

_SAID = b"\nstopping when this is finished; Ctrl-C again stops now\n"


class Interrupts:
    """As a context, counts the interrupts of the keyboard; the second is a `KeyboardInterrupt`, as usual.

    With `at_once` the first one is.

    Where interrupts are ignored or have another handler, as under `nohup`, and in other threads, it does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self.at_once = False
        self._is_installed = False

    def __enter__(self) -> Self:
        self.requested = False
        is_main = threading.current_thread() is threading.main_thread()
        self._is_installed = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._is_installed:
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.requested or self.at_once:
            raise KeyboardInterrupt
        self.requested = True
        # Not through `sys.stderr`: the signal may have come while that was writing.
        os.write(2, _SAID)
