"""Components that are stored quantized load as they were stored, and are not quantized again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aquatint.runtime.engine import Engine, EngineError
from aquatint.runtime.torch_engine import weights
from support.scenes import component

Tiny = Callable[[str], Path]
URIS = ["bnb", "bnb;bits=4;bits4-quant-type=nf4;double-quant=true", "sdnq;type=uint4"]


@pytest.mark.parametrize("uri", URIS)
@pytest.mark.parametrize("role", ["unet", "text_encoder"])
def test_a_stored_component_is_what_it_was(engine: Engine, folder: Tiny, tmp_path: Path, role: str, uri: str) -> None:
    first = engine.load(component(folder("sd"), role, uri))
    first.object.save_pretrained(tmp_path / role)
    stored = component(folder("sd"), role, source=str(tmp_path))
    before = engine.counters.quantizations
    second = engine.load(stored)
    assert engine.counters.quantizations == before
    assert second.quantized_layers == first.quantized_layers
    held = [[tensor for _, _, tensor in weights.held(torch, each.object)] for each in (first, second)]
    assert len(held[0]) == len(held[1])
    again = component(folder("sd"), role, "sdnq", source=str(tmp_path))
    with pytest.raises(EngineError, match="stored quantized"):
        engine.load(again)
    if role == "text_encoder":
        words = torch.tensor([[0, 5, 6, 1]])
        with torch.no_grad():
            assert torch.equal(first.object(words)[0], second.object(words)[0])
