"""`aquatint params`: lists what a script can be given, without evaluating it. Imports no torch."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from aquatint.interface.exits import DONE, WRONG
from aquatint.interface.planning_options import report
from aquatint.interface.script_file import read_script

_EPILOG = """\
examples:
    aquatint params pictures.aqt
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "params", help="list the parameters of a script",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.add_argument("file", metavar="FILE", help="the script; `-` is standard input")
    command.add_argument("--json", action="store_true", help="write each parameter as a line of JSON")
    return command


def run(options: argparse.Namespace) -> int:
    """List the parameters of the script `options.file`; return the exit code."""
    from aquatint.language.parameters import described
    from aquatint.syntax.parser import parse

    source = read_script(options.file, no_stdin=options.no_stdin, commands=options.commands)
    parsed = parse(source)
    if parsed.diagnostics.has_errors:
        report(parsed.diagnostics, options)
        return WRONG
    for each in described(parsed.script):
        if options.json:
            sys.stdout.write(json.dumps(asdict(each), ensure_ascii=False) + "\n")
            continue
        default = "must be given" if each.default is None else f"= {each.default}"
        sys.stdout.write(f"{each.name}: {each.type} {default}\n" + (f"    {each.help}\n" if each.help else ""))
    return DONE
