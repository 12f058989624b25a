"""What a run has ahead of it, piece by piece, so that the time that it takes can be told from what others took.

How fast each kind of piece goes is in `speeds`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from aquatint.catalog.pipelines import pipeline as known_pipeline
from aquatint.plan.batches import companions
from aquatint.plan.memory import held
from aquatint.plan.steps import Generate, Load, Pipeline, Plan, Release, Save, Upscale
from aquatint.plan.uses import uses


@dataclass(frozen=True, slots=True)
class Kind:
    """What images have in common that take equally long.

    `pixels` is None where the size is the pipeline's own affair, and `steps` what was asked for, which need not be how
    many are taken: `strength` takes some away. `batch` is the number of images in a call.
    """

    pipeline: str
    pixels: int | None
    steps: int
    strength: float | None = None
    batch: int = 1


@dataclass(frozen=True, slots=True)
class LoadAhead:
    """A component to load; `bytes` are those of its weights before they are quantized."""

    step: str
    component: str
    bytes: int
    quantized: bool


@dataclass(frozen=True, slots=True)
class ImageAhead:
    """An image to make, number `number` (from 1) of its step."""

    step: str
    number: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class SaveAhead:
    """A model to save, with as many bytes of weights."""

    step: str
    bytes: int


@dataclass(frozen=True, slots=True)
class RewriteAhead:
    """Strings that an upscaler is to write; `pipeline` is that of its language model."""

    step: str
    pipeline: str
    strings: int


Work = LoadAhead | ImageAhead | SaveAhead | RewriteAhead


def ahead(
    plan: Plan, resident: AbstractSet[str], settled: Collection[str], there: Callable[[str | None], bool]
) -> Iterator[Work]:
    """Yield what `plan` has to do when `resident` components are loaded, without what the `settled` steps would do.

    `there` says of the path of an image whether it is left as it is. Comparisons, sheets and texts take too little
    time to count.
    """
    live = set(resident)
    for step in plan.steps:
        match step:
            case Load(component=key) if key not in live:
                live.add(key)
                component = plan.components[key]
                yield LoadAhead(step.id, key, component.bytes, component.quantization is not None)
            case Release(component=key):
                live.discard(key)
            case Generate() if step.id not in settled:
                kind = _kind(step, plan.pipelines[step.pipeline])
                for number, output in enumerate(step.outputs, 1):
                    if not there(output.path):
                        batch = len(companions(plan, output)) or 1
                        yield ImageAhead(step.id, number, kind if batch == 1 else replace(kind, batch=batch))
            case Upscale() if step.id not in settled:
                yield RewriteAhead(step.id, step.pipeline, len(step.prompts) * step.variations)
            case Save() if step.id not in settled:
                used = uses(step, plan.pipelines).values()
                yield SaveAhead(step.id, sum(held(plan.components[key]).most for key in used))
            case _:
                pass


def _kind(step: Generate, pipeline: Pipeline) -> Kind:
    width, height = step.arguments.get("width"), step.arguments.get("height")
    pixels = width * height if isinstance(width, int) and isinstance(height, int) else None
    strength = step.arguments.get("strength")
    return Kind(
        pipeline.key, pixels, _steps(step, pipeline), strength if isinstance(strength, int | float) else None
    )  # fmt: skip


def _steps(step: Generate, pipeline: Pipeline) -> int:
    """Return how many denoising steps an image is asked for; 0 where its pipeline has no such number."""
    for name in ("timesteps", "sigmas"):
        if isinstance(given := step.arguments.get(name), list):
            return len(given)
    given = step.arguments.get("num_inference_steps")
    if given is None and (known := known_pipeline(pipeline.class_name)) is not None:
        argument = known.arguments.get("num_inference_steps")
        given = None if argument is None else argument.default
    return given if isinstance(given, int) else 0
