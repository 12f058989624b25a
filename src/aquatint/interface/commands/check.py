"""`aquatint check`: reports a script's mistakes. Imports no torch."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import aquatint
from aquatint.interface.exits import DONE, WRONG
from aquatint.interface.planning_options import add_planning_options, add_script_options, planning, report
from aquatint.interface.script_file import read_script
from aquatint.interface.warning_options import add_warning_options

_EPILOG = """\
examples:
    aquatint check pictures.aqt --deny warnings
    aquatint check - --json < pictures.aqt
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "check", help="report a script's mistakes",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_script_options(command)
    add_planning_options(command)
    add_warning_options(command)
    command.add_argument(
        "--json", action="store_true", help="write each mistake as a line of JSON, and a line that counts them"
    )
    return command


def run(options: argparse.Namespace) -> int:
    """Report the mistakes of the script `options.file`; return the exit code."""
    from aquatint.interface.report import write_json_summary

    source = read_script(options.file, no_stdin=options.no_stdin, commands=options.commands)
    evaluation = aquatint.check(source, **planning(options))
    report(evaluation.diagnostics, options)
    if options.json:
        write_json_summary(source.name, evaluation.diagnostics, sys.stdout)
    elif evaluation.plan is not None:
        sys.stdout.write(f"{source.name}: no {'errors' if len(evaluation.diagnostics) else 'mistakes'} found\n")
    return WRONG if evaluation.plan is None else DONE
