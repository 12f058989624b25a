"""What a component's folder says about how its weights are stored, and the ways of storing that don't read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aquatint.catalog.quantizer_backends import backend, is_installed
from aquatint.plan.steps import Component
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine.backend import EngineBackend, by_method, missing


def stored_by(folder: Path, component: Component, what: str) -> EngineBackend | None:
    """Return the backend of weights that are stored quantized, None for others and where no backend of ours did it.

    Raise `EngineError` for stored weights that a quantizer is to quantize again, for those that the libraries read back
    wrong, and where the library that stored them is missing.
    """
    stored = _quantization_config(folder / component.subfolder / "config.json")
    if stored is None:
        return None
    method = str(stored.get("quant_method"))
    if component.quantization is not None:
        raise EngineError(
            f"{what} is stored quantized by {method}; `{component.quantization.name}` can't quantize it again",
            "leave its quantizer out, or take the checkpoint that it was made from",
        )
    found = by_method(method)
    if found is not None:
        found.refuse_stored(stored, component.library, what)
    elif (known := backend(method)) is not None and not is_installed(known.package):
        # Without it transformers would load such a component as if its weights were plain, and say nothing.
        raise missing(known)
    return found


def _quantization_config(file: Path) -> Mapping[str, Any] | None:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise EngineError(f"`{file}` is not JSON", "fetch or write that file again") from error
    stored = config.get("quantization_config") if isinstance(config, dict) else None
    return stored if isinstance(stored, dict) else None
