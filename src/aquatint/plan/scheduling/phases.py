"""Which statements run in phases: encode, denoise and decode as tasks of their own.

Phases need less at a time, and those of many statements can run together: all prompts are encoded, then the text
encoder goes. But results wait between them. So statements are split where that costs less or holds less, and not
elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from aquatint.plan.scheduling.bounds import Score
from aquatint.plan.scheduling.order import ordered
from aquatint.plan.scheduling.tasks import Budget, Item, Task

EFFORT = 200_000
"""How many tasks are put in order at most to find out what is better, each time counted."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as one task, and as tasks that come one after the other, of which the last ends it."""

    whole: Task
    parts: tuple[Task, ...]


def phases(
    statements: Sequence[Statement], others: Sequence[Task], items: Iterable[Item], budget: Budget
) -> list[Task]:
    """Return the tasks of `statements`, each whole or in parts, and the `others`, in the order in which they run.

    Statements that need the same items are all whole or all in parts. Tasks wait for a statement by the id of its
    whole; in what is returned they wait for its last part where it is split. It never costs more, nor holds more at the
    same cost, than if all were whole or all in parts.
    """
    known = list(items)
    kinds = list(dict.fromkeys(_kind(statement) for statement in statements))
    best = _judged(statements, others, frozenset(), known, budget)
    effort = EFFORT - len(best.tasks)
    tried = {best.split}
    # All kinds at once, and then each alone.
    for change in (frozenset(kinds), *(frozenset([kind]) for kind in kinds)):
        split = best.split ^ change
        if split in tried:
            continue
        if effort < 0:
            break
        tried.add(split)
        trial = _judged(statements, others, split, known, budget)
        effort -= len(trial.tasks)
        if trial.rank < best.rank:
            best = trial
    return best.tasks


Kind = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Trial:
    split: frozenset[Kind]
    tasks: list[Task]
    rank: tuple[bool, Score, int]  # less is better


def _kind(statement: Statement) -> Kind:
    return tuple(sorted(set(statement.whole.needs)))


def _judged(
    statements: Sequence[Statement],
    others: Sequence[Task],
    split: frozenset[Kind],
    items: Sequence[Item],
    budget: Budget,
) -> _Trial:
    """Return the tasks in order where the statements of kinds in `split` are in parts, and how good that is."""
    last: dict[str, str] = {}
    tasks = list(others)
    for statement in statements:
        if _kind(statement) in split:
            last[statement.whole.id] = statement.parts[-1].id
            tasks += statement.parts
        else:
            tasks.append(statement.whole)
    by_id = {task.id: _after(task, last) for task in tasks}
    found = ordered(by_id.values(), items, budget)
    rank = (found.score is None, found.score or (0.0, 0, 0), len(split))
    return _Trial(split, [by_id[name] for name in found.tasks], rank)


def _after(task: Task, last: dict[str, str]) -> Task:
    """Return a task that waits for the last parts of statements rather than for their wholes."""
    if not any(name in last for name in task.after):
        return task
    return replace(task, after=tuple([last.get(name, name) for name in task.after]))
