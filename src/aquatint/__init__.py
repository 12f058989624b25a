"""Aquatint: a scripting language, and its interpreter, for running quantized diffusion models.

Importing this package imports nothing heavy; see `docs/architecture.md` for where things live, and `docs/api.md` for
what a Python program can do with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aquatint.interface.api import (
        Counts,
        Diagnostic,
        Evaluation,
        Event,
        Held,
        Outcome,
        Plan,
        PlanError,
        Refusal,
        RunFinished,
        ScriptError,
        Session,
        Standing,
        check,
        compile,
        counts,
        events,
        fetch,
        peak,
        plan_from_json,
        plan_to_json,
        render,
        status,
        steps,
    )

__version__ = "0.1.0"

__all__ = [
    "Counts",
    "Diagnostic",
    "Evaluation",
    "Event",
    "Held",
    "Outcome",
    "Plan",
    "PlanError",
    "Refusal",
    "RunFinished",
    "ScriptError",
    "Session",
    "Standing",
    "check",
    "compile",
    "counts",
    "events",
    "fetch",
    "peak",
    "plan_from_json",
    "plan_to_json",
    "render",
    "status",
    "steps",
]
_LIGHT = ("Diagnostic", "Refusal", "ScriptError", "check", "compile", "fetch", "status")
"""What is taken from `interface.compiling`, where it is, since `interface.api` imports what runs plans."""


def __getattr__(name: str) -> Any:
    # When it is asked for: the command line needs the version alone to begin with.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _LIGHT:
        from aquatint.interface import compiling

        return getattr(compiling, name)
    from aquatint.interface import api

    return getattr(api, name)
