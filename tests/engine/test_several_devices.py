"""Models whose parts are on different devices: on the CPU, and on a second one that `second_device` makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aquatint.plan.steps import Component
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine import TorchEngine
from support.scenes import component


@pytest.mark.slow
def test_parts_on_two_devices(
    folder: Callable[[str], Path], on_second_device: Callable[..., Any], tmp_path: Path
) -> None:
    found = on_second_device("several_devices.py", folder("sd"), tmp_path)
    assert [each["failures"] for each in found.values()] == [[]] * len(found)

    # As by programs that move tensors from device to device themselves; the second picture is one of the first, of
    # which the VAE makes a distribution, and what is drawn from that goes to the denoiser.
    placed = {name: each for name, each in found.items() if "plain" in each}
    assert len(placed) == 7
    for name, each in placed.items():
        assert list(each["pictures"].values()) == each["plain"], name

    # What there is no room for on one device goes and comes again, and the others' parts stay.
    pictures = found["in turns, with room"]["pictures"]
    assert len(set(pictures.values())) == 2
    assert found["in turns"]["pictures"] == found["in turns, planned for the CPU"]["pictures"] == pictures
    # Of the computer's memory the second plan has as much as it wants for that, the first nothing.
    assert [found[name]["evicted"] for name in ("in turns", "in turns, planned for the CPU")] == [0, 1]

    # What is on the CPU takes nothing of the device.
    assert found["all on the CPU"]["most"] == 0
    for name, each in found.items():
        # Of a LoRA the plan has all on one device.
        least = each["weights"] * (0.95 if "LoRA" in name else 1)
        assert least <= each["most"] <= each["weights"] * 1.1, name


def test_a_device_that_is_not_there(folder: Callable[[str], Path]) -> None:
    engine = TorchEngine(threads=1)
    elsewhere: Component = component(folder("sd"), "vae", device="cuda:7")
    with pytest.raises(EngineError, match="there is no device `cuda:7` on this machine"):
        engine.load(elsewhere)
    assert engine.counters.loads == 0
