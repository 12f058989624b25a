"""One engine and one set of tiny checkpoints for all tests of this folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="session")
def on_second_device(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Run a script of this folder that makes the second device, with a folder, and return the JSON that it prints."""
    if shutil.which("c++") is None or shutil.which("ninja") is None:
        pytest.skip("the second device is compiled: it needs a C++ compiler and ninja")
    build = tmp_path_factory.mktemp("second_device")  # compiled once
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        # bitsandbytes compiles its kernels for devices that it doesn't know: one for every shape of weight.
        "TORCHDYNAMO_DISABLE": "1",
    }  # fmt: skip

    def run(name: str, folder: Path, *more: Path) -> Any:
        command = [sys.executable, str(Path(__file__).with_name(name)), str(folder), str(build), *map(str, more)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
