"""Whether a component's files hold weights that are quantized already, and by what; looked at again before a load.

What their configuration says is read in `catalog.stored`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aquatint.catalog import stored as catalog
from aquatint.plan.steps import Component
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine import backend
from aquatint.runtime.torch_engine.backend import EngineBackend


def stored_by(folder: Path, component: Component, what: str) -> EngineBackend | None:
    """Return the backend of weights that are stored quantized, None for others and where no backend of ours did it.

    Raise `EngineError` for stored weights that a quantizer is to quantize again, for those that the libraries read back
    wrong, and where the library that stored them is missing: transformers would load such a component as if its weights
    were plain, and say nothing.
    """
    stored = catalog.read(_config(folder / component.subfolder / "config.json"))
    if stored is None:
        return None
    if component.quantization is not None:
        raise EngineError(
            f"{what} is stored quantized by {stored.method}; `{component.quantization.name}` can't quantize it again",
            "leave its quantizer out, or take the checkpoint that it was made from",
        )
    if lost := catalog.unreadable(stored.backend, stored.options, component.library):
        raise EngineError(
            f"{what} is stored by {stored.backend} with `{lost[0]}`, which can't be read back",
            "store it again without that option, or take the checkpoint that it was made from with a quantizer",
        )
    return None if stored.backend is None else backend.of(stored.backend)


def _config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise EngineError(f"`{file}` is not JSON", "fetch or write that file again") from error
    return config if isinstance(config, dict) else {}
