"""Tasks and items by number, as what works on a hundred thousand of them needs it.

Tasks that need the same items are of one class. Numbers follow the positions in the script, so that whatever is
decided by a number is decided by the script.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from aquatint.plan.scheduling.tasks import Budget, Item, Task


class Weights:
    """The items' bytes and costs, each a list by number of the item."""

    def __init__(self, items: Iterable[Item], budget: Budget) -> None:
        known = list(items)
        self.keys = [item.key for item in known]
        self.number = {key: number for number, key in enumerate(self.keys)}
        self.bytes = [item.bytes for item in known]
        self.load = [item.load_cost for item in known]
        self.back = [item.return_cost for item in known]
        self.host_bytes = [item.host_bytes or 0 for item in known]
        # Moving an item costs what it is to bring it back: not worth it where loading it anew is cheaper.
        self.movable = [
            item.host_bytes is not None
            and item.return_cost <= item.load_cost
            and (budget.host is None or item.host_bytes <= budget.host)
            for item in known
        ]


class Graph:
    """Tasks by number, what each waits for, and the classes that they fall into.

    Raises `ValueError` for a task that waits for one that isn't there, or for itself by some way round.
    """

    def __init__(self, tasks: Sequence[Task], weights: Weights) -> None:
        self.tasks = tasks
        self.weights = weights
        self.needs: list[tuple[int, ...]] = []  # numbers of items, by class
        self.class_bytes: list[int] = []
        self.classes: list[int] = []  # by task
        seen: dict[tuple[str, ...], int] = {}
        alike: dict[tuple[int, ...], int] = {}
        for task in tasks:
            number = seen.get(task.needs)
            if number is None:
                needs = tuple(sorted({weights.number[key] for key in task.needs}))
                number = seen[task.needs] = alike.setdefault(needs, len(alike))
                if number == len(self.needs):
                    self.needs.append(needs)
                    self.class_bytes.append(sum(weights.bytes[item] for item in needs))
            self.classes.append(number)
        numbers = {task.id: number for number, task in enumerate(tasks)}
        if len(numbers) != len(tasks):
            raise ValueError("two tasks have one id")
        self.before = [_numbers(numbers, task.after) if task.after else () for task in tasks]
        self.dependents: list[list[int]] = [[] for _ in tasks]
        for number, names in enumerate(self.before):
            for name in names:
                self.dependents[name].append(number)
        self.results = [task.result if after else 0 for task, after in zip(tasks, self.dependents, strict=True)]
        self.claims = [max(task.working, task.result) for task in tasks]

    def script_order(self) -> list[int]:
        """Return the order nearest to the script's: at each point the first task that waits for nothing more."""
        if all(not names or max(names) < number for number, names in enumerate(self.before)):
            return list(range(len(self.tasks)))
        missing = [len(names) for names in self.before]
        ready = [number for number, count in enumerate(missing) if not count]
        order = []
        while ready:
            task = heapq.heappop(ready)
            order.append(task)
            for dependent in self.dependents[task]:
                missing[dependent] -= 1
                if not missing[dependent]:
                    heapq.heappush(ready, dependent)
        if len(order) < len(self.tasks):
            raise ValueError("tasks wait for one another in a circle")
        return order


def _numbers(numbers: dict[str, int], names: tuple[str, ...]) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys([numbers[name] for name in names])) if len(names) > 1 else (numbers[names[0]],)
    except KeyError as error:
        raise ValueError(f"no task is called {error.args[0]}") from None
