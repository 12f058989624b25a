"""What the terminal can show pictures with: known by its name, or by what it answers.

Only a terminal that is no `dumb` one is asked, once, and for a moment: one that doesn't answer gets half blocks.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import sys
import time
from collections.abc import Mapping
from enum import StrEnum

from aquatint.interface.colour import colours

WAIT = 0.3
"""Seconds in which a terminal has to answer; those that do need some milliseconds."""

_ATTRIBUTES = "\x1b[c"  # asks for the primary device attributes, of which 4 is sixel
_ANSWER = re.compile(rb"\x1b\[\?([\d;]*)c")
# Terminals that say who they are, and draw with kitty's or iTerm2's sequences.
_KITTY = ("kitty", "ghostty")
_ITERM2 = ("iTerm.app", "WezTerm", "mintty", "rio")
_MAY_HAVE_SIXEL = ("xterm", "foot", "mlterm", "contour", "tmux", "screen", "yaft", "st-", "alacritty")


class Graphics(StrEnum):
    """How pictures are shown."""

    KITTY = "kitty"
    ITERM2 = "iterm2"
    SIXEL = "sixel"
    BLOCKS = "blocks"
    OFF = "off"


def graphics(environment: Mapping[str, str] = os.environ) -> Graphics:
    """Return the best that standard output can; it is asked only if its name doesn't tell."""
    if not sys.stdout.isatty() or not colours(sys.stdout) or environment.get("TERM", "dumb") == "dumb":
        return Graphics.OFF
    return named(environment) or (
        Graphics.SIXEL if _may_have_sixel(environment) and 4 in (attributes() or ()) else Graphics.BLOCKS
    )


def named(environment: Mapping[str, str]) -> Graphics | None:
    """Return what a terminal can that says in the `environment` who it is, None if that doesn't tell."""
    # A multiplexer passes the variables of the terminal around it on, and none of its sequences.
    if "TMUX" in environment or environment.get("TERM", "").startswith(("tmux", "screen")):
        return None
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if "KITTY_WINDOW_ID" in environment or program in _KITTY or any(name in term for name in _KITTY):
        return Graphics.KITTY
    if program in _ITERM2 or environment.get("LC_TERMINAL") == "iTerm2":
        return Graphics.ITERM2
    return None


def _may_have_sixel(environment: Mapping[str, str]) -> bool:
    return environment.get("TERM", "").startswith(_MAY_HAVE_SIXEL)


def attributes(wait: float = WAIT) -> frozenset[int] | None:
    """Return the attributes that the terminal on standard input and output tells of itself, None if it doesn't.

    It isn't asked where something was typed already, which would get into the answer.
    """
    try:
        import select
        import termios
        import tty
    except ImportError:  # Windows, whose console has none
        return None
    reads = sys.stdin.fileno()
    if not os.isatty(reads):
        return None
    try:
        before = termios.tcgetattr(reads)
    except termios.error:  # it has gone
        return None
    read = b""
    try:
        tty.setcbreak(reads, termios.TCSANOW)
        if select.select([reads], [], [], 0)[0]:
            return None
        sys.stdout.write(_ATTRIBUTES)
        sys.stdout.flush()
        until = time.monotonic() + wait
        while not _ANSWER.search(read) and (left := until - time.monotonic()) > 0:
            if not select.select([reads], [], [], left)[0]:
                break
            read += os.read(reads, 64)
    finally:
        termios.tcsetattr(reads, termios.TCSANOW, before)
    _give_back(_ANSWER.sub(b"", read))
    found = _ANSWER.search(read)
    return None if found is None else frozenset(int(number) for number in found[1].split(b";") if number)


def _give_back(typed: bytes) -> None:
    """Let the editor, if there is one, have what was typed meanwhile."""
    if not typed or importlib.util.find_spec("prompt_toolkit") is None:
        return
    from prompt_toolkit.application import get_app_session
    from prompt_toolkit.input.typeahead import store_typeahead
    from prompt_toolkit.input.vt100_parser import Vt100Parser
    from prompt_toolkit.key_binding import KeyPress

    presses: list[KeyPress] = []
    parser = Vt100Parser(presses.append)
    parser.feed(typed.decode("utf-8", "ignore"))
    parser.flush()
    store_typeahead(get_app_session().input, presses)


def cell() -> tuple[int, int] | None:
    """Return width and height of a character in pixels, None where the terminal doesn't say."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl
        import struct
        import termios

        told = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
        rows, columns, width, height = struct.unpack("HHHH", told)
        if rows and columns and width >= columns and height >= rows:
            return width // columns, height // rows
    return None
