"""What is put in order: tasks, the items that must be in memory for them, and the memory that there is.

Nothing here knows components, pipelines or statements: those become items and tasks where a plan is built. The order is
found in `order`, what is loaded and evicted meanwhile in `eviction`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """Something that is loaded and held for tasks, such as a quantized component.

    Costs are in any one unit, such as bytes read. `return_cost` is that of a whole trip through the computer's memory,
    there and back; where it is more than `load_cost`, the item is never moved there.
    """

    key: str
    bytes: int  # held on the device once loaded
    load_cost: float  # reading it, and quantizing it
    host_bytes: int | None = None  # taken in the computer's memory when moved there; None: can't be moved
    return_cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Task:
    """A statement, or a phase of one.

    While it runs, all that it `needs` is on the device, and beside that `working` or `result` bytes, whichever is more.
    From its end until the last task that comes `after` it has ended, its `result` is held.
    """

    id: str
    needs: tuple[str, ...] = ()  # keys of items
    after: tuple[str, ...] = ()  # ids of the tasks that come before it
    working: int = 0
    result: int = 0
    position: int = 0  # in the script


@dataclass(frozen=True, slots=True)
class Budget:
    """The bytes that there are: on the device for items, work and results; in the computer's memory for evicted items.

    None is without limit.
    """

    device: int | None = None
    host: int | None = 0


@dataclass(frozen=True, slots=True)
class DoesNotFit:
    """A task that can't run: it takes `needed` bytes, of which `results` are those of earlier tasks, held meanwhile."""

    task: str
    needed: int
    results: int
    device: int
