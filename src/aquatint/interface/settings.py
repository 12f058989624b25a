"""What a Python program says of how scripts are planned and run, which is what the command line's options say.

A setting is a field here, and nowhere else: an option of the command line goes by the name of its field, and what is in
`aquatint` takes the fields of a class here as keywords. What a setting comes to is decided where it is used. Imports
nothing heavy.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar, get_args

from aquatint.interface.exits import Refusal

if TYPE_CHECKING:
    from aquatint.language.world import Given
    from aquatint.runtime.events import Event

Order = Literal["least", "script"]
Existing = Literal["resume", "redo", "number", "overwrite", "skip", "error"]
OutOfMemory = Literal["fail", "exact", "any"]
QuantizeBeside = Literal["auto", "always", "never"]

LIMITS = range(1, 1001)
"""What `limit` may be."""
THREADS = range(1, 1025)
"""What `threads` may be."""


@dataclass(frozen=True, kw_only=True)
class Planning:
    """What a plan depends on beside its script.

    `parameters` are the script's own, by name: a text is read as `--set` reads it. `device` is what the machine has
    unless it is given. `memory` is what models may take at a time, a size such as `"8GiB"` or `"-2GiB"`, or several as
    in `["cuda:1=20GiB", "cpu=16GiB"]`; any amount for a plan and what is free for a run, unless it is given. With
    `lint` a whole script is looked over for what it says to no effect; `deny` and `allow` are codes of warnings that
    are errors, or left out. Relative outputs are below `output_dir`. Raises `Refusal` for what can't be so.
    """

    parameters: Mapping[str, str | int | float | bool | Given] | None = None
    device: str | None = None
    device_memory: str | None = None
    plan_seed: int = 0
    memory: str | Sequence[str] | None = None
    host_memory: str | None = None
    order: Order = "least"
    allow_pickles: bool = False
    limit: int = 1
    lint: bool = True
    deny: Sequence[str] = ()
    allow: Sequence[str] = ()
    output_dir: str | PathLike[str] = Path()

    def __post_init__(self) -> None:
        _check("order", self.order, get_args(Order))
        if self.limit not in LIMITS:
            raise Refusal("bad-command-line",
                          f"`--limit {self.limit}` must be from {LIMITS[0]} to {LIMITS[-1]}")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Fetching(Planning):
    """What getting something from the model hub depends on: `on_event` is told how far it is."""

    on_event: Callable[[Event], object] | None = None


@dataclass(frozen=True, kw_only=True)
class Running(Fetching):
    """What a session depends on: how its plans are made, and how they are run.

    `on_event` gets each event as it happens; what it raises ends the run. With `keep`, names last from one script to
    the next, and no script is looked over as a whole. `existing` is what is done where an output exists. What lies in
    the store is taken from there, and what is quantized is kept there, unless there is `no_store`. Raises `Refusal` for
    what can't be so.
    """

    keep: bool = True
    existing: Existing = "resume"
    threads: int | None = None
    offline: bool = False
    fail_fast: bool = False
    out_of_memory: OutOfMemory = "exact"
    tiling: bool = False
    store: str | PathLike[str] | None = None
    store_budget: str | None = None
    no_store: bool = False
    quantize_beside: QuantizeBeside = "auto"
    keep_embeddings: bool | None = None
    embeddings_budget: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check("existing", self.existing, get_args(Existing))
        _check("out_of_memory", self.out_of_memory, get_args(OutOfMemory))
        _check("quantize_beside", self.quantize_beside, get_args(QuantizeBeside))
        if self.threads is not None and self.threads not in THREADS:
            raise Refusal("bad-command-line",
                          f"`--threads {self.threads}` must be from {THREADS[0]} to {THREADS[-1]}")  # fmt: skip


def _check(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise Refusal("bad-command-line", f"`{name}` can't be `{value}`", f"it is one of {', '.join(choices)}")


Of = TypeVar("Of")
Settings = TypeVar("Settings")
Result = TypeVar("Result")
Keywords = ParamSpec("Keywords")


def taking(
    settings: Callable[Keywords, Settings],
) -> Callable[[Callable[[Of, Settings], Result]], Callable[Concatenate[Of, Keywords], Result]]:
    """Let a function of something and of `settings` take the fields of these as keywords."""

    def decorated(do: Callable[[Of, Settings], Result]) -> Callable[Concatenate[Of, Keywords], Result]:
        @functools.wraps(do)
        def called(of: Of, /, *none: Keywords.args, **given: Keywords.kwargs) -> Result:
            return do(of, settings(*none, **given))

        # What `help` shows.
        first, _ = inspect.signature(do).parameters.values()
        fields = inspect.signature(settings)
        shown: Any = called
        shown.__signature__ = fields.replace(
            parameters=[first.replace(kind=inspect.Parameter.POSITIONAL_ONLY), *fields.parameters.values()],
            return_annotation=inspect.signature(do).return_annotation,
        )
        return called

    return decorated
