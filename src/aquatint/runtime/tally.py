"""What a run comes to for each model and upscaler and its quantizers, counted from events."""

from __future__ import annotations

from dataclasses import dataclass

from aquatint.plan.memory import held
from aquatint.plan.steps import Generate, Load, Phase, Plan, Return, Save, Upscale
from aquatint.plan.uses import needs, uses
from aquatint.runtime.events import (
    Event,
    Evicted,
    ImageWritten,
    LoadFinished,
    ModelTotals,
    PromptsRewritten,
    Released,
    Returned,
)


@dataclass(slots=True)
class _Row:
    images: int = 0
    loads: int = 0
    seconds: float = 0.0
    weights: int = 0
    strings: int = 0


class Tally:
    """Fed with every event of a run of `plan`."""

    def __init__(self, plan: Plan) -> None:
        self._users = {step.id: step for step in plan.steps if isinstance(step, Generate | Save | Upscale)}
        self._pipelines = plan.pipelines
        self._components = plan.components
        self._loaded_for = loaded_for(plan)
        self._rows: dict[str, _Row] = {step: _Row() for step in self._users}
        self._held: dict[str, int] = {}  # by component, as it was loaded
        self._released: set[str] = set()
        self.evictions = 0
        self.bytes_loaded = 0
        self.bytes_moved = 0
        self.strings = 0

    def feed(self, event: Event) -> None:
        """Take notice of `event`."""
        match event:
            case LoadFinished():
                self.bytes_loaded += event.bytes
                self.bytes_moved += event.bytes
                self._held[event.component] = event.bytes
                if event.component in self._released:
                    self._released.remove(event.component)
                    self.evictions += 1
                # What is loaded again for want of memory is told with the statement's own id.
                if (row := self._rows.get(self._loaded_for.get(event.step, event.step))) is not None:
                    row.loads += 1
            case Released():
                self._released.add(event.component)
            case Evicted():
                self.bytes_moved += event.bytes
            case Returned():
                self.bytes_moved += event.bytes
                self.evictions += 1
            case ImageWritten() if event.step in self._rows:
                row = self._rows[event.step]
                row.images += 1
                row.seconds += event.seconds
            case PromptsRewritten() if event.step in self._rows:
                row = self._rows[event.step]
                row.strings += len(event.texts)
                row.seconds += event.seconds
                self.strings += len(event.texts)
            case _:
                pass

    def totals(self) -> list[ModelTotals]:
        """Return a row for each model and upscaler under the same quantizers that did anything, in the plan's order."""
        together: dict[tuple[bool, str, frozenset[tuple[str, str | None]]], ModelTotals] = {}
        for name, row in self._rows.items():
            if not row.images and not row.strings and not row.loads:
                continue
            step = self._users[name]
            if isinstance(step, Upscale):
                model, quantizers = step.upscaler.name, self._quantizers(step)
            else:
                model, quantizers = step.model, step.quantizers
            key = isinstance(step, Upscale), model, frozenset(quantizers.items())
            one = ModelTotals(
                model, quantizers, row.images, row.loads, row.seconds, self._weights(step), strings=row.strings
            )  # fmt: skip
            together[key] = one if key not in together else _added(together[key], one)
        return list(together.values())

    def _quantizers(self, step: Upscale) -> dict[str, str | None]:
        used = {role: self._components[key] for role, key in uses(step, self._pipelines).items()}
        return {
            role: None if part.quantization is None else part.quantization.name
            for role, part in used.items() if part.dtype is not None
        }  # fmt: skip

    def _weights(self, step: Generate | Save | Upscale) -> int:
        if isinstance(step, Generate):
            # Its phases use the parts that it doesn't.
            keys = {key for key in self._pipelines[step.pipeline].parts.values() if key is not None}
        else:
            keys = set(uses(step, self._pipelines).values())
        # What an earlier run of the session has loaded goes by the plan.
        return sum(self._held[key] if key in self._held else held(self._components[key]).most for key in keys)


def _added(one: ModelTotals, other: ModelTotals) -> ModelTotals:
    """Return both together; the weights are the heavier one's, since a model's pipelines share most of theirs."""
    return ModelTotals(
        one.model, one.quantizers, one.images + other.images, one.loads + other.loads, one.seconds + other.seconds,
        max(one.weights, other.weights), strings=one.strings + other.strings,
    )  # fmt: skip


def loaded_for(plan: Plan) -> dict[str, str]:
    """Return for each load, by id, the statement that uses its component first."""
    waiting: dict[str, list[str]] = {}
    found: dict[str, str] = {}
    for step in plan.steps:
        match step:
            case Load() | Return():
                waiting.setdefault(step.component, []).append(step.id)
            case Generate() | Phase() | Upscale() | Save():
                user = step.generate if isinstance(step, Phase) else step.id
                for key in needs(step, plan.pipelines, plan.components):
                    found |= dict.fromkeys(waiting.pop(key, ()), user)
            case _:
                pass
    return found
