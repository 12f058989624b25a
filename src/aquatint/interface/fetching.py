"""Fetches what a script lacks of the model hub before it is planned for real, and tells why where that can't be done.

The network is the runtime's business (`runtime.hub`), what is lacking is found by the evaluation of the script.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from aquatint.catalog.checkpoints import CheckpointError
from aquatint.catalog.hub_files import Request
from aquatint.diagnostics import Diagnostic, Diagnostics

if TYPE_CHECKING:
    from aquatint.interface.progress import Reporter
    from aquatint.language.evaluate import Evaluation

Fetch = Callable[[Sequence[Request]], Mapping[Request, CheckpointError]]
"""Fetches what is asked for, and returns the reasons for what it can't."""


def fetcher(reporter: Reporter) -> Fetch:
    """Return what fetches from the hub, which `reporter` shows."""

    def fetch(requests: Sequence[Request]) -> Mapping[Request, CheckpointError]:
        from aquatint.runtime import hub

        with reporter as sink:
            return hub.fetch(requests, sink)

    return fetch


def completed(evaluate: Callable[[], Evaluation], fetch: Fetch | None) -> Evaluation:
    """Return what `evaluate` comes to once what the script lacks of the hub is there; without `fetch` at once.

    Nothing is fetched for a script with other mistakes. What can't be fetched is a mistake in the place of the lack.
    """
    tried: set[Request] = set()
    while True:
        evaluation = evaluate()
        wanted = wanted_by(evaluation)
        if fetch is None or not wanted or tried.issuperset(wanted):
            return evaluation
        tried.update(wanted)
        failures = fetch(wanted)
        if failures:
            return _failed(evaluation, failures)


def wanted_by(evaluation: Evaluation) -> list[Request]:
    """Return what `evaluation` lacks of the hub, nothing if it has other mistakes."""
    if evaluation.plan is not None or _others(evaluation, "error"):
        return []
    return list(dict.fromkeys(lack.request for lack in evaluation.lacks))


def _others(evaluation: Evaluation, *severities: str) -> list[Diagnostic]:
    """Return the diagnostics that aren't about what is lacking."""
    lacks = {(lack.code, lack.span) for lack in evaluation.lacks}
    return [
        item for item in evaluation.diagnostics.items
        if item.severity in severities and (item.code, item.span) not in lacks
    ]  # fmt: skip


def _failed(evaluation: Evaluation, failures: Mapping[Request, CheckpointError]) -> Evaluation:
    told = Diagnostics()
    told.extend(_others(evaluation, "error", "warning"))
    for lack in evaluation.lacks:
        if (error := failures.get(lack.request)) is not None:
            told.error(error.code, error.message, lack.span, help=error.help)
    return replace(evaluation, diagnostics=told)
