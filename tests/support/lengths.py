"""How far tests look: which parameters are tried in every run, and how often those that draw at random do it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest


def at_length(desk: int, ci: int) -> int:
    """Return `ci` where the variable `CI` is set, for a change that waits, and else `desk`."""
    return ci if os.environ.get("CI") else desk


def one_fast(values: Iterable[Any]) -> list[Any]:
    """Return parameters of which all but the first are marked slow."""
    first, *rest = values
    return [first, *(pytest.param(value, marks=pytest.mark.slow) for value in rest)]
