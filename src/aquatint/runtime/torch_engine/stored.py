"""What a component's folder says about how its weights are stored, and the ways of storing that don't read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aquatint.plan.steps import Component
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine import bitsandbytes_backend, sdnq_backend

AGAIN = "store it again without that option, or take the checkpoint that it was made from with a quantizer"


def stored_method(folder: Path, component: Component, what: str) -> str | None:
    """Return the `quant_method` of weights that are stored quantized, None for others; raise `EngineError`.

    Refused are stored weights that a quantizer is to quantize again, and those that the libraries read back wrong.
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
    if method == sdnq_backend.METHOD:
        # sdnq 0.2.8 drops the option on loading, takes the stored scales for plain ones, and says nothing.
        for option in ("scale_dtype", "zero_point_dtype"):
            if stored.get(option) not in (None, "none"):
                raise EngineError(f"{what} is stored by sdnq with `{option}`, which sdnq can't read back", AGAIN)
    elif method == bitsandbytes_backend.METHOD and component.library == "diffusers":
        kind = str(stored.get("bnb_4bit_quant_storage") or "uint8").removeprefix("torch.")
        if stored.get("load_in_4bit") and kind != "uint8":
            raise EngineError(f"{what} is stored by bitsandbytes as {kind}, which diffusers can't read back", AGAIN)
    return method


def _quantization_config(file: Path) -> Mapping[str, Any] | None:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise EngineError(f"`{file}` is not JSON", "fetch or write that file again") from error
    stored = config.get("quantization_config") if isinstance(config, dict) else None
    return stored if isinstance(stored, dict) else None
