"""An engine without models: it paints deterministic pictures, counts like the real one, and fails on request.

It is strict where the real libraries would break quietly: using what was released, or assembling other parts than
the pipeline asks for, is an assertion error. It keeps the contract of engines, as the real one does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image as images
from PIL.Image import Image

from aquatint.catalog.pipelines import is_denoiser, is_text_encoder
from aquatint.plan.steps import Component, Json, Pipeline, Plugin
from aquatint.runtime.engine import (
    Counters,
    DeviceMemory,
    EngineError,
    Form,
    Generation,
    LacksMemory,
    Loaded,
    Needs,
    OnStep,
    Rewriting,
    Rewritten,
)  # fmt: skip


@dataclass(eq=False)
class Weights:
    """What stands for a loaded component's weights."""

    key: str
    bytes: int = 0
    released: bool = False


@dataclass
class PaintedPipeline:
    """What stands for a pipeline: its components by role, those without weights live."""

    key: str
    parts: dict[str, Component | None]


@dataclass
class PaintedCall:
    """A call that is under way; it needs text encoders first, then denoisers, then the rest."""

    engine: FakeEngine
    pipeline: PaintedPipeline
    generation: Generation
    on_step: OnStep
    number: int
    warnings: list[str] = field(default_factory=list)
    done: int = 0
    closed: bool = False
    _had: set[str] = field(default_factory=set)

    def advance(self) -> list[Image] | Needs:
        """Go on until a part with weights is needed that isn't live, or to the end."""
        assert not self.closed, "a call that is over is carried on"
        for role, part in sorted(self.pipeline.parts.items(), key=lambda item: _turn(item[0])):
            if part is None or part.dtype is None or role in self._had:
                continue
            if part.key not in self.engine.live_keys():
                return Needs(role, part.key)
            self._had.add(role)
            work = self.engine.work.get(role, 0) * len(self.generation.seeds)
            self.engine.take(0 if self.generation.tiling and role == "vae" else work)
            if is_denoiser(role):
                self._denoise()
        if not self.done:
            self._denoise()
        self.closed = True
        return self.engine.painted(self.pipeline, self.generation)

    def close(self) -> None:
        """Give the call up."""
        self.closed = True

    def _denoise(self) -> None:
        total = int(self.generation.arguments.get("num_inference_steps", 3))
        for self.done in range(1, total + 1):
            if self.done == total and self.number in self.engine.image_faults:
                raise self.engine.image_faults[self.number]
            self.engine.at_step(self.done)
            self.on_step(self.done, total)


@dataclass
class FakeEngine:
    """A fake engine, told what goes wrong.

    `load_faults`, `move_faults` (to the computer's memory) and `return_faults` (back) are by component key,
    `image_faults` by the number (from 0) of the call.
    `loaded_twice` has the keys of what was loaded while it was there already, which the real engine does on request.
    `calls` has what was asked for, in order: ("load", key), ("assemble", key), ("generate", seed),
    ("save", key), ("evict", key), ("bring_back", key), ("release", key), ("reclaim", None). With `room` there are only
    so many bytes for weights, and for what calls take beside them while a part works on an image: that is in `work`, by
    role.
    """

    counters: Counters = field(default_factory=Counters)
    load_faults: Mapping[str, BaseException] = field(default_factory=dict)
    image_faults: Mapping[int, BaseException] = field(default_factory=dict)
    assemble_faults: Mapping[str, BaseException] = field(default_factory=dict)
    save_faults: Mapping[str, BaseException] = field(default_factory=dict)
    move_faults: Mapping[str, BaseException] = field(default_factory=dict)
    return_faults: Mapping[str, BaseException] = field(default_factory=dict)
    rewrite_fault: BaseException | None = None
    calls: list[tuple[str, Any]] = field(default_factory=list)
    live: list[Weights] = field(default_factory=list)
    hosted: list[Weights] = field(default_factory=list)
    loaded_twice: list[str] = field(default_factory=list)
    at_step: Callable[[int], None] = lambda done: None
    said: list[str] = field(default_factory=list)  # what the libraries say of every image
    foreseen: list[tuple[list[str], int | None]] = field(default_factory=list)
    images_asked: int = 0
    asked: list[Generation] = field(default_factory=list)
    memory: DeviceMemory | None = None
    room: int | None = None
    work: Mapping[str, int] = field(default_factory=dict)

    def describe(self) -> dict[str, Json]:
        return {"engine": "fake", "device": "cpu"}

    def load(self, component: Component) -> Loaded:
        self.calls.append(("load", component.key))
        if component.key in self.live_keys():
            self.loaded_twice.append(component.key)
        if component.key in self.load_faults:
            raise self.load_faults[component.key]
        if component.source.startswith("/") and not Path(component.source).exists():
            raise EngineError(f"there is no `{component.source}`")
        self.take(component.bytes)
        self.counters.loads += 1
        self.counters.quantizations += component.quantization is not None
        weights = Weights(component.key, component.bytes)
        self.live.append(weights)
        quantized = component.quantization is not None
        return Loaded(component, weights, component.bytes, 76 if quantized else 0, 83 if component.bytes else 0)

    def foresee(self, ahead: Sequence[Component], spare: int | None) -> None:
        self.foreseen.append(([component.key for component in ahead], spare))

    def assemble(self, pipeline: Pipeline, parts: Mapping[str, Loaded | Component | None]) -> PaintedPipeline:
        self.calls.append(("assemble", pipeline.key))
        if pipeline.key in self.assemble_faults:
            raise self.assemble_faults[pipeline.key]
        made: dict[str, Component | None] = {}
        for role, part in parts.items():
            made[role] = part.component if isinstance(part, Loaded) else part
            component = made[role]
            key = None if component is None else component.key
            assert key == pipeline.parts[role], f"{role} is {key}, not {pipeline.parts[role]}"
            assert component is None or component.dtype is not None or isinstance(part, Loaded), f"{role} isn't loaded"
        assert made.keys() == pipeline.parts.keys()
        return PaintedPipeline(pipeline.key, made)

    def begin(self, pipeline: PaintedPipeline, generation: Generation, on_step: OnStep) -> PaintedCall:
        self.calls += [("generate", seed) for seed in generation.seeds]
        self.asked.append(generation)
        self.images_asked += 1
        return PaintedCall(self, pipeline, generation, on_step, self.images_asked - 1, list(self.said))

    def painted(self, pipeline: PaintedPipeline, generation: Generation) -> list[Image]:
        """Return the pictures that a call comes to; those of several depend on all that is in the call."""
        self.counters.images += len(generation.seeds)
        parts = {role: None if part is None else part.key for role, part in sorted(pipeline.parts.items())}
        alone = len(generation.seeds) == 1
        seeds = generation.seeds[0] if alone else list(generation.seeds)
        what = [pipeline.key, parts, dict(generation.arguments), seeds, generation.scheduler]
        width, height = generation.arguments.get("width", 64), generation.arguments.get("height", 64)
        return [
            painted(json.dumps(what if alone else [*what, place], sort_keys=True, default=_pixels), (width, height))
            for place in range(len(generation.seeds))
        ]

    def rewrite(self, upscaler: Plugin, parts: Mapping[str, Loaded], asked: Rewriting) -> Rewritten:
        self.calls.append(("rewrite", asked.seed))
        for role, part in parts.items():
            assert not part.object.released, f"{role} was released"
        if self.rewrite_fault is not None:
            raise self.rewrite_fault
        texts = [
            f"{prompt}, {asked.seed + variation}" for prompt in asked.prompts for variation in range(asked.variations)
        ]
        return Rewritten(texts, list(self.said))

    def measure(self, reference: Image, image: Image, metrics: Sequence[str]) -> dict[str, float]:
        if reference.size != image.size:
            raise EngineError("can't compare pictures of different sizes")
        return dict.fromkeys(metrics, float(reference.tobytes() != image.tobytes()))

    def save(self, pipeline: Pipeline, parts: Mapping[str, Loaded | None], folder: Path, form: Form) -> None:
        self.calls.append(("save", pipeline.key))
        for role, part in parts.items():
            if part is None:
                continue
            assert not part.object.released, f"{role} was released"
            (folder / role).mkdir()
            (folder / role / "config.json").write_text(json.dumps({"key": part.component.key}), encoding="utf-8")
        if form.roles is None:
            index = {"_class_name": pipeline.class_name}
            (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
        if pipeline.key in self.save_faults:
            raise self.save_faults[pipeline.key]

    def evict(self, loaded: Loaded) -> None:
        self.calls.append(("evict", loaded.component.key))
        self.live.remove(loaded.object)
        self.hosted.append(loaded.object)
        if loaded.component.key in self.move_faults:
            raise self.move_faults[loaded.component.key]

    def bring_back(self, loaded: Loaded) -> None:
        self.calls.append(("bring_back", loaded.component.key))
        if loaded.component.key in self.return_faults:
            raise self.return_faults[loaded.component.key]
        self.hosted.remove(loaded.object)
        self.live.append(loaded.object)

    def release(self, loaded: Loaded) -> None:
        self.calls.append(("release", loaded.component.key))
        assert not loaded.object.released, f"{loaded.component.key} is released twice"
        (self.hosted if loaded.object in self.hosted else self.live).remove(loaded.object)
        loaded.object.released = True
        self.counters.releases += 1

    def can_tile(self, pipeline: PaintedPipeline) -> bool:
        return any(part is not None and part.role == "vae" for part in pipeline.parts.values())

    def reclaim(self) -> None:
        self.calls.append(("reclaim", None))

    def device_memory(self, *, afresh: bool = False) -> DeviceMemory | None:
        return self.memory

    def take(self, size: int) -> None:
        """Raise `LacksMemory` unless there is room for `size` bytes beside what is loaded."""
        if self.room is not None and (free := self.room - sum(weights.bytes for weights in self.live)) < size:
            raise LacksMemory("there is no room", None, size, free)

    def live_keys(self) -> set[str]:
        """Return the keys of what is loaded."""
        return {weights.key for weights in self.live}

    def count(self, verb: str) -> int:
        """Return how often `verb` was called."""
        return sum(name == verb for name, _ in self.calls)


def painted(text: str, size: tuple[int, int]) -> Image:
    """Return a picture of 4 x 4 colours that `text` decides."""
    digest = hashlib.sha384(text.encode()).digest()
    return images.frombytes("RGB", (4, 4), digest).resize(size, images.Resampling.NEAREST)


def _turn(role: str) -> tuple[int, str]:
    return (0 if is_text_encoder(role) else 1 if is_denoiser(role) else 2), role


def _pixels(value: Any) -> str:
    """Return what stands for a picture among the arguments of a call."""
    assert isinstance(value, Image), f"{value!r} is no argument"
    return hashlib.sha256(value.tobytes()).hexdigest()
