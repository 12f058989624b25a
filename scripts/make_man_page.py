"""Writes `docs/man/aquatint.1`, the page that `man aquatint` shows, from the command line's own parser.

`make docs-update` calls it. The page is checked in, since a wheel is built without what the program needs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "man" / "aquatint.1"


def man_page() -> str:
    """Return the page, the same for the same program."""
    os.environ["COLUMNS"] = "80"
    from argparse_manpage.manpage import Manpage

    import aquatint
    from aquatint.interface.cli import parser

    known = parser()
    for command in _commands(known):
        command.usage = _usage(command)
    page = Manpage(known, format="single-commands-section")
    page.date = ""  # of the page's making, which would differ
    page.source = f"aquatint {aquatint.__version__}"
    page.manual = "Aquatint"
    page.description = "run quantized diffusion models by scripts"
    return str(page)


def _commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers of the commands of `parser`, and of theirs."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield command
                yield from _commands(command)


def _usage(command: argparse.ArgumentParser) -> str:
    """Return the form of a command without its options, which the page lists below."""
    formatter = command.formatter_class(command.prog, width=1000)
    formatter.add_usage(None, command._get_positional_actions(), [])
    given = formatter.format_help().partition(command.prog)[2].strip()
    return f"{command.prog} [OPTION ...] {given}".strip()


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(man_page(), encoding="utf-8")
