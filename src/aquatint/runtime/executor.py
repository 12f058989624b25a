"""Carries a plan out, step by step, and tells what happens as events.

A step that fails takes down what depends on it and nothing else. How each kind of step is carried out is in `steps`,
what a run has and has come to in `run` and `account`; the libraries are behind the engine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import assert_never

from aquatint.plan.fingerprints import Planned
from aquatint.plan.steps import (
    Compare,
    Evict,
    Generate,
    Grid,
    Load,
    Phase,
    Plan,
    Print,
    Release,
    Return,
    Save,
    Step,
    Upscale,
)
from aquatint.runtime.account import SinkFailed, Stop
from aquatint.runtime.engine import Counters, Engine
from aquatint.runtime.events import Event, Printed, RunFinished
from aquatint.runtime.ladder import Ladder
from aquatint.runtime.memory_probe import Meter
from aquatint.runtime.options import Options, Resort
from aquatint.runtime.outputs import OutputPolicy
from aquatint.runtime.residents import Residents
from aquatint.runtime.run import Run
from aquatint.runtime.steps.compares import compare
from aquatint.runtime.steps.generates import Generates
from aquatint.runtime.steps.grids import grid
from aquatint.runtime.steps.loads import Loads
from aquatint.runtime.steps.saves import save
from aquatint.runtime.steps.upscales import upscale
from aquatint.runtime.work import ahead
from aquatint.runtime.yielded import Yielded

__all__ = ["Executor", "Options", "Resort"]

Sink = Callable[[Event], None]


class Executor:
    """Runs plans with one engine; with the same `residents`, later plans find the components of earlier ones."""

    def __init__(
        self, engine: Engine, sink: Sink, options: Options | None = None, residents: Residents | None = None
    ) -> None:
        self.engine = engine
        self.sink = sink
        self.options = options or Options()
        self.residents = residents or Residents(engine, self.options.clock)
        self.yielded = Yielded()
        self.meter = None if self.options.probe is None else Meter(self.options.probe)

    def run(self, plan: Plan) -> RunFinished:
        """Carry out `plan` and return the totals, which were also the last event.

        Faults of steps are events, not exceptions; an interrupt from the keyboard ends the run and is in the totals.
        What the sink raises ends the run too and comes out of here.
        """
        run = Run(plan, self.engine, self.sink, self.options, self.residents, self.yielded, self.meter)
        try:
            return _Course(run).run_to_the_end()
        except SinkFailed as failed:
            raise failed.error from None
        finally:
            run.watch.end()


class _Course:
    """The course of one run, from its first event to its last."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.ladder = Ladder(run)
        self.loads = Loads(run, self.ladder)
        self.generates = Generates(run, self.loads, self.ladder)

    def run_to_the_end(self) -> RunFinished:
        run = self.run
        started = run.options.clock()
        before = dataclasses.replace(run.engine.counters)
        interrupted = False
        try:
            self._announce()
            self._take_stock()
            run.refuse()
            self.loads.make_room()
            run.residents.next_statement()
            for number, step in enumerate(run.plan.steps):
                if not self.generates.is_made(step):
                    run.pause()
                if isinstance(step, Phase | Generate):
                    self.loads.foresee(number)
                self._carry_out(step)
                run.yielded.drop_after(number)
        except Stop:
            pass
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self.generates.calls.close()
            self.loads.foresee_nothing()
        self.loads.late.spare_all()
        finished = run.watch.completed(self._totals(before, interrupted, run.options.clock() - started))
        run.account.emit(finished)
        return finished

    def _announce(self) -> None:
        run, resident = self.run, self.run.residents.keys()
        skipped = [id for id, outcome in run.settled.items() if isinstance(outcome, str)]
        work = ahead(run.plan, resident, skipped, lambda path: run.outputs.settled(path) is not None)
        run.account.telling(lambda: run.watch.begin(work, resident))

    def _take_stock(self) -> None:
        """Clear away what killed runs left, and say why what an earlier run made is made again."""
        run = self.run
        if run.options.journal is None:
            return
        run.outputs.sweep(run.ledger.planned)
        number, names = run.ledger.of_other_engines()
        if number and run.options.existing is OutputPolicy.RESUME:
            which = "1 output is" if number == 1 else f"{number} outputs are"
            run.complain(f"{which} made again, for another {', '.join(names)}; `--existing skip` keeps what is there")

    def _carry_out(self, step: Step) -> None:
        run = self.run
        match step:
            case Load():
                self.loads.load(step)
            case Phase():
                self.generates.phase(step)
                run.residents.next_statement()
            case Generate():
                self.generates.generate(step)
                run.residents.next_statement()
                self.loads.release_unforeseen()
            case Upscale():
                upscale(run, self.loads, self.ladder, step)
                run.residents.next_statement()
            case Compare():
                compare(run, step)
            case Grid():
                grid(run, step)
            case Save():
                save(run, self.loads, step)
                run.residents.next_statement()
            case Print():
                if not run.lacks_a_value(step):
                    run.account.emit(Printed(step.id, run.yielded.line(step.text)))
            case Release():
                self.loads.release(step)
            case Evict():
                self.loads.evict(step)
            case Return():
                self.loads.bring_back(step)
            case _:
                assert_never(step)

    def _totals(self, before: Counters, interrupted: bool, seconds: float) -> RunFinished:
        run, after = self.run, self.run.engine.counters
        return RunFinished(
            images=run.account.images,
            loads=after.loads - before.loads,
            quantizations=after.quantizations - before.quantizations,
            reuses=run.account.reuses,
            releases=after.releases - before.releases,
            failed=run.account.failed,
            skipped=run.account.skipped,
            written=run.account.written,
            interrupted=interrupted,
            seconds=seconds,
            engine=run.facts,
            saved=run.account.saved,
            restored=after.restored - before.restored,
            beside=after.beside - before.beside,
            done=sum(map(self._is_made, run.ledger.planned.values())),
            outputs=len(run.ledger.planned),
        )

    def _is_made(self, planned: Planned) -> bool:
        return planned.path in self.run.ledger.written or self.run.outputs.settled(planned.path) is not None
