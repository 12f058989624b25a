"""All that a plan depends on beside the script: the one door through which evaluation sees the outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aquatint.catalog.checkpoints import Checkpoint, read_checkpoint
from aquatint.catalog.quantizer_backends import is_installed


@dataclass(frozen=True, slots=True)
class World:
    """`parameters` are the texts of `--set`.

    `checkpoint` reads the index of a pipeline, given its source, the revision, and its folder in the source ("" for the
    source itself), and raises `CheckpointError`. `is_installed` says whether a package can be imported, without doing
    so.
    """

    device: str = "cpu"
    plan_seed: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)
    checkpoint: Callable[[str, str | None, str], Checkpoint] = read_checkpoint
    is_installed: Callable[[str], bool] = is_installed
