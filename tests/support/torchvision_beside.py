"""torchvision for the tests of pipelines that need it, from a folder beside the environment, in processes of their own.

`make setup` puts the wheel of PyPI there. On Linux that is built for a torch with CUDA, and its compiled half can't be
loaded beside the torch for CPUs which the tests run with; its half in Python can, once the two operators are declared
that it describes while it is imported. They are declared and stay without code: `nms` and `qnms` are for the detection
of objects, which no processor of pictures does, and a call of them fails. What processors use of torchvision, its
transforms, is Python and torch, so that their numbers are those of any build.

It isn't in the environment: transformers imports it wherever it finds it, and then no test would be without it.
"""

from __future__ import annotations

import importlib
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / ".torchvision"

_OPERATORS = ("nms", "qnms")
_declared: list[Any] = []  # they go when what declared them does


def bring_in() -> None:
    """Import torchvision, before anything imports transformers, which looks once whether it is there."""
    import torch

    assert "transformers" not in sys.modules
    sys.path.append(str(FOLDER))
    try:
        for compiled in FOLDER.glob("torchvision/_C*.so"):
            torch.ops.load_library(compiled)
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        for name in _OPERATORS:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
    importlib.import_module("torchvision")


class Beside:
    """A process that has torchvision and makes what `make` returns there, once; its methods are called from here."""

    def __init__(self, make: Callable[..., Any], *arguments: Any) -> None:
        assert (FOLDER / "torchvision").is_dir(), "torchvision is not there: run `make setup`"
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context, _begin, (make, *arguments))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *arguments: self._pool.submit(_called, name, arguments).result()

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()


_made: list[Any] = []


def _begin(make: Callable[..., Any], *arguments: Any) -> None:
    bring_in()
    _made.append(make(*arguments))


def _called(name: str, arguments: tuple[Any, ...]) -> Any:
    return getattr(_made[0], name)(*arguments)
