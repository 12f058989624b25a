"""The options that plans are run with, the session that they come to, and the exit code of a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import aquatint
from aquatint.interface.exits import DONE, FAILED, INTERRUPTED
from aquatint.interface.planning_options import named, planning
from aquatint.interface.settings import Existing, OutOfMemory, QuantizeBeside, Running
from aquatint.interface.store_options import add_embeddings_options, add_store_options

if TYPE_CHECKING:
    from aquatint.interface.api import Session
    from aquatint.runtime.events import RunFinished


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
        "--existing", choices=get_args(Existing), default=Running.existing,
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
        "--out-of-memory", choices=get_args(OutOfMemory), default=Running.out_of_memory,
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
        "--quantize-beside", choices=get_args(QuantizeBeside), default=Running.quantize_beside,
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
    """Return the session that `options` ask for; with `keep`, names stay from one text to the next."""
    from aquatint.interface.progress import Mode, reporter

    mode = Mode.QUIET if options.quiet else Mode.JSON if options.json else Mode.AUTO
    shown = reporter(mode, sys.stdout, sys.stderr)
    return aquatint.Session(**named(Running, options) | planning(options), keep=keep, on_event=shown)


def exit_code(finished: RunFinished) -> int:
    """Return the exit code that says how a run ended."""
    if finished.interrupted:
        return INTERRUPTED
    return FAILED if finished.failed else DONE
