"""What can be known, without importing the libraries, of what they will say decides the bits.

Importing them takes seconds, and a run in which everything is done needs none of them. What they say of themselves
follows from what is asked here; so a journal that has both tells it in the same surroundings the next time.
"""

from __future__ import annotations

import os

from aquatint.plan.keys import digest
from aquatint.plan.steps import Json
from aquatint.runtime.journal import Journal
from aquatint.runtime.ledger import WRITTEN_BY, differences
from aquatint.runtime.processor import processor
from aquatint.runtime.torch_engine.libraries import versions

_VARIABLES = (
    "ATEN_CPU_CAPABILITY", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "MKL_NUM_THREADS", "OMP_NUM_THREADS",
    "ZE_AFFINITY_MASK",
)  # fmt: skip
# Environment variables that decide which device computes, by how many threads and with which kernels.


def surroundings(device: str, threads: int | None, tiling: bool = False) -> dict[str, Json]:
    """Return what decides what an engine says of itself that is asked for a device, threads and `tiling`."""
    return {
        "device": device,
        "threads": threads,
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": processor(),
        "versions": versions(),
        **({"tiling": True} if tiling else {}),
    }


def foreseen(journal: Journal, around: dict[str, Json]) -> dict[str, Json] | None:
    """Return what an engine said of itself when it was last made in the surroundings `around`, if `journal` knows."""
    wanted = digest(around)
    found = [entry.facts for (_, other), entry in journal.engines.items() if other == wanted]
    return {name: fact for name, fact in found[-1].items() if name != WRITTEN_BY} if found else None


def expected(journal: Journal, around: dict[str, Json]) -> dict[str, Json]:
    """Return what an engine in the surroundings `around` would say of itself, as far as that can be told.

    Where `journal` doesn't know, it is what the latest one said, with what is known for certain in its place; and what
    may have changed the rest, so that nothing made by that one counts as made by this.
    """
    known = foreseen(journal, around)
    if known is not None or not journal.engines:
        return known or {}
    latest = list(journal.engines.values())[-1]
    certain = {name: around[name] for name in ("device", "versions")}
    changed = differences({**latest.surroundings, **certain}, around)
    facts = {name: fact for name, fact in latest.facts.items() if name != WRITTEN_BY}
    return facts | certain | {f"{name}, perhaps": True for name in changed}
