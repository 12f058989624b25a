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
    with pytest.raises(EngineError, match="stored quantized"):
        engine.load(component(folder("sd"), role, "sdnq", source=str(tmp_path)))
    if role == "text_encoder":
        words = torch.tensor([[0, 5, 6, 1]])
        with torch.no_grad():
            assert torch.equal(first.object(words)[0], second.object(words)[0])


@pytest.mark.parametrize(
    ("role", "uri"),
    [
        # Read back with no error by sdnq 0.2.8, as other weights.
        ("text_encoder", "sdnq;type=uint4;scale-dtype=uint8"),
        ("unet", "sdnq;type=uint4;zero-point-dtype=int8"),
        # An error of diffusers that names two shapes.
        ("unet", "bnb;bits=4;bits4-quant-storage=float32"),
    ],
)
def test_what_the_libraries_cannot_read_back_is_refused(
    engine: Engine, folder: Tiny, tmp_path: Path, role: str, uri: str
) -> None:
    engine.load(component(folder("sd"), role, uri)).object.save_pretrained(tmp_path / role)
    with pytest.raises(EngineError, match="read back"):
        engine.load(component(folder("sd"), role, source=str(tmp_path)))


def test_transformers_reads_any_storage_type_of_bnb(engine: Engine, folder: Tiny, tmp_path: Path) -> None:
    first = engine.load(component(folder("sd"), "text_encoder", "bnb;bits=4;bits4-quant-storage=float32"))
    first.object.save_pretrained(tmp_path / "text_encoder")
    second = engine.load(component(folder("sd"), "text_encoder", source=str(tmp_path)))
    assert second.bytes == first.bytes
