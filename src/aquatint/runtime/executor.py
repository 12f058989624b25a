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

from aquatint.catalog.quantizers import label
from aquatint.plan.fingerprints import LOSSY, Planned
from aquatint.plan.steps import (
    Compare,
    Component,
    Generate,
    Grid,
    ImageRef,
    Json,
    Load,
    NumberRef,
    Phase,
    Plan,
    Print,
    Release,
    Save,
    Step,
    Upscale,
)
from aquatint.plan.uses import uses
from aquatint.runtime import saved_folders, tables
from aquatint.runtime.engine import Engine, EngineError, Form
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
    SaveStarted,
    StatementFailed,
    StatementSkipped,
    TableWritten,
    Warned,
)
from aquatint.runtime.failures import explain
from aquatint.runtime.image_calls import ImageCalls
from aquatint.runtime.journal import Journal
from aquatint.runtime.ledger import Ledger
from aquatint.runtime.memory_probe import Meter, Probe
from aquatint.runtime.metadata import about_image, about_sheet
from aquatint.runtime.model_card import CARD, about_model, card
from aquatint.runtime.outputs import OutputPolicy, Outputs
from aquatint.runtime.residents import Residents
from aquatint.runtime.settled import settled, without_idle_loads
from aquatint.runtime.sheet import draw_sheet
from aquatint.runtime.watch import Watch
from aquatint.runtime.work import ahead
from aquatint.runtime.yielded import Yielded

Sink = Callable[[Event], None]

CANT_UPSCALE = "this version plans `upscale`, and can't run it yet", "write the prompts into the script"
CANT_WEIGH = "this version plans with a weighter, and can't run it yet", "leave `weighter` out"
"""What is said of steps that can be planned only, and what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a plan. `verify` says why a component is not what was planned, or None if it is.

    With a `probe` the memory that is taken is measured, from before the first run on. `journal` is that of
    `output_dir`, None for a run that keeps none; `surroundings` go into it. The run ends as soon as `stopping` says so
    when an image or a step is finished.
    """

    output_dir: Path = Path()
    existing: OutputPolicy = OutputPolicy.NUMBER
    fail_fast: bool = False
    verify: Callable[[Component], str | None] | None = None
    clock: Callable[[], float] = time.monotonic
    probe: Probe | None = None
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
        self.yielded = Yielded()
        self.meter = None if self.options.probe is None else Meter(self.options.probe)

    def run(self, plan: Plan) -> RunFinished:
        """Carry out `plan` and return the totals, which were also the last event.

        Faults of steps are events, not exceptions; an interrupt from the keyboard ends the run and is in the totals.
        What the sink raises ends the run too and comes out of here.
        """
        run = _Run(self, plan)
        try:
            return run.run()
        except _SinkFailed as failed:
            raise failed.error from None
        finally:
            run.watch.end()


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
        self.options = executor.options
        self.residents = executor.residents
        self.yielded = executor.yielded
        self.facts = self.engine.describe()
        self.ledger = Ledger(
            plan, self.options.journal, self.facts, self.options.surroundings, self.yielded.known, self._complain
        )
        self.outputs = Outputs(self.options.output_dir, self.options.existing, self.ledger)
        self.settled = settled(plan, self.outputs)
        self.plan = without_idle_loads(plan, self.settled)
        self.watch = Watch(self.plan, executor.sink, self.options.clock, self.engine, executor.meter)
        self.yielded.begin(self.plan)
        self.next_loads = _next_loads(self.plan)
        self.failed_loads: set[str] = set()
        self.generates = {step.id: step for step in plan.steps if isinstance(step, Generate)}
        self.lost: set[str] = set()  # generate steps that failed in one of their phases
        self.unforeseen: list[str] = []
        self.calls = ImageCalls(self.engine, self.residents, plan, self.options.clock, self._load_unforeseen)
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
                self._foresee(number)
                self._carry_out(step)
                self.yielded.drop_after(number)
        except _Stop:
            pass
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self.calls.close()
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
        finished = self.watch.completed(finished)
        self._emit(finished)
        return finished

    def _announce(self) -> None:
        resident = self.residents.keys()
        work = ahead(self.plan, resident, self.settled, lambda path: self.outputs.settled(path) is not None)
        self._telling(lambda: self.watch.begin(work, resident))

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
            case Phase():
                self._phase(step)
                self.residents.next_statement()
            case Generate():
                self._generate(step)
                self.residents.next_statement()
                self._release_unforeseen()
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
                    self._emit(Printed(step.id, self.yielded.line(step.text)))
            case Release():
                self._release(step)
            case _:
                assert_never(step)

    def _foresee(self, number: int) -> None:
        """Before a step that computes, tell the engine which component with weights is loaded next."""
        if not isinstance(self.plan.steps[number], Phase | Generate):
            return
        loads = self.next_loads.get(number)
        if loads is not None and loads.key not in self.residents:
            self.engine.foresee(loads)

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

    def _phase(self, step: Phase) -> None:
        """Carry the calls of a later generate step on; what goes wrong with one is that step's failure."""
        generate = self.generates[step.generate]
        if generate.id in self.settled or generate.id in self.lost or self._cannot_begin(generate):
            return
        self._count_reuses(step)
        completed, pictures = self.yielded.completed(generate)
        for index, output in enumerate(generate.outputs):
            if self.outputs.settled(output.path) is None and not self._carried_on(completed, pictures, index):
                return

    def _cannot_begin(self, step: Generate) -> bool:
        """Return whether `step` lacks what other steps were to bring: it will be said when its turn comes."""
        keys = self.plan.pipelines[step.pipeline].parts.values()
        lacking = self.failed_loads.intersection(key for key in keys if key is not None)
        return bool(lacking) or step.weighter is not None or self.yielded.lacking(step) is not None

    def _carried_on(self, step: Generate, pictures: Mapping[str, Any], index: int) -> bool:
        """Carry one image's call as far as it gets; return False after a failure."""
        image = ImageRef(step.id, index)
        try:
            if not self.calls.has_begun(image):
                self._begin(step, pictures, image)
            self.calls.advance(image)
        except Exception as error:
            self._lose(step, error, self._making(step, index), [])
            return False
        return True

    def _begin(self, step: Generate, pictures: Mapping[str, Any], image: ImageRef) -> None:
        output, number = step.outputs[image.index], image.index + 1
        self._emit(
            GenerateStarted(
                step.id, step.model, step.quantizers, output.seed, _prompt(step.arguments), number, len(step.outputs)
            )
        )

        def told(done: int, total: int) -> None:
            self._emit(DenoiseStep(step.id, done, total, number))

        self.calls.begin(step, image, pictures, told)

    def _lose(self, step: Generate, error: Exception, doing: str, written: list[str]) -> None:
        """Fail `step` and give up what is under way of it."""
        self.lost.add(step.id)
        self.calls.give_up(step.id)
        # Its parts are as they were; what was hung on them to offload them may not be.
        self.residents.disband(self.plan.pipelines[step.pipeline])
        self._fail(step, error, doing, written)

    def _making(self, step: Generate, index: int) -> str:
        return f"making image {index + 1} of {len(step.outputs)} (seed {step.outputs[index].seed})"

    def _generate(self, step: Generate) -> None:
        if step.id in self.lost:
            return  # in one of its phases
        match self.settled.get(step.id):
            case str(reason):
                self._skip(step, reason)
                for index, output in enumerate(step.outputs):
                    if (there := self.outputs.settled(output.path)) is not None:
                        self.yielded.keep_file(ImageRef(step.id, index), there)
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
        step, pictures = self.yielded.completed(step)
        written: list[str] = []
        doing = f"assembling the pipeline of `{step.model}`"
        try:
            self._check_residents(step)
            self._count_reuses(step)
            self.residents.assembled(self.plan.pipelines[step.pipeline], self.plan.components)
            for index in range(len(step.outputs)):
                doing = self._making(step, index)
                self._image(step, pictures, index, written)
        except Exception as error:
            self._lose(step, error, doing, written)

    def _lacks_a_value(self, step: Step) -> bool:
        """Skip a step that needs what an earlier one did not yield, and return whether it was."""
        reason = self.yielded.lacking(step)
        if reason is not None:
            self._skip(step, reason)
        return reason is not None

    def _lacks_a_part(self, step: Generate | Save) -> bool:
        """Skip a step that needs what could not be loaded, and return whether it was."""
        parts = (
            self.plan.pipelines[step.pipeline].parts if isinstance(step, Generate) else uses(step, self.plan.pipelines)
        )
        lost = [role for role, key in parts.items() if key in self.failed_loads]
        if lost:
            self._skip(step, f"it needs {_listed(lost)}, which could not be loaded")
        return bool(lost)

    def _check_residents(self, step: Generate | Save) -> None:
        # What an earlier phase's failure left unloaded is loaded when it is asked for.
        missing = [role for role, key in uses(step, self.plan.pipelines).items() if key not in self.residents]
        if missing:
            raise RuntimeError(f"the plan does not load {_listed(missing)}")

    def _count_reuses(self, step: Generate | Phase | Save) -> None:
        used = uses(step, self.plan.pipelines)
        for role, key in self.residents.reused(self.plan.pipelines[step.pipeline]):
            if role in used:
                self.reuses += 1
                self._emit(Reused(step.id, key, role))

    def _image(self, step: Generate, pictures: Mapping[str, Any], index: int, written: list[str]) -> None:
        image, output = ImageRef(step.id, index), step.outputs[index]
        self._pause()
        if (there := self.outputs.settled(output.path)) is not None:
            if self.options.existing is OutputPolicy.SKIP:
                self._emit(Warned(step.id, f"{self.outputs.why(there)}; it is not made again"))
            self.yielded.keep_file(image, there)
            return
        if not self.calls.has_begun(image):
            self._begin(step, pictures, image)
        picture, seconds, warnings = self.calls.finish(image)
        for warning in warnings:
            self._emit(Warned(step.id, warning))
        about = about_image(self.plan, step, output, picture.size, self.facts)
        started = self.options.clock()
        path = self.outputs.write(output.path, picture, about)
        if path is None:
            self._emit(Warned(step.id, f"`{self.outputs.locate(output.path)}` was made by someone else meanwhile"))
        else:
            self.images += 1
            self.written.append(str(path))
            written.append(str(path))
            seconds += self.options.clock() - started
            self._emit(ImageWritten(step.id, str(path), output.seed, seconds, index + 1))
            if path.suffix.lower() in LOSSY:
                # What is made of it is what a later run would make of the file.
                self.yielded.keep_file(image, path)
                return
            self.yielded.made[image] = path
        self.yielded.keep(image, picture)

    def _load_unforeseen(self, component: Component) -> None:
        """Load a part that a call needs now and the plan brings at another time."""
        loaded = self.residents.load(component)
        self.unforeseen.append(component.key)
        self._emit(
            Warned("", f"`{component.role}` was needed earlier than planned, and loaded ({loaded.bytes:,} bytes)")
        )

    def _grid(self, step: Grid) -> None:
        if self._is_settled(step):
            return
        try:
            pictures = [self.yielded.picture(cell.image) for cell in step.cells]
            missing = pictures.count(None)
            if step.cells and missing == len(step.cells):
                self._skip(step, "none of its pictures was made")
                return
            if missing:
                self._emit(Warned(step.id, f"{missing} of {len(step.cells)} pictures of this sheet were not made"))
            step = self.yielded.titled(step)
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

    def _compare(self, step: Compare) -> None:
        if self._is_settled(step):
            return
        rows: list[tables.Row] = []
        try:
            for index, pair in enumerate(step.pairs):
                label = self.yielded.line(pair.label)
                pictures = [self.yielded.picture(pair.reference), self.yielded.picture(pair.image)]
                values = None
                if pictures[0] is not None and pictures[1] is not None:
                    values = self.engine.measure(pictures[0], pictures[1], step.metrics)
                    self.yielded.known |= {NumberRef(step.id, metric, index): value for metric, value in values.items()}
                    self._emit(Measured(step.id, label, values))
                files = [self.yielded.file(reference) for reference in (pair.reference, pair.image)]
                rows.append(tables.Row(label, files[0], files[1], values))
            missing = sum(row.values is None for row in rows)
            if missing == len(rows):
                self._skip(step, "none of its pictures was made")
                return
            if missing:
                self._emit(Warned(step.id, f"{missing} of {len(rows)} pairs of this table were not made"))
            means = tables.means(rows, step.metrics)
            self.yielded.known |= {NumberRef(step.id, metric): value for metric, value in means.items()}
            if step.path is None:
                if step.printed:
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

    def _release_unforeseen(self) -> None:
        """Release what was loaded out of turn: the plan counts on the memory."""
        for key in self.unforeseen:
            self.residents.release(key)
        self.unforeseen.clear()

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
        self._telling(lambda: self.watch(event))

    def _telling(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception as error:
            raise _SinkFailed(error) from error


def _next_loads(plan: Plan) -> dict[int, Component]:
    """Return for each step that computes the component with weights that is loaded next after it."""
    found: dict[int, Component] = {}
    following: Component | None = None
    for number in range(len(plan.steps) - 1, -1, -1):
        step = plan.steps[number]
        if isinstance(step, Load) and plan.components[step.component].dtype is not None:
            following = plan.components[step.component]
        elif isinstance(step, Phase | Generate) and following is not None:
            found[number] = following
    return found


def _prompt(arguments: Mapping[str, Any]) -> str:
    prompt = arguments.get("prompt")
    return prompt if isinstance(prompt, str) else "" if prompt is None else str(prompt)


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
