"""`aquatint completion`: what lets a shell complete this program's commands, options and files.

The scripts are made by shtab from the parsers that read the command line, so that they know the same options.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from typing import Any

from aquatint.interface.exits import DONE

SHELLS = ("bash", "zsh", "fish")

CHOICES_LIMIT = 50
"""Choices of an option that are proposed: nobody looks for a number in a longer list."""

_FILES = ("FILE", "IMAGE", "FILE|HUB-ID")
_FOLDERS = ("DIR", "MODEL", "SOURCE")

_HELP = """\
bash:  aquatint completion bash > ~/.local/share/bash-completion/completions/aquatint
zsh:   aquatint completion zsh > ~/.zfunc/_aquatint, where `fpath` has ~/.zfunc
fish:  aquatint completion fish > ~/.config/fish/completions/aquatint.fish
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "completion", help="write what lets bash, zsh or fish complete commands, options and files",
        epilog=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or fish")
    return command


def run(options: argparse.Namespace) -> int:
    """Write the script for `options.shell`; return the exit code."""
    sys.stdout.write(completion(options.shell))
    return DONE


def completion(shell: str) -> str:
    """Return the script that completes this program's command line in `shell`, one of `SHELLS`."""
    import shtab

    from aquatint.interface.cli import parser

    known = parser()
    for action in _actions(known):
        _say_what_it_takes(action, shtab)
        # What stands beside a proposal has one line.
        action.help = action.help and re.split("[:;] ", action.help, maxsplit=1)[0]
    text = str(shtab.complete(known, shell=shell))
    # A script may stand where a command does.
    return text.replace("complete -o bashdefault -F", "complete -o bashdefault -o default -F")


def _actions(parser: argparse.ArgumentParser) -> Iterator[Any]:
    """Yield what `parser` and the parsers of its commands take."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)
        else:
            yield action


def _say_what_it_takes(action: Any, shtab: Any) -> None:
    """Let `action` have the choices, or the kind of files, that shtab writes for it."""
    from aquatint.catalog.model_types import type_names
    from aquatint.catalog.quantizer_backends import backend_names
    from aquatint.codes import codes

    match action.metavar:
        case "CODE":
            action.choices = [code.name for code in codes()]
        case "BACKEND":
            action.choices = backend_names()
        case "TYPE":
            action.choices = type_names()
        case name if name in _FILES:
            action.complete = shtab.FILE
        case name if name in _FOLDERS:
            action.complete = shtab.DIRECTORY
        case _ if action.choices is not None and len(action.choices) > CHOICES_LIMIT:
            action.choices = None
