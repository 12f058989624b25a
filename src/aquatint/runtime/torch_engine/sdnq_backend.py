"""The `sdnq` backend: the only module that knows sdnq; `libraries` imports it.

sdnq is under GPL-3.0-only and therefore an optional extra. Everything here is reached by name at run time, so that a
program without it runs as well, and says how to install it when a quantizer asks for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from aquatint.plan.steps import Json
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine.libraries import Libraries

METHOD = "sdnq"  # what a stored model's `quant_method` says
INSTALL = 'pip install "aquatint[sdnq]"'


def require(libraries: Libraries) -> Any:
    """Return the module sdnq; raise `EngineError` with the line that installs it where it is missing."""
    if libraries.sdnq is None:
        raise EngineError(
            "sdnq is not installed",
            f"install it with `{INSTALL}`; it is under GPL-3.0-only, which is why it is an extra",
        )
    return libraries.sdnq


def configuration(libraries: Libraries, options: Mapping[str, Json], device: str) -> Any:
    """Return a new configuration: loading a model writes its skip list and its choices of type into it."""
    given = {name: value for name, value in options.items() if value is not None}
    if device != "cpu":
        # Not run here: quantize on the GPU, one layer at a time, and leave the result there.
        given |= {"quantization_device": device, "return_device": device}
    return require(libraries).SDNQConfig(**given)


def layer_classes(libraries: Libraries) -> tuple[type, ...]:
    """Return the class that all layers of sdnq derive from."""
    return () if libraries.sdnq is None else (importlib.import_module("sdnq.layers").SDNQLayer,)
