"""The quantization backends that there are: bitsandbytes, sdnq, and those that other installed packages bring.

A package adds one by an entry point in the group `aquatint.quantizers` that names a `Backend`. What such a record
says is in `backend`; the checks that read them are in `quantizers`.
"""

from __future__ import annotations

import importlib.util
from functools import cache

from aquatint.catalog.backend import Backend, Constraint, Problem
from aquatint.catalog.bnb import BNB
from aquatint.catalog.extensions import extensions
from aquatint.catalog.sdnq import SDNQ
from aquatint.diagnostics import did_you_mean

__all__ = [
    "BNB", "GROUP", "SDNQ", "Backend", "Constraint", "Problem", "backend", "backend_names", "backends",
    "is_installed", "unknown_backend", "unusable_backends",
]  # fmt: skip

GROUP = "aquatint.quantizers"
"""The entry point group; an entry point's name is the backend's."""

_OWN = (BNB, SDNQ)


def backends() -> tuple[Backend, ...]:
    """Return every backend: this program's own, then those of other packages by name."""
    return (*_OWN, *_others()[0])


def unusable_backends() -> dict[str, str]:
    """Return the backends of other packages that can't be used, by the entry point's name, and why."""
    return dict(_others()[1])


def backend(name: str) -> Backend | None:
    """Return the backend called `name`, or None."""
    own = next((each for each in _OWN if name == each.name or name in each.aliases), None)
    # Others are looked for only when they are asked for: that reads every installed package's metadata.
    return own or next((each for each in _others()[0] if name == each.name or name in each.aliases), None)


def backend_names() -> tuple[str, ...]:
    """Return every name that `backend` knows, for suggestions."""
    return tuple(name for each in backends() for name in (each.name, *each.aliases))


def unknown_backend(name: str) -> Problem:
    """Return what to say of a backend called `name`, which there is none of."""
    reason = unusable_backends().get(name)
    if reason is not None:
        help = "another package brings it: update that package, or take one of " + ", ".join(
            f"`{known}`" for known in backend_names()
        )
        return Problem(None, "unknown-backend", f"the quantization backend `{name}` can't be used: {reason}", help)
    help = did_you_mean(name, backend_names(), "backends")
    return Problem(None, "unknown-backend", f"there is no quantization backend `{name}`", help)


def is_installed(package: str) -> bool:
    """Return whether the top-level `package` can be imported, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # ValueError: imported already, by something that set no spec
        return False


@cache
def _others() -> tuple[tuple[Backend, ...], tuple[tuple[str, str], ...]]:
    return extensions(GROUP, Backend, _OWN, "backend")
