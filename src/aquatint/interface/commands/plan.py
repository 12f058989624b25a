"""`aquatint plan`: shows what a script would do, or writes it as JSON. Imports no torch."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from aquatint.interface.exits import DONE, WRONG
from aquatint.interface.planning_options import add_planning_options, add_script_options, evaluate, report
from aquatint.interface.script_file import read_script
from aquatint.interface.warning_options import add_warning_options

if TYPE_CHECKING:
    from aquatint.source import Source


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "plan", help="show what a script would load, quantize, reuse, generate and write"
    )
    add_script_options(command)
    add_planning_options(command)
    add_warning_options(command)
    command.add_argument("--json", action="store_true", help="write the plan as JSON, which `aquatint run` executes")
    return command


def run(options: argparse.Namespace) -> int:
    """Show the plan of the script `options.file`; return the exit code."""
    return show(read_script(options.file, no_stdin=options.no_stdin, commands=options.commands), options)


def show(source: Source, options: argparse.Namespace) -> int:
    """Write the plan of `source`, or its mistakes; return the exit code."""
    from aquatint.plan.render import render
    from aquatint.plan.steps import plan_to_json

    evaluation = evaluate(source, options)
    if evaluation.plan is None:
        report(evaluation.diagnostics, options)
        return WRONG
    # Warnings, which must not stand before a plan in JSON.
    report(evaluation.diagnostics, options, sys.stderr)
    sys.stdout.write(plan_to_json(evaluation.plan).decode() if options.json else render(evaluation.plan))
    return DONE
