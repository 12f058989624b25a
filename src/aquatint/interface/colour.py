"""Whether a stream gets colours, and rich's console for one that does.

What is coloured how is the business of what writes it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console


def colours(stream: TextIO) -> bool:
    """Return whether to colour what is written to `stream`.

    `NO_COLOR` (https://no-color.org) forbids it, then `FORCE_COLOR` (https://force-color.org) asks for it, each unless
    it is empty; otherwise a terminal is coloured, if it isn't a `dumb` one.
    """
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
