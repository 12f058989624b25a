"""Makes the pictures of `generate` steps, in their phases and to the end, and writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL.Image import Image

from aquatint.plan.fingerprints import LOSSY
from aquatint.plan.steps import Generate, ImageRef, Phase
from aquatint.runtime.engine import EngineError
from aquatint.runtime.events import DenoiseStep, GenerateStarted, ImageWritten
from aquatint.runtime.image_calls import ImageCalls
from aquatint.runtime.ladder import Ladder
from aquatint.runtime.metadata import about_image
from aquatint.runtime.outputs import OutputPolicy
from aquatint.runtime.run import Run
from aquatint.runtime.steps.loads import Loads

CANT_WEIGH = "this version plans with a weighter, and can't run it yet", "leave `weighter` out"
"""What is said of steps that can be planned only, and what to do."""


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
        if step.weighter is not None:
            self.run.account.fail(step, EngineError(*CANT_WEIGH), "reading the prompt", [])
            return
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

    def _cannot_begin(self, step: Generate) -> bool:
        """Return whether `step` lacks what other steps were to bring: it will be said when its turn comes."""
        keys = self.run.plan.pipelines[step.pipeline].parts.values()
        lacking = self.loads.failed.intersection(key for key in keys if key is not None)
        return bool(lacking) or step.weighter is not None or self.run.yielded.lacking(step) is not None

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
            self.ladder.with_less(step, doing, carry_on, lambda: self._give_up(step, image))
        except Exception as error:
            self._lose(step, error, doing, [])
            return False
        return True

    def _made(self, step: Generate, pictures: Mapping[str, Any], image: ImageRef) -> tuple[Image, float, list[str]]:
        """Carry one image's call to its end; return picture, seconds and warnings."""

        def make() -> tuple[Image, float, list[str]]:
            if not self.calls.has_begun(image):
                self.loads.bring(step)
                self._begin(step, pictures, image)
            self.loads.begin_turns()
            return self.calls.finish(image)

        doing = _making(step, image.index)
        return self.ladder.with_less(step, doing, make, lambda: self._give_up(step, image))

    def _give_up(self, step: Generate, image: ImageRef) -> None:
        self.calls.give_up(image)
        self._disband(step)

    def _begin(self, step: Generate, pictures: Mapping[str, Any], image: ImageRef) -> None:
        output, number = step.outputs[image.index], image.index + 1
        account = self.run.account
        prompt = _prompt(step.arguments)
        account.emit(
            GenerateStarted(step.id, step.model, step.quantizers, output.seed, prompt, number, len(step.outputs))
        )

        def told(done: int, total: int) -> None:
            account.emit(DenoiseStep(step.id, done, total, number))

        self.calls.begin(step, image, pictures, told, "tiling" in self.ladder.taken(step.id))

    def _lose(self, step: Generate, error: Exception, doing: str, written: list[str]) -> None:
        """Fail `step` and give up what is under way of it."""
        self._lost.add(step.id)
        self.calls.close(step.id)
        self._disband(step)
        self.run.account.fail(step, error, doing, written)

    def _image(self, step: Generate, pictures: Mapping[str, Any], index: int, written: list[str]) -> None:
        run = self.run
        image, output = ImageRef(step.id, index), step.outputs[index]
        run.pause()
        if (there := self._keep_what_is_there(step, index)) is not None:
            if run.options.existing is OutputPolicy.SKIP:
                run.account.warn(step.id, f"{run.outputs.why(there)}; it is not made again")
            return
        picture, seconds, warnings = self._made(step, pictures, image)
        for warning in warnings:
            run.account.warn(step.id, warning)
        about = about_image(run.plan, step, output, picture.size, run.facts, self.ladder.taken(step.id))
        started = run.options.clock()
        path = run.outputs.write(output.path, picture, about)
        if path is None:
            run.account.warn(step.id, f"`{run.outputs.locate(output.path)}` was made by someone else meanwhile")
        else:
            run.account.images += 1
            run.account.written.append(str(path))
            written.append(str(path))
            seconds += run.options.clock() - started
            run.account.emit(ImageWritten(step.id, str(path), output.seed, seconds, index + 1))
            if path.suffix.lower() in LOSSY:
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


def _making(step: Generate, index: int) -> str:
    return f"making image {index + 1} of {len(step.outputs)} (seed {step.outputs[index].seed})"


def _prompt(arguments: Mapping[str, Any]) -> str:
    prompt = arguments.get("prompt")
    return prompt if isinstance(prompt, str) else "" if prompt is None else str(prompt)
