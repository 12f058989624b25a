"""`aquatint explain`: what a diagnostic's code means, from the registry of `codes`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from aquatint.interface.exits import DONE, Refusal

# A code may be given as reports show it: `error[unknown-name]`.
_AS_REPORTED = re.compile(r"(?:error|warning)\[(.+)\]:?")


_EPILOG = """\
examples:
    aquatint explain unknown-setting
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "explain", help="say what the code of a mistake means, with a wrong and a right example",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.add_argument("codes", metavar="CODE", nargs="*", help="such as unknown-name; without any, all are listed")
    return command


def run(options: argparse.Namespace) -> int:
    """Explain the codes of `options.codes`, or list all; return the exit code."""
    explain(options.codes, sys.stdout)
    return DONE


def explain(names: Sequence[str], stream: TextIO) -> None:
    """Write what the codes called `names` mean, or a list of all codes without any. Raises `Refusal`."""
    from aquatint.codes import codes
    from aquatint.diagnostics import nearest
    from aquatint.interface.explanation import write_explanation, write_listing

    known = {code.name: code for code in codes()}
    asked = [_AS_REPORTED.sub(r"\1", name) for name in names]
    for name in asked:
        if name not in known:
            near = nearest(name, known)
            help = f"did you mean `{near}`?" if near else "`aquatint explain` lists them"
            raise Refusal("unknown-code", f"there is no code `{name}`", help)
    for name in dict.fromkeys(asked):
        write_explanation(known[name], stream)
    if not asked:
        write_listing(known.values(), stream)
