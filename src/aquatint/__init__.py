"""Aquatint: a scripting language, and its interpreter, for running quantized diffusion models.

Importing this package imports nothing heavy; see `docs/architecture.md` for where things live, and `docs/api.md` for
what a Python program can do with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aquatint.interface.api import (
        Diagnostic,
        Event,
        Plan,
        Refusal,
        RunFinished,
        ScriptError,
        Session,
        compile,
        events,
    )

__version__ = "0.1.0"

__all__ = ["Diagnostic", "Event", "Plan", "Refusal", "RunFinished", "ScriptError", "Session", "compile", "events"]


def __getattr__(name: str) -> Any:
    # When it is asked for: the command line needs the version alone to begin with.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from aquatint.interface import api

    return getattr(api, name)
