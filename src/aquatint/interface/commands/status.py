"""`aquatint status`: how the outputs of a script stand, and why. Makes nothing, and imports no torch."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aquatint
from aquatint.interface.exits import DONE, FAILED, WRONG
from aquatint.interface.planning_options import add_planning_options, add_script_options, planning, report
from aquatint.interface.script_file import read_script
from aquatint.interface.warning_options import add_warning_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aquatint.runtime.ledger import Standing

STATUS_VERSION = 1
"""Of the form of `--json`."""


_EPILOG = """\
examples:
    aquatint status pictures.aqt --output-dir out
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "status", help="show which outputs of a script are done, stale or missing",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_script_options(command)
    add_planning_options(command)
    add_warning_options(command)
    command.add_argument(
        "--output-dir", type=Path, default=Path(), metavar="DIR",
        help="the folder that relative outputs are below (the current one)",
    )  # fmt: skip
    command.add_argument("--threads", type=int, metavar="N", help="CPU threads of the run that is asked about")
    command.add_argument("--tiling", action="store_true", help="whether that run decodes in tiles")
    command.add_argument(
        "--json", action="store_true", help="write each output as a line of JSON, and a line that counts them"
    )
    return command


def run(options: argparse.Namespace) -> int:
    """Show how the outputs of the script `options.file` stand; return the exit code."""
    source = read_script(options.file, no_stdin=options.no_stdin, commands=options.commands)
    evaluation = aquatint.check(source, **planning(options))
    report(evaluation.diagnostics, options, sys.stderr if evaluation.plan is not None else None)
    if evaluation.plan is None:
        return WRONG
    standings = aquatint.status(
        evaluation.plan, output_dir=options.output_dir, threads=options.threads, tiling=options.tiling
    )
    counts = Counter(str(standing.state) for standing in standings)
    if options.json:
        _write_json(standings, counts, source.name)
    else:
        _write(standings, counts)
    return DONE if counts["done"] == len(standings) else FAILED


def _write(standings: Sequence[Standing], counts: Counter[str]) -> None:
    from aquatint.interface.progress import number, printable

    for standing in standings:
        about = [f"{standing.state:<8} {printable(standing.planned.path)}"]
        if standing.is_elsewhere:
            about.append(f"in {printable(str(standing.file))}")
        if standing.why:
            about.append(f"differs in: {', '.join(standing.why)}")
        sys.stdout.write("  ".join(about) + "\n")
    states = [f"{counts[state]} {state}" for state in counts]
    sys.stdout.write(f"{number(len(standings), 'output')}{': ' if states else ''}{', '.join(states)}\n")


def _write_json(standings: Sequence[Standing], counts: Counter[str], script: str) -> None:
    from aquatint.runtime.ledger import State

    for standing in standings:
        _write_line(
            event="output", version=STATUS_VERSION, path=standing.planned.path, state=standing.state,
            file=str(standing.file), why=standing.why, step=standing.planned.step, index=standing.planned.index,
            fingerprint=standing.planned.fingerprint,
        )  # fmt: skip
    totals = {state.value: counts[state] for state in State}
    _write_line(event="status", version=STATUS_VERSION, file=script, outputs=len(standings), **totals)


def _write_line(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields, separators=(",", ":")) + "\n")
