"""What is done when memory doesn't suffice: one rung after the other of a ladder, and then a failure with numbers.

A rung stays taken for its statement. Whatever is released here is loaded again by whoever needs it (`steps.loads`).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import TypeVar, assert_never

from aquatint.catalog import compatibility
from aquatint.catalog.hardware import SHARED_MEMORY
from aquatint.catalog.models import OFFLOADS
from aquatint.plan.batches import unit
from aquatint.plan.render import sized
from aquatint.plan.steps import Generate, Pipeline, Save, Upscale
from aquatint.plan.uses import uses
from aquatint.runtime.engine import EngineError, LacksMemory
from aquatint.runtime.events import OutOfMemory, Released, Rung
from aquatint.runtime.free_memory import left
from aquatint.runtime.options import Resort
from aquatint.runtime.run import Run

T = TypeVar("T")


class OutOfRungs(EngineError):
    """Memory doesn't suffice, whatever was done; the message has numbers."""


class Ladder:
    """The rungs that the statements of one run have taken; those that share a call take them together.

    `owed` are the keys of components that are loaded by the plan, and aren't for want of memory.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.owed: set[str] = set()
        self._units = {step.id: unit(step) for step in run.plan.steps}
        self._taken: dict[str, list[Rung]] = {}

    def taken(self, step: str) -> list[Rung]:
        """Return the rungs that the step with that id has taken."""
        return self._taken.get(self._units.get(step, step), [])

    def with_less(
        self,
        user: Generate | Upscale | Save,
        doing: str,
        work: Callable[[], T],
        undo: Callable[[], None] = lambda: None,
    ) -> T:
        """Return what `work` returns, which is part of what `user` does.

        Where memory doesn't suffice for it, `undo` is called, a rung is taken, and it is called again. Raises what it
        raises for other reasons, and `OutOfRungs` when no rung is left.
        """
        while True:
            try:
                return work()
            except Exception as error:
                lack = _lack(error)
                if lack is None:
                    raise
            # Out here, where nothing holds on to what failed any more.
            undo()
            self._climb(user, doing, lack)

    def _climb(self, user: Generate | Upscale | Save, doing: str, lack: LacksMemory) -> None:
        taken = self._taken.setdefault(self._units[user.id], [])
        others = self._others(user)
        # There may be something to release again: between phases others have theirs.
        free = (rung for rung in self._rungs(user) if rung not in taken or (rung == "release" and others))
        rung = next(free, None)
        if rung is None:
            raise OutOfRungs(self._numbers(doing, lack, taken), "; or ".join(self._ways_out(user)))
        if rung not in taken:
            taken.append(rung)
        self.run.account.emit(OutOfMemory(user.id, doing, rung, lack.asked))
        match rung:
            case "release":
                self.release(user.id, *others)
            case "turns":
                self.release(user.id, *self._weighty(user))
            case "unbatched" | "tiling":
                pass  # when the call begins again
            case _:
                assert_never(rung)
        self.run.engine.reclaim()

    def _rungs(self, user: Generate | Upscale | Save) -> Iterator[Rung]:
        """Yield the rungs that there are for `user`, the cheapest first."""
        resort = self.run.options.out_of_memory
        if resort == Resort.FAIL:
            return
        yield "release"
        if not isinstance(user, Generate):
            return
        # The hooks that offload are on live modules.
        if self._pipeline(user).offload is None:
            yield "turns"
        if resort == Resort.ANY and _is_batched(user):
            yield "unbatched"
        if resort == Resort.ANY and self._can_tile(user):
            yield "tiling"

    def _can_tile(self, user: Generate) -> bool:
        try:
            assembled = self.run.residents.assembled(self._pipeline(user), self.run.plan.components)
            return self.run.engine.can_tile(assembled)
        except EngineError:
            return False

    def release(self, step: str, *keys: str) -> None:
        """Release components before the plan does, for the step with that id."""
        for key in keys:
            if (released := self.run.residents.release(key)) is not None:
                self.owed.add(key)
                self.run.account.emit(Released(step, key, released.component.role))

    def _others(self, user: Generate | Upscale | Save) -> list[str]:
        """Return what is loaded and no part of the pipeline, the last loaded first."""
        own = set(self._pipeline(user).parts.values())
        live = (loaded.component.key for loaded in self.run.residents.components())
        return [key for key in live if key not in own][::-1]

    def _weighty(self, user: Generate | Upscale | Save) -> list[str]:
        """Return the parts of the pipeline that have weights and are loaded."""
        own = set(self._pipeline(user).parts.values())
        components = self.run.residents.components()
        return [each.component.key for each in components if each.component.key in own and each.component.dtype]

    def _pipeline(self, user: Generate | Upscale | Save) -> Pipeline:
        return self.run.plan.pipelines[user.pipeline]

    def _numbers(self, doing: str, lack: LacksMemory, taken: list[Rung]) -> str:
        """Return what was asked for, what there is, and what holds the rest."""
        device = self.run.engine.device_memory()
        free = lack.free if lack.free is not None or device is not None else left()
        asked = "" if lack.asked is None else f": {sized(lack.asked)} were asked for"
        there = "" if free is None else f"{' and' if asked else ':'} {sized(free)} are free"
        held = {loaded.component.role: loaded.bytes for loaded in self.run.residents.components() if loaded.bytes}
        parts = ", ".join(f"`{role}` {sized(bytes)}" for role, bytes in held.items())
        lines = [f"out of memory while {doing}{asked}{there}"]
        lines.append(f"loaded are {parts}" if parts else "no weights are loaded")
        if taken:
            lines.append(f"tried already: {', '.join(taken)}")
        return "\n".join(lines)

    def _ways_out(self, user: Generate | Upscale | Save) -> Iterator[str]:
        resort, pipeline = self.run.options.out_of_memory, self._pipeline(user)
        if resort == Resort.FAIL:
            yield "run with `--out-of-memory exact`, which goes on with less in memory at a time"
        elif resort == Resort.EXACT and _is_batched(user):
            yield "lower `images_per_batch`, or run with `--out-of-memory any`, which makes its images one at a time"
        elif resort == Resort.EXACT and isinstance(user, Generate) and self._can_tile(user):
            yield "run with `--out-of-memory any`, which decodes the picture in tiles: its pixels will be others"
        parts = [self.run.plan.components[key] for key in uses(user, self.run.plan.pipelines).values()]
        quantized = [each for part in parts if (each := part.quantization or part.stored) is not None]
        if pipeline.offload is None and all(part.device.partition(":")[0] not in SHARED_MEMORY for part in parts):
            # Not run here: there is no GPU.
            for way in OFFLOADS:
                refusals = (
                    compatibility.refusal(f"offload-{way}", each.backend, each.options)
                    for each in quantized
                    if each.backend is not None
                )
                if not any(refusals):
                    yield f'put `offload: "{way}"` into the model'
                    break
        yield "take a smaller size, a quantizer of fewer bits or a narrower dtype"


def _is_batched(user: Generate | Upscale | Save) -> bool:
    return isinstance(user, Generate) and any(output.batch is not None for output in user.outputs)


def _lack(error: Exception) -> LacksMemory | None:
    """Return what `error` says of a lack of memory, None if it is something else; nothing hangs on the answer."""
    if not isinstance(error, LacksMemory | MemoryError):
        return None
    lack = error if isinstance(error, LacksMemory) else LacksMemory("out of memory")
    # Its traceback would hold on to all that there was when memory ran out.
    found: BaseException | None = error
    while found is not None:
        traceback.clear_frames(found.__traceback__)
        found = found.__cause__ or found.__context__
    return LacksMemory(str(lack), lack.help, lack.asked, lack.free)
