"""One engine and one set of tiny checkpoints for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from aquatint.runtime.torch_engine import TorchEngine
from aquatint.runtime.torch_engine.libraries import ENVIRONMENT
from support import tiny

# The tests look into sdnq, too, and may be the first to import it.
os.environ.update(ENVIRONMENT)


@pytest.fixture(scope="session")
def engine() -> TorchEngine:
    """The engine; nothing in it is patched."""
    return TorchEngine(threads=1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a tiny pipeline by its name, built on first use."""
    root = tmp_path_factory.mktemp("tiny")
    return cache(lambda name: tiny.build(name, root / name))
