"""Scripts become plans: all that a Python program, the command line's commands and `Session` share of that.

Imports no torch, and nothing that runs plans: `aquatint.Session`, which does, is in `api`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from os import PathLike, fspath
from typing import TYPE_CHECKING

from aquatint.diagnostics import Diagnostic
from aquatint.interface.collection import without_collection
from aquatint.interface.exits import Refusal
from aquatint.interface.planning_options import world
from aquatint.interface.script_file import read_script
from aquatint.interface.settings import Fetching, Planning, taking
from aquatint.interface.warning_options import review
from aquatint.source import Source

if TYPE_CHECKING:
    from aquatint.language.evaluate import Evaluation
    from aquatint.language.why import Statement
    from aquatint.plan.steps import Plan
    from aquatint.runtime.ledger import Standing

__all__ = ["Diagnostic", "Refusal", "ScriptError", "check", "compile", "fetch", "status"]

Script = str | PathLike[str] | Source
"""The text of a script, or the path of its file; a `Source` has a text and a name."""

TEXT_NAME = "<script>"
"""What a script that is a text is called where a mistake in it is told."""


class ScriptError(Exception):
    """A script is wrong; `diagnostics` are its mistakes, and the message is the report that the command line writes."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        from aquatint.interface.report import write_diagnostics

        self.diagnostics = tuple(diagnostics)
        report = io.StringIO()
        write_diagnostics(self.diagnostics, report)
        super().__init__(report.getvalue().rstrip())


@taking(Planning)
def check(script: Script, settings: Planning) -> Evaluation:
    """Return what `script` comes to: its `plan`, None if it is wrong, and its `diagnostics`, mistakes and warnings.

    Imports no torch, fetches nothing, and has no effects. Raises `Refusal` for a file that can't be read and for a
    setting that can't be so.
    """
    return evaluated(source_of(script), settings)


@taking(Planning)
def compile(script: Script, settings: Planning) -> Plan:
    """Return the plan of `script`, as `aquatint plan` makes it. Imports no torch, and has no effects.

    Raises `ScriptError` for mistakes in the script, and `Refusal` for a file that can't be read and for a setting that
    can't be so.
    """
    evaluation = evaluated(source_of(script), settings)
    return planned(evaluation.plan, evaluation.diagnostics)


@taking(Fetching)
def fetch(script: Script, settings: Fetching) -> Evaluation:
    """Get from the model hub what `script` lacks, and return what it comes to then, as `check` does.

    What can't be got is a mistake in the place that needs it. Raises `Refusal` as `check` does, and where the
    environment forbids the network.
    """
    from aquatint.interface.fetching import completed, fetcher, require_network
    from aquatint.interface.progress import reporter_of

    require_network()
    source, told = source_of(script), reporter_of(settings.on_event)
    return completed(lambda: evaluated(source, settings), fetcher(lambda: told))


def status(
    plan: Plan, *, output_dir: str | PathLike[str] = "", threads: int | None = None, tiling: bool = False
) -> list[Standing]:
    """Return how each output of `plan` stands below `output_dir`, in order, and why. Makes nothing, imports no torch.

    `threads` and `tiling` are those of the run that is asked about.
    """
    from pathlib import Path

    from aquatint.plan.steps import Save
    from aquatint.runtime import saved_folders
    from aquatint.runtime.journal import Journal
    from aquatint.runtime.ledger import Ledger
    from aquatint.runtime.outputs import OutputPolicy, Outputs
    from aquatint.runtime.surroundings import expected, surroundings

    folder = Path(output_dir)
    journal = Journal(folder)
    around = surroundings(plan.device, threads, tiling)
    ledger = Ledger(plan, journal, expected(journal, around), around)
    outputs = Outputs(folder, OutputPolicy.RESUME, ledger)
    saves = {step.path for step in plan.steps if isinstance(step, Save)}
    return [
        ledger.standing(path, saved_folders.locate(outputs, path) if path in saves else outputs.locate(path))
        for path in ledger.planned
    ]


def evaluated(source: Source, settings: Planning, told: list[Statement] | None = None) -> Evaluation:
    """Return what `source` comes to: its plan, or its mistakes. `told` gets the statements that became steps."""
    from aquatint.catalog import pickle_files
    from aquatint.language.evaluate import Interpreter
    from aquatint.syntax.parser import parse

    looked_over = review(settings)
    with without_collection(), pickle_files.allowed(settings.allow_pickles):
        parsed = parse(source)
        evaluation = Interpreter(world(settings)).evaluate(parsed.script, parsed.diagnostics, told=told)
        return evaluation if looked_over is None else looked_over(parsed.script, evaluation)


def planned(plan: Plan | None, diagnostics: Iterable[Diagnostic]) -> Plan:
    """Return `plan`; if there is none, raise `ScriptError` with the `diagnostics` that say why."""
    if plan is None:
        raise ScriptError(diagnostics)
    return plan


def source_of(script: Script) -> Source:
    """Return the text and the name of `script`. Raises `Refusal` for a file that can't be read."""
    if isinstance(script, Source):
        return script
    return Source(TEXT_NAME, script) if isinstance(script, str) else read_script(fspath(script), no_stdin=True)
