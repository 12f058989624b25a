"""The options that plans are run with, the session that they come to, and the exit code of a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aquatint.interface.exits import DONE, FAILED, INTERRUPTED, Refusal
from aquatint.interface.planning_options import world
from aquatint.interface.store_options import add_embeddings_options, add_store_options, embeddings_of, store_of
from aquatint.interface.warning_options import review

if TYPE_CHECKING:
    from aquatint.interface.session import Session
    from aquatint.language.world import World
    from aquatint.runtime.engine import Engine
    from aquatint.runtime.events import RunFinished
    from aquatint.runtime.executor import Options


def add_offline_option(command: argparse.ArgumentParser) -> None:
    """Declare whether the model hub may be asked."""
    command.add_argument(
        "--offline", action="store_true",
        help="fetch nothing from the model hub or the web: what isn't there is an error, as with HF_HUB_OFFLINE=1",
    )  # fmt: skip


def add_running_options(command: argparse.ArgumentParser) -> None:
    """Declare where outputs go, with how many threads, what may be fetched, and what is shown meanwhile."""
    add_offline_option(command)
    command.add_argument(
        "--output-dir", type=Path, default=Path(), metavar="DIR",
        help="the folder that relative outputs are written below (the current one)",
    )  # fmt: skip
    command.add_argument(
        "--existing", choices=("resume", "redo", "number", "overwrite", "skip", "error"), default="resume",
        help="where an output exists: leave what is done, replace what an earlier version of the script made, and "
        "write beside everything else as NAME-2 (resume, the default); the same, but make everything again (redo); "
        "always write beside it, replace it, skip it, or fail",
    )  # fmt: skip
    command.add_argument(
        "--resume", dest="existing", action="store_const", const="resume", default=argparse.SUPPRESS,
        help="go on where an earlier run ended: the same as --existing resume",
    )  # fmt: skip
    command.add_argument(
        "--force", dest="existing", action="store_const", const="redo", default=argparse.SUPPRESS,
        help="make again what is done: the same as --existing redo",
    )  # fmt: skip
    command.add_argument(
        "--threads", type=int, metavar="N", help="CPU threads; results are the same bits for the same number only"
    )
    command.add_argument(
        "--out-of-memory", choices=("fail", "exact", "any"), default="exact",
        help="what may be done where memory doesn't suffice: nothing (fail), what changes no pixel (exact, the "
        "default), or anything, such as decoding pictures in tiles (any)",
    )  # fmt: skip
    command.add_argument(
        "--tiling", action="store_true",
        help="decode all pictures in tiles, where their models can do that, which takes less memory and changes pixels",
    )  # fmt: skip
    kept = command.add_argument_group("the store of quantized components")
    add_store_options(kept)
    kept.add_argument("--no-store", action="store_true", help="neither take quantized components from it nor keep any")
    kept.add_argument(
        "--quantize-beside", choices=("auto", "always", "never"), default="auto",
        help="whether a second process fills it while pictures are made, with the components that are loaded next: "
        "where processors and memory are to spare and there is enough to quantize (auto, the default), always or never",
    )  # fmt: skip
    encoded = command.add_argument_group("what text encoders make of prompts")
    encoded.add_argument(
        "--keep-embeddings", action=argparse.BooleanOptionalAction,
        help="keep it beside the store, and load no text encoder for what is there; unless set, as "
        "$AQUATINT_EMBEDDINGS says: `on`, `off` (the default) or a folder",
    )  # fmt: skip
    add_embeddings_options(encoded)
    shown = command.add_mutually_exclusive_group()
    shown.add_argument("--quiet", action="store_true", help="write nothing but failures")
    shown.add_argument("--json", action="store_true", help="write progress as JSON, one event a line")


def session(options: argparse.Namespace, keep: bool = False) -> Session:
    """Return the session that `options` ask for; with `keep`, names stay from one text to the next.

    Then none is a whole script that could be looked over.
    """
    from aquatint.interface.fetching import fetcher
    from aquatint.interface.progress import Mode, reporter
    from aquatint.interface.session import Session
    from aquatint.runtime.hub import is_offline

    if options.threads is not None and not 1 <= options.threads <= 1024:
        raise Refusal("bad-command-line", f"`--threads {options.threads}` must be from 1 to 1024")
    of_plans = world(options, running=True)
    store, embeddings = store_of(options), embeddings_of(options, options.keep_embeddings)
    mode = Mode.QUIET if options.quiet else Mode.JSON if options.json else Mode.AUTO
    # Now, since the engine sets the variable that forbids it.
    may_fetch = not (options.offline or is_offline())

    def make_engine() -> Engine:
        from aquatint.runtime.beside import Beside
        from aquatint.runtime.engine import EngineError
        from aquatint.runtime.torch_engine import TorchEngine

        try:
            return TorchEngine(
                device=of_plans.device, threads=options.threads, store=store, embeddings=embeddings,
                tiling=options.tiling, beside=Beside(options.quantize_beside),
            )  # fmt: skip
        except EngineError as error:
            raise Refusal("no-engine", str(error), error.help) from None
        except ModuleNotFoundError as error:
            help = "install the program with all that it needs: see the README"
            raise Refusal("no-engine", f"the library `{error.name}` is not installed", help) from None

    looked_over = None if keep else review(options)
    made = Session(of_plans, reporter(mode, sys.stdout, sys.stderr), make_engine,
                   _run_options(options, of_plans, embeddings is not None), keep, looked_over)  # fmt: skip
    if may_fetch:
        made.fetch = fetcher(lambda: made.reporter)
    return made


def exit_code(finished: RunFinished) -> int:
    """Return the exit code that says how a run ended."""
    if finished.interrupted:
        return INTERRUPTED
    return FAILED if finished.failed else DONE


def _run_options(options: argparse.Namespace, of_plans: World, embeddings: bool) -> Options:
    from aquatint.runtime import late_loads
    from aquatint.runtime.executor import Options
    from aquatint.runtime.journal import Journal
    from aquatint.runtime.memory_probe import usage
    from aquatint.runtime.options import Resort
    from aquatint.runtime.outputs import OutputPolicy
    from aquatint.runtime.surroundings import surroundings
    from aquatint.runtime.verify import changed

    memory = of_plans.memory
    return Options(
        output_dir=options.output_dir, existing=OutputPolicy(options.existing),
        fail_fast=getattr(options, "fail_fast", False), verify=changed, probe=usage,
        journal=Journal(options.output_dir), out_of_memory=Resort(options.out_of_memory),
        surroundings=surroundings(of_plans.device, options.threads, options.tiling),
        may_be_spared=late_loads.encoders if embeddings else late_loads.nothing,
        room=None if memory is None else max(0, memory.limit - memory.program),
    )  # fmt: skip
