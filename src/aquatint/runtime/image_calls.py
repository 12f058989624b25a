"""The calls of a run that make images: each begins once, may wait for its parts between phases, and ends in pictures.

What is loaded when is the plan's affair; what becomes of a picture is the executor's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aquatint.plan.steps import Companion, Component, Generate, ImageRef, Plan
from aquatint.runtime.engine import Call, Engine, Generation, Needs, OnStep
from aquatint.runtime.media import Medium
from aquatint.runtime.residents import Residents


@dataclass(slots=True, eq=False)
class _UnderWay:
    """A call, the time that it has taken, and its pictures once it has ended; `places` are those to be taken."""

    call: Call
    size: int
    places: dict[ImageRef, int]
    seconds: float = 0.0
    pictures: list[Medium] | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """What a seed has come to, its share of its call's seconds, what the libraries said, how many the call made."""

    picture: Medium
    seconds: float
    warnings: list[str]
    of: int


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
    _calls: dict[ImageRef, _UnderWay] = field(default_factory=dict)  # those of several images by each that is wanted

    def has_begun(self, image: ImageRef) -> bool:
        """Return whether the image's call has begun, and the image wasn't taken."""
        return image in self._calls

    def is_made(self, image: ImageRef) -> bool:
        """Return whether the image is there to be taken: its call has ended, for another image's sake."""
        return image in self._calls and self._calls[image].pictures is not None

    def begin(
        self, step: Generate, image: ImageRef, pictures: Mapping[str, Any], on_step: OnStep, tiling: bool
    ) -> None:
        """Begin the call of one image of `step`, whose texts are complete. Raises what the engine raises."""
        seeds = [step.outputs[image.index].seed]
        self._begin(step, {image: 0}, {**step.arguments, **pictures}, seeds, on_step, tiling)

    def begin_batch(
        self, step: Generate, batch: list[Companion], places: dict[ImageRef, int], on_step: OnStep, tiling: bool
    ) -> None:
        """Begin the call of all of `batch`, of which `step` makes some; `places` are those that will be taken."""
        own = {name: [each.prompts[name] for each in batch] for name in batch[0].prompts}
        self._begin(step, places, {**step.arguments, **own}, [each.seed for each in batch], on_step, tiling)

    def _begin(
        self, step: Generate, places: dict[ImageRef, int], arguments: dict[str, Any], seeds: list[int],
        on_step: OnStep, tiling: bool,
    ) -> None:  # fmt: skip
        pipeline = self.residents.assembled(self.plan.pipelines[step.pipeline], self.plan.components)
        generation = Generation(arguments, seeds, step.scheduler, tiling, step.weighter)
        under_way = _UnderWay(self.engine.begin(pipeline, generation, on_step), len(seeds), places)
        self._calls |= dict.fromkeys(places, under_way)

    def advance(self, image: ImageRef) -> None:
        """Carry the image's call as far as it gets with the parts that are loaded. Raises what the engine raises."""
        self._advance(image)

    def finish(self, image: ImageRef) -> Made:
        """Carry the image's call to its end and take the image. Raises what the engine raises."""
        while isinstance(needed := self._advance(image), Needs):
            self.load(image.step, self.plan.components[needed.key])
        done = self._calls.pop(image)
        assert done.pictures is not None
        warnings, done.call.warnings = done.call.warnings, []
        return Made(done.pictures[done.places[image]], done.seconds / done.size, warnings, done.size)

    def give_up(self, image: ImageRef) -> None:
        """End the image's call, if it is under way."""
        if (under_way := self._calls.get(image)) is not None:
            self._calls = {each: call for each, call in self._calls.items() if call is not under_way}
            under_way.call.close()

    def close(self, step: str | None = None) -> None:
        """End all that is under way of the step with that id alone, or of all."""
        for image in [image for image in self._calls if step in (None, image.step)]:
            under_way = self._calls.pop(image)
            # Another step may still take its images.
            if under_way not in self._calls.values():
                under_way.call.close()

    def _advance(self, image: ImageRef) -> Needs | None:
        under_way = self._calls[image]
        if under_way.pictures is not None:
            return None
        while True:
            started = self.clock()
            result = under_way.call.advance()
            under_way.seconds += self.clock() - started
            if not isinstance(result, Needs):
                under_way.pictures = result
                return None
            if not self.bring(result.key):
                return result
