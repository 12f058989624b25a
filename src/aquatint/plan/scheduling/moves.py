"""What is done to items and tasks, one after the other: the moves of a schedule.

They are decided in `eviction`, and judged in `replay`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """Read an item, quantize it, and put it on the device."""

    item: str


@dataclass(frozen=True, slots=True)
class Evict:
    """Move an item from the device into the computer's memory."""

    item: str


@dataclass(frozen=True, slots=True)
class Return:
    """Bring an item back from the computer's memory."""

    item: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Give an item's memory back, wherever it is."""

    item: str


@dataclass(frozen=True, slots=True)
class Run:
    """Run a task."""

    task: str


Move = Load | Evict | Return | Drop | Run
