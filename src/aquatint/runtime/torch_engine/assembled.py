"""A pipeline as an engine has it: its class and what it is made of, so that each image gets a pipeline of its own.

Pipelines keep state of the picture that they work on, and cost next to nothing beside their parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aquatint.plan.steps import Pipeline
from aquatint.runtime.torch_engine import generating, offloading
from aquatint.runtime.torch_engine.faults import engine_error
from aquatint.runtime.torch_engine.libraries import Libraries
from aquatint.runtime.torch_engine.standins import Place


@dataclass(slots=True)
class Assembled:
    """The parts of a pipeline by role: stand-ins with `places`, live objects, or None for one that is left out."""

    libraries: Libraries
    pipeline: Pipeline
    found: Any  # the pipeline's class
    parts: Mapping[str, Any]
    places: tuple[Place, ...]
    device: str
    _offloaded: Any = field(default=None, repr=False)

    def make(self) -> Any:
        """Return a pipeline with a scheduler of its own; one that is offloaded is the same each time.

        Raises `EngineError`. Its hooks are on modules, so a second one would hang others on them.
        """
        if self._offloaded is not None:
            return self._offloaded
        parts = dict(self.parts)
        if parts.get("scheduler") is not None:
            parts["scheduler"] = generating.fresh_scheduler(self.libraries, parts["scheduler"], None)
        # Never from_pipe: it casts modules that others share, and refuses quantized ones.
        with engine_error(f"can't make a {self.pipeline.class_name} of `{self.pipeline.source}`"):
            made = self.found(**parts, **self.pipeline.options)
            made.set_progress_bar_config(disable=True)
            if self.pipeline.offload is not None:
                offloading.enable(self.libraries, made, self.pipeline.offload, self.device)
                self._offloaded = made
        return made
