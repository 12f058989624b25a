"""`aquatint run`: runs a script, or a plan that was written as JSON."""

from __future__ import annotations

import argparse
import sys
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

_NOT_STREAMED = {
    "--no-stdin": "statements come from standard input",
    "--quiet": "it writes what becomes of each statement",
    "--set": "there is no script that has parameters",
    "--params": "there is no script that has parameters",
    "--deny": "only a whole script is looked over for warnings",
    "--allow": "only a whole script is looked over for warnings",
    "--fail-fast": "no mistake ends a stream",
}
"""Options that make no sense with `--stream`, and why."""


_EPILOG = """\
examples:
    aquatint run x.aqt --set seed=3
    aquatint run x.aqt --memory 8GiB
    make-script | aquatint run -
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "run", help="run a script, or a plan that `plan --json` wrote",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_script_options(command)
    add_planning_options(command)
    add_warning_options(command)
    add_running_options(command)
    command.add_argument(
        "--stream", action="store_true",
        help="run each statement of standard input when it is complete and tell what becomes of it, as with --json; "
        "models stay loaded, and no mistake ends it; statements run in their order",
    )  # fmt: skip
    command.add_argument("--fail-fast", action="store_true", help="stop at the first statement that fails")
    return command


def run(options: argparse.Namespace) -> int:
    """Run the script or plan of `options.file`, or the statements of a stream; return the exit code."""
    if options.stream:
        return _stream(options)
    source = read_script(options.file, no_stdin=options.no_stdin, commands=options.commands)
    running = session(options)
    if options.file.endswith(".json") or source.text.lstrip().startswith('{"') or source.text.startswith("{\n"):
        return exit_code(running.run_plan(_given_plan(source, options)))
    return concluded(running.feed(source), options)


def concluded(outcome: Outcome, options: argparse.Namespace) -> int:
    """Report what became of a script; return the exit code."""
    report(outcome.diagnostics, options)
    if outcome.plan is None:
        return WRONG
    return DONE if outcome.finished is None else exit_code(outcome.finished)


def _stream(options: argparse.Namespace) -> int:
    """Run what comes in on standard input, statement by statement; return the exit code."""
    from aquatint.interface.stream import serve

    options.json, options.order = True, "script"
    if options.file != "-":
        raise Refusal("bad-command-line", "`--stream` reads standard input", f"write `-` for `{options.file}`")
    for name, why in _NOT_STREAMED.items():
        if getattr(options, name.removeprefix("--").replace("-", "_")):
            raise Refusal("bad-command-line", f"`--stream` and `{name}` can't be together: {why}")
    return serve(session(options, keep=True), sys.stdin.buffer, sys.stdout)


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
