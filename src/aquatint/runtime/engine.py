"""The engine's protocol: the few verbs by which a plan becomes pictures, and what each hands back.

The executor knows only this. `torch_engine` carries it out with the real libraries; the tests have an engine that
paints coloured squares and passes the same contract tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from PIL.Image import Image

from aquatint.plan.steps import Component, Json, Pipeline, Plugin
from aquatint.runtime.media import Medium


class EngineError(Exception):
    """A step could not be carried out for a reason that a user can act on; `help` says how."""

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.help = help


class LacksMemory(EngineError):
    """Memory didn't suffice for a load or a call; what was `asked` for at last and what was `free` are bytes, if known.

    The engine is as it was before: what failed can be tried again.
    """

    def __init__(
        self, message: str, help: str | None = None, asked: int | None = None, free: int | None = None
    ) -> None:
        super().__init__(message, help)
        self.asked = asked
        self.free = free


@dataclass(frozen=True, slots=True)
class Loaded:
    """A live component and what its loading came to.

    `bytes` are those of parameters and buffers as they are held; `quantized_layers` and `layers` count the modules
    that the backend replaced and those that it could have been meant to (Linear, Conv and Conv1D). `streamed` counts
    the tensors that were read one at a time; 0 tells that the library mapped the whole file. `from_store` says that an
    earlier run quantized it, `beside` that a process beside this run did; `warnings` are for people.
    """

    component: Component
    object: Any = field(repr=False)
    bytes: int = 0
    quantized_layers: int = 0
    layers: int = 0
    streamed: int = 0
    from_store: bool = False
    beside: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """One call to make: the pipeline's arguments, the seeds of the images' CPU generators, the scheduler's class name.

    A call of several images has a list of one for each where an argument is each one's own. Arguments are JSON, or
    pictures, tensors and lists of such. With `tiling` what decodes the pictures does so in tiles where it can, which
    takes less memory and changes pixels. `weighter` turns the prompts into embeddings; None: the pipeline does.
    """

    arguments: Mapping[str, Any]
    seeds: Sequence[int]
    scheduler: str | None = None
    tiling: bool = False
    weighter: Plugin | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """How a model is written: only some of its roles, or all with what makes a pipeline of them; the weights' files."""

    roles: Sequence[str] | None = None
    variant: str | None = None
    max_shard_size: int | None = None


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What an upscaler is asked for: `variations` strings of each of `prompts`, with the plugin's `options`.

    The options are after defaults, under their names in its schema. All that is drawn comes of `seed`.
    """

    options: Mapping[str, Json]
    prompts: Sequence[str]
    variations: int
    seed: int


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What an upscaler wrote: the strings of the first prompt, then those of the next; `warnings` are for people."""

    texts: Sequence[str]
    warnings: Sequence[str] = ()


@dataclass(slots=True)
class Counters:
    """Calls of the libraries, counted where they are made; a load may quantize, or restore from the store instead.

    `stored` counts what was put into the store, and `beside` what of `quantizations` a process beside this one did.
    """

    loads: int = 0
    quantizations: int = 0
    restored: int = 0
    stored: int = 0
    beside: int = 0
    releases: int = 0
    images: int = 0


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Bytes of tensors on a device: `now`, and at `most` since that was begun afresh."""

    now: int
    most: int


@dataclass(frozen=True, slots=True)
class Needs:
    """What a call that is under way waits for: the part with this role, and its component's key."""

    role: str
    key: str


OnStep = Callable[[int, int], None]
"""Called after denoising step `done` of `total`."""


class Call(Protocol):
    """A pipeline's call that is under way: it stops where it needs a part that isn't loaded."""

    warnings: list[str]
    """What the libraries had to say so far, for people."""

    def advance(self) -> list[Medium] | Needs:
        """Go on until a part is needed that isn't loaded, or to the end, and return a picture or video for each seed.

        Raises `EngineError`, and what `on_step` raises. After an error there is nothing to go on with.
        """
        ...

    def close(self) -> None:
        """Give the call up, and let go of what it holds; one that has ended holds nothing."""
        ...


class Engine(Protocol):
    """What an executor needs of the libraries. All calls come from one thread."""

    counters: Counters

    def describe(self) -> dict[str, Json]:
        """Return what decides the bits beside the plan: versions of the libraries, device, threads."""
        ...

    def load(self, component: Component) -> Loaded:
        """Load `component`, quantized if it asks for that; raise `EngineError` if that can't be done."""
        ...

    def foresee(self, ahead: Sequence[Component], spare: int | None) -> None:
        """Be told what is loaded from here on, in that order, while something else is computed; loads nothing.

        `spare` are bytes of the run's budget that its plan never takes, None for any amount. With nothing ahead, what
        was begun for that ends.
        """
        ...

    def assemble(self, pipeline: Pipeline, parts: Mapping[str, Loaded | Component | None]) -> Any:
        """Return a pipeline of `parts`, by role; it shares them and must not change them.

        A part with weights need not be loaded: its calls wait for it, and find it whenever it is. One that is
        offloaded has live parts alone, and may hang hooks on them, which are then of such pipelines alone.
        """
        ...

    def begin(self, pipeline: Any, generation: Generation, on_step: OnStep) -> Call:
        """Return the call of an assembled pipeline that makes images, videos or tensors, before it has done anything.

        The same call gives the same bits, whatever the engine did before and does in between.
        """
        ...

    def can_tile(self, pipeline: Any) -> bool:
        """Return whether a part of an assembled pipeline can decode pictures in tiles."""
        ...

    def rewrite(self, upscaler: Plugin, parts: Mapping[str, Loaded], asked: Rewriting) -> Rewritten:
        """Let an upscaler rewrite prompts with live `parts`, by role; raise `EngineError` if it can't.

        The same prompts under the same seed give the same strings, whatever the engine did before.
        """
        ...

    def measure(self, reference: Image, image: Image, metrics: Sequence[str]) -> dict[str, float]:
        """Return each of `metrics` (names of `catalog.metrics`) of two RGB pictures; raise `EngineError`."""
        ...

    def save(self, pipeline: Pipeline, parts: Mapping[str, Loaded | None], folder: Path, form: Form) -> None:
        """Write `parts`, live ones by role, into the empty `folder` as the libraries store them; change none of them.

        What the libraries read back is what was loaded, whatever was made with it since. Raises `EngineError`,
        and `OSError` for what the disk refuses.
        """
        ...

    def release(self, loaded: Loaded) -> None:
        """Drop `loaded` and give its memory back; calls that need it wait until it is loaded again."""
        ...

    def evict(self, loaded: Loaded) -> None:
        """Move the weights of `loaded` to the computer's memory; calls that need it wait until it comes back."""
        ...

    def bring_back(self, loaded: Loaded) -> None:
        """Move the weights of `loaded`, which was evicted, to the device; raise `EngineError` if that can't be done.

        It is then what it was, to the bit. After an error it can only be released.
        """
        ...

    def reclaim(self) -> None:
        """Give back what is kept only to be faster, such as what text encoders made of earlier prompts."""
        ...

    def device_memory(self, *, afresh: bool = False) -> DeviceMemory | None:
        """Return what is taken of the device, None if its memory is the process's own; `afresh` begins a new peak."""
        ...
