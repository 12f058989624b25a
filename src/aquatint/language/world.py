"""All that a plan depends on beside the script: the one door through which evaluation sees the outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aquatint.catalog.checkpoints import Checkpoint, read_checkpoint
from aquatint.catalog.quantizer_backends import is_installed

SCRIPT_LIMIT = 16 << 20
"""Bytes of a script: more than that is no script."""


def read_script(name: str) -> bytes:
    """Return what is in the file `name`. Raises `OSError`, and `ValueError` for what can be no script."""
    path = Path(name)
    # A pipe or a device could keep a plan waiting for ever.
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")
    with path.open("rb") as stream:
        body = stream.read(SCRIPT_LIMIT + 1)
    if len(body) > SCRIPT_LIMIT:
        raise ValueError(f"it is larger than {SCRIPT_LIMIT >> 20} MiB: not a script")
    return body


@dataclass(frozen=True, slots=True)
class World:
    """`parameters` are the texts of `--set`.

    `checkpoint` reads the index of a pipeline, given its source, the revision, and its folder in the source ("" for the
    source itself), and raises `CheckpointError`. `is_installed` says whether a package can be imported, without doing
    so. `script` reads a file that a script includes, and raises `OSError` or `ValueError` with the reason.
    """

    device: str = "cpu"
    plan_seed: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)
    checkpoint: Callable[[str, str | None, str], Checkpoint] = read_checkpoint
    is_installed: Callable[[str], bool] = is_installed
    script: Callable[[str], bytes] = read_script
