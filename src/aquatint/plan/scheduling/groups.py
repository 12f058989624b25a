"""Tasks that are moved together: groups, what each waits for, and the results that pass between them.

A group holds the tasks of one class that wait for equally long chains of other classes, so that groups never wait for
each other in a circle. Tasks that need no item are in no group: they run in between, as in `emission`. In what order
groups come is for `sequence`.
"""

from __future__ import annotations

from dataclasses import dataclass

from aquatint.plan.scheduling.graph import Graph

FREE = -1
"""The group of tasks that are in none."""

NONE, SEVERAL = -2, -1
"""In place of a class: that of tasks where there are none, and where they are of several."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups by number, in the order of their first tasks; sets of groups are bits."""

    of_task: list[int]
    classes: list[int]
    before: list[int]  # the groups that each waits for
    base: list[int]  # what each takes beside items and earlier results, at most
    flows: list[tuple[int, int, int]]  # a group, the groups until whose end results of it are held, and their bytes

    def live(self, done: int) -> int:
        """Return the bytes of the results that are held when the groups of `done` have run."""
        return sum(size for group, users, size in self.flows if done >> group & 1 and users & ~done)


def singletons(graph: Graph) -> Groups:
    """Return each task as a group of its own."""
    before = [sum(1 << name for name in names) for names in graph.before]
    users = [sum(1 << name for name in names) for names in graph.dependents]
    flows = [(task, users[task], size) for task, size in enumerate(graph.results) if size]
    return Groups(list(range(len(before))), graph.classes, before, graph.claims, flows)


def grouped(graph: Graph, order: list[int]) -> Groups:
    """Return the groups of tasks, which `order` lists in an order that they allow."""
    of_task, classes = _divide(graph, order)
    behind = [0] * len(of_task)  # of a task in no group: the groups that it waits for
    before = [0] * len(classes)
    for task in order:
        waits = 0
        for name in graph.before[task]:
            waits |= behind[name] if of_task[name] == FREE else 1 << of_task[name]
        if of_task[task] == FREE:
            behind[task] = waits
        else:
            before[of_task[task]] |= waits & ~(1 << of_task[task])
    leaving = [0] * len(classes)
    beside = [0] * len(classes)
    flows: dict[tuple[int, int], int] = {}
    for task in order:
        group = of_task[task]
        if group == FREE:
            continue
        size = graph.results[task]
        users = 0
        if size:
            for name in graph.dependents[task]:
                users |= behind[name] if of_task[name] == FREE else 1 << of_task[name]
            if users & ~(1 << group):
                leaving[group] += size
                flows[group, users] = flows.get((group, users), 0) + size
            else:
                size = 0
        beside[group] = max(beside[group], graph.claims[task] - size)
    base = [results + work for results, work in zip(leaving, beside, strict=True)]
    return Groups(of_task, classes, before, base, [(*key, size) for key, size in flows.items()])


def _divide(graph: Graph, order: list[int]) -> tuple[list[int], list[int]]:
    """Return the group of each task, and the class of each group."""
    ranks = [0] * len(order)
    kinds = graph.classes.copy()  # of a task that needs nothing: of the tasks of highest rank that it waits for
    found: dict[tuple[int, int], int] = {}
    of_task = [FREE] * len(order)
    for task in order:
        free = not graph.needs[graph.classes[task]]
        rank, kind = 0, NONE
        for name in graph.before[task]:
            if kinds[name] == NONE:
                continue
            if not free:
                rank = max(rank, ranks[name] + (kinds[name] != kinds[task]))
            elif kind == NONE or ranks[name] > rank:
                rank, kind = ranks[name], kinds[name]
            elif ranks[name] == rank and kinds[name] != kind:
                kind = SEVERAL
        ranks[task] = rank
        if free:
            kinds[task] = kind
        else:
            of_task[task] = found.setdefault((graph.classes[task], rank), len(found))
    classes = [kind for kind, _ in found]
    # By first task in the script, which isn't always the first in `order`.
    first: dict[int, int] = {}
    for group in of_task:
        if group != FREE:
            first.setdefault(group, len(first))
    return [FREE if group == FREE else first[group] for group in of_task], [classes[group] for group in first]
