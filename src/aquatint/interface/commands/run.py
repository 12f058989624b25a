"""`aquatint run`: runs a script, or a plan that was written as JSON."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from aquatint.interface.exits import DONE, WRONG, Refusal
from aquatint.interface.planning_options import add_planning_options, add_script_options, report
from aquatint.interface.running_options import add_running_options, exit_code, session
from aquatint.interface.script_file import read_script
from aquatint.interface.warning_options import add_warning_options

if TYPE_CHECKING:
    from aquatint.interface.session import Outcome
    from aquatint.plan.steps import Plan
    from aquatint.source import Source


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "run", help="run a script, or a plan that `plan --json` wrote"
    )
    add_script_options(command)
    add_planning_options(command)
    add_warning_options(command)
    add_running_options(command)
    command.add_argument("--fail-fast", action="store_true", help="stop at the first statement that fails")
    return command


def run(options: argparse.Namespace) -> int:
    """Run the script or plan of `options.file`; return the exit code."""
    source = read_script(options.file, no_stdin=options.no_stdin, commands=options.commands)
    running = session(options)
    if options.file.endswith(".json") or source.text.lstrip().startswith('{"') or source.text.startswith("{\n"):
        return exit_code(running.run(_given_plan(source, options)))
    return concluded(running.feed(source), options)


def concluded(outcome: Outcome, options: argparse.Namespace) -> int:
    """Report what became of a script; return the exit code."""
    report(outcome.diagnostics, options)
    if outcome.plan is None:
        return WRONG
    return DONE if outcome.finished is None else exit_code(outcome.finished)


def _given_plan(source: Source, options: argparse.Namespace) -> Plan:
    """Return the plan that `source` holds as JSON."""
    from aquatint.plan.steps import PlanError, plan_from_json
    from aquatint.plan.validate import validate

    if options.set or options.params:
        raise Refusal("bad-command-line", "a plan has no parameters", "set them when the plan is made")
    try:
        plan = plan_from_json(source.text.encode())
        validate(plan)
    except PlanError as error:
        help = "make one with `aquatint plan --json FILE`"
        raise Refusal("bad-plan", f"`{source.name}` is no plan that can be run: {error}", help) from None
    return plan
