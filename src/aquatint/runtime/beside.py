"""Which components a process beside the run quantizes while the run computes: the rule, and its reasons.

Pure arithmetic. What the store could keep is told from outside; the process is `torch_engine.quantizer_process`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from aquatint.catalog.working import PROGRAM
from aquatint.plan.memory import held
from aquatint.plan.steps import Component

WORTHWHILE = 1 << 30
"""Bytes before quantizing, of all that is ahead together, from which on a process is started: quantizing a GiB takes
about as long as importing the libraries does, which the process has to do first (`benchmarks/quantizing_beside.py`)."""


class Beside(StrEnum):
    """When components are quantized beside the run: where that helps, wherever it can be done, or not at all."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Means:
    """What there is: CPUs that may be used, the threads that torch computes with, and bytes of memory.

    `free` are those that could be taken now, `spare` those of the run's budget that its plan never takes; None where
    that isn't known. `is_running` says that the process is there, with its libraries imported or nearly so.
    """

    cores: int
    threads: int
    free: int | None
    spare: int | None
    is_running: bool = False


def worthwhile(when: Beside, ahead: Sequence[Component], means: Means) -> list[Component]:
    """Return those of `ahead` that are to be quantized beside the run, in the same order.

    `ahead` are components that are quantized on loading, and then kept in the store. How long the run still computes
    before it comes to one isn't asked: one that the process hasn't begun by then is the run's own affair again, so that
    in vain is only what was done on a core that had nothing to do.
    """
    if when is not Beside.AUTO:
        return list(ahead) if when is Beside.ALWAYS else []
    # The process computes with as many threads as the run, which decides the entry's address; threads that share a
    # core wait for one another, and the run with them.
    if means.cores < 2 * means.threads:
        return []
    found = [component for component in ahead if _fits(component, means)]
    enough = means.is_running or sum(component.bytes for component in found) >= WORTHWHILE
    return found if enough else []


def _fits(component: Component, means: Means) -> bool:
    loading = 0 if component.working is None else component.working.loading
    needed = PROGRAM + held(component).most + loading
    return all(room is None or needed <= room for room in (means.free, means.spare))
