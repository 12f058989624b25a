"""Fetches what a script lacks of the hub and the web before it is planned for real, and tells why that can't be done.

The network is the runtime's business (`runtime.hub`, `runtime.downloads`), what is lacking is found by the evaluation
of the script.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from aquatint.catalog.addresses import AddressError, Download
from aquatint.catalog.checkpoints import CheckpointError
from aquatint.catalog.hub_files import Request
from aquatint.diagnostics import Diagnostic, Diagnostics
from aquatint.interface.exits import Refusal

if TYPE_CHECKING:
    from aquatint.interface.progress import Reporter
    from aquatint.language.evaluate import Evaluation

Wanted = Request | Download
"""What the hub or an address on the web is to give."""

Failures = Mapping[Wanted, CheckpointError | AddressError]
"""Why what was wanted can't be had."""

Fetch = Callable[[Sequence[Wanted]], Failures]
"""Fetches what is asked for, and returns the reasons for what it can't."""


def fetcher(reporter: Callable[[], Reporter]) -> Fetch:
    """Return what fetches from the hub and the web, which the reporter of that time shows."""

    def fetch(wanted: Sequence[Wanted]) -> Failures:
        from aquatint.runtime import downloads, hub

        # What is small comes first, and spares the rest if it can't be had.
        from_web = [each for each in wanted if isinstance(each, Download)]
        from_hub = [each for each in wanted if isinstance(each, Request)]
        with reporter() as sink:
            if failures := downloads.fetch(from_web, sink):
                return {each: error for each, error in failures.items()}
            return {each: error for each, error in hub.fetch(from_hub, sink).items()}

    return fetch


def require_network() -> None:
    """Raise `Refusal` where the environment forbids the network."""
    from aquatint.runtime.hub import is_offline

    if is_offline():
        raise Refusal("bad-command-line", "HF_HUB_OFFLINE forbids the network", "unset it to fetch something")


def completed(evaluate: Callable[[], Evaluation], fetch: Fetch | None) -> Evaluation:
    """Return what `evaluate` comes to once what the script lacks is there; without `fetch` at once.

    What can't be fetched is a mistake in the place of the lack.
    """
    tried: set[Wanted] = set()
    while True:
        evaluation = evaluate()
        wanted = wanted_by(evaluation)
        # Again, since what a submodule lacks may show only when the pipeline is there.
        if fetch is None or tried.issuperset(wanted):
            return evaluation
        tried.update(wanted)
        if failures := fetch(wanted):
            return with_failures(evaluation, failures)


def wanted_by(evaluation: Evaluation) -> list[Wanted]:
    """Return what `evaluation` lacks; nothing if it has other mistakes, which are to be seen to first."""
    if evaluation.plan is not None or any(item.severity == "error" for item in beside_lacks(evaluation)):
        return []
    return list(dict.fromkeys(lack.request for lack in evaluation.lacks))


def with_failures(evaluation: Evaluation, failures: Failures) -> Evaluation:
    """Return `evaluation` with the reasons why what it lacks can't be fetched in the place of the lacks."""
    told = Diagnostics()
    told.extend(beside_lacks(evaluation))
    for lack in evaluation.lacks:
        if (error := failures.get(lack.request)) is not None:
            told.error(error.code, error.message, lack.span, help=error.help)
    return replace(evaluation, diagnostics=told)


def beside_lacks(evaluation: Evaluation) -> list[Diagnostic]:
    """Return the mistakes that aren't about what is to be fetched."""
    lacks = {(lack.code, lack.span) for lack in evaluation.lacks}
    return [item for item in evaluation.diagnostics.items if (item.code, item.span) not in lacks]
