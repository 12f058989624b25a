"""The steps of a plan as tasks and items for `scheduling`, and the moves that it found as steps again.

Components with weights are items. A `generate` step is a task, or one for each of its phases; steps that are alike and
follow one another can be put in order as one, in a bundle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from aquatint.catalog.compatibility import cell, kinds_of
from aquatint.catalog.hardware import SHARED_MEMORY, memory_of
from aquatint.plan.batches import largest, sizes, unit
from aquatint.plan.memory import held
from aquatint.plan.scheduling.eviction import evict, lru
from aquatint.plan.scheduling.moves import Drop, Move, Run
from aquatint.plan.scheduling.moves import Evict as Evicting
from aquatint.plan.scheduling.moves import Load as Loading
from aquatint.plan.scheduling.moves import Return as Returning
from aquatint.plan.scheduling.phases import Statement, phases
from aquatint.plan.scheduling.tasks import Budget, DoesNotFit, Item, Task
from aquatint.plan.splitting import Part, split
from aquatint.plan.steps import (
    Compare,
    Component,
    Evict,
    Generate,
    Load,
    Phase,
    Pipeline,
    Print,
    Release,
    Return,
    Save,
    Step,
    Traffic,
    Upscale,
    User,
)
from aquatint.plan.uses import awaits, device, needs, uses
from aquatint.plan.working import loading, rewriting, work

Order = Literal["least", "script"]
"""Which order: that which loads least and then holds least, or the script's."""

QUANTIZING = 4
"""Times that quantizing a component costs what reading it does: 4 to 9 by `benchmarks/loading.py`."""

TRIP = 0.5
"""What a byte costs that goes to the computer's memory and comes back, in bytes read.

Assumed, not measured: ordinary memory is copied over PCIe 3.0 x 16 at some 6 GB/s each way, and files are read into
tensors at some 1.5 GB/s.
"""


class Planner:
    """The steps as tasks, and back.

    With `fine`, decoding is a phase of its own. With `bundled`, up to so many `generate` steps that follow one another
    are one task, where they work with the same components and wait for the same. Steps that share a call always are.
    Without `working`, only what is known counts: weights, and what waits. With a `memory`, only what is in that one
    counts; the tasks and their ids are the same for all memories.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        pipelines: Mapping[str, Pipeline],
        components: Mapping[str, Component],
        *,
        fine: bool,
        bundled: int = 1,
        working: bool = True,
        memory: str | None = None,
    ) -> None:
        self.fine = fine
        self.bundled = bundled
        self.working = working
        self.memory = memory
        self.pipelines = pipelines
        self.components = components
        self.steps = steps
        self._own = {key for key, each in components.items() if memory in (None, memory_of(each.device))}
        self.items = [_item(each) for key, each in components.items() if each.dtype is not None and key in self._own]
        self.statements: list[Statement] = []
        self.others: list[Task] = []
        self._known: dict[tuple[object, ...], list[Part]] = {}
        self._bare: dict[tuple[str, tuple[str, ...] | None], tuple[str, ...]] = {}
        self._keys: dict[tuple[str, tuple[str, ...] | None], tuple[str, ...]] = {}
        self._sizes = sizes(steps)
        self._tasks: dict[str, tuple[_Bundle, int | None, Task]] = {}  # with the phase, None for whole steps
        for bundle in self._bundles():
            self._add(bundle)

    def _bundles(self) -> Iterator[_Bundle]:
        """Yield the steps in bundles, in the script's order."""
        task_of: dict[str, str] = {}
        last_report: str | None = None
        bundle: _Bundle | None = None
        for position, step in enumerate(self.steps):
            # What it waits for, and what is reported before it.
            before = dict.fromkeys(task_of[each.step] for each in awaits(step) if each.step in task_of)
            if _reports(step):
                if last_report is not None:
                    before[last_report] = None
                last_report = step.id
            parts = self._split(step) if isinstance(step, Generate) else None
            if bundle is not None and unit(bundle.steps[-1]) == unit(step):
                bundle.steps.append(step)
                task_of[step.id] = bundle.steps[0].id
                continue
            if bundle is None or bundle.units >= self.bundled or not bundle.is_like(step, tuple(before), parts):
                if bundle is not None:
                    yield bundle
                bundle = _Bundle([], tuple(before), parts, position)
            bundle.steps.append(step)
            bundle.units += 1
            task_of[step.id] = bundle.steps[0].id
        if bundle is not None:
            yield bundle

    def _add(self, bundle: _Bundle) -> None:
        step, number = bundle.steps[0], bundle.units
        if isinstance(step, Generate) and bundle.parts is not None:
            bundle.parts = [self._counted(step, part) for part in bundle.parts]
        parts, keys = bundle.parts or [], self._weighty(step)
        work = 0
        if self.working:
            work = max((part.work for part in parts), default=loading(keys, self.components))
            for each in bundle.steps:
                work = max(work, rewriting(each, keys, self.components) if isinstance(each, Upscale) else 0)
        whole = Task(step.id, keys, bundle.after, working=work, position=bundle.position)
        self._tasks[whole.id] = bundle, None, whole
        if len(parts) < 2:
            self.others.append(whole)
            return
        assert isinstance(step, Generate)
        chain: list[Task] = []
        for at, part in enumerate(parts):
            keys = self._weighty(_phase(step, part))
            before = (chain[-1].id,) if chain else bundle.after
            result = number * part.result
            # What waits of a bundle's first ones waits while the others work.
            work = part.work + result if self.working else 0
            task = Task(f"{step.id}/{part.name}", keys, before, work, result, bundle.position)
            self._tasks[task.id] = bundle, at, task
            chain.append(task)
        self.statements.append(Statement(whole, tuple(chain)))

    def _split(self, step: Generate) -> list[Part]:
        """Return the phases of `step`: most statements of a script are alike in what decides them."""
        sides = step.arguments.get("width"), step.arguments.get("height")
        images = self._sizes.get(unit(step), len(step.outputs))
        together = largest(step, self._sizes)
        alike = step.pipeline, images, together, tuple(step.roles or ()), *sides
        if step.deferred or not all(side is None or isinstance(side, int) for side in sides):
            return split(step, self.pipelines[step.pipeline], self.components, self.fine, images, together)
        if alike not in self._known:
            pipeline = self.pipelines[step.pipeline]
            self._known[alike] = split(step, pipeline, self.components, self.fine, images, together)
        return self._known[alike]

    def _counted(self, step: Generate, part: Part) -> Part:
        """Return a phase with what it takes of the memory that counts."""
        if self.memory is None:
            return part
        pipeline = self.pipelines[step.pipeline]
        roles = [role for role in part.roles if pipeline.parts[role] in self._own]
        waits = device(pipeline, self.components)
        return replace(
            part,
            result=part.result if waits is not None and memory_of(waits) == self.memory else 0,
            work=work(step, roles, pipeline, self.components, largest(step, self._sizes)),
        )

    def _weighty(self, step: Step) -> tuple[str, ...]:
        """Return the keys of the components with weights that `step` uses."""
        if not isinstance(step, User):
            return ()
        roles = None if isinstance(step, Upscale) else step.roles
        asked = step.pipeline, None if roles is None else tuple(roles)
        if asked not in self._keys:
            keys = dict.fromkeys(uses(step, self.pipelines).values())
            self._keys[asked] = tuple(
                key for key in keys if self.components[key].dtype is not None and key in self._own
            )
        return self._keys[asked]

    def step_of(self, task: str) -> str:
        """Return the id of the script's step that a task is of, or begins with."""
        return self._tasks[task][0].steps[0].id

    def kept(self) -> list[Move]:
        """Return the moves of the script's order that give nothing back."""
        moves: list[Move] = []
        loaded: set[str] = set()
        for step in self.steps:
            for key in self._weighty(step):
                if key not in loaded:
                    loaded.add(key)
                    moves.append(Loading(key))
            if step.id in self._tasks:  # others are of the task before them
                moves.append(Run(step.id))
        return moves

    def ordered(self, order: Order, budget: Budget) -> list[str]:
        """Return the ids of the tasks, statements or their phases, in the order in which they run."""
        if order == "script":
            wholes = [statement.whole for statement in self.statements]
            return [task.id for task in sorted([*wholes, *self.others], key=lambda task: task.position)]
        return [task.id for task in phases(self.statements, self.others, self.items, budget)]

    def one_by_one(self) -> list[str]:
        """Return the ids of the tasks where statements run in the script's order, each in its phases."""
        tasks = [*self.others, *(part for statement in self.statements for part in statement.parts)]
        return [task.id for task in sorted(tasks, key=lambda task: task.position)]

    def moves(self, order: Sequence[str], budget: Budget) -> Sequence[Move] | DoesNotFit:
        """Return what is done when the tasks with these ids run in this order."""
        there = set(order)
        last = {each.whole.id: each.parts[-1].id for each in self.statements if each.parts[-1].id in there}
        tasks = [self._tasks[name][2] for name in order]
        found = evict([_waiting(task, last) for task in tasks], self.items, budget)
        return found if isinstance(found, DoesNotFit) else found.moves

    @property
    def weightless(self) -> int:
        """How many components have no weights."""
        return sum(component.dtype is None for component in self.components.values())

    def lru_traffic(self, budget: Budget) -> Traffic | None:
        """Return what of weights comes and goes in the script's order where what was used least recently goes.

        None if it doesn't fit.
        """
        wholes = [statement.whole for statement in self.statements]
        found = lru(sorted([*wholes, *self.others], key=lambda task: task.position), self.items, budget)
        if isinstance(found, DoesNotFit):
            return None
        sizes = {item.key: item.bytes for item in self.items}
        coming = [move for move in found.moves if isinstance(move, Loading | Returning)]
        return Traffic(
            loads=sum(isinstance(move, Loading) for move in coming),
            evictions=len(coming) - len({move.item for move in coming}),
            moved=sum(sizes[move.item] for move in found.moves if isinstance(move, Loading | Evicting | Returning)),
        )

    def cost(self, moves: Sequence[Move]) -> float:
        """Return what loading and bringing back cost among `moves`, in bytes read."""
        loading = {item.key: item.load_cost for item in self.items}
        returning = {item.key: item.return_cost for item in self.items}
        return sum(loading[move.item] for move in moves if isinstance(move, Loading)) + sum(
            returning[move.item] for move in moves if isinstance(move, Returning)
        )

    def hosted(self, moves: Sequence[Move]) -> int:
        """Return the most bytes of the computer's memory that are taken at a time by what was moved there."""
        sizes = {item.key: item.host_bytes or 0 for item in self.items}
        held = most = 0
        away: set[str] = set()
        for move in moves:
            match move:
                case Evicting(item=key):
                    away.add(key)
                    held += sizes[key]
                    most = max(most, held)
                case Returning(item=key) | Drop(item=key) if key in away:
                    away.discard(key)
                    held -= sizes[key]
                case _:
                    pass
        return most

    def peak(self, moves: Sequence[Move]) -> int:
        """Return the most bytes that are taken at a time, by items, what waits between phases, and work."""
        sizes = {item.key: item.bytes for item in self.items}
        weights = waiting = most = 0
        live: set[str] = set()
        for move in moves:
            match move:
                case Loading(item=key) | Returning(item=key):
                    live.add(key)
                    weights += sizes[key]
                case Drop(item=key) | Evicting(item=key) if key in live:
                    live.discard(key)
                    weights -= sizes[key]
                case Run(task=task):
                    most = max(most, weights + waiting + self._tasks[task][2].working)
                    waiting += self._waiting(task)
                case _:
                    pass
            most = max(most, weights + waiting)
        return most

    def _waiting(self, task: str) -> int:
        """Return by how many bytes the running of a task changes what waits."""
        bundle, at, _ = self._tasks[task]
        if at is None or bundle.parts is None:
            return 0
        results = [0, *(part.result for part in bundle.parts[:-1]), 0]
        return bundle.units * (results[at + 1] - results[at])

    def emitted(self, moves: Sequence[Move]) -> Iterator[Step]:
        """Yield the steps that `moves` come to; what has no weights is loaded before its first use, and given back."""
        tasks = [move.task for move in moves if isinstance(move, Run)]
        releases = any(isinstance(move, Drop) for move in moves)
        last = {key: task for task in tasks for key in self._weightless(task)}
        counts = Counter[str]()
        arriving: dict[str, type[Load | Return]] = {}
        leaving: dict[str, type[Release | Evict]] = {}
        loaded: set[str] = set()
        for move in moves:
            match move:
                case Loading(item=key) | Returning(item=key):
                    yield from _departures(leaving, counts)
                    arriving[key] = Load if isinstance(move, Loading) else Return
                case Drop(item=key) | Evicting(item=key):
                    leaving[key] = Release if isinstance(move, Drop) else Evict
                case Run(task=task):
                    yield from _departures(leaving, counts)
                    weightless = self._weightless(task)
                    arriving |= dict.fromkeys([key for key in weightless if key not in loaded], Load)
                    loaded.update(weightless)
                    for step in self._steps(task):
                        if arriving:
                            yield from _arrivals(arriving, step, self._parts(step), counts)
                        yield step
                    leaving |= dict.fromkeys([key for key in weightless if releases and last[key] == task], Release)
        yield from _departures(leaving, counts)

    def _parts(self, step: Step) -> list[str]:
        """Return the keys of the components of the step's pipeline, in its order."""
        if not isinstance(step, User):
            return []
        return [key for key in self.pipelines[step.pipeline].parts.values() if key is not None]

    def _weightless(self, task: str) -> tuple[str, ...]:
        """Return the keys of the components without weights that a task needs."""
        step = self._tasks[task][0].steps[0]
        if not isinstance(step, User):
            return ()
        asked = step.pipeline, tuple(step.roles or ()) if isinstance(step, Save) else None
        if asked not in self._bare:
            keys = needs(step, self.pipelines, self.components)
            self._bare[asked] = tuple(key for key in keys if self.components[key].dtype is None)
        return self._bare[asked]

    def _steps(self, task: str) -> Iterator[Step]:
        """Yield the steps of a task; those in phases work with the parts of their last phase at their end."""
        bundle, at, _ = self._tasks[task]
        for step in bundle.steps:
            if at is None or bundle.parts is None:
                yield step
                continue
            assert isinstance(step, Generate)
            part = bundle.parts[at]
            last = part is bundle.parts[-1]
            yield msgspec.structs.replace(step, roles=part.roles) if last else _phase(step, part)


@dataclass(slots=True)
class _Bundle:
    """Steps that are put in order as one."""

    steps: list[Step]
    after: tuple[str, ...]  # the tasks that each waits for
    parts: list[Part] | None
    position: int
    units: int = 0  # steps, those that share a call counted once

    def is_like(self, step: Step, after: tuple[str, ...], parts: list[Part] | None) -> bool:
        """Return whether `step` works with the same, in the same phases, and waits for the same."""
        first = self.steps[0]
        if not (isinstance(first, Generate) and isinstance(step, Generate)):
            return False
        return first.pipeline == step.pipeline and self.parts == parts and self.after == after


def _waiting(task: Task, last: Mapping[str, str]) -> Task:
    """Return a task that waits for the last phase of each statement that is in phases."""
    if not any(name in last for name in task.after):
        return task
    return replace(task, after=tuple([last.get(name, name) for name in task.after]))


def _phase(step: Generate, part: Part) -> Phase:
    return Phase(f"{step.id}-{part.name}", step.id, step.pipeline, part.name, part.roles, step.place)


def _item(component: Component) -> Item:
    """Return a component with weights as an item; its costs are in bytes read."""
    read = component.reads or component.bytes
    cost = read * (1 + QUANTIZING) if component.quantization is not None else read
    size = held(component).most
    host = size if _is_movable(component) else None
    return Item(component.key, size, float(cost), host_bytes=host, return_cost=TRIP * size)


def _is_movable(component: Component) -> bool:
    """Return whether a live component can go to the computer's memory and come back with the same bits."""
    if component.device.partition(":")[0] in SHARED_MEMORY or component.offload is not None:
        return False  # it is in that memory, or goes there by itself
    quantizer = component.quantization or component.stored
    if quantizer is None:
        return True
    kinds = () if quantizer.backend is None else kinds_of(quantizer.backend, quantizer.options)
    # Of what isn't known here, no more is asked than to load.
    return bool(kinds) and all(cell(kind.name, "host-memory").answer == "works" for kind in kinds)


def _reports(step: Step) -> bool:
    """Return whether `step` writes into the report, whose lines keep the script's order."""
    return isinstance(step, Print) or (isinstance(step, Compare) and step.path is None and step.printed)


def _arrivals(
    keys: dict[str, type[Load | Return]], step: Step, parts: list[str], counts: Counter[str]
) -> Iterator[Load | Return]:
    """Yield the loads and returns of `keys` for `step`, in the order of its pipeline, and empty them."""
    assert isinstance(step, User)
    places = {key: index for index, key in enumerate(parts)}
    for key in sorted(keys, key=lambda key: places.get(key, len(places))):
        kind = keys[key]
        counts[_LETTERS[kind]] += 1
        yield kind(id=f"{_LETTERS[kind]}{counts[_LETTERS[kind]]}", component=key, place=step.place)
    keys.clear()


def _departures(keys: dict[str, type[Release | Evict]], counts: Counter[str]) -> Iterator[Release | Evict]:
    """Yield the releases and evictions of `keys`, and empty them."""
    for key, kind in keys.items():
        counts[_LETTERS[kind]] += 1
        yield kind(id=f"{_LETTERS[kind]}{counts[_LETTERS[kind]]}", component=key)
    keys.clear()


_LETTERS: dict[type[Step], str] = {Load: "l", Return: "b", Release: "r", Evict: "e"}
"""What the ids of steps that move components begin with."""
