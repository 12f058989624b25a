"""The options that plans are made with, and the world that they come to. Imports no torch."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from aquatint.interface.exits import Refusal
from aquatint.interface.warning_options import review

if TYPE_CHECKING:
    from aquatint.diagnostics import Diagnostic
    from aquatint.language.evaluate import Evaluation
    from aquatint.language.why import Statement
    from aquatint.language.world import World
    from aquatint.source import Source


def add_script_options(command: argparse.ArgumentParser) -> None:
    """Declare the script and its parameters."""
    command.add_argument("file", metavar="FILE", help="the script; `-` is standard input")
    command.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="give a `param` of the script its value"
    )


def add_planning_options(command: argparse.ArgumentParser) -> None:
    """Declare what a plan depends on beside its script."""
    command.add_argument(
        "--device", help="what to plan for: cpu, cuda, cuda:1, xpu or mps; what the machine has, unless it is set"
    )
    command.add_argument(
        "--plan-seed", type=int, default=0, metavar="N",
        help="seed of the seeds that the plan draws, and of `random` in templates (0)",
    )  # fmt: skip


def world(options: argparse.Namespace) -> World:
    """Return what plans are made from beside the script. Raises `Refusal`."""
    from aquatint.language.world import World

    parameters: dict[str, str] = {}
    for text in getattr(options, "set", []):
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise Refusal("bad-command-line", f"`--set {text}` is not of the form NAME=VALUE")
        parameters[name.strip()] = value
    return World(device=_device(options.device), plan_seed=options.plan_seed, parameters=parameters)


def _device(given: str | None) -> str:
    from aquatint.interface.device import default_device

    if given is None:
        return default_device()
    if not re.fullmatch(r"cpu|mps|(cuda|xpu)(:\d{1,2})?", given):
        raise Refusal("bad-command-line", f"there is no device `{given}`", "devices are cpu, cuda, cuda:1, xpu, mps")
    return given


def evaluate(source: Source, options: argparse.Namespace, told: list[Statement] | None = None) -> Evaluation:
    """Return what `source` comes to: its plan, or its mistakes. `told` gets the statements that became steps."""
    # Not through a session, which imports what runs plans.
    from aquatint.language.evaluate import Interpreter
    from aquatint.syntax.parser import parse

    looked_over = review(options)
    parsed = parse(source)
    evaluation = Interpreter(world(options)).evaluate(parsed.script, parsed.diagnostics, told=told)
    return evaluation if looked_over is None else looked_over(parsed.script, evaluation)


def report(diagnostics: Iterable[Diagnostic], options: argparse.Namespace, json_to: TextIO | None = None) -> None:
    """Write `diagnostics` as text, or as JSON if the command's `--json` asks for it.

    JSON goes to standard output, unless `json_to` is given.
    """
    from aquatint.interface.report import write_diagnostics, write_json_diagnostics

    if getattr(options, "json", False):
        write_json_diagnostics(diagnostics, json_to or sys.stdout)
    else:
        write_diagnostics(diagnostics, sys.stderr)
