"""The components that are loaded or were evicted, and the pipelines assembled of them.

What a component's key means is the plan's affair; when to load and release is the executor's. A session keeps one
`Residents` across its statements, so that models stay warm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aquatint.plan.steps import Component, Pipeline
from aquatint.runtime.engine import Engine, Loaded


class Residents:
    """Live components by key, with the pipelines that share them, all of one engine."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self.engine = engine
        self.clock = clock
        self._since: dict[str, float] = {}
        self._loaded: dict[str, Loaded] = {}
        self._pipelines: dict[str, tuple[frozenset[str], Any]] = {}
        self._fresh: set[str] = set()
        self._hosted: dict[str, Loaded] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._loaded

    def __getitem__(self, key: str) -> Loaded:
        return self._loaded[key]

    def keys(self) -> frozenset[str]:
        """Return the keys of the live components."""
        return frozenset(self._loaded)

    def components(self) -> list[Loaded]:
        """Return the live components, those first that have not been `touched` for longest."""
        return list(self._loaded.values())

    def age(self, key: str) -> float:
        """Return the seconds since a component was loaded that is live or was evicted."""
        return self.clock() - self._since[key]

    def touch(self, keys: Iterable[str]) -> None:
        """Take notice that the components with these keys are used."""
        for key in keys:
            if key in self._loaded:
                self._loaded[key] = self._loaded.pop(key)

    def load(self, component: Component) -> Loaded:
        """Return the live component that `component` asks for, loading it if no equal one is there or was evicted."""
        if component.key in self._hosted:
            return self.bring_back(component.key)
        if component.key not in self._loaded:
            self._loaded[component.key] = self.engine.load(component)
            self._fresh.add(component.key)
            self._since[component.key] = self.clock()
        return self._loaded[component.key]

    def reused(self, pipeline: Pipeline) -> list[tuple[str, str]]:
        """Return role and key of each part of `pipeline` that was not loaded since the last `next_statement`."""
        return [
            (role, key) for role, key in pipeline.parts.items() if key in self._loaded and key not in self._fresh
        ]  # fmt: skip

    def next_statement(self) -> None:
        """Count what is loaded until now as reused from here on."""
        self._fresh.clear()

    def assembled(self, pipeline: Pipeline, components: Mapping[str, Component]) -> Any:
        """Return what the engine made of `pipeline`, whose parts are loaded or are among `components`."""
        if pipeline.key not in self._pipelines:
            parts = {
                role: None if key is None else self._loaded.get(key, components[key])
                for role, key in pipeline.parts.items()
            }
            keys = frozenset(key for key in pipeline.parts.values() if key is not None)
            self._pipelines[pipeline.key] = (keys, self.engine.assemble(pipeline, parts))
        return self._pipelines[pipeline.key][1]

    def disband(self, pipeline: Pipeline) -> None:
        """Forget the assembled `pipeline`: a call that failed may have left it half changed."""
        self._pipelines.pop(pipeline.key, None)

    def evict(self, key: str) -> Loaded | None:
        """Move a component to the computer's memory; return it, or None if it isn't live.

        Pipelines that hold it wait for it. If it can't be moved it is released, and the error comes out.
        """
        loaded = self._loaded.pop(key, None)
        if loaded is not None:
            self._fresh.discard(key)
            self._hosted[key] = loaded
            self._or_release(key, self.engine.evict)
        return loaded

    def is_evicted(self, key: str) -> bool:
        """Return whether a component is in the computer's memory, to be brought back."""
        return key in self._hosted

    def bring_back(self, key: str) -> Loaded:
        """Return a component that was evicted, live again.

        If it can't be moved it is released, and the error comes out.
        """
        self._or_release(key, self.engine.bring_back)
        self._loaded[key] = self._hosted.pop(key)
        return self._loaded[key]

    def _or_release(self, key: str, move: Callable[[Loaded], None]) -> None:
        try:
            move(self._hosted[key])
        except Exception:
            self.release(key)
            raise

    def release(self, key: str) -> Loaded | None:
        """Release a component and every pipeline that holds it; return what was released, or None if it isn't there."""
        loaded = self._loaded.pop(key, None) or self._hosted.pop(key, None)
        if loaded is None:
            return None
        self._fresh.discard(key)
        del self._since[key]
        self._pipelines = {name: held for name, held in self._pipelines.items() if key not in held[0]}
        self.engine.release(loaded)
        return loaded

    def release_all(self) -> None:
        """Release everything, the last loaded first."""
        for key in reversed([*self._hosted, *self._loaded]):
            self.release(key)
