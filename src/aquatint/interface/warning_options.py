"""The options that say which warnings to leave out and which to take for errors, and what they make of a script's."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aquatint.interface.exits import Refusal

if TYPE_CHECKING:
    from aquatint.diagnostics import Severity
    from aquatint.interface.settings import Planning
    from aquatint.language.evaluate import Evaluation
    from aquatint.syntax.nodes import Script

ALL = "warnings"
"""What `--deny` and `--allow` call all of them."""


def add_warning_options(command: argparse.ArgumentParser) -> None:
    """Declare what to do about warnings."""
    command.add_argument(
        "--deny", metavar="CODE", action="append", default=[],
        help="take the warnings of that code for errors; `warnings` is all of them",
    )  # fmt: skip
    command.add_argument(
        "--allow", metavar="CODE", action="append", default=[], help="leave the warnings of that code out"
    )


@dataclass(frozen=True, slots=True)
class Review:
    """Looks a whole script over for what it says to no effect; `deny` and `allow` are codes of warnings, or `ALL`."""

    deny: Sequence[str] = ()
    allow: Sequence[str] = ()

    def __call__(self, script: Script, evaluation: Evaluation) -> Evaluation:
        """Return `evaluation` with the warnings of `script` as they are wanted, and without a plan if one is denied."""
        from aquatint.diagnostics import Diagnostics
        from aquatint.language.lint import lint

        lint(script, evaluation.diagnostics, evaluation.idle)
        reviewed = Diagnostics()
        for item in evaluation.diagnostics.items:
            if item.severity == "warning":
                wanted = self._severity(item.code)
                if wanted is not None:
                    reviewed.add(replace(item, severity=wanted))
            else:
                reviewed.add(item)
        return replace(evaluation, plan=None if reviewed.has_errors else evaluation.plan, diagnostics=reviewed)

    def _severity(self, code: str) -> Severity | None:
        """Return what a warning of `code` is to be, None if it is left out: a code says more than `ALL` does."""
        for name in (code, ALL):
            if name in self.deny:
                return "error"
            if name in self.allow:
                return None
        return "warning"


def review(settings: Planning) -> Review | None:
    """Return what `settings` ask for, None for scripts that aren't looked over. Raises `Refusal`."""
    if not settings.lint:
        return None
    given = [(option, code) for option in ("deny", "allow") for code in getattr(settings, option)]
    if given:
        from aquatint.codes import codes
        from aquatint.diagnostics import did_you_mean

        known = [ALL, *(code.name for code in codes() if "warning" in code.severities)]
        for option, code in given:
            if code not in known:
                help = did_you_mean(code, known, "warnings")
                raise Refusal("bad-command-line", f"`--{option} {code}`: there is no such warning", help)
    return Review(settings.deny, settings.allow)
