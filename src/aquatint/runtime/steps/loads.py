"""Loads components and releases them, as the plan has it or as a call turns out to need."""

from __future__ import annotations

from collections.abc import Mapping

from aquatint.catalog.quantizers import label
from aquatint.plan.steps import Component, Evict, Generate, Load, Phase, Plan, Release, Return, Save
from aquatint.plan.uses import uses
from aquatint.runtime.engine import EngineError, Loaded
from aquatint.runtime.events import Evicted, LoadFinished, LoadStarted, Released, Returned
from aquatint.runtime.failures import explain
from aquatint.runtime.late_loads import LateLoads
from aquatint.runtime.run import Run


class Loads:
    """The loads of one run; `failed` are the keys of what could not be loaded, `late` has the loads that wait."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.failed: set[str] = set()
        self._unforeseen: list[str] = []
        self._next = _next_loads(run.plan)
        self.late = LateLoads(run.plan, run.options.may_be_spared, self._load, run.account.emit)

    def foresee(self, number: int) -> None:
        """Before a step that computes, tell the engine which component with weights is loaded next."""
        loads = self._next.get(number)
        if loads is not None and loads.key not in self.run.residents:
            self.run.engine.foresee(loads)

    def load(self, step: Load) -> None:
        """Load what `step` asks for, unless it is there; a load that may be spared waits until something needs it."""
        key = step.component
        if key not in self.run.residents and key not in self.failed and not self.late.put_off(step):
            self._load(step)

    def _load(self, step: Load) -> bool:
        """Load what `step` asks for; return False if that failed."""
        run, component = self.run, self.run.plan.components[step.component]
        quantizer = _quantizer(component)
        run.account.emit(
            LoadStarted(
                step.id,
                component.key,
                component.role,
                component.class_name,
                component.source,
                quantizer,
                component.bytes,
            )
        )
        started = run.options.clock()
        try:
            if run.options.verify is not None and (change := run.options.verify(component)) is not None:
                raise EngineError(change)
            loaded = run.residents.load(component)
        except Exception as error:
            self.failed.add(component.key)
            run.account.fail(step, error, f"loading `{component.role}`", [])
            return False
        seconds = run.options.clock() - started
        run.account.emit(
            LoadFinished(
                step.id,
                component.key,
                component.role,
                loaded.bytes,
                loaded.quantized_layers,
                loaded.layers,
                seconds,
                loaded.from_store,
            )
        )
        for warning in loaded.warnings:
            run.account.warn(step.id, warning)
        if component.quantization is not None and not loaded.quantized_layers:
            message = f"{quantizer} found no layer of `{component.role}` that it quantizes: it is held as it was"
            run.account.warn(step.id, message)
        return True

    def load_unforeseen(self, component: Component) -> None:
        """Load a part that a call needs now and the plan brings at another time."""
        loaded = self.run.residents.load(component)
        self._unforeseen.append(component.key)
        self.run.complain(f"`{component.role}` was needed earlier than planned, and loaded ({loaded.bytes:,} bytes)")

    def release_unforeseen(self) -> None:
        """Release what was loaded out of turn: the plan counts on the memory."""
        for key in self._unforeseen:
            self.run.residents.release(key)
        self._unforeseen.clear()

    def release(self, step: Release) -> None:
        """Release what `step` names, if it is there."""
        role = self.run.plan.components[step.component].role
        self.late.spare(step.component)
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
        run, role = self.run, self.run.plan.components[step.component].role
        started = run.options.clock()
        try:
            evicted = run.residents.evict(step.component)
        except Exception as error:
            message, _ = explain(error, f"moving `{role}` to the computer's memory")
            run.account.warn(step.id, f"{message}; it will be loaded again")
            return
        if evicted is not None:
            seconds = run.options.clock() - started
            run.account.emit(Evicted(step.id, step.component, role, evicted.bytes, seconds))

    def bring_back(self, step: Return) -> None:
        """Bring back what `step` names, or load it if it was given up."""
        run, component = self.run, self.run.plan.components[step.component]
        if run.residents.is_evicted(component.key):
            started = run.options.clock()
            try:
                loaded = run.residents.bring_back(component.key)
            except Exception as error:
                message, _ = explain(error, f"bringing `{component.role}` back")
                run.account.warn(step.id, f"{message}; it is loaded again")
            else:
                seconds = run.options.clock() - started
                run.account.emit(Returned(step.id, component.key, component.role, loaded.bytes, seconds))
                return
        self.load(Load(step.id, component.key, step.place))

    def skips(self, step: Generate | Save) -> bool:
        """Skip a step that needs what could not be loaded, and return whether it was."""
        pipelines = self.run.plan.pipelines
        parts: Mapping[str, str | None] = (
            pipelines[step.pipeline].parts if isinstance(step, Generate) else uses(step, pipelines)
        )
        lost = [role for role, key in parts.items() if key in self.failed]
        if lost:
            self.run.account.skip(step, f"it needs {_listed(lost)}, which could not be loaded")
        return bool(lost)

    def parts(self, step: Generate | Save) -> dict[str, Loaded]:
        """Return what `step` works with, by role: the plan has loaded it, but for what calls may do without."""
        residents, used = self.run.residents, uses(step, self.run.plan.pipelines)
        if isinstance(step, Save):
            for key in used.values():
                self.late.bring(key)
        # What an earlier phase's failure left unloaded is loaded when it is asked for.
        missing = [role for role, key in used.items() if key not in residents and key not in self.late]
        if missing:
            raise RuntimeError(f"the plan does not load {_listed(missing)}")
        return {role: residents[key] for role, key in used.items() if key not in self.late}

    def count_reuses(self, step: Generate | Phase | Save) -> None:
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


def _next_loads(plan: Plan) -> dict[int, Component]:
    """Return for each step that computes the component with weights that is loaded next after it."""
    found: dict[int, Component] = {}
    following: Component | None = None
    for number in range(len(plan.steps) - 1, -1, -1):
        step = plan.steps[number]
        if isinstance(step, Load) and plan.components[step.component].dtype is not None:
            following = plan.components[step.component]
        elif isinstance(step, Phase | Generate) and following is not None:
            found[number] = following
    return found


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
