"""Keeps a terminal from showing what is typed while something is drawn on it, which that would get into.

What is typed is not lost: who reads next, such as the shell, has it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

_ENDS = ("SIGTERM", "SIGHUP")


class Echo:
    """The terminal on standard input, if there is one; `stop` and `go_on` may be called in any order, and again."""

    def __init__(self) -> None:
        self._before: list[Any] | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    def stop(self) -> None:
        """Show nothing of what is typed from here on. Nothing happens where another program has the terminal."""
        if self._before is not None:
            return
        try:
            import termios

            reads = sys.stdin.fileno()
            # In the background, changing a terminal stops the program.
            if not os.isatty(reads) or os.tcgetpgrp(reads) != os.getpgrp():
                return
            self._before = termios.tcgetattr(reads)
            silent = [*self._before]
            silent[3] &= ~termios.ECHO
            termios.tcsetattr(reads, termios.TCSANOW, silent)
        except (ImportError, OSError, ValueError, AttributeError):  # Windows, or no standard input
            self._before = None
            return
        except termios.error:  # it has gone
            self._before = None
            return
        if threading.current_thread() is threading.main_thread():
            for name in _ENDS:
                ends = getattr(signal, name)
                if signal.getsignal(ends) is signal.SIG_DFL:
                    self._handlers[ends] = signal.signal(ends, self._end)

    def go_on(self) -> None:
        """Show what is typed again, as before."""
        for ends, handler in self._handlers.items():
            signal.signal(ends, handler)
        self._handlers.clear()
        if self._before is None:
            return
        import termios

        with contextlib.suppress(termios.error, OSError, ValueError):  # it has gone
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, self._before)
        self._before = None

    def _end(self, number: int, frame: FrameType | None) -> None:
        # What would end the program at once ends it after the terminal is as it was.
        self.go_on()
        os.kill(os.getpid(), number)
