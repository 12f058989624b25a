"""What is known of a component before its weights are read: its configuration, and its module without weights."""

from __future__ import annotations

import inspect
from typing import Any

from aquatint.catalog import checkpoints
from aquatint.plan.steps import Component
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine.faults import engine_error
from aquatint.runtime.torch_engine.libraries import Libraries


def configuration(component: Component, found: Any) -> Any:
    """Return the `config` that a module of the class `found` will have; raise `EngineError`."""
    folder, inside = _folder(component), {"subfolder": component.subfolder} if component.subfolder else {}
    with engine_error(f"can't read the configuration of `{component.role}`"):
        if hasattr(found, "config_class") and found.config_class is not None:
            return found.config_class.from_pretrained(folder, local_files_only=True, **inside)
        from diffusers.configuration_utils import FrozenDict

        given = found.load_config(folder, local_files_only=True, **inside)
        known = inspect.signature(found.__init__).parameters
        filled = {name: parameter.default for name, parameter in known.items() if name not in ("self", "kwargs")}
        return FrozenDict({**filled, **given})


def skeleton(libraries: Libraries, component: Component, found: Any) -> Any:
    """Return a module of the class `found` without weights, on torch's meta device; raise `EngineError`."""
    from accelerate import init_empty_weights

    config = configuration(component, found)
    with engine_error(f"can't build `{component.role}`"), init_empty_weights(include_buffers=False):
        if issubclass(found, libraries.transformers.PreTrainedModel):
            module = found(config)
        else:
            module = found.from_config(dict(config))
        return module.to(getattr(libraries.torch, component.dtype)) if component.dtype is not None else module


def _folder(component: Component) -> Any:
    try:
        return checkpoints.locate(component.source, component.revision)
    except checkpoints.CheckpointError as error:
        raise EngineError(error.message, error.help) from error
