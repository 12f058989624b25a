"""The torch engine keeps the contract of engines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aquatint.runtime.engine import Engine
from engine import contract
from support.scenes import Scene, everywhere, scene

SCENES = {"plain": None, "bnb": "bnb", "sdnq": "sdnq;type=uint4"}


@pytest.mark.parametrize("quantizer", SCENES)
@pytest.mark.parametrize("promise", contract.CONTRACT, ids=lambda promise: promise.__name__)
def test_contract(
    engine: Engine, folder: Callable[[str], Path], promise: Callable[[Engine, Scene], None], quantizer: str
) -> None:
    uri = SCENES[quantizer]
    flux = folder("flux")
    promise(engine, scene(flux, everywhere(flux, uri) if uri else None))
