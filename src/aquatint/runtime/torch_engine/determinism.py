"""Randomness of the libraries, kept from deciding anything by accident.

The global generator of torch is what `use_svd` of sdnq and some schedulers draw from. It is forked and seeded around
each load and each image, and so neither its state before nor the order of the work changes a result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any


def seed_of(text: str) -> int:
    """Return a seed made of `text`, the same on every machine."""
    # 63 bits: torch takes a seed as a signed integer.
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class Stream:
    """Random numbers of torch's global generators that go on where they stopped, whatever was drawn in between.

    They are the CPU's and those of `devices`.
    """

    def __init__(self, torch: Any, seed: int, devices: Sequence[str]) -> None:
        self._torch = torch
        self._devices = [each for each in devices if _kind(each) != "cpu"]
        self._seed = seed
        self._states: tuple[Any, list[Any]] | None = None

    @contextmanager
    def drawn_from(self) -> Iterator[None]:
        """Let the generators be this stream's in the body, and put their states back afterwards."""
        torch, devices = self._torch, self._devices
        with seeded(torch, self._seed, *devices):
            if self._states is not None:
                torch.set_rng_state(self._states[0])
                for device, state in zip(devices, self._states[1], strict=True):
                    torch.get_device_module(device).set_rng_state(state, device)
            try:
                yield
            finally:
                states = [torch.get_device_module(device).get_rng_state(device) for device in devices]
                self._states = torch.get_rng_state(), states


@contextmanager
def seeded(torch: Any, seed: int, *devices: str) -> Iterator[None]:
    """Run the body with torch's global generators seeded by `seed`, and put their states back afterwards.

    They are the CPU's and those of `devices`, which may name the CPU, too. On a GPU this was not run.
    """
    kinds = dict.fromkeys(_kind(device) for device in devices if _kind(device) != "cpu")
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        for kind in kinds:
            own = [device for device in devices if _kind(device) == kind]
            stack.enter_context(torch.random.fork_rng(devices=own, device_type=kind))
        torch.manual_seed(seed)
        yield


def _kind(device: str) -> str:
    return device.partition(":")[0]
