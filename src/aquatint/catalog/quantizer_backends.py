"""The quantization backends that there are: bitsandbytes, sdnq, and those that other installed packages bring.

A package adds one by an entry point in the group `aquatint.quantizers` that names a `Backend`, as this program's own
does. What such a record says is in `backend`; the checks that read them are in `quantizers`.
"""

from __future__ import annotations

import importlib.util

from aquatint.catalog.backend import Backend, Constraint, Problem
from aquatint.catalog.extensions import Extensions

__all__ = [
    "GROUP", "Backend", "Constraint", "Problem", "backend", "backend_names", "backends", "is_installed",
    "unknown_backend", "unusable_backends",
]  # fmt: skip

GROUP = "aquatint.quantizers"
"""The entry point group; an entry point's name is the backend's."""

_FOUND = Extensions(GROUP, Backend, "quantization backend", "backends")


def backends() -> tuple[Backend, ...]:
    """Return every backend: this program's own, then those of other packages by name."""
    return _FOUND.all()


def unusable_backends() -> dict[str, str]:
    """Return the backends that can't be used, by the entry point's name, and why."""
    return _FOUND.unusable()


def backend(name: str) -> Backend | None:
    """Return the backend called `name`, or None."""
    return _FOUND.find(name)


def backend_names() -> tuple[str, ...]:
    """Return every name that `backend` knows, for suggestions."""
    return _FOUND.names()


def unknown_backend(name: str) -> Problem:
    """Return what to say of a backend called `name`, which there is none of."""
    message, help = _FOUND.lack(name)
    return Problem(None, "unknown-backend", message, help)


def is_installed(package: str) -> bool:
    """Return whether the top-level `package` can be imported, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # ValueError: imported already, by something that set no spec
        return False
