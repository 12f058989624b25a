"""Randomness of the libraries, kept from deciding anything by accident.

The global generator of torch is what `use_svd` of sdnq and some schedulers draw from. It is forked and seeded around
each load and each image, and so neither its state before nor the order of the work changes a result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def seed_of(text: str) -> int:
    """Return a seed made of `text`, the same on every machine."""
    # 63 bits: torch takes a seed as a signed integer.
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class Stream:
    """Random numbers of torch's global generators that go on where they stopped, whatever was drawn in between."""

    def __init__(self, torch: Any, seed: int, device: str) -> None:
        self._torch = torch
        self._device = device
        self._seed = seed
        self._states: tuple[Any, Any] | None = None

    @contextmanager
    def drawn_from(self) -> Iterator[None]:
        """Let the generators be this stream's in the body, and put their states back afterwards."""
        torch, on_cpu = self._torch, self._device.partition(":")[0] == "cpu"
        with seeded(torch, self._seed, self._device):
            if self._states is not None:
                torch.set_rng_state(self._states[0])
                if not on_cpu:  # Not run here: there is no GPU.
                    torch.get_device_module(self._device).set_rng_state(self._states[1], self._device)
            try:
                yield
            finally:
                state = None if on_cpu else torch.get_device_module(self._device).get_rng_state(self._device)
                self._states = torch.get_rng_state(), state


@contextmanager
def seeded(torch: Any, seed: int, device: str) -> Iterator[None]:
    """Run the body with torch's global generators seeded by `seed`, and put their states back afterwards."""
    kind = device.partition(":")[0]
    # Not run here: forking a GPU's generator.
    devices = [] if kind == "cpu" else [device]
    with torch.random.fork_rng(devices=devices, device_type="cuda" if kind == "cpu" else kind):
        torch.manual_seed(seed)
        yield
