"""Which steps of a plan existing files decide, before anything is loaded, and what is then not loaded at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from aquatint.plan.steps import (
    Compare,
    Evict,
    Generate,
    Grid,
    Load,
    NumberRef,
    Phase,
    Plan,
    Release,
    Return,
    Save,
    Step,
    TensorRef,
    TextRef,
    Upscale,
)
from aquatint.plan.uses import awaits, needs
from aquatint.runtime import saved_folders
from aquatint.runtime.engine import EngineError
from aquatint.runtime.outputs import OutputPolicy, Outputs

_IDLE = "nothing that is left to do needs what it yields"

Settled = Mapping[str, str | EngineError]
"""By the id of a step, why it is skipped, or how it fails."""


def settled(plan: Plan, outputs: Outputs) -> Settled:
    """Return the steps of `plan` whose outcome existing files decide.

    What yields strings or numbers, or tensors that are written nowhere, is carried out for as long as something needs
    them, be its own file done or not.
    """
    found: dict[str, str | EngineError] = {}
    needed: set[str] = set()  # steps whose strings, numbers and tensors others need
    asked: set[str] = set()  # steps whose strings, numbers and tensors anything would need
    for step in reversed(plan.steps):
        outcome = _outcome(step, outputs, step.id in needed, step.id in asked)
        yielding = {
            reference.step for reference in awaits(step) if isinstance(reference, TextRef | NumberRef | TensorRef)
        }
        asked |= yielding
        if outcome is None:
            needed |= yielding
        else:
            found[step.id] = outcome
    return found


def _outcome(step: Step, outputs: Outputs, is_needed: bool, is_asked: bool) -> str | EngineError | None:
    match step:
        case Generate() if paths := [output.path for output in step.outputs if output.path is not None]:
            return _files(paths, outputs)
        case Generate() if is_asked and not is_needed:
            return _IDLE
        case Save():
            return saved_folders.settled(outputs, step.path)
        case Grid():
            return _files([step.path], outputs)
        case Compare(path=str(path)) if not is_needed:
            return _files([path], outputs)
        case Upscale() if is_asked and not is_needed:
            return _IDLE
        case _:
            return None


def _files(paths: Sequence[str], outputs: Outputs) -> str | EngineError | None:
    if outputs.policy is OutputPolicy.ERROR:
        taken = [path for path in paths if outputs.exists(path)]
        if taken:
            return outputs.taken(taken[0])
    else:
        there = [file for path in paths if (file := outputs.settled(path)) is not None]
        if there and len(there) == len(paths):
            return outputs.why(there[0], len(there) - 1)
    refusals = (outputs.refusal(outputs.locate(path)) for path in paths if outputs.settled(path) is None)
    return next((refusal for refusal in refusals if refusal is not None), None)


def without_idle_loads(plan: Plan, settled: Settled) -> Plan:
    """Return `plan` without the loads that only settled steps would use."""
    if not settled:
        return plan
    kept: list[Step] = []
    used: set[str] = set()
    for step in reversed(plan.steps):
        match step:
            case Generate() | Upscale() | Save() if step.id not in settled:
                used.update(needs(step, plan.pipelines, plan.components))
            case Phase() if step.generate not in settled:
                used.update(needs(step, plan.pipelines, plan.components))
            case Release():
                used.discard(step.component)
            case Load() | Return() if step.component not in used:
                continue
            case Evict() if step.component not in used:
                # It isn't brought back, so it is not to wait.
                step = Release(step.id, step.component)
            case _:
                pass
        kept.append(step)
    return msgspec.structs.replace(plan, steps=kept[::-1])


def needs_no_engine(plan: Plan, settled: Settled) -> bool:
    """Return whether nothing is left in `plan` that an engine would be needed for."""
    return not any(
        isinstance(step, Load | Generate | Upscale | Compare | Save) and step.id not in settled
        for step in without_idle_loads(plan, settled).steps
    )
