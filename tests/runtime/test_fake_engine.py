"""The engine that stands in for the real one here keeps the same contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aquatint.runtime.engine import Engine, Generation
from engine import contract
from support.fake_engine import FakeEngine
from support.plans import component, pipeline
from support.scenes import Scene

SCENE = Scene(
    pipeline("p", {"unet": "u", "vae": "v", "safety_checker": None}),
    {"unet": component("u", quantized=True), "vae": component("v", "vae"), "safety_checker": None},
    Generation({"prompt": "a red cat", "num_inference_steps": 2}, [7]),
)


@pytest.mark.parametrize("promise", contract.CONTRACT, ids=lambda promise: promise.__name__)
def test_contract(promise: Callable[[Engine, Scene], None]) -> None:
    promise(FakeEngine(), SCENE)
