"""Loads that wait until something asks for the component, and are spared if nothing does.

Which may wait is the options' affair: text encoders, where what they would compute may be on the disk.
"""

from __future__ import annotations

from collections.abc import Callable

from aquatint.catalog.pipelines import is_text_encoder
from aquatint.plan.steps import Component, Load, Plan
from aquatint.runtime.engine import EngineError
from aquatint.runtime.events import Event, LoadSpared


def encoders(component: Component) -> bool:
    """Return whether `component` is a text encoder that calls can wait for."""
    return component.dtype is not None and component.offload is None and is_text_encoder(component.role)


def nothing(component: Component) -> bool:
    """Return False: every load is carried out in its turn."""
    return False


class LateLoads:
    """The loads of one run of `plan` that wait. `load` carries one out and returns whether it did; `tell` is told."""

    def __init__(
        self, plan: Plan, may_wait: Callable[[Component], bool], load: Callable[[Load], bool],
        tell: Callable[[Event], None],
    ) -> None:  # fmt: skip
        self._plan = plan
        self._may_wait = may_wait
        self._load = load
        self._tell = tell
        self._waiting: dict[str, Load] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._waiting

    def put_off(self, step: Load) -> bool:
        """Let the load wait if it may; return whether it does."""
        if not self._may_wait(self._plan.components[step.component]):
            return False
        # What was evicted in the plan before anything asked for it comes here again when it is to be brought back.
        self._waiting.setdefault(step.component, step)
        return True

    def bring(self, key: str) -> bool:
        """Carry out the load of `key` if it waits, and return whether it did; raise `EngineError` if that fails."""
        step = self._waiting.pop(key, None)
        if step is None:
            return False
        if not self._load(step):
            raise EngineError(f"it needs `{self._plan.components[key].role}`, which could not be loaded")
        return True

    def spare(self, key: str) -> None:
        """Give up the load of `key`, if it waits: what it was for is done."""
        if (step := self._waiting.pop(key, None)) is not None:
            self._tell(LoadSpared(step.id, key, self._plan.components[key].role))

    def spare_all(self) -> None:
        """Give up all loads that wait."""
        for key in list(self._waiting):
            self.spare(key)
