"""The `sdnq` backend: the only module that knows sdnq; `libraries` imports it.

sdnq is under GPL-3.0-only and therefore an optional extra. Everything here is reached by name at run time, so that a
program without it runs as well.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from aquatint.catalog.sdnq import SDNQ
from aquatint.plan.steps import Json
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine.devices import has_device
from aquatint.runtime.torch_engine.libraries import Libraries

OWNERS = ("sdnq",)


def require(libraries: Libraries) -> Any:
    """Return the module sdnq; raise `EngineError` with the line that installs it where it is missing."""
    if libraries.sdnq is None:
        raise EngineError(
            "sdnq is not installed",
            f"install it with `{SDNQ.install}`; it is under GPL-3.0-only, which is why it is an extra",
        )
    return libraries.sdnq


def configuration(libraries: Libraries, library: str, options: Mapping[str, Json], device: str) -> Any:
    """Return a new configuration: loading a model writes its skip list and its choices of type into it."""
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    for name in ("quantization_device", "return_device"):
        if name in given and not has_device(libraries.torch, given[name]):
            raise EngineError(f"`{name}`: there is no device `{given[name]}` on this machine", f"leave `{name}` out")
    if device != "cpu":
        # Not run here: quantize on the GPU, one layer at a time, and leave the result there.
        given = {"quantization_device": device, "return_device": device} | given
    return require(libraries).SDNQConfig(**given)


def is_quantized(libraries: Libraries, layer: Any) -> bool:
    """Return whether `layer` is sdnq's."""
    return libraries.sdnq is not None and isinstance(layer, importlib.import_module("sdnq.layers").SDNQLayer)


def loading(libraries: Libraries, library: str, device: str) -> AbstractContextManager[None]:
    """Return the context that a load needs: without it most of the time of reading stored weights goes into shapes."""
    require(libraries)
    return _shapes_once()


def finish(libraries: Libraries, module: Any, device: str) -> None:
    """Do nothing: sdnq's layers are ready as they are loaded."""


@contextmanager
def _shapes_once() -> Iterator[None]:
    """Run the body, in which stored weights are loaded, with sdnq asked once for layers that are alike.

    To learn the shapes that a stored layer has, sdnq quantizes a weight without content: some milliseconds for each of
    hundreds of layers, most of which are copies of each other.
    """
    quantizer: Any = importlib.import_module("sdnq.quantizer")
    original = quantizer.sdnq_quantize_layer_weight
    known: dict[str, Any] = {}

    def quantize(weight: Any, **options: Any) -> Any:
        decisive = {name: value for name, value in options.items() if name != "param_name"}
        if weight.device.type != "meta" or any(hasattr(value, "shape") for value in decisive.values()):
            return original(weight, **options)
        key = repr((weight.shape, weight.stride(), weight.dtype, weight.requires_grad, sorted(decisive.items())))
        if key not in known:
            known[key] = original(weight, **options)
        dequantizer, tensors = known[key]
        # sdnq makes parameters of the tensors, each layer its own.
        return copy.copy(dequantizer), dict(tensors)

    quantizer.sdnq_quantize_layer_weight = quantize
    try:
        yield
    finally:
        quantizer.sdnq_quantize_layer_weight = original
