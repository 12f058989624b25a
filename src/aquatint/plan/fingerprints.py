"""Fingerprints of the files that a plan writes, known before any of them is made.

Two outputs have equal fingerprints exactly when their files would be equal, made with the same engine: what the engine
decides (libraries, device, threads) is kept beside them by whoever compares. Left out is what a picture's metadata say
of where it came from, its script's name, line and text: a statement that has moved has not changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

import msgspec

from aquatint.plan.batches import companions
from aquatint.plan.keys import digest
from aquatint.plan.steps import (
    Compare,
    Deferred,
    Generate,
    Grid,
    Hole,
    ImageRef,
    Json,
    Line,
    NumberRef,
    Output,
    PictureFile,
    Pipeline,
    Plan,
    Plugin,
    Quantization,
    Record,
    Row,
    Save,
    Step,
    TensorFile,
    TensorRef,
    Text,
    TextRef,
    Upscale,
    VideoFile,
)
from aquatint.plan.uses import computing, ip_adapters, loras, textual_inversions, uses

Parts = dict[str, str]
"""A fingerprint: by name, hashes of all that decides a file. The names are for people: `argument prompt`, `seed`."""

LOSSY = (".jpg", ".jpeg")
"""Suffixes of pictures that don't hold the pixels that were made: who works with one works with what its file holds.

So it is with videos, in whatever form: some hold fewer colours, or one frame for several that are alike.
"""

_SIZE = 8  # bytes of a part's hash


class Planned(Record, frozen=True):
    """A file or folder that a plan writes: image number `index` of the step called `step`, or all that it makes.

    `parts` is None where the plan alone doesn't tell what it comes to, since it is made of an earlier plan's images.
    """

    path: str
    step: str
    index: int | None
    parts: Parts | None

    @property
    def fingerprint(self) -> str | None:
        """One hash of all parts."""
        return None if self.parts is None else digest(self.parts)


class _FromElsewhere(Exception):
    """Something is made of what another plan yields."""


def planned(plan: Plan) -> list[Planned]:
    """Return what `plan` writes, in order."""
    return list(_Fingerprints(plan).all())


class _Fingerprints:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.steps = {step.id: step for step in plan.steps}
        self.images: dict[str, str] = {}  # by the id of a step, what decides the pixels of all its images
        self.yielded: dict[str, str] = {}  # by the id of a step, what decides its strings or numbers
        self.pipelines: dict[str, Parts] = {}
        self.batches: dict[str, str] = {}  # by name, what is in the call

    def all(self) -> Iterator[Planned]:
        for step in self.plan.steps:
            match step:
                case Generate():
                    shared = self._known(step)
                    for index, output in enumerate(step.outputs):
                        if output.path is None:
                            continue
                        own = None if shared is None else shared | self._of_output(step, output)
                        yield Planned(output.path, step.id, index, own)
                case Grid() | Save():
                    yield Planned(step.path, step.id, None, self._known(step))
                case Compare(path=str(path)):
                    yield Planned(path, step.id, None, self._known(step))
                case _:
                    pass

    def _known(self, step: Generate | Grid | Compare | Save) -> Parts | None:
        try:
            match step:
                case Generate():
                    return self._generate(step)
                case Grid():
                    return self._grid(step)
                case Compare():
                    return self._compare(step)
                case Save():
                    return self._save(step)
        except _FromElsewhere:
            return None

    def _generate(self, step: Generate) -> Parts:
        """Return what decides all images of `step`; the rest is in `_of_output`."""
        parts = dict(self._pipeline(self.plan.pipelines[step.pipeline]))
        for name, value in step.arguments.items():
            parts[f"argument {name}"] = _hash(value)
        for name, given in step.deferred.items():
            parts[f"argument {name}"] = _hash(self._given(given))
        if step.scaled is not None:
            parts["size"] = _hash(step.scaled)
        if step.scheduler is not None:
            parts["scheduler"] = _hash(step.scheduler)
        if step.weighter is not None:
            parts["weighter"] = _hash(_plugin(step.weighter))
        return parts

    def _of_output(self, step: Generate, output: Output) -> Parts:
        parts = {"seed": _hash(output.seed), "format": _hash(_form(str(output.path)))}
        if batch := self._batch(output):
            parts["batch"] = _hash(batch)
        if step.fps is not msgspec.UNSET:
            parts["fps"] = _hash(step.fps)
        if step.metadata:
            parts |= {"metadata": _hash(True), "name of the model": _hash(step.model),
                      "names of quantizers": _hash(step.quantizers)}  # fmt: skip
            if step.weighter is not None:
                parts["name of the weighter"] = _hash(step.weighter.name)
        if step.sidecar:
            parts["sidecar"] = _hash(True)
        return parts

    def _batch(self, output: Output) -> list[Json]:
        """Return where an image stands in its call, and what else is in that; nothing if it has its own call."""
        if output.batch is None:
            return []
        name = output.batch.name
        if name not in self.batches:
            self.batches[name] = digest([[each.seed, each.prompts] for each in companions(self.plan, output)])
        return [output.batch.index, self.batches[name]]

    def _pipeline(self, pipeline: Pipeline) -> Parts:
        if pipeline.key not in self.pipelines:
            options = [pipeline.class_name, pipeline.source, pipeline.revision, pipeline.options, pipeline.offload]
            parts = {"pipeline": _hash(options)}
            parts |= {f"component {role}": _hash(key) for role, key in pipeline.parts.items()}
            parts |= {f"weight of {role}": _hash(use.weight) for role, use in loras(pipeline).items()}
            parts |= {f"token of {role}": _hash(use.token) for role, use in textual_inversions(pipeline).items()}
            parts |= {f"scale of {role}": _hash(use.scale) for role, use in ip_adapters(pipeline).items()}
            parts |= {
                f"{name} of {role}": _hash(value)
                for role, own in computing(pipeline).items()
                for name, value in own.items()
            }
            self.pipelines[pipeline.key] = parts
        return self.pipelines[pipeline.key]

    def _grid(self, step: Grid) -> Parts:
        return {
            "pictures": _hash([self._pixels(cell.image) for cell in step.cells]),
            "labels": _hash([self._line(cell.label) for cell in step.cells]),
            "columns": _hash(step.columns),
            "column headers": _hash([self._line(line) for line in step.column_headers]),
            "row headers": _hash([self._line(line) for line in step.row_headers]),
            "title": _hash(self._line(step.title)),
            "format": _hash(_form(step.path)),
        }

    def _compare(self, step: Compare) -> Parts:
        files = [self._file(image) for pair in step.pairs for image in (pair.reference, pair.image)]
        return {
            "pictures": _hash([[self._pixels(pair.reference), self._pixels(pair.image)] for pair in step.pairs]),
            "files": _hash(files),
            "labels": _hash([self._line(pair.label) for pair in step.pairs]),
            "metrics": _hash(step.metrics),
            "format": _hash(_form(str(step.path))),
        }

    def _save(self, step: Save) -> Parts:
        pipeline = self.plan.pipelines[step.pipeline]
        options = [pipeline.class_name, pipeline.source, pipeline.revision, pipeline.options]
        parts = {"pipeline": _hash(options)}
        parts |= {f"component {role}": _hash(key) for role, key in uses(step, self.plan.pipelines).items()}
        return parts | {
            "submodules": _hash(step.roles),
            "variant": _hash(step.variant),
            "max_shard_size": _hash(step.max_shard_size),
            "name of the model": _hash(step.model),
            "names of quantizers": _hash(step.quantizers),
        }

    def _step(self, id: str) -> Step:
        try:
            return self.steps[id]
        except KeyError:
            raise _FromElsewhere from None

    def _pixels(self, reference: ImageRef) -> Json:
        """Return what decides the pixels that other steps see of an image."""
        step = self._step(reference.step)
        assert isinstance(step, Generate)
        if step.id not in self.images:
            self.images[step.id] = digest(self._generate(step))
        output = step.outputs[reference.index]
        return [
            self.images[step.id], output.seed, PurePath(output.path or "").suffix.lower() in LOSSY, *self._batch(output)
        ]  # fmt: skip

    def _file(self, reference: ImageRef) -> str:
        step = self._step(reference.step)
        assert isinstance(step, Generate)
        return str(step.outputs[reference.index].path)

    def _given(self, given: Deferred | Row | None) -> Json:
        match given:
            case None:
                return None
            case ImageRef():
                return ["image", self._pixels(given)]
            case TensorRef():
                return ["tensor", self._pixels(given.image), given.name]
            case PictureFile():
                return ["file", given.hash]
            case VideoFile():
                return ["video", given.hash]
            case TensorFile():
                return ["tensors", given.hash, given.name]
            case Text():
                return self._line(given)
            case list():
                return ["list", *map(self._given, given)]

    def _line(self, line: Line) -> Json:
        # A string of its own: a text whose holes are filled alike, but whose parts are others, is made anew.
        return line if isinstance(line, str) else ["text", *map(self._part, line.parts)]

    def _part(self, part: str | Hole) -> Json:
        if isinstance(part, str):
            return part
        match part.ref:
            case Text():
                value = self._line(part.ref)
            case TextRef(step=id, index=index):
                value = ["string", self._yields(id), index]
            case NumberRef(step=id, metric=metric, index=index):
                value = ["number", self._yields(id), metric, index]
        return ["hole", value, part.operations]

    def _yields(self, id: str) -> str:
        """Return what decides the strings or numbers that a step yields."""
        if id not in self.yielded:
            match self._step(id):
                case Upscale() as step:
                    prompts = list(map(self._line, step.prompts))
                    parts = self.plan.pipelines[step.pipeline].parts
                    self.yielded[id] = digest([_plugin(step.upscaler), parts, prompts, step.variations, step.seed])
                case Compare() as step:
                    pairs = [[self._pixels(pair.reference), self._pixels(pair.image)] for pair in step.pairs]
                    self.yielded[id] = digest(pairs)
                case step:
                    raise AssertionError(f"{step.id} yields nothing")
        return self.yielded[id]


def _plugin(plugin: Plugin) -> Json:
    return [plugin.plugin, plugin.options, _quantization(plugin.quantization)]


def _quantization(quantization: Quantization | None) -> Json:
    return None if quantization is None else [quantization.backend, quantization.options]


def _form(path: str) -> str:
    suffix = PurePath(path).suffix.lower()
    return ".jpg" if suffix == ".jpeg" else suffix


def _hash(value: Json) -> str:
    return digest(msgspec.to_builtins(value), _SIZE)
