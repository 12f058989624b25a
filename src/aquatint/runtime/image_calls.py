"""The calls of a run that make images: each begins once, may wait for its parts between phases, and ends in a picture.

What is loaded when is the plan's affair; what becomes of a picture is the executor's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL.Image import Image

from aquatint.plan.steps import Component, Generate, ImageRef, Plan
from aquatint.runtime.engine import Call, Engine, Generation, Needs, OnStep
from aquatint.runtime.residents import Residents


@dataclass(slots=True)
class _UnderWay:
    """A call, the time that it has taken, and its picture once it has ended."""

    call: Call
    seconds: float = 0.0
    picture: Image | None = None


@dataclass(slots=True)
class ImageCalls:
    """The calls of one run. `clock` gives seconds; `load` loads a part that a call needs and isn't there.

    It is given the step's id. `bring` is asked first, and says whether it has carried out the load of the part with
    that key because it had been waiting.
    """

    engine: Engine
    residents: Residents
    plan: Plan
    clock: Callable[[], float]
    load: Callable[[str, Component], None]
    bring: Callable[[str], bool] = lambda key: False
    _calls: dict[ImageRef, _UnderWay] = field(default_factory=dict)

    def has_begun(self, image: ImageRef) -> bool:
        """Return whether the image's call has begun, and isn't over."""
        return image in self._calls

    def begin(
        self, step: Generate, image: ImageRef, pictures: Mapping[str, Any], on_step: OnStep, tiling: bool
    ) -> None:
        """Begin the call of one image of `step`, whose texts are complete. Raises what the engine raises."""
        pipeline = self.residents.assembled(self.plan.pipelines[step.pipeline], self.plan.components)
        seed = step.outputs[image.index].seed
        generation = Generation({**step.arguments, **pictures}, seed, step.scheduler, tiling)
        self._calls[image] = _UnderWay(self.engine.begin(pipeline, generation, on_step))

    def advance(self, image: ImageRef) -> None:
        """Carry the image's call as far as it gets with the parts that are loaded. Raises what the engine raises."""
        self._advance(image)

    def finish(self, image: ImageRef) -> tuple[Image, float, list[str]]:
        """Carry the image's call to its end; return picture, seconds and warnings. Raises what the engine raises."""
        while isinstance(needed := self._advance(image), Needs):
            self.load(image.step, self.plan.components[needed.key])
        done = self._calls.pop(image)
        assert done.picture is not None
        return done.picture, done.seconds, done.call.warnings

    def give_up(self, image: ImageRef) -> None:
        """End the image's call, if it is under way."""
        if (under_way := self._calls.pop(image, None)) is not None:
            under_way.call.close()

    def close(self, step: str | None = None) -> None:
        """End all that is under way, of the step with that id or of all."""
        for image in [image for image in self._calls if step in (None, image.step)]:
            self.give_up(image)

    def _advance(self, image: ImageRef) -> Needs | None:
        under_way = self._calls[image]
        if under_way.picture is not None:
            return None
        while True:
            started = self.clock()
            result = under_way.call.advance()
            under_way.seconds += self.clock() - started
            if not isinstance(result, Needs):
                under_way.picture = result
                return None
            if not self.bring(result.key):
                return result
