"""What a Python program does with scripts, all of it in `aquatint`; the commands and the interactive session, too.

Here is how a session is made of its settings. What it does is in `session`, how scripts become plans in `compiling`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aquatint.diagnostics import Diagnostic
from aquatint.interface import session as sessions
from aquatint.interface.compiling import ScriptError, check, compile, fetch, status
from aquatint.interface.exits import Refusal
from aquatint.interface.fetching import fetcher
from aquatint.interface.planning_options import world
from aquatint.interface.progress import reporter_of
from aquatint.interface.session import Held, Outcome
from aquatint.interface.settings import Running, taking
from aquatint.interface.store_options import embeddings_of, store_of
from aquatint.interface.warning_options import review
from aquatint.language.evaluate import Evaluation
from aquatint.plan import steps
from aquatint.plan.counts import Counts, counts
from aquatint.plan.memory import peak
from aquatint.plan.render import render
from aquatint.plan.steps import Plan, PlanError, plan_from_json, plan_to_json
from aquatint.runtime import events, late_loads
from aquatint.runtime.beside import Beside
from aquatint.runtime.engine import Engine, EngineError
from aquatint.runtime.events import Event, RunFinished
from aquatint.runtime.executor import Options, Resort
from aquatint.runtime.hub import is_offline
from aquatint.runtime.journal import Journal
from aquatint.runtime.ledger import Standing
from aquatint.runtime.memory_probe import usage
from aquatint.runtime.outputs import OutputPolicy
from aquatint.runtime.surroundings import surroundings
from aquatint.runtime.verify import changed

if TYPE_CHECKING:
    from aquatint.language.world import World
    from aquatint.runtime.store import Store

__all__ = [
    "Counts",
    "Diagnostic",
    "Evaluation",
    "Event",
    "Held",
    "Outcome",
    "Plan",
    "PlanError",
    "Refusal",
    "RunFinished",
    "ScriptError",
    "Session",
    "Standing",
    "check",
    "compile",
    "counts",
    "events",
    "fetch",
    "peak",
    "plan_from_json",
    "plan_to_json",
    "render",
    "status",
    "steps",
]


class Session(sessions.Session):
    """Names and loaded models that last from one script to the next, as those of the interactive session do.

    The settings are those of `Running`, as keywords. Leaving the session as a context releases its models. Raises
    `Refusal` for a setting that can't be so.
    """

    @taking(Running)
    def __init__(self, settings: Running) -> None:
        of_plans = world(settings, running=True)
        store, embeddings = store_of(settings), embeddings_of(settings, settings.keep_embeddings)
        super().__init__(
            world=of_plans,
            reporter=reporter_of(settings.on_event),
            make_engine=lambda: _engine(settings, of_plans.device, store, embeddings),
            options=_options(settings, of_plans, keeps_embeddings=embeddings is not None),
            keep=settings.keep,
            allow_pickles=settings.allow_pickles,
            # What lasts is no whole script that could be looked over.
            review=None if settings.keep else review(settings),
        )
        # Asked now, since the engine sets the variable that forbids it.
        if not (settings.offline or is_offline()):
            self.fetch = fetcher(lambda: self.reporter)


def _engine(settings: Running, device: str, store: Store | None, embeddings: Store | None) -> Engine:
    from aquatint.runtime.torch_engine import TorchEngine

    try:
        return TorchEngine(
            device=device, threads=settings.threads, store=store, embeddings=embeddings, tiling=settings.tiling,
            beside=Beside(settings.quantize_beside),
        )  # fmt: skip
    except EngineError as error:
        raise Refusal("no-engine", str(error), error.help) from None
    except ModuleNotFoundError as error:
        help = "install the program with all that it needs: see the README"
        raise Refusal("no-engine", f"the library `{error.name}` is not installed", help) from None


def _options(settings: Running, of_plans: World, *, keeps_embeddings: bool) -> Options:
    folder, memory = Path(settings.output_dir), of_plans.memory
    return Options(
        output_dir=folder, existing=OutputPolicy(settings.existing), fail_fast=settings.fail_fast, verify=changed,
        probe=usage, journal=Journal(folder), out_of_memory=Resort(settings.out_of_memory),
        surroundings=surroundings(of_plans.device, settings.threads, settings.tiling),
        may_be_spared=late_loads.encoders if keeps_embeddings else late_loads.nothing,
        room=None if memory is None else max(0, memory.limit - memory.program),
    )  # fmt: skip
