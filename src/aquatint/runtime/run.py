"""One run of one plan: what the steps that are carried out share."""

from __future__ import annotations

from collections.abc import Callable

from aquatint.plan.steps import Plan, Step
from aquatint.runtime.account import Account
from aquatint.runtime.engine import Engine, EngineError
from aquatint.runtime.events import Event
from aquatint.runtime.ledger import Ledger
from aquatint.runtime.memory_probe import Meter
from aquatint.runtime.options import Options
from aquatint.runtime.outputs import Outputs
from aquatint.runtime.residents import Residents
from aquatint.runtime.settled import settled, without_idle_loads
from aquatint.runtime.watch import Watch
from aquatint.runtime.yielded import Yielded


class Run:
    """A run of `plan`, without the loads that nothing needs any more; `facts` are what the engine says of itself."""

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        sink: Callable[[Event], None],
        options: Options,
        residents: Residents,
        yielded: Yielded,
        meter: Meter | None,
    ) -> None:
        self.engine = engine
        self.options = options
        self.residents = residents
        self.yielded = yielded
        self.facts = engine.describe()
        self.ledger = Ledger(plan, options.journal, self.facts, options.surroundings, yielded.known, self.complain)
        self.outputs = Outputs(options.output_dir, options.existing, self.ledger)
        self.settled = settled(plan, self.outputs)
        self.plan = without_idle_loads(plan, self.settled)
        self.watch = Watch(self.plan, sink, options.clock, engine, meter)
        self.account = Account(self.watch, options.fail_fast)
        yielded.begin(self.plan)

    def pause(self) -> None:
        """Raise `KeyboardInterrupt` if the run is to end here."""
        if self.options.stopping():
            raise KeyboardInterrupt

    def complain(self, message: str) -> None:
        """Warn of something that is no step's."""
        self.account.warn("", message)

    def refuse(self) -> None:
        """Fail the steps of which it is known that they can't write what they are to write."""
        for step in self.plan.steps:
            if isinstance(error := self.settled.get(step.id), EngineError):
                self.account.fail(step, error, "looking for its files", [])

    def is_settled(self, step: Step) -> bool:
        """Return whether what is on the disk decides a step; skip it unless `refuse` has failed it."""
        outcome = self.settled.get(step.id)
        if isinstance(outcome, str):
            self.account.skip(step, outcome)
        return outcome is not None

    def lacks_a_value(self, step: Step) -> bool:
        """Skip a step that needs what an earlier one did not yield, and return whether it was."""
        reason = self.yielded.lacking(step)
        if reason is not None:
            self.account.skip(step, reason)
        return reason is not None
