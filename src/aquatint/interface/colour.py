"""Whether a stream gets colours, and rich's console for one that does.

What is coloured how is the business of what writes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

OPTION = "--color"
CHOICES = ("auto", "always", "never")
"""What `OPTION` may be: the environment and the terminal decide, or they don't."""

_choice: ContextVar[str] = ContextVar("colour", default="auto")


@contextmanager
def chosen_by(words: Sequence[str]) -> Iterator[None]:
    """Run the body with the colours that the last `OPTION` among the `words` of a command line asks for.

    Before they are parsed, since what is wrong with them is reported in colours, too.
    """
    chosen = "auto"
    for word, after in zip(words, [*words[1:], ""], strict=False):
        if word == "--":
            break
        name, has_value, value = word.partition("=")
        value = value if has_value else after
        if name == OPTION and value in CHOICES:
            chosen = value
    before = _choice.set(chosen)
    try:
        yield
    finally:
        _choice.reset(before)


def colours(stream: TextIO) -> bool:
    """Return whether to colour what is written to `stream`.

    What `OPTION` says goes first. Then `NO_COLOR` (https://no-color.org) forbids it, and then `FORCE_COLOR`
    (https://force-color.org) asks for it, each unless it is empty; otherwise a terminal is coloured, if it isn't a
    `dumb` one.
    """
    if (choice := _choice.get()) != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def console(stream: TextIO) -> Console | None:
    """Return a console for coloured text on `stream`, or None where text is to be plain."""
    if not colours(stream):
        return None
    # Here, since importing it takes longer than what is written without colours.
    from rich.console import Console
    from rich.theme import Theme

    # The sixteen colours that every terminal has, in the shades that its owner chose.
    return Console(file=stream, force_terminal=True, color_system="standard", no_color=False, highlight=False,
                   markup=False, emoji=False, theme=Theme({"markdown.code": "cyan"}))  # fmt: skip


def live_console(stream: TextIO) -> Console:
    """Return a console for what moves on `stream`, a terminal, with colours or without."""
    from rich.console import Console

    return Console(file=stream, highlight=False, no_color=not colours(stream))
