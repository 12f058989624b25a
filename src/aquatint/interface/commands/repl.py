"""`aquatint repl`: statements one by one. The conversation itself is in `interface.repl.conversation`."""

from __future__ import annotations

import argparse
from typing import Any

from aquatint.interface.exits import Refusal
from aquatint.interface.planning_options import add_planning_options
from aquatint.interface.running_options import add_running_options, session


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "repl", help="type statements one by one; models stay loaded between them"
    )
    add_planning_options(command)
    add_running_options(command)
    command.add_argument(
        "--no-preview", action="store_true", help="don't show the pictures that are made, small, in the terminal"
    )
    return command


def run(options: argparse.Namespace) -> int:
    """Converse until the input ends; return the exit code."""
    from aquatint.interface.repl.conversation import converse

    if options.no_stdin:
        raise Refusal("bad-command-line", "`repl` reads standard input, which `--no-stdin` forbids")
    return converse(session(options, keep=True), previews=not (options.no_preview or options.quiet or options.json))
