"""What a run has come to so far, and the telling of it: every event goes through here, and is counted on the way.

What goes beside the events (progress, memory, forecasts) is `watch`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aquatint.plan.steps import Evict, Release, Step
from aquatint.runtime.events import Event, Reused, StatementFailed, StatementSkipped, Warned
from aquatint.runtime.failures import explain
from aquatint.runtime.watch import Watch


class SinkFailed(BaseException):
    """The sink raised `error`. Not an `Exception`, so that no step takes it for a fault of its own."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Stop(Exception):
    """A statement failed and the run is to end with it."""


@dataclass(slots=True)
class Account:
    """The counts of one run. With `fail_fast` a failure raises `Stop` when it has been told."""

    watch: Watch
    fail_fast: bool
    images: int = 0
    reuses: int = 0
    saved: int = 0
    failed: int = 0
    skipped: int = 0
    written: list[str] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        """Tell `event`."""
        self.telling(lambda: self.watch(event))

    def telling(self, tell: Callable[[], None]) -> None:
        """Call `tell`, which tells something; what the sink raises there comes out as `SinkFailed`."""
        try:
            tell()
        except Exception as error:
            raise SinkFailed(error) from error

    def warn(self, step: str, message: str) -> None:
        """Tell of something odd about the step with that id, or about the run, which has none."""
        self.emit(Warned(step, message))

    def reuse(self, step: str, key: str, role: str) -> None:
        """Count and tell that a step uses what was loaded for an earlier one."""
        self.reuses += 1
        self.emit(Reused(step, key, role))

    def fail(self, step: Step, error: Exception, doing: str, written: list[str]) -> None:
        """Count and tell that `step` failed while `doing` something, when it had `written` these files."""
        assert not isinstance(step, Release | Evict)
        self.failed += 1
        message, help = explain(error, doing)
        self.emit(StatementFailed(step.id, str(step.place), message, help, written))
        if self.fail_fast:
            raise Stop

    def skip(self, step: Step, reason: str) -> None:
        """Count and tell that `step` is not carried out."""
        assert not isinstance(step, Release | Evict)
        self.skipped += 1
        self.emit(StatementSkipped(step.id, str(step.place), reason))
