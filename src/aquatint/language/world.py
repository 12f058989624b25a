"""All that a plan depends on beside the script: the one door through which evaluation sees the outside."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aquatint.catalog.checkpoints import Checkpoint, read_checkpoint
from aquatint.catalog.packages import Misfit, misfit
from aquatint.catalog.quantizer_backends import is_installed
from aquatint.language.disk import Disk, Entry
from aquatint.plan.schedule import Order
from aquatint.source import Span


class Files(Protocol):
    """Files and folders by their paths, relative to the working folder. Both methods raise `OSError`."""

    def read(self, path: str, limit: int) -> bytes:
        """Return the first `limit` bytes of a regular file; never wait."""

    def entries(self, folder: str, limit: int) -> list[Entry]:
        """Return up to `limit` entries of a folder, sorted by name if that is all."""


@dataclass(frozen=True, slots=True)
class Given:
    """A parameter's value from a file: where it stands there, and the folder that paths in it are relative to."""

    value: Any
    span: Span
    folder: str


@dataclass(frozen=True, slots=True)
class Hardware:
    """What is known of a device: its maker's name for it, and its memory in bytes."""

    name: str
    memory: int | None


def lacks_none(device: str) -> bool:
    """Return that nothing is known of the computer that a plan is for: it may have `device`."""
    return False


def unknown_hardware(device: str) -> Hardware:
    """Return what is known of a device that nobody has looked at."""
    return Hardware(device, None)


SCRIPT_LIMIT = 16 << 20
"""Bytes of a script: more than that is no script."""


def read_script(name: str) -> bytes:
    """Return what is in the file `name`. Raises `OSError`, and `ValueError` for what can be no script."""
    body = Disk().read(name, SCRIPT_LIMIT + 1)
    if len(body) > SCRIPT_LIMIT:
        raise ValueError(f"it is larger than {SCRIPT_LIMIT >> 20} MiB: not a script")
    return body


@dataclass(frozen=True, slots=True)
class Memory:
    """The bytes that components may take, with what waits between phases and work; measured if nobody has said them.

    Of them the program takes `program` itself, where it computes in the same memory. `host` is what those that don't
    fit may take of the computer's memory, None for any amount.
    """

    limit: int
    is_measured: bool = False
    host: int | None = 0
    program: int = 0


def any_amount(device: str) -> Memory | None:
    """Return that components may take any amount of memory on `device`."""
    return None


@dataclass(frozen=True, slots=True)
class World:
    """`parameters` are the texts of `--set`, and the values of `--params`.

    `checkpoint` reads the index of a pipeline, given its source, the revision, and its folder in the source ("" for the
    source itself), and raises `CheckpointError`. `is_installed` says whether a package can be imported, without doing
    so, and `misfit` why one that is there can't be. `script` reads a file that a script includes, and raises `OSError`
    or `ValueError` with the reason. `files` are those that scripts read, `folder` is what paths on the command line are
    relative to, and `output_folder` what those of outputs are. `hardware` tells of a device, and is asked only by plans
    that depend on it. `limit` says how many times the usual steps and images a script may come to. `order` is the order
    of a plan's steps, and `memory` what its components may take of `device`, `memory_beside` what of another one, None
    for any amount. `lacks_device` says whether the computer that the plan is for is known not to have a device.
    """

    device: str = "cpu"
    plan_seed: int = 0
    parameters: Mapping[str, str | Given] = field(default_factory=dict)
    checkpoint: Callable[[str, str | None, str], Checkpoint] = read_checkpoint
    is_installed: Callable[[str], bool] = is_installed
    misfit: Callable[[str], Misfit | None] = misfit
    script: Callable[[str], bytes] = read_script
    files: Files = field(default_factory=Disk)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    folder: str = ""
    output_folder: str = ""
    hardware: Callable[[str], Hardware] = unknown_hardware
    limit: float = 1
    order: Order = "least"
    memory: Memory | None = None
    memory_beside: Callable[[str], Memory | None] = any_amount
    lacks_device: Callable[[str], bool] = lacks_none
