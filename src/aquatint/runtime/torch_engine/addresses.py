"""What addresses in a store are made of: all that decides a component's bits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import aquatint
from aquatint.catalog import checkpoints, quantizers
from aquatint.plan.keys import digest
from aquatint.plan.steps import Component, Json
from aquatint.runtime.store import About, contents, manifest

SWITCHES = ("SDNQ_", "BNB_")
"""How the environment variables begin that change what the backends compute."""


def prefix(component: Component, facts: Mapping[str, Json]) -> str:
    """Return a hash of all that decides a component's bits beside the content of its files.

    `facts` is what the engine says of itself. The key decides too: the libraries' random numbers are seeded by it. The
    rest is named again because a plan may be written by hand, with keys of its own.
    """
    quantization = component.quantization
    return digest([
        "store", manifest.FORMAT, aquatint.__version__, component.key, component.library, component.class_name,
        component.source, component.revision, component.subfolder, component.variant, component.dtype,
        *([] if component.single_file is None else [{"file": component.single_file}]),
        component.device, *([None, None] if quantization is None else [quantization.backend, quantization.options]),
        facts, {name: value for name, value in os.environ.items() if name.startswith(SWITCHES)},
    ])  # fmt: skip


def files(component: Component) -> tuple[Path, dict[Path, contents.Stamp]]:
    """Return the folder of the component's checkpoint, and its files with the stamps that they have now.

    Raise `CheckpointError`, and `OSError` for files that can't be looked at.
    """
    root = checkpoints.locate(component.source, component.revision)
    return root, contents.stamps(
        checkpoints.component_files(
            root, component.subfolder, component.variant, has_weights=True, single=component.single_file
        )
    )


def about(component: Component, facts: Mapping[str, Json], size: int, state: str = "") -> About:
    """Return what an entry of `component`, or made by it, says: `size` bytes and the fingerprint `state`."""
    quantization = component.quantization
    assert component.dtype is not None
    return About(
        role=component.role, library=component.library, class_name=component.class_name, source=component.origin,
        subfolder=component.subfolder, dtype=component.dtype,
        quantizer="none" if quantization is None else quantizers.format_uri(quantization.backend, quantization.options),
        bytes=size, engine={**facts, "aquatint": aquatint.__version__}, state=state,
    )  # fmt: skip
