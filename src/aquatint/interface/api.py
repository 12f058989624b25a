"""What a Python program does with scripts: make plans of them, and run them in a session. All of it is in `aquatint`.

A typed door to what the command line and the interactive session are made of: settings have the names and the defaults
of their options, plans come from `planning_options.evaluate`, and runs go through `interface.session`.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterable, Mapping
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

from aquatint.diagnostics import Diagnostic
from aquatint.interface import session as sessions
from aquatint.interface.cli import parser
from aquatint.interface.exits import Refusal
from aquatint.interface.planning_options import evaluate
from aquatint.interface.progress import PlainContext
from aquatint.interface.report import write_diagnostics
from aquatint.interface.running_options import session
from aquatint.interface.script_file import read_script
from aquatint.plan.steps import Plan
from aquatint.plan.validate import validate
from aquatint.runtime import events
from aquatint.runtime.events import Event, RunFinished
from aquatint.source import Source

__all__ = ["Diagnostic", "Event", "Plan", "Refusal", "RunFinished", "ScriptError", "Session", "compile", "events"]

Existing = Literal["resume", "redo", "number", "overwrite", "skip", "error"]
Script = str | PathLike[str]
"""The text of a script, or the path of its file."""

TEXT_NAME = "<script>"
"""What a script that is a text is called where a mistake in it is told."""


class ScriptError(Exception):
    """A script is wrong; `diagnostics` are its mistakes, and the message is the report that the command line writes."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        report = io.StringIO()
        write_diagnostics(self.diagnostics, report)
        super().__init__(report.getvalue().rstrip())


def compile(
    script: Script,
    *,
    parameters: Mapping[str, str | int | float | bool] | None = None,
    device: str | None = None,
    plan_seed: int = 0,
    memory: str | None = None,
) -> Plan:
    """Return the plan of `script`, as `aquatint plan` makes it. Imports no torch, and has no effects.

    `parameters` are the script's own, by name; `device` is what the machine has unless it is given; `memory` is a size
    such as `"8GiB"`, any amount unless it is given. Raises `ScriptError` for mistakes in the script, and `Refusal` for
    a file that can't be read and for a setting that can't be so.
    """
    given = [f"{name}={_written(value)}" for name, value in (parameters or {}).items()]
    options = _options("plan", set=given, device=device, plan_seed=plan_seed, memory=[memory] if memory else [])
    evaluation = evaluate(_source(script), options)
    if evaluation.plan is None:
        raise ScriptError(evaluation.diagnostics)
    return evaluation.plan


class Session:
    """Names and loaded models that last from one script to the next, as those of the interactive session do.

    Each event of a run goes to `on_event` as it happens; what that raises ends the run. Leaving the session as a
    context releases its models. Raises `Refusal` for a setting that can't be so.
    """

    def __init__(
        self,
        *,
        device: str | None = None,
        output_dir: str | PathLike[str] = "",
        existing: Existing = "resume",
        plan_seed: int = 0,
        memory: str | None = None,
        threads: int | None = None,
        offline: bool = False,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        if existing not in get_args(Existing):
            raise Refusal("bad-command-line", f"`existing` can't be `{existing}`",
                          f"it is one of {', '.join(get_args(Existing))}")  # fmt: skip
        options = _options(
            "repl", device=device, output_dir=Path(output_dir), existing=existing, plan_seed=plan_seed,
            memory=[memory] if memory else [], threads=threads, offline=offline,
        )  # fmt: skip
        self._session = session(options, keep=True)
        self._session.reporter = _Told(on_event)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def names(self) -> list[str]:
        """The names that scripts have bound so far, sorted."""
        return self._session.interpreter.own_names()

    def plan(self, script: Script) -> Plan:
        """Return what `run` would do with `script` now, and change nothing. Raises `ScriptError` and `Refusal`."""
        return _planned(self._session.plan(_source(script)))

    def run(self, script: Script) -> RunFinished | None:
        """Carry out `script` and return the totals, None if there was nothing to do but to bind names.

        Raises `ScriptError` and `Refusal` before anything is done. A statement that fails in the run is an event, and
        counted in the totals (`failed`, `interrupted`); such a script binds nothing.
        """
        outcome = self._session.feed(_source(script))
        _planned(outcome)
        return outcome.finished

    def run_plan(self, plan: Plan) -> RunFinished:
        """Carry out a `plan`, of `compile` or read from JSON, with the models that are loaded, and return the totals.

        Raises `plan.steps.PlanError` for one that can't be a plan of this program.
        """
        validate(plan)
        return self._session.run(plan)

    def close(self) -> None:
        """Release the models that are loaded; a script that is run after that loads them again."""
        self._session.release(self._session.resident())


class _Told(PlainContext):
    """Hands events on."""

    def __init__(self, on_event: Callable[[Event], None] | None) -> None:
        self._on_event = on_event

    def __call__(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)


def _planned(outcome: sessions.Outcome) -> Plan:
    if outcome.plan is None:
        raise ScriptError(outcome.diagnostics)
    return outcome.plan


def _options(command: str, **given: Any) -> argparse.Namespace:
    """Return the options of a `command`: those that are `given`, and the defaults of the others."""
    words = [command, "-"] if command == "plan" else [command]
    known = parser([command]).parse_args(words)
    return argparse.Namespace(**vars(known) | given)


def _source(script: Script) -> Source:
    return Source(TEXT_NAME, script) if isinstance(script, str) else read_script(fspath(script), no_stdin=True)


def _written(value: str | int | float | bool) -> str:
    """Return `value` as `--set` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
