"""Makes the pictures of `generate` steps, in their phases and to the end, and writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from msgspec import UNSET

from aquatint.catalog.media import FPS
from aquatint.catalog.prompt_plugins import prompt_plugin
from aquatint.plan.batches import companions
from aquatint.plan.fingerprints import LOSSY
from aquatint.plan.steps import Generate, ImageRef, Phase, Plan, Step
from aquatint.runtime.engine import EngineError
from aquatint.runtime.events import DenoiseStep, GenerateStarted, ImageWritten
from aquatint.runtime.failures import explain
from aquatint.runtime.image_calls import ImageCalls, Made
from aquatint.runtime.ladder import Ladder
from aquatint.runtime.media import Clip, Sound, Tensors
from aquatint.runtime.media_files import soundtrack
from aquatint.runtime.metadata import about_image
from aquatint.runtime.outputs import OutputPolicy
from aquatint.runtime.rewrites import Rewrite
from aquatint.runtime.run import Run
from aquatint.runtime.steps.loads import Loads

T = TypeVar("T")


class Generates:
    """The pictures of one run."""

    def __init__(self, run: Run, loads: Loads, ladder: Ladder) -> None:
        self.run = run
        self.loads = loads
        self.ladder = ladder
        self.calls = ImageCalls(
            run.engine, run.residents, run.plan, run.options.clock, loads.load_needed, loads.late.bring
        )
        self._steps = {step.id: step for step in run.plan.steps if isinstance(step, Generate)}
        self._lost: set[str] = set()  # those that failed in one of their phases
        self._failed: dict[str, EngineError] = {}  # by batch, why its call failed
        self._batches = _by_batch(run.plan)
        self._rewrites: dict[str, Rewrite] = {}  # of the statement whose turn it is

    def phase(self, step: Phase) -> None:
        """Carry the calls of a later generate step on; what goes wrong with one is that step's failure."""
        generate = self._steps[step.generate]
        if generate.id in self.run.settled or generate.id in self._lost or self._cannot_begin(generate):
            return
        self.loads.count_reuses(step)
        completed, pictures = self.run.yielded.completed(generate)
        for index, output in enumerate(generate.outputs):
            if self.run.outputs.settled(output.path) is not None:
                continue
            if not self._carried_on(step, completed, pictures, index):
                return

    def generate(self, step: Generate) -> None:
        """Make and write the pictures of `step` that aren't there."""
        if step.id in self._lost:
            return
        if self.run.is_settled(step):
            for index in range(len(step.outputs)):
                self._keep_what_is_there(step, index)
            return
        if self.loads.skips(step) or self.run.lacks_a_value(step):
            return
        if (without := _cant_weigh(step)) is not None:
            self.run.account.fail(step, without, "reading the prompt", [])
            return
        if (reason := self.run.yielded.unreadable(step)) is not None:
            self.run.account.fail(step, EngineError(reason), "reading its pictures", [])
            return
        self._rewrites = self.run.yielded.rewrites(step)
        step, pictures = self.run.yielded.completed(step)
        written: list[str] = []
        doing = f"assembling the pipeline of `{step.model}`"
        try:
            self.loads.count_reuses(step)
            self.ladder.with_less(step, doing, lambda: self._assemble(step), lambda: self._disband(step))
            for index in range(len(step.outputs)):
                doing = _making(step, index)
                self._image(step, pictures, index, written)
        except Exception as error:
            self._lose(step, error, doing, written)

    def is_made(self, step: Step) -> bool:
        """Return whether nothing is left of `step` but to write pictures that another one's call has made."""
        if not isinstance(step, Generate):
            return False
        return all(self.calls.is_made(ImageRef(step.id, index)) for index in range(len(step.outputs)))

    def _cannot_begin(self, step: Generate) -> bool:
        """Return whether `step` lacks what other steps were to bring: it will be said when its turn comes."""
        keys = self.run.plan.pipelines[step.pipeline].parts.values()
        lacking = self.loads.failed.intersection(key for key in keys if key is not None)
        yielded = self.run.yielded
        return bool(lacking or _cant_weigh(step) or yielded.lacking(step) or yielded.unreadable(step))

    def _assemble(self, step: Generate) -> None:
        self.loads.bring(step)
        self.run.residents.assembled(self.run.plan.pipelines[step.pipeline], self.run.plan.components)

    def _disband(self, step: Generate) -> None:
        # Its parts are as they were; what was hung on them to offload them may not be.
        self.run.residents.disband(self.run.plan.pipelines[step.pipeline])

    def _carried_on(self, phase: Phase, step: Generate, pictures: Mapping[str, Any], index: int) -> bool:
        """Carry one image's call as far as it gets; return False after a failure."""
        image, doing = ImageRef(step.id, index), _making(step, index)

        def carry_on() -> None:
            if "turns" in self.ladder.taken(step.id):
                return  # its parts come when they are needed, and that is when its own turn comes
            self.loads.bring(phase)
            if not self.calls.has_begun(image):
                self._begin(step, pictures, image)
            self.calls.advance(image)

        try:
            self._with_less(step, image, carry_on)
        except Exception as error:
            self._lose(step, error, doing, [])
            return False
        return True

    def _made(self, step: Generate, pictures: Mapping[str, Any], image: ImageRef) -> Made:
        """Carry one image's call to its end."""

        def make() -> Made:
            if not self.calls.has_begun(image):
                self.loads.bring(step)
                self._begin(step, pictures, image)
            self.loads.begin_turns()
            return self.calls.finish(image)

        return self._with_less(step, image, make)

    def _with_less(self, step: Generate, image: ImageRef, work: Callable[[], T]) -> T:
        """Return what `work` returns, which carries an image's call on. A batch that failed has failed for all."""
        place, doing = step.outputs[image.index].batch, _making(step, image.index)
        if place is not None and place.name in self._failed:
            raise self._failed[place.name]
        try:
            return self.ladder.with_less(step, doing, work, lambda: self._give_up(step, image))
        except Exception as error:
            if place is not None and not self._is_unbatched(step):
                self._failed[place.name] = EngineError(*explain(error, doing))
            raise

    def _is_unbatched(self, step: Generate) -> bool:
        return "unbatched" in self.ladder.taken(step.id)

    def _give_up(self, step: Generate, image: ImageRef) -> None:
        self.calls.give_up(image)
        self._disband(step)

    def _begin(self, step: Generate, pictures: Mapping[str, Any], image: ImageRef) -> None:
        output = step.outputs[image.index]
        batch = [] if self._is_unbatched(step) else companions(self.run.plan, output)
        places = {image: 0}
        if output.batch is not None and batch:
            mates = self._batches[output.batch.name].items()
            places = {each: place for each, place in mates if each == image or self._is_wanted(each)}
        account = self.run.account
        for each in places:
            account.emit(_started(self._steps[each.step] if batch else step, each.index, bool(batch)))

        def told(done: int, total: int) -> None:
            for each in places:
                account.emit(DenoiseStep(each.step, done, total, each.index + 1))

        tiling = "tiling" in self.ladder.taken(step.id)
        if batch:
            self.calls.begin_batch(step, batch, places, told, tiling)
        else:
            self.calls.begin(step, image, pictures, told, tiling)

    def _is_wanted(self, image: ImageRef) -> bool:
        """Return whether an image is to be written: one that is done or lost is made with its batch, and dropped."""
        path = self._steps[image.step].outputs[image.index].path
        is_over = image.step in self._lost or image.step in self.run.settled
        return not is_over and self.run.outputs.settled(path) is None

    def _lose(self, step: Generate, error: Exception, doing: str, written: list[str]) -> None:
        """Fail `step` and give up what is under way of it."""
        self._lost.add(step.id)
        self.calls.close(step.id)
        self._disband(step)
        self.run.account.fail(step, error, doing, written)

    def _image(self, step: Generate, pictures: Mapping[str, Any], index: int, written: list[str]) -> None:
        run = self.run
        image, output = ImageRef(step.id, index), step.outputs[index]
        if not self.calls.is_made(image):
            run.pause()
        if (there := self._keep_what_is_there(step, index)) is not None:
            if run.options.existing is OutputPolicy.SKIP:
                run.account.warn(step.id, f"{run.outputs.why(there)}; it is not made again")
            return
        made = self._made(step, pictures, image)
        picture, seconds = made.picture, made.seconds
        for warning in made.warnings:
            run.account.warn(step.id, warning)
        was_unbatched = output.batch is not None and made.of == 1
        taken = [rung for rung in self.ladder.taken(step.id) if rung != "unbatched" or was_unbatched]
        frames = len(picture.frames) if isinstance(picture, Clip) else None
        if output.path is None:
            run.account.images += 1
            run.yielded.keep_unwritten(image, picture)
            run.account.emit(ImageWritten(step.id, None, output.seed, seconds, index + 1))
            return
        size = None if isinstance(picture, Sound | Tensors) else picture.size
        sound = picture if isinstance(picture, Sound) else soundtrack(picture, output.path)
        about = about_image(run.plan, step, output, size, run.facts, taken, self._rewrites, frames, sound)
        started = run.options.clock()
        path = run.outputs.write(output.path, picture, about, FPS if step.fps is UNSET else step.fps)
        if path is None:
            run.account.warn(step.id, f"`{run.outputs.locate(output.path)}` was made by someone else meanwhile")
        else:
            run.account.images += 1
            run.account.written.append(str(path))
            written.append(str(path))
            seconds += run.options.clock() - started
            run.account.emit(ImageWritten(step.id, str(path), output.seed, seconds, index + 1))
            if path.suffix.lower() in LOSSY or isinstance(picture, Clip):
                # What is made of it is what a later run would make of the file.
                run.yielded.keep_file(image, path)
                return
            run.yielded.made[image] = path
        run.yielded.keep(image, picture)

    def _keep_what_is_there(self, step: Generate, index: int) -> Path | None:
        """Return the file that stands for a picture, for later steps to use, or None if it is to be made."""
        there = self.run.outputs.settled(step.outputs[index].path)
        if there is not None:
            self.run.yielded.keep_file(ImageRef(step.id, index), there)
        return there


def _by_batch(plan: Plan) -> dict[str, dict[ImageRef, int]]:
    """Return for each batch the images of the plan's steps that it makes, in its order, with their places in it."""
    found: dict[str, dict[ImageRef, int]] = {}
    for step in plan.steps:
        for index, output in enumerate(step.outputs) if isinstance(step, Generate) else ():
            if output.batch is not None:
                found.setdefault(output.batch.name, {})[ImageRef(step.id, index)] = output.batch.index
    return {name: dict(sorted(places.items(), key=lambda item: item[1])) for name, places in found.items()}


def _cant_weigh(step: Generate) -> EngineError | None:
    """Return why the step's weighter can't run; None if it has none, or can."""
    if step.weighter is None:
        return None
    name = step.weighter.plugin
    plugin = prompt_plugin("weighter", name)
    if plugin is None:
        return EngineError(f"there is no weighter plugin `{name}`", "install the package that brings it")
    if plugin.engine is None:
        return EngineError(f"this version plans with the weighter plugin `{name}`, and can't run it yet",
                           "leave `weighter` out")  # fmt: skip
    return None


def _started(step: Generate, index: int, batched: bool) -> GenerateStarted:
    output = step.outputs[index]
    batch = output.batch.name if batched and output.batch is not None else None
    prompt, number = _prompt(step.arguments), index + 1
    return GenerateStarted(
        step.id, step.model, step.quantizers, output.seed, prompt, number, len(step.outputs), batch
    )  # fmt: skip


def _making(step: Generate, index: int) -> str:
    output = step.outputs[index]
    together = "" if output.batch is None else f" in {output.batch.name}"
    return f"making image {index + 1} of {len(step.outputs)} (seed {output.seed}){together}"


def _prompt(arguments: Mapping[str, Any]) -> str:
    prompt = arguments.get("prompt")
    return prompt if isinstance(prompt, str) else "" if prompt is None else str(prompt)
