"""Schedulers that several of the tiny pipelines have."""

from __future__ import annotations

from typing import Any


def flow_matching(**options: Any) -> Any:
    """Return the scheduler of flow matching, with these settings."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**options)
