"""Both ways of making pictures in a process that has torchvision, which `support.torchvision_beside` starts."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from aquatint.runtime.torch_engine import TorchEngine
from aquatint.runtime.torch_engine.libraries import ENVIRONMENT
from engine.parity import CASES, pairs
from support import tiny


class There:
    """What `test_parity.Both` does, asked for by what goes from one process to another."""

    def __init__(self, work: Path, everything: bool) -> None:
        os.environ.update(ENVIRONMENT)
        from engine.test_parity import Both

        folder = cache(lambda name: tiny.build(name, work / "tiny" / name))
        self._both = Both(TorchEngine(threads=1), folder, work, pairs(everything))

    def scripted(self, checkpoint: str, kind: str) -> dict[str, bytes | str]:
        """Return what a checkpoint's statements come to, by class."""
        return dict(self._both.scripted(checkpoint, kind))

    def plainly(self, class_name: str, kind: str) -> bytes | str:
        """Return what the plain program of a case comes to."""
        return self._both.plainly(next(case for case in CASES if case.class_name == class_name), kind)
