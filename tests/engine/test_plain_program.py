"""Pictures are those of a plain diffusers program, pixel for pixel, and those of a fresh process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aquatint.runtime.engine import Engine
from engine import plain
from support.scenes import everywhere, paint, scene

URIS = {
    "none": None,
    "bnb8": "bnb",
    "nf4": "bnb;bits=4;bits4-quant-type=nf4",
    "sdnq-int8": "sdnq;type=int8;quant-conv=true",
    "sdnq-uint4": "sdnq;type=uint4;quant-conv=true",
}


@pytest.mark.parametrize("kind", plain.KINDS)
@pytest.mark.parametrize("name", ["sd", "flux"])
def test_pixels_are_those_of_plain_diffusers(
    engine: Engine, folder: Callable[[str], Path], name: str, kind: str
) -> None:
    made = folder(name)
    uri = URIS[kind]
    assert paint(engine, scene(made, everywhere(made, uri) if uri else None)) == plain.paint(made, kind)


@pytest.mark.parametrize("name", ["sdxl", "sd3"])
def test_other_architectures_too(engine: Engine, folder: Callable[[str], Path], name: str) -> None:
    made = folder(name)
    assert paint(engine, scene(made)) == plain.paint(made, "none")


@pytest.mark.slow
def test_a_warm_engine_paints_what_a_fresh_process_does(engine: Engine, folder: Callable[[str], Path]) -> None:
    made = folder("sd")
    warm = scene(made, everywhere(made, URIS["sdnq-int8"] or ""))
    paint(engine, scene(made, seed=3))
    paint(engine, warm)
    second = hashlib.sha256(paint(engine, warm)).hexdigest()
    environment = os.environ | {"PYTHONHASHSEED": "17"}
    fresh = subprocess.run(
        [sys.executable, plain.__file__, str(made), "sdnq-int8"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert fresh.stdout.strip() == second
