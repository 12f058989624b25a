"""Loads components and releases them, as the plan has it or as a call turns out to need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from aquatint.catalog.hardware import memory_of
from aquatint.catalog.quantizers import label
from aquatint.plan.steps import Component, Evict, Generate, Load, Phase, Plan, Release, Return, Save, Upscale, User
from aquatint.plan.uses import needs, uses
from aquatint.runtime.engine import EngineError, Loaded
from aquatint.runtime.events import Evicted, LoadFinished, LoadStarted, Released, Returned
from aquatint.runtime.failures import explain
from aquatint.runtime.ladder import Ladder, OutOfRungs
from aquatint.runtime.late_loads import LateLoads
from aquatint.runtime.run import Run
from aquatint.runtime.tally import loaded_for


class Loads:
    """The loads of one run; `failed` are the keys of what could not be loaded, `late` has the loads that wait."""

    def __init__(self, run: Run, ladder: Ladder) -> None:
        self.run = run
        self.ladder = ladder
        self.failed: set[str] = set()
        self._unforeseen: list[str] = []
        self._asked: Counter[str] = Counter()  # of the call whose parts take turns, by component
        self._users = {step.id: step for step in run.plan.steps if isinstance(step, Generate | Upscale | Save)}
        self._loaded_for = loaded_for(run.plan)
        self._ahead = _loads_ahead(run.plan)
        self._spare: int | None = None  # of the budget, what the plan never takes
        self.late = LateLoads(run.plan, run.options.may_be_spared, self._carry_out, run.account.emit)

    def make_room(self) -> None:
        """Release what earlier plans left, what was used least recently first, as far as this plan needs the room."""
        run, own = self.run, self.run.plan.components
        if run.options.room is None or (needed := run.watch.predicted) is None:
            return
        here = memory_of(run.plan.device)
        others = [
            loaded
            for loaded in run.residents.components()
            if loaded.component.key not in own and memory_of(loaded.component.device) == here
        ]
        excess = needed.most + sum(loaded.bytes for loaded in others) - run.options.room
        for loaded in others:
            if excess <= 0:
                break
            if loaded.bytes and run.residents.release(loaded.component.key) is not None:
                excess -= loaded.bytes
                run.account.emit(Released("", loaded.component.key, loaded.component.role))
        self._spare = -excess
        run.residents.touch(own)

    def foresee(self, number: int) -> None:
        """Before a step that computes, tell the engine which components with weights are loaded after it."""
        ahead = [component for component in self._ahead[number] if component.key not in self.run.residents]
        self.run.engine.foresee(ahead, self._spare)

    def foresee_nothing(self) -> None:
        """At the end of the run, tell the engine that nothing is loaded any more."""
        self.run.engine.foresee((), None)

    def load(self, step: Load) -> None:
        """Load what `step` asks for, unless it is there; a load that may be spared waits until something needs it."""
        key = step.component
        if key not in self.run.residents and key not in self.failed and not self.late.put_off(step):
            self._carry_out(step)

    def _carry_out(self, step: Load) -> bool:
        """Load what `step` asks for, or leave it to its calls for want of memory; return False if it failed."""
        component = self.run.plan.components[step.component]
        user = self._users.get(self._loaded_for.get(step.id, ""))
        try:
            self._load_with_less(step.id, user, component)
        except OutOfRungs:
            # The statement that can't do without says so, and another one may have the room.
            self.ladder.owed.add(component.key)
        except Exception as error:
            self.failed.add(component.key)
            self.run.account.fail(step, error, f"loading `{component.role}`", [])
            return False
        return True

    def _load_with_less(self, step: str, user: Generate | Upscale | Save | None, component: Component) -> None:
        """Load a component for `user`, or leave it to the calls that need it."""
        if user is None:
            self._load(step, component)
            return

        def load() -> None:
            if self._takes_turns(user.id, component):
                self.ladder.owed.add(component.key)
            else:
                self._load(step, component)

        self.ladder.with_less(user, f"loading `{component.role}`", load)

    def bring(self, step: User) -> None:
        """Load what isn't there of all that the plan has loaded for `step`: for want of memory, or as it was put off.

        What was put off waits for a picture's call to ask for it.
        """
        run = self.run
        user = self._users[step.generate if isinstance(step, Phase) else step.id]
        if isinstance(step, Save):
            for key in uses(step, run.plan.pipelines).values():
                self.late.bring(key)
        missing = [key for key in needs(step, run.plan.pipelines, run.plan.components)
                   if key not in run.residents and key not in self.failed and key not in self.late]  # fmt: skip
        for component in map(run.plan.components.__getitem__, missing):
            if component.key in self.ladder.owed:
                self._load_with_less(step.id, user, component)
            # What an earlier phase's failure left unloaded is loaded when it is asked for.
            elif not isinstance(step, Phase):
                raise RuntimeError(f"the plan does not load `{component.role}`")

    def begin_turns(self) -> None:
        """Count anew what a call asks for."""
        self._asked.clear()

    def load_needed(self, step: str, component: Component) -> None:
        """Load a part that a call of the step with that id needs now."""
        run, user = self.run, self._users[step]
        if component.key not in needs(user, run.plan.pipelines, run.plan.components):
            self._unforeseen.append(component.key)
        if not self.ladder.taken(step):
            # A call needs it earlier than the plan knows.
            loaded = run.residents.load(component)
            run.complain(f"`{component.role}` was needed earlier than planned, and loaded ({loaded.bytes:,} bytes)")
            return
        if self._takes_turns(step, component):
            self._asked[component.key] += 1
            roles = Counter(run.plan.pipelines[user.pipeline].parts.values())
            # What is asked for more often than it has roles, such as what works in each denoising step, stays.
            self.ladder.release(step, *(
                key for key, count in roles.items()
                if key is not None and run.plan.components[key].dtype is not None and self._asked[key] <= count
            ))  # fmt: skip
        self._load(step, component)

    def _takes_turns(self, step: str, component: Component) -> bool:
        return component.dtype is not None and "turns" in self.ladder.taken(step)

    def _load(self, step: str, component: Component) -> None:
        """Load a component for the step with that id, and tell of it."""
        run, quantizer = self.run, _quantizer(component)
        run.account.emit(
            LoadStarted(
                step, component.key, component.role, component.class_name, component.source, quantizer, component.bytes
            )
        )
        started = run.options.clock()
        if run.options.verify is not None and (change := run.options.verify(component)) is not None:
            raise EngineError(change)
        loaded = run.residents.load(component)
        self.ladder.owed.discard(component.key)
        seconds = run.options.clock() - started
        run.account.emit(
            LoadFinished(
                step,
                component.key,
                component.role,
                loaded.bytes,
                loaded.quantized_layers,
                loaded.layers,
                seconds,
                loaded.from_store,
                loaded.beside,
            )
        )
        for warning in loaded.warnings:
            run.account.warn(step, warning)
        if component.quantization is not None and not loaded.quantized_layers:
            message = f"{quantizer} found no layer of `{component.role}` that it quantizes: it is held as it was"
            run.account.warn(step, message)

    def release_unforeseen(self) -> None:
        """Release what was loaded out of turn: the plan counts on the memory."""
        for key in self._unforeseen:
            self.run.residents.release(key)
        self._unforeseen.clear()

    def release(self, step: Release) -> None:
        """Release what `step` names, if it is there."""
        role = self.run.plan.components[step.component].role
        self.late.spare(step.component)
        self.ladder.owed.discard(step.component)
        try:
            released = self.run.residents.release(step.component)
        except Exception as error:
            message, _ = explain(error, f"releasing `{role}`")
            self.run.account.warn(step.id, message)
            return
        if released is not None:
            self.run.account.emit(Released(step.id, step.component, role))

    def evict(self, step: Evict) -> None:
        """Move what `step` names to the computer's memory, if it is there; what can't be moved is given up."""
        run, key = self.run, step.component
        role = run.plan.components[key].role
        doing = f"moving `{role}` to the computer's memory"
        if (moved := self._moved(step.id, lambda: run.residents.evict(key), doing)) is not None:
            run.account.emit(Evicted(step.id, key, role, *moved))

    def bring_back(self, step: Return) -> None:
        """Bring back what `step` names, or load it if it was given up."""
        run, key = self.run, step.component
        role = run.plan.components[key].role
        if run.residents.is_evicted(key):
            moved = self._moved(step.id, lambda: run.residents.bring_back(key), f"bringing `{role}` back")
            if moved is not None:
                run.account.emit(Returned(step.id, key, role, *moved))
                return
        self.load(Load(step.id, key, step.place))

    def _moved(self, step: str, move: Callable[[], Loaded | None], doing: str) -> tuple[int, float] | None:
        """Return the bytes that `move` moved, and the seconds; None if nothing was, which is told if it failed."""
        started = self.run.options.clock()
        try:
            moved = move()
        except Exception as error:
            message, _ = explain(error, doing)
            self.run.account.warn(step, f"{message}; it is loaded again where it is needed")
            return None
        return None if moved is None else (moved.bytes, self.run.options.clock() - started)

    def skips(self, step: Generate | Upscale | Save) -> bool:
        """Skip a step that needs what could not be loaded, and return whether it was."""
        pipelines = self.run.plan.pipelines
        parts: Mapping[str, str | None] = (
            pipelines[step.pipeline].parts if isinstance(step, Generate) else uses(step, pipelines)
        )
        lost = [role for role, key in parts.items() if key in self.failed]
        if lost:
            self.run.account.skip(step, f"it needs {_listed(lost)}, which could not be loaded")
        return bool(lost)

    def parts(self, step: Upscale | Save) -> dict[str, Loaded]:
        """Return what `step` works with, by role, all of it live."""
        return {role: self.run.residents[key] for role, key in uses(step, self.run.plan.pipelines).items()}

    def count_reuses(self, step: User) -> None:
        """Count and tell what `step` finds loaded for an earlier statement."""
        used = uses(step, self.run.plan.pipelines)
        for role, key in self.run.residents.reused(self.run.plan.pipelines[step.pipeline]):
            if role in used:
                self.run.account.reuse(step.id, key, role)


def _quantizer(component: Component) -> str | None:
    """Return what quantizes a component, or did in its files, for people."""
    if (quantized := component.quantization) is not None:
        return label(quantized.backend, quantized.options)
    return None if component.stored is None else component.stored.name


def _loads_ahead(plan: Plan) -> dict[int, tuple[Component, ...]]:
    """Return for each step that computes the components with weights that are loaded after it, the next one first."""
    found: dict[int, tuple[Component, ...]] = {}
    following: tuple[Component, ...] = ()
    for number in range(len(plan.steps) - 1, -1, -1):
        step = plan.steps[number]
        if isinstance(step, Load) and (component := plan.components[step.component]).dtype is not None:
            following = (component, *(other for other in following if other.key != component.key))
        elif isinstance(step, Phase | Generate):
            found[number] = following
    return found


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
