"""The least that tasks can cost, found by trying everything: for the tests of what finds it by other means.

Slow, and as plain as can be: after every task any items leave, to anywhere, and before the next what it needs arrives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from aquatint.plan.scheduling.tasks import Budget, Item, Task

State = tuple[frozenset[str], frozenset[str], frozenset[str]]  # tasks that have run; items on the device; in the host


def least_cost(
    tasks: Sequence[Task],
    items: Sequence[Item],
    budget: Budget,
    *,
    any_order: bool = False,
    most_loads: float = math.inf,
) -> float | None:
    """Return the least cost of running `tasks`, as listed or in any order that they allow; None if it can't be done."""
    by_key = {item.key: item for item in items}
    by_id = {task.id: task for task in tasks}
    states: dict[State, set[tuple[float, int]]] = {(frozenset(), frozenset(), frozenset()): {(0.0, 0)}}
    for place in range(len(tasks)):
        reached: dict[State, set[tuple[float, int]]] = {}
        for (done, device, host), paid in states.items():
            for task in tasks if any_order else [tasks[place]]:
                if task.id in done or not set(task.after) <= done:
                    continue
                live = sum(
                    by_id[name].result
                    for name in done
                    if any(name in other.after for other in tasks if other.id not in done)
                )
                base = live + max(task.working, task.result)
                for kept, moved in _leavings(device, host, frozenset(task.needs), by_key, budget):
                    arriving = frozenset(task.needs) - kept
                    held = kept | arriving
                    if budget.device is not None and sum(by_key[key].bytes for key in held) + base > budget.device:
                        continue
                    loaded = [by_key[key].load_cost for key in sorted(arriving - moved)]
                    cost = sum(loaded) + sum(by_key[key].return_cost for key in sorted(arriving & moved))
                    state = (done | {task.id}, held, moved - arriving)
                    reached.setdefault(state, set()).update(
                        (before + cost, loads + len(loaded))
                        for before, loads in paid
                        if loads + len(loaded) <= most_loads
                    )
        states = {state: _undominated(paid) for state, paid in reached.items()}
    return min((cost for paid in states.values() for cost, _ in paid), default=None)


def _leavings(
    device: frozenset[str], host: frozenset[str], needs: frozenset[str], items: dict[str, Item], budget: Budget
) -> list[tuple[frozenset[str], frozenset[str]]]:
    """Return what may be on the device and in the host after some items have left, none of `needs` from the device."""
    places = {key: "d" if key in needs else "dha" if _movable(items[key]) else "da" for key in sorted(device)}
    places |= {key: "h" if key in needs else "ha" for key in sorted(host)}
    found = []
    for where in product(*places.values()):
        there = dict(zip(places, where, strict=True))
        moved = frozenset(key for key, place in there.items() if place == "h")
        if budget.host is None or sum(items[key].host_bytes or 0 for key in moved) <= budget.host:
            found.append((frozenset(key for key, place in there.items() if place == "d"), moved))
    return found


def _movable(item: Item) -> bool:
    return item.host_bytes is not None and item.return_cost <= item.load_cost


def _undominated(paid: set[tuple[float, int]]) -> set[tuple[float, int]]:
    return {
        one for one in paid if not any(other != one and other[0] <= one[0] and other[1] <= one[1] for other in paid)
    }
