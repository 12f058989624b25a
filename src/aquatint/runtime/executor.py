"""Carries a plan out, step by step, and tells what happens as events.

A step that fails takes down what depends on it and nothing else. What is loaded is in `residents`, how files are
written in `outputs`, what failures say in `failures`; the libraries are behind the engine.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, assert_never

import msgspec
from PIL import Image as images
from PIL.Image import Image

from aquatint.catalog.quantizers import label
from aquatint.plan.counts import counts
from aquatint.plan.fingerprints import LOSSY, Planned
from aquatint.plan.steps import (
    Compare,
    Component,
    Deferred,
    Generate,
    Grid,
    ImageRef,
    Json,
    Line,
    Load,
    NumberRef,
    Output,
    Plan,
    Print,
    Release,
    Save,
    Step,
    Text,
    TextRef,
    Upscale,
)
from aquatint.plan.texts import complete, references
from aquatint.plan.uses import awaits, uses
from aquatint.runtime import saved_folders, tables
from aquatint.runtime.engine import Engine, EngineError, Form, Generation
from aquatint.runtime.events import (
    DenoiseStep,
    Event,
    GenerateStarted,
    GridWritten,
    ImageWritten,
    LoadFinished,
    LoadStarted,
    Measured,
    ModelSaved,
    Printed,
    Released,
    Reused,
    RunFinished,
    RunStarted,
    SaveStarted,
    StatementFailed,
    StatementSkipped,
    TableWritten,
    Warned,
)
from aquatint.runtime.failures import explain
from aquatint.runtime.journal import Journal
from aquatint.runtime.ledger import Ledger
from aquatint.runtime.metadata import about_image, about_sheet
from aquatint.runtime.model_card import CARD, about_model, card
from aquatint.runtime.outputs import OutputPolicy, Outputs
from aquatint.runtime.residents import Residents
from aquatint.runtime.settled import settled, without_idle_loads
from aquatint.runtime.sheet import draw_sheet

Sink = Callable[[Event], None]

CANT_UPSCALE = "this version plans `upscale`, and can't run it yet", "write the prompts into the script"
CANT_WEIGH = "this version plans with a weighter, and can't run it yet", "leave `weighter` out"
"""What is said of steps that can be planned only, and what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a plan. `verify` says why a component is not what was planned, or None if it is.

    `journal` is that of `output_dir`, None for a run that keeps none; `surroundings` go into it. The run ends as soon
    as `stopping` says so when an image or a step is finished.
    """

    output_dir: Path = Path()
    existing: OutputPolicy = OutputPolicy.NUMBER
    fail_fast: bool = False
    verify: Callable[[Component], str | None] | None = None
    clock: Callable[[], float] = time.monotonic
    journal: Journal | None = None
    surroundings: dict[str, Json] = field(default_factory=dict)
    stopping: Callable[[], bool] = lambda: False


class Executor:
    """Runs plans with one engine; with the same `residents`, later plans find the components of earlier ones."""

    def __init__(
        self, engine: Engine, sink: Sink, options: Options | None = None, residents: Residents | None = None
    ) -> None:
        self.engine = engine
        self.sink = sink
        self.options = options or Options()
        self.residents = residents or Residents(engine)
        self.made: dict[ImageRef, Path] = {}  # where earlier plans wrote their images, for statements of later ones
        self.known: dict[TextRef | NumberRef, str | float] = {}  # what steps yielded beside images

    def run(self, plan: Plan) -> RunFinished:
        """Carry out `plan` and return the totals, which were also the last event.

        Faults of steps are events, not exceptions; an interrupt from the keyboard ends the run and is in the totals.
        What the sink raises ends the run too and comes out of here.
        """
        try:
            return _Run(self, plan).run()
        except _SinkFailed as failed:
            raise failed.error from None


class _SinkFailed(BaseException):
    """The sink raised `error`. Not an `Exception`, so that no step takes it for a fault of its own."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class _Stop(Exception):
    """A statement failed and the run is to end with it."""


class _Run:
    """One run of one plan, and what it has come to so far."""

    def __init__(self, executor: Executor, plan: Plan) -> None:
        self.engine = executor.engine
        self.sink = executor.sink
        self.options = executor.options
        self.residents = executor.residents
        self.made = executor.made
        self.known = executor.known
        self.facts = self.engine.describe()
        self.ledger = Ledger(
            plan, self.options.journal, self.facts, self.options.surroundings, self.known, self._complain
        )
        self.outputs = Outputs(self.options.output_dir, self.options.existing, self.ledger)
        self.settled = settled(plan, self.outputs)
        self.plan = without_idle_loads(plan, self.settled)
        self.last_use = _last_uses(self.plan)
        self.files = {
            ImageRef(step.id, index): output.path
            for step in plan.steps
            if isinstance(step, Generate)
            for index, output in enumerate(step.outputs)
        }
        self.pictures: dict[ImageRef, Image | Path] = {}
        self.failed_loads: set[str] = set()
        self.images = self.reuses = self.saved = self.failed = self.skipped = 0
        self.written: list[str] = []

    def run(self) -> RunFinished:
        started = self.options.clock()
        before = dataclasses.replace(self.engine.counters)
        interrupted = False
        try:
            self._announce()
            self._take_stock()
            self.residents.next_statement()
            for number, step in enumerate(self.plan.steps):
                self._pause()
                self._carry_out(step)
                self._drop_pictures(number)
        except _Stop:
            pass
        except KeyboardInterrupt:
            interrupted = True
        after = self.engine.counters
        finished = RunFinished(
            images=self.images,
            loads=after.loads - before.loads,
            quantizations=after.quantizations - before.quantizations,
            reuses=self.reuses,
            releases=after.releases - before.releases,
            failed=self.failed,
            skipped=self.skipped,
            written=self.written,
            interrupted=interrupted,
            seconds=self.options.clock() - started,
            engine=self.facts,
            saved=self.saved,
            restored=after.restored - before.restored,
            done=sum(self._is_made(planned) for planned in self.ledger.planned.values()),
            outputs=len(self.ledger.planned),
        )
        self._emit(finished)
        return finished

    def _announce(self) -> None:
        steps = [step for step in self.plan.steps if step.id not in self.settled]
        expected = counts(msgspec.structs.replace(self.plan, steps=steps), self.residents.keys())
        images = [made for step in steps if isinstance(step, Generate) for made in step.outputs]
        there = sum(self.outputs.settled(made.path) is not None for made in images)
        self._emit(RunStarted(len(self.plan.steps), expected.images - there, expected.loads))

    def _take_stock(self) -> None:
        """Clear away what killed runs left, and say why what an earlier run made is made again."""
        if self.options.journal is None:
            return
        self.outputs.sweep(self.ledger.planned)
        number, names = self.ledger.of_other_engines()
        if number and self.options.existing is OutputPolicy.RESUME:
            which = "1 output is" if number == 1 else f"{number} outputs are"
            self._complain(f"{which} made again, for another {', '.join(names)}; `--existing skip` keeps what is there")

    def _pause(self) -> None:
        if self.options.stopping():
            raise KeyboardInterrupt

    def _is_settled(self, step: Grid | Compare | Upscale) -> bool:
        """Skip or fail a step that existing files decide, and return whether they do."""
        match self.settled.get(step.id):
            case str(reason):
                self._skip(step, reason)
            case EngineError() as error:
                self._fail(step, error, "looking for its file", [])
            case None:
                return False
        return True

    def _is_made(self, planned: Planned) -> bool:
        return planned.path in self.ledger.written or self.outputs.settled(planned.path) is not None

    def _carry_out(self, step: Step) -> None:
        match step:
            case Load():
                self._load(step)
            case Generate():
                self._generate(step)
                self.residents.next_statement()
            case Upscale():
                if not self._is_settled(step):
                    self._fail(step, EngineError(*CANT_UPSCALE), "rewriting prompts", [])
            case Compare():
                self._compare(step)
            case Grid():
                self._grid(step)
            case Save():
                self._save(step)
                self.residents.next_statement()
            case Print():
                if not self._lacks_a_value(step):
                    self._emit(Printed(step.id, complete(step.text, self.known)))
            case Release():
                self._release(step)
            case _:
                assert_never(step)

    def _load(self, step: Load) -> None:
        component = self.plan.components[step.component]
        if component.key in self.residents or component.key in self.failed_loads:
            return
        quantized = component.quantization
        quantizer = component.stored.name if component.stored is not None else None
        if quantized is not None:
            quantizer = label(quantized.backend, quantized.options)
        self._emit(
            LoadStarted(
                step.id,
                component.key,
                component.role,
                component.class_name,
                component.source,
                quantizer,
                component.bytes,
            )
        )
        started = self.options.clock()
        try:
            if self.options.verify is not None and (change := self.options.verify(component)) is not None:
                raise EngineError(change)
            loaded = self.residents.load(component)
        except Exception as error:
            self.failed_loads.add(component.key)
            self._fail(step, error, f"loading `{component.role}`", [])
            return
        seconds = self.options.clock() - started
        self._emit(
            LoadFinished(
                step.id,
                component.key,
                component.role,
                loaded.bytes,
                loaded.quantized_layers,
                loaded.layers,
                seconds,
                loaded.from_store,
            )
        )
        for warning in loaded.warnings:
            self._emit(Warned(step.id, warning))
        if component.quantization is not None and not loaded.quantized_layers:
            message = f"{quantizer} found no layer of `{component.role}` that it quantizes: it is held as it was"
            self._emit(Warned(step.id, message))

    def _generate(self, step: Generate) -> None:
        match self.settled.get(step.id):
            case str(reason):
                self._skip(step, reason)
                for index, output in enumerate(step.outputs):
                    if (there := self.outputs.settled(output.path)) is not None:
                        self._keep_file(ImageRef(step.id, index), there)
                return
            case EngineError() as error:
                self._fail(step, error, "looking for its files", [])
                return
            case None:
                pass
        if self._lacks_a_part(step) or self._lacks_a_value(step):
            return
        if step.weighter is not None:
            self._fail(step, EngineError(*CANT_WEIGH), "reading the prompt", [])
            return
        step, pictures = self._completed(step)
        written: list[str] = []
        doing = f"assembling the pipeline of `{step.model}`"
        try:
            self._check_residents(step)
            pipeline = self._assembled(step)
            for index, output in enumerate(step.outputs):
                doing = f"making image {index + 1} of {len(step.outputs)} (seed {output.seed})"
                self._image(step, pipeline, pictures, index, output, written)
        except Exception as error:
            self._fail(step, error, doing, written)

    def _lacks_a_value(self, step: Step) -> bool:
        """Skip a step that needs what an earlier one did not yield, and return whether it was."""
        for reference in awaits(step):
            match reference:
                case ImageRef():
                    # A sheet and a table have an empty place for it.
                    if isinstance(step, Generate) and self._picture(reference) is None:
                        self._skip(step, f"it needs image {reference.index} of `{reference.step}`, which was not made")
                        return True
                case TextRef() | NumberRef():
                    if reference not in self.known:
                        self._skip(step, f"it needs what `{reference.step}` was to yield")
                        return True
        return False

    def _completed(self, step: Generate) -> tuple[Generate, dict[str, Any]]:
        """Return `step` with its texts complete, and the pictures among its arguments."""
        texts: dict[str, Any] = {}
        pictures: dict[str, Any] = {}
        for name, given in step.deferred.items():
            value = self._given(given)
            (texts if _is_text(value) else pictures)[name] = value
        left = {name: given for name, given in step.deferred.items() if name not in texts}
        arguments = dict(sorted({**step.arguments, **texts}.items()))
        return msgspec.structs.replace(step, arguments=arguments, deferred=left), pictures

    def _given(self, given: Deferred) -> Any:
        match given:
            case ImageRef():
                return self._picture(given)
            case Text():
                return complete(given, self.known)
            case list():
                return [self._given(item) for item in given]

    def _lacks_a_part(self, step: Generate | Save) -> bool:
        """Skip a step that needs what could not be loaded, and return whether it was."""
        lost = [role for role, key in uses(step, self.plan.pipelines).items() if key in self.failed_loads]
        if lost:
            self._skip(step, f"it needs {_listed(lost)}, which could not be loaded")
        return bool(lost)

    def _check_residents(self, step: Generate | Save) -> None:
        missing = [role for role, key in uses(step, self.plan.pipelines).items() if key not in self.residents]
        if missing:
            raise RuntimeError(f"the plan does not load {_listed(missing)}")

    def _count_reuses(self, step: Generate | Save) -> None:
        used = uses(step, self.plan.pipelines)
        for role, key in self.residents.reused(self.plan.pipelines[step.pipeline]):
            if role in used:
                self.reuses += 1
                self._emit(Reused(step.id, key, role))

    def _assembled(self, step: Generate) -> Any:
        self._count_reuses(step)
        return self.residents.assembled(self.plan.pipelines[step.pipeline])

    def _image(
        self,
        step: Generate,
        pipeline: Any,
        pictures: Mapping[str, Any],
        index: int,
        output: Output,
        written: list[str],
    ) -> None:
        reference = ImageRef(step.id, index)
        self._pause()
        if (there := self.outputs.settled(output.path)) is not None:
            if self.options.existing is OutputPolicy.SKIP:
                self._emit(Warned(step.id, f"{self.outputs.why(there)}; it is not made again"))
            self._keep_file(reference, there)
            return
        prompt = _prompt(step.arguments)
        self._emit(
            GenerateStarted(
                step.id, step.model, step.quantizers, output.seed, prompt, number=index + 1, of=len(step.outputs)
            )
        )
        started = self.options.clock()
        try:
            image = self.engine.generate(
                pipeline,
                Generation({**step.arguments, **pictures}, output.seed, step.scheduler),
                lambda done, total: self._emit(DenoiseStep(step.id, done, total)),
            )
        except BaseException:
            # The call may have left the pipeline half changed; its parts are as they were.
            self.residents.disband(self.plan.pipelines[step.pipeline])
            raise
        for warning in self.engine.warnings:
            self._emit(Warned(step.id, warning))
        about = about_image(self.plan, step, output, image.size, self.facts) if step.metadata else None
        path = self.outputs.write(output.path, image, about)
        if path is None:
            self._emit(Warned(step.id, f"`{self.outputs.locate(output.path)}` was made by someone else meanwhile"))
        else:
            self.images += 1
            self.written.append(str(path))
            written.append(str(path))
            self._emit(ImageWritten(step.id, str(path), output.seed, self.options.clock() - started))
            if path.suffix.lower() in LOSSY:
                # What is made of it is what a later run would make of the file.
                self._keep_file(reference, path)
                return
            self.made[reference] = path
        self._keep(reference, image)

    def _grid(self, step: Grid) -> None:
        if self._is_settled(step):
            return
        try:
            pictures = [self._picture(cell.image) for cell in step.cells]
            missing = pictures.count(None)
            if step.cells and missing == len(step.cells):
                self._skip(step, "none of its pictures was made")
                return
            if missing:
                self._emit(Warned(step.id, f"{missing} of {len(step.cells)} pictures of this sheet were not made"))
            step = self._titled(step)
            sheet = draw_sheet(
                pictures, [str(cell.label) for cell in step.cells], step.columns, list(map(str, step.column_headers)),
                list(map(str, step.row_headers)), str(step.title),
            )  # fmt: skip
            path = self.outputs.write(step.path, sheet, about_sheet(self.plan, step))
        except Exception as error:
            self._fail(step, error, "drawing the sheet", [])
            return
        if path is None:
            self._skip(step, f"`{self.outputs.locate(step.path)}` was made by someone else meanwhile")
            return
        self.written.append(str(path))
        self._emit(GridWritten(step.id, str(path), len(step.cells)))

    def _titled(self, step: Grid) -> Grid:
        """Return `step` with its texts complete."""
        return msgspec.structs.replace(
            step,
            cells=[msgspec.structs.replace(cell, label=self._line(cell.label)) for cell in step.cells],
            column_headers=[self._line(line) for line in step.column_headers],
            row_headers=[self._line(line) for line in step.row_headers],
            title=self._line(step.title),
        )

    def _line(self, line: Line) -> str:
        """Return `line` complete; what a step should have yielded and didn't is a dash."""
        return complete(line, {ref: self.known.get(ref, "-") for ref in references(line)})

    def _compare(self, step: Compare) -> None:
        if self._is_settled(step):
            return
        rows: list[tables.Row] = []
        try:
            for index, pair in enumerate(step.pairs):
                label = self._line(pair.label)
                pictures = [self._picture(pair.reference), self._picture(pair.image)]
                values = None
                if pictures[0] is not None and pictures[1] is not None:
                    values = self.engine.measure(pictures[0], pictures[1], step.metrics)
                    self.known |= {NumberRef(step.id, metric, index): value for metric, value in values.items()}
                    self._emit(Measured(step.id, label, values))
                files = [self._file(reference) for reference in (pair.reference, pair.image)]
                rows.append(tables.Row(label, files[0], files[1], values))
            missing = sum(row.values is None for row in rows)
            if missing == len(rows):
                self._skip(step, "none of its pictures was made")
                return
            if missing:
                self._emit(Warned(step.id, f"{missing} of {len(rows)} pairs of this table were not made"))
            means = tables.means(rows, step.metrics)
            self.known |= {NumberRef(step.id, metric): value for metric, value in means.items()}
            if step.path is None:
                self._emit(Printed(step.id, tables.text(rows, step.metrics).removesuffix("\n")))
                return
            if (there := self.outputs.settled(step.path)) is not None:  # only its numbers were needed
                self._skip(step, self.outputs.why(there))
                return
            path = self.outputs.write_bytes(step.path, tables.table(step.path, rows, step.metrics))
        except Exception as error:
            self._fail(step, error, "comparing", [])
            return
        if path is None:
            self._skip(step, f"`{self.outputs.locate(step.path)}` was made by someone else meanwhile")
            return
        self.written.append(str(path))
        self._emit(TableWritten(step.id, str(path), len(rows)))

    def _file(self, reference: ImageRef) -> str:
        """Return the file that a picture was to be written to."""
        if reference in self.files:
            return self.files[reference]
        return str(self.made.get(reference, f"{reference.step}[{reference.index}]"))

    def _save(self, step: Save) -> None:
        match self.settled.get(step.id):
            case str(reason):
                self._skip(step, reason)
                return
            case EngineError() as error:
                self._fail(step, error, "looking for its folder", [])
                return
            case None:
                pass
        if self._lacks_a_part(step):
            return
        pipeline = self.plan.pipelines[step.pipeline]
        try:
            self._check_residents(step)
            self._count_reuses(step)
            parts = {role: self.residents[key] for role, key in uses(step, self.plan.pipelines).items()}
            size = sum(part.bytes for part in parts.values())  # one component in two roles is written twice
            self._emit(SaveStarted(step.id, step.model, str(saved_folders.locate(self.outputs, step.path)), size))
            started = self.options.clock()
            form = Form(step.roles, step.variant, step.max_shard_size)

            def fill(folder: Path) -> None:
                self.engine.save(pipeline, parts, folder, form)
                (folder / CARD).write_text(card(self.plan, step), encoding="utf-8")

            about = about_model(self.plan, step, self.facts)
            path = saved_folders.write(self.outputs, step.path, fill, about, size=size)
        except Exception as error:
            self._fail(step, error, f"saving `{step.model}`", [])
            return
        if path is None:
            self._skip(step, f"`{saved_folders.locate(self.outputs, step.path)}` was made by someone else meanwhile")
            return
        self.saved += 1
        self.written.append(str(path))
        total = saved_folders.total_bytes(path)
        self._emit(ModelSaved(step.id, str(path), total, self.options.clock() - started))

    def _release(self, step: Release) -> None:
        role = self.plan.components[step.component].role
        try:
            released = self.residents.release(step.component)
        except Exception as error:
            message, _ = explain(error, f"releasing `{role}`")
            self._emit(Warned(step.id, message))
            return
        if released is not None:
            self._emit(Released(step.id, step.component, role))

    def _picture(self, reference: ImageRef) -> Image | None:
        match self.pictures.get(reference, self.made.get(reference)):
            case Path() as path:
                try:
                    with images.open(path) as image:
                        return image.convert("RGB")
                except OSError:  # gone, or not a picture
                    return None
            case found:
                return found

    def _keep_file(self, reference: ImageRef, path: Path) -> None:
        self.made[reference] = path
        self._keep(reference, path)

    def _keep(self, reference: ImageRef, picture: Image | Path) -> None:
        if reference in self.last_use:
            self.pictures[reference] = picture

    def _drop_pictures(self, number: int) -> None:
        """Drop the pictures that no step after the one at `number` uses."""
        for reference in [reference for reference in self.pictures if self.last_use[reference] <= number]:
            del self.pictures[reference]

    def _fail(self, step: Step, error: Exception, doing: str, written: list[str]) -> None:
        assert not isinstance(step, Release)
        self.failed += 1
        message, help = explain(error, doing)
        self._emit(StatementFailed(step.id, str(step.place), message, help, written))
        if self.options.fail_fast:
            raise _Stop

    def _skip(self, step: Step, reason: str) -> None:
        assert not isinstance(step, Release)
        self.skipped += 1
        self._emit(StatementSkipped(step.id, str(step.place), reason))

    def _complain(self, message: str) -> None:
        self._emit(Warned("", message))

    def _emit(self, event: Event) -> None:
        try:
            self.sink(event)
        except Exception as error:
            raise _SinkFailed(error) from error


def _last_uses(plan: Plan) -> dict[ImageRef, int]:
    """Return for each picture that other steps use the number of the last of them."""
    return {
        reference: number
        for number, step in enumerate(plan.steps)
        for reference in awaits(step)
        if isinstance(reference, ImageRef)
    }


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _prompt(arguments: Mapping[str, Any]) -> str:
    prompt = arguments.get("prompt")
    return prompt if isinstance(prompt, str) else "" if prompt is None else str(prompt)


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
