"""`aquatint plan`: shows what a script would do, or writes it as JSON. Imports no torch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import aquatint
from aquatint.interface.exits import DONE, WRONG, Refusal
from aquatint.interface.planning_options import add_planning_options, add_script_options, planning, report
from aquatint.interface.script_file import read_script
from aquatint.interface.settings import Planning
from aquatint.interface.warning_options import add_warning_options

if TYPE_CHECKING:
    from aquatint.plan.steps import Plan
    from aquatint.source import Source


_EPILOG = """\
examples:
    aquatint plan pictures.aqt
    aquatint plan pictures.aqt --device cuda --memory 12GiB
    aquatint plan pictures.aqt --json > plan.json
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "plan", help="show what a script would load, quantize, reuse, generate and write",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_script_options(command)
    add_planning_options(command)
    add_warning_options(command)
    command.add_argument("--json", action="store_true", help="write the plan as JSON, which `aquatint run` carries out")
    command.add_argument(
        "--why", metavar="STATEMENT[.COMPONENT][.SETTING]",
        help="say which layers of the script set a setting, as in g1.unet.dtype, instead of the plan; a statement is a "
        "step's id, the path that it writes, or its line",
    )  # fmt: skip
    return command


def run(options: argparse.Namespace) -> int:
    """Show the plan of the script `options.file`; return the exit code."""
    source = read_script(options.file, no_stdin=options.no_stdin, commands=options.commands)
    return show(source, options) if options.why is None else _tell(source, options)


def _tell(source: Source, options: argparse.Namespace) -> int:
    """Write why a setting of the plan of `source` is what it is; return the exit code."""
    from aquatint.interface.compiling import evaluated
    from aquatint.language.why import Statement, UnknownPlace, why

    told: list[Statement] = []
    evaluation = evaluated(source, Planning(**planning(options)), told)
    if evaluation.plan is None:
        report(evaluation.diagnostics, options)
        return WRONG
    try:
        sys.stdout.write(why(options.why, told))
    except UnknownPlace as unknown:
        raise Refusal("bad-command-line", str(unknown), unknown.help) from None
    return DONE


def show(source: Source, options: argparse.Namespace, narrowed: Callable[[Plan], Plan] = lambda plan: plan) -> int:
    """Write what `narrowed` makes of the plan of `source`, or its mistakes; return the exit code."""
    from aquatint.plan.render import render
    from aquatint.plan.steps import plan_to_json

    evaluation = aquatint.check(source, **planning(options))
    if evaluation.plan is None:
        report(evaluation.diagnostics, options)
        return WRONG
    # Warnings, which must not stand before a plan in JSON.
    report(evaluation.diagnostics, options, sys.stderr)
    plan = narrowed(evaluation.plan)
    sys.stdout.write(plan_to_json(plan).decode() if options.json else render(plan))
    return DONE
