"""When the steps of a plan run, and what is loaded and released for them.

The order and what goes where memory is short are found in `scheduling`, which knows tasks and items; here steps become
tasks, components with weights become items, and moves become steps again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from aquatint.plan.memory import held
from aquatint.plan.scheduling.eviction import evict, lru
from aquatint.plan.scheduling.moves import Drop, Evict, Move, Return, Run
from aquatint.plan.scheduling.moves import Load as Loading
from aquatint.plan.scheduling.phases import Statement, phases
from aquatint.plan.scheduling.tasks import Budget, DoesNotFit, Item, Task
from aquatint.plan.splitting import Part, split
from aquatint.plan.steps import (
    Compare,
    Component,
    Generate,
    Limit,
    Load,
    Phase,
    Pipeline,
    Print,
    Release,
    Save,
    Step,
)
from aquatint.plan.uses import awaits, needs, uses

Order = Literal["least", "script"]
"""Which order: that which loads least and then holds least, or the script's."""

ORDERS: tuple[Order, ...] = ("least", "script")

QUANTIZING = 4
"""Times that quantizing a component costs what reading it does: 4 to 9 by `benchmarks/loading.py`."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A step that doesn't fit into the memory that there is: `needed` bytes of `memory`."""

    step: str
    needed: int
    memory: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps with their loads and releases; with a shortfall they are as if there were no limit."""

    steps: list[Step]
    shortfall: Shortfall | None = None
    limit: Limit | None = None


def schedule(
    steps: Sequence[Step],
    pipelines: Mapping[str, Pipeline],
    components: Mapping[str, Component],
    *,
    keep: bool,
    order: Order = "least",
    memory: int | None = None,
) -> Schedule:
    """Return `steps` in the order in which they run, with the loads and releases that they need.

    `memory` is in bytes, for weights and what waits between phases. With `keep` the order is the script's, and nothing
    is released: a session goes on with it.
    """
    planner = _Planner(steps, pipelines, components, fine=False)
    if keep:
        return Schedule(list(planner.emitted(planner.kept())))
    # A limit that isn't reached must not change anything: the plan is that without one.
    unlimited = planner.moves(order, Budget())
    assert not isinstance(unlimited, DoesNotFit)
    if memory is None or planner.peak(unlimited) <= memory:
        return Schedule(list(planner.emitted(unlimited)))
    finer = _Planner(steps, pipelines, components, fine=True)
    budget = Budget(device=memory)
    limit = Limit(memory, planner.lru_loads(budget))
    best: tuple[float, Schedule] | None = None
    for each in (planner, finer):
        found = each.moves(order, budget)
        if not isinstance(found, DoesNotFit) and (best is None or each.cost(found) < best[0]):
            best = each.cost(found), Schedule(list(each.emitted(found)), limit=limit)
    if best is not None:
        return best[1]
    # Statement by statement, each in phases, takes the least.
    last = finer.one_by_one(budget)
    if not isinstance(last, DoesNotFit):
        return Schedule(list(finer.emitted(last)), limit=limit)
    short = Shortfall(finer.step_of(last.task), last.needed, memory)
    return Schedule(list(planner.emitted(unlimited)), short)


class _Planner:
    """The steps as tasks, and back."""

    def __init__(
        self,
        steps: Sequence[Step],
        pipelines: Mapping[str, Pipeline],
        components: Mapping[str, Component],
        *,
        fine: bool,
    ) -> None:
        self.fine = fine
        self._last_report: str | None = None
        self._known: dict[tuple[object, ...], list[Part]] = {}
        self._bare: dict[tuple[str, tuple[str, ...] | None], tuple[str, ...]] = {}
        self._keys: dict[tuple[str, tuple[str, ...] | None], tuple[str, ...]] = {}
        self.pipelines = pipelines
        self.components = components
        self.steps = steps
        self.parts: dict[str, list[Part]] = {}
        self.by_task: dict[str, Step] = {}
        self.statements: list[Statement] = []
        self.others: list[Task] = []
        self.items = [_item(component) for component in components.values() if component.dtype is not None]
        for position, step in enumerate(steps):
            self._add(step, position)

    def _add(self, step: Step, position: int) -> None:
        after = tuple(dict.fromkeys(name for name in self._before(step) if name in self.by_task))
        self.by_task[step.id] = step
        if _reports(step):
            self._last_report = step.id
        whole = Task(step.id, self._weighty(step), after, position=position)
        if not isinstance(step, Generate):
            self.others.append(whole)
            return
        parts = self.parts[step.id] = self._split(step)
        if len(parts) == 1:
            self.others.append(whole)
            return
        chain: list[Task] = []
        for part in parts:
            task = _task_of(step, part)
            self.by_task[task] = self._phase(step, part) if part is not parts[-1] else step
            keys = self._weighty(self._phase(step, part))
            before = (chain[-1].id,) if chain else after
            chain.append(Task(task, keys, before, result=part.result, position=position))
        self.statements.append(Statement(whole, tuple(chain)))

    def _before(self, step: Step) -> Iterator[str]:
        """Yield the steps that have to have run before `step`: what it waits for, and what is reported before it."""
        for reference in awaits(step):
            yield reference.step
        if _reports(step) and self._last_report is not None:
            yield self._last_report

    def _split(self, step: Generate) -> list[Part]:
        """Return the phases of `step`: most statements of a script are alike in what decides them."""
        sides = step.arguments.get("width"), step.arguments.get("height")
        alike = step.pipeline, len(step.outputs), *sides, step.weighter is None
        if step.deferred or not all(side is None or isinstance(side, int) for side in sides):
            return split(step, self.pipelines[step.pipeline], self.components, self.fine)
        if alike not in self._known:
            self._known[alike] = split(step, self.pipelines[step.pipeline], self.components, self.fine)
        return self._known[alike]

    def _weighty(self, step: Step) -> tuple[str, ...]:
        """Return the keys of the components with weights that `step` uses."""
        if not isinstance(step, Generate | Phase | Save):
            return ()
        asked = step.pipeline, None if step.roles is None else tuple(step.roles)
        if asked not in self._keys:
            keys = dict.fromkeys(uses(step, self.pipelines).values())
            self._keys[asked] = tuple(key for key in keys if self.components[key].dtype is not None)
        return self._keys[asked]

    def _phase(self, step: Generate, part: Part) -> Phase:
        return Phase(f"{step.id}-{part.name}", step.id, step.pipeline, part.name, part.roles, step.place)

    def step_of(self, task: str) -> str:
        """Return the id of the script's step that a task is of."""
        step = self.by_task[task]
        return step.generate if isinstance(step, Phase) else step.id

    def kept(self) -> list[Move]:
        """Return the moves of the script's order that give nothing back."""
        moves: list[Move] = []
        loaded: set[str] = set()
        for step in self.steps:
            for key in self._weighty(step):
                if key not in loaded:
                    loaded.add(key)
                    moves.append(Loading(key))
            moves.append(Run(step.id))
        return moves

    def moves(self, order: Order, budget: Budget) -> Sequence[Move] | DoesNotFit:
        """Return what is done when."""
        wholes = [statement.whole for statement in self.statements]
        if order == "script":
            ordered = sorted([*wholes, *self.others], key=lambda task: task.position)
        else:
            ordered = phases(self.statements, self.others, self.items, budget)
        found = evict(ordered, self.items, budget)
        return found if isinstance(found, DoesNotFit) else found.moves

    def lru_loads(self, budget: Budget) -> int | None:
        """Return the loads of the script's order where what was used least recently goes, those without weights too."""
        wholes = [statement.whole for statement in self.statements]
        found = lru(sorted([*wholes, *self.others], key=lambda task: task.position), self.items, budget)
        if isinstance(found, DoesNotFit):
            return None
        weightless = sum(component.dtype is None for component in self.components.values())
        return weightless + sum(isinstance(move, Loading) for move in found.moves)

    def cost(self, moves: Sequence[Move]) -> float:
        """Return what the loads among `moves` cost, in bytes read."""
        costs = {item.key: item.load_cost for item in self.items}
        return sum(costs[move.item] for move in moves if isinstance(move, Loading))

    def one_by_one(self, budget: Budget) -> Sequence[Move] | DoesNotFit:
        """Return what is done when statements run in the script's order, each in its phases."""
        last = {statement.whole.id: statement.parts[-1].id for statement in self.statements}
        tasks = [*self.others, *(part for statement in self.statements for part in statement.parts)]
        waiting = [replace(task, after=tuple(last.get(name, name) for name in task.after)) for task in tasks]
        found = evict(sorted(waiting, key=lambda task: task.position), self.items, budget)
        return found if isinstance(found, DoesNotFit) else found.moves

    def peak(self, moves: Sequence[Move]) -> int:
        """Return the most bytes that are held at a time, by items and by what waits between phases."""
        sizes = {item.key: item.bytes for item in self.items}
        weights = waiting = most = 0
        live: set[str] = set()
        for move in moves:
            match move:
                case Loading(item=key) | Return(item=key):
                    live.add(key)
                    weights += sizes[key]
                case Drop(item=key) | Evict(item=key) if key in live:
                    live.discard(key)
                    weights -= sizes[key]
                case Run(task=task):
                    waiting += self._waiting(task)
                case _:
                    pass
            most = max(most, weights + waiting)
        return most

    def _waiting(self, task: str) -> int:
        """Return by how many bytes the running of a task changes what waits."""
        step = self.by_task[task]
        if isinstance(step, Phase):
            parts = self.parts[step.generate]
            at = next(n for n, part in enumerate(parts) if part.name == step.name)
            return parts[at].result - (parts[at - 1].result if at else 0)
        if isinstance(step, Generate) and task != step.id:
            return -self.parts[step.id][-2].result
        return 0

    def emitted(self, moves: Sequence[Move]) -> Iterator[Step]:
        """Yield the steps that `moves` come to; what has no weights is loaded before its first use, and given back."""
        tasks = [move.task for move in moves if isinstance(move, Run)]
        releases = any(isinstance(move, Drop) for move in moves)
        last = {key: task for task in tasks for key in self._weightless(task)}
        counts = Counter[str]()
        arriving: list[str] = []
        leaving: list[str] = []
        loaded: set[str] = set()
        for move in moves:
            match move:
                case Loading(item=key):
                    yield from _releases(leaving, counts)
                    arriving.append(key)
                case Drop(item=key):
                    leaving.append(key)
                case Run(task=task):
                    yield from _releases(leaving, counts)
                    step, weightless = self._stepped(task), self._weightless(task)
                    arriving += [key for key in weightless if key not in loaded]
                    loaded.update(weightless)
                    yield from _loads(arriving, step, self._parts(step), counts)
                    yield step
                    leaving += [key for key in weightless if releases and last[key] == task]
                case Evict() | Return():
                    raise AssertionError("there is no budget for the computer's memory")
        yield from _releases(leaving, counts)

    def _parts(self, step: Step) -> list[str]:
        """Return the keys of the components of the step's pipeline, in its order."""
        if not isinstance(step, Generate | Phase | Save):
            return []
        return [key for key in self.pipelines[step.pipeline].parts.values() if key is not None]

    def _weightless(self, task: str) -> tuple[str, ...]:
        """Return the keys of the components without weights that a task needs."""
        step = self.by_task[task]
        if not isinstance(step, Generate | Phase | Save):
            return ()
        asked = step.pipeline, tuple(step.roles or ()) if isinstance(step, Save) else None
        if asked not in self._bare:
            keys = needs(step, self.pipelines, self.components)
            self._bare[asked] = tuple(key for key in keys if self.components[key].dtype is None)
        return self._bare[asked]

    def _stepped(self, task: str) -> Step:
        """Return the step of a task; the end of one in phases works with the parts of its last phase."""
        step = self.by_task[task]
        if isinstance(step, Generate) and task != step.id:
            return msgspec.structs.replace(step, roles=self.parts[step.id][-1].roles)
        return step


def _task_of(step: Generate, part: Part) -> str:
    return f"{step.id}/{part.name}"


def _item(component: Component) -> Item:
    """Return a component with weights as an item; its cost is in bytes read."""
    read = component.reads or component.bytes
    cost = read * (1 + QUANTIZING) if component.quantization is not None else read
    return Item(component.key, held(component).most, float(cost))


def _reports(step: Step) -> bool:
    """Return whether `step` writes into the report, whose lines keep the script's order."""
    return isinstance(step, Print) or (isinstance(step, Compare) and step.path is None and step.printed)


def _loads(keys: list[str], step: Step, parts: list[str], counts: Counter[str]) -> Iterator[Load]:
    """Yield the loads of `keys` for `step`, in the order of its pipeline, and empty the list."""
    places = {key: index for index, key in enumerate(parts)}
    for key in sorted(keys, key=lambda key: places.get(key, len(places))):
        counts["l"] += 1
        assert isinstance(step, Generate | Phase | Save)
        yield Load(id=f"l{counts['l']}", component=key, place=step.place)
    keys.clear()


def _releases(keys: list[str], counts: Counter[str]) -> Iterator[Release]:
    """Yield the releases of `keys`, and empty the list."""
    for key in keys:
        counts["r"] += 1
        yield Release(id=f"r{counts['r']}", component=key)
    keys.clear()
