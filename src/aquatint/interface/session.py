"""One session: texts go in, plans are made and run, and models stay warm from one text to the next.

Files, standard input and the REPL all come through here. Nothing here writes to a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from PIL.Image import Image

from aquatint.catalog import pickle_files
from aquatint.diagnostics import Diagnostics, nearest
from aquatint.interface.compiling import Script, planned, source_of
from aquatint.interface.exits import Refusal
from aquatint.interface.fetching import Fetch, completed
from aquatint.interface.interrupts import Interrupts
from aquatint.interface.progress import Reporter, printable
from aquatint.interface.warning_options import Review
from aquatint.language.evaluate import Evaluation, Interpreter, Standing
from aquatint.language.resolution import Resolver
from aquatint.language.values import Model
from aquatint.language.world import World
from aquatint.plan.steps import Component, Json, Pipeline, Plan, Plugin
from aquatint.plan.validate import validate
from aquatint.runtime.engine import (
    Call,
    Counters,
    DeviceMemory,
    Engine,
    Form,
    Generation,
    Loaded,
    OnStep,
    Rewriting,
    Rewritten,
)
from aquatint.runtime.events import EngineStarting, RunFinished
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.ledger import Ledger
from aquatint.runtime.outputs import OutputPolicy, Outputs
from aquatint.runtime.settled import needs_no_engine, settled
from aquatint.runtime.surroundings import foreseen
from aquatint.source import Source
from aquatint.syntax import nodes as n
from aquatint.syntax.parser import Parse, parse

MakeEngine = Callable[[], Engine]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a text: its mistakes, or its plan, totals and the values of expressions that stood alone."""

    diagnostics: Diagnostics
    plan: Plan | None = None
    finished: RunFinished | None = None
    values: tuple[Any, ...] = ()
    incomplete: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """A text that was carried out without a failure, and how things stood `before` it."""

    source: Source
    script: n.Script
    plan: Plan
    before: Standing
    wrote: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A component in memory, and the seconds since it was loaded."""

    loaded: Loaded
    age: float


@dataclass(slots=True)
class Session:
    """`make_engine` is called before the first plan that needs one, since its libraries take seconds to import.

    `review` has a say in what is made of a whole script before it runs. `fetch` gets from the model hub what a script
    lacks, None where nothing may be fetched. With `keep`, names and models stay from one text to the next, and `done`
    are the texts that were fed so far; `times` are the seconds that planning and running the last one took.
    """

    world: World
    reporter: Reporter
    make_engine: MakeEngine
    options: Options = field(default_factory=Options)
    keep: bool = False
    allow_pickles: bool = False
    review: Review | None = None
    fetch: Fetch | None = None
    done: list[Done] = field(default_factory=list)
    times: tuple[float, float] | None = None
    _interpreter: Interpreter | None = None
    _executor: Executor | None = None
    _interrupts: Interrupts = field(default_factory=Interrupts)

    @property
    def interpreter(self) -> Interpreter:
        if self._interpreter is None:
            self._interpreter = Interpreter(self.world)
        return self._interpreter

    @property
    def names(self) -> list[str]:
        """The names that scripts have bound so far, sorted."""
        return self.interpreter.own_names()

    def feed(self, script: Script) -> Outcome:
        """Plan and run `script`; with `keep`, a text that more text could complete is not run and says so.

        With `keep`, what fails or is interrupted binds nothing. Raises `Refusal`, but no mistake of the script's.
        """
        source = source_of(script)
        parsed = parse(source)
        if parsed.incomplete and self.keep:
            return Outcome(parsed.diagnostics, incomplete=True)
        before = self.interpreter.standing()
        outcome = self.carry_out(parsed)
        finished = outcome.finished
        failed = finished is not None and (finished.failed > 0 or finished.interrupted)
        if self.keep and outcome.plan is not None and not failed:
            wrote = finished is not None and bool(finished.written)
            self.done.append(Done(source, parsed.script, outcome.plan, before, wrote))
        return outcome

    def carry_out(self, parsed: Parse) -> Outcome:
        """Plan and run what was read, whole or not. With `keep`, what fails or is interrupted binds nothing."""
        began = self.options.clock()
        before = self.interpreter.standing()
        unused = [parsed]  # mistakes are added to those that it has: it can be evaluated once
        evaluation = completed(
            lambda: self._evaluated(unused.pop() if unused else parse(parsed.script.source)), self.fetch
        )
        if evaluation.plan is None:
            self.interpreter.return_to(before, ran=False)
            return Outcome(evaluation.diagnostics)
        begun = self.options.clock()
        try:
            finished = self._run(evaluation.plan) if evaluation.plan.steps else None
        except BaseException:
            self.interpreter.return_to(before, ran=True)
            raise
        self.times = begun - began, self.options.clock() - begun
        if not self.keep or (finished is not None and (finished.failed or finished.interrupted)):
            self.interpreter.return_to(before, ran=True)
        return Outcome(evaluation.diagnostics, evaluation.plan, finished, evaluation.values)

    def check(self, script: Script) -> Outcome:
        """Plan `script` as `feed` would, and leave everything as it is. Raises `Refusal`."""
        parsed = parse(source_of(script))
        if parsed.incomplete and self.keep:
            return Outcome(parsed.diagnostics, incomplete=True)
        before = self.interpreter.standing()
        evaluation = self._evaluated(parsed)
        self.interpreter.return_to(before, ran=False)
        return Outcome(evaluation.diagnostics, evaluation.plan)

    def plan(self, script: Script) -> Plan:
        """Return what `run` would do with `script` now, and change nothing. Raises `ScriptError` and `Refusal`."""
        outcome = self.check(script)
        return planned(outcome.plan, outcome.diagnostics)

    def run(self, script: Script) -> RunFinished | None:
        """Carry out `script` and return the totals, None if there was nothing to do but to bind names.

        Raises `ScriptError` and `Refusal` before anything is done. A statement that fails in the run is an event, and
        counted in the totals (`failed`, `interrupted`); such a script binds nothing.
        """
        outcome = self.feed(script)
        planned(outcome.plan, outcome.diagnostics)
        return outcome.finished

    def _evaluated(self, parsed: Parse) -> Evaluation:
        with pickle_files.allowed(self.allow_pickles):
            evaluation = self.interpreter.evaluate(parsed.script, parsed.diagnostics, keep=self.keep, running=True)
        return evaluation if self.review is None else self.review(parsed.script, evaluation)

    def afresh(self, source: Source) -> Evaluation:
        """Return what `source` would come to as a script of its own where this session runs; changes nothing."""
        return self._beside(Interpreter(self.world), parse(source), keep=False)

    def foresee(self, parsed: Parse, share: float) -> Evaluation:
        """Return what `parsed` would come to here, looked at for a `share` of a script's usual steps; changes nothing.

        May be called in another thread.
        """
        interpreter = Interpreter(replace(self.world, limit=share))
        interpreter.return_to(self.interpreter.standing(), ran=False)
        return self._beside(interpreter, parsed, keep=True)

    def _beside(self, interpreter: Interpreter, parsed: Parse, *, keep: bool) -> Evaluation:
        with pickle_files.allowed(self.allow_pickles):
            return interpreter.evaluate(parsed.script, parsed.diagnostics, keep=keep, running=True)

    def change(self, world: World | None = None, *, existing: OutputPolicy | None = None) -> None:
        """Let statements from now on be planned in `world`, and do with outputs that exist as `existing` says."""
        if world is not None:
            memory = world.memory
            self.world = self.interpreter.world = world
            room = None if memory is None else max(0, memory.limit - memory.program)
            self.options = replace(self.options, room=room)
        if existing is not None:
            self.options = replace(self.options, existing=existing)
        if self._executor is not None:
            told = self._executor.options
            self._executor.options = replace(told, room=self.options.room, existing=self.options.existing)

    def stop_at_once(self) -> None:
        """Let the first Ctrl-C from now on end a run where it is, and not when what it is at is finished."""
        self._interrupts.at_once = True

    def stop(self) -> None:
        """Let the run that is going on end when what it is at is finished."""
        self._interrupts.requested = True

    def undo(self) -> Done | None:
        """Take back the names of the last text and return it, None if there is none; its files stay."""
        if not self.done:
            return None
        last = self.done.pop()
        self.interpreter.return_to(last.before, ran=True)
        return last

    def held(self) -> list[Held]:
        """Return the components that are in memory, those first that were not used for longest."""
        if self._executor is None:
            return []
        residents = self._executor.residents
        return [Held(each, residents.age(each.component.key)) for each in residents.components()]

    def resident(self) -> frozenset[str]:
        """Return the keys of the components that are in memory."""
        return frozenset() if self._executor is None else self._executor.residents.keys()

    def release(self, keys: Iterable[str]) -> list[Loaded]:
        """Release the components with these `keys`, and return those that were in memory."""
        if self._executor is None:
            return []
        released = [self._executor.residents.release(key) for key in keys]
        self._executor.engine.reclaim()
        return [each for each in released if each is not None]

    def drop(self, name: str) -> list[Loaded]:
        """Release the components of the model called `name`, and return those that were in memory.

        Raises `Refusal` if there is no such model.
        """
        value = self.interpreter.find(name)
        if not isinstance(value, Model):
            near = nearest(name, [each for each in self.names if isinstance(self.interpreter.find(each), Model)])
            raise Refusal("bad-command-line", f"there is no model `{printable(name)}`",
                          f"did you mean `{near}`?" if near else None)  # fmt: skip
        with pickle_files.allowed(self.allow_pickles):
            resolved = Resolver(self.world, Diagnostics()).resolve(value)
        return self.release([] if resolved is None else filter(None, resolved.pipeline.parts.values()))

    def close(self) -> None:
        """Release the models that are loaded; a script that is run after that loads them again."""
        self.release(self.resident())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def device_memory(self) -> DeviceMemory | None:
        """Return what the device holds, None if that is not known or nothing was loaded yet."""
        return None if self._executor is None else self._executor.engine.device_memory()

    def start(self) -> dict[str, Json]:
        """Make the engine, which takes seconds, and return what it says decides the bits."""
        with self.reporter as sink, pickle_files.allowed(self.allow_pickles):
            sink(EngineStarting(self.world.device))
            self._executor = Executor(self.make_engine(), sink, self.options)
            return self._executor.engine.describe()

    def run_plan(self, plan: Plan) -> RunFinished:
        """Carry out a `plan`, of `compile` or read from JSON, with the models that are loaded, and return the totals.

        Raises `PlanError` for one that can't be a plan of this program, and `Refusal`.
        """
        validate(plan)
        return self._run(plan)

    def _run(self, plan: Plan) -> RunFinished:
        with self.reporter as sink, self._interrupts, pickle_files.allowed(self.allow_pickles):
            if self._executor is not None:
                return self._executor.run(plan)
            options = replace(self.options, stopping=lambda: self._interrupts.requested)
            if (facts := self._facts_without_engine(plan)) is not None:
                return Executor(_NoEngine(facts), sink, options).run(plan)
            sink(EngineStarting(self.world.device))
            self._executor = Executor(self.make_engine(), sink, options)
            return self._executor.run(plan)

    def _facts_without_engine(self, plan: Plan) -> dict[str, Json] | None:
        """Return what the engine would say of itself if nothing is left in `plan` to need one, else None."""
        if needs_no_engine(plan, {}):
            return {}
        journal, around = self.options.journal, self.options.surroundings
        if journal is None or self.keep:  # what is made of these images later will need the engine
            return None
        facts = foreseen(journal, around)
        if facts is None and self.options.existing is OutputPolicy.RESUME:
            return None
        ledger = Ledger(plan, journal, facts or {}, around)
        outputs = Outputs(self.options.output_dir, self.options.existing, ledger)
        return (facts or {}) if needs_no_engine(plan, settled(plan, outputs)) else None


class _NoEngine:
    """Stands in for an engine in plans that load and generate nothing, such as a lone `print`, or nothing any more."""

    def __init__(self, facts: dict[str, Json]) -> None:
        self.facts = facts
        self.counters = Counters()

    def describe(self) -> dict[str, Json]:
        return self.facts

    def load(self, component: Component) -> Loaded:
        raise AssertionError("this plan loads nothing")

    def foresee(self, ahead: Sequence[Component], spare: int | None) -> None:
        assert not ahead, "this plan loads nothing"

    def rewrite(self, upscaler: Plugin, parts: Mapping[str, Loaded], asked: Rewriting) -> Rewritten:
        raise AssertionError("this plan rewrites nothing")

    def assemble(self, pipeline: Pipeline, parts: Mapping[str, Loaded | Component | None]) -> Any:
        raise AssertionError("this plan assembles nothing")

    def begin(self, pipeline: Any, generation: Generation, on_step: OnStep) -> Call:
        raise AssertionError("this plan generates nothing")

    def can_tile(self, pipeline: Any) -> bool:
        raise AssertionError("this plan assembles nothing")

    def measure(self, reference: Image, image: Image, metrics: Sequence[str]) -> dict[str, float]:
        raise AssertionError("this plan compares nothing")

    def save(self, pipeline: Pipeline, parts: Mapping[str, Loaded | None], folder: Path, form: Form) -> None:
        raise AssertionError("this plan saves nothing")

    def release(self, loaded: Loaded) -> None:
        raise AssertionError("this plan releases nothing")

    def evict(self, loaded: Loaded) -> None:
        raise AssertionError("this plan evicts nothing")

    def bring_back(self, loaded: Loaded) -> None:
        raise AssertionError("this plan brings nothing back")

    def reclaim(self) -> None:
        return None

    def device_memory(self, *, afresh: bool = False) -> DeviceMemory | None:
        return None
