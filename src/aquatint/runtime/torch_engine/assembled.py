"""A pipeline as an engine has it: its class and what it is made of, so that each image gets a pipeline of its own.

Pipelines keep state of the picture that they work on, and cost next to nothing beside their parts.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aquatint.catalog.pipelines import is_denoiser
from aquatint.plan import uses
from aquatint.plan.steps import Pipeline
from aquatint.runtime.torch_engine import computing, generating, offloading
from aquatint.runtime.torch_engine.calls import NotLoaded
from aquatint.runtime.torch_engine.faults import engine_error
from aquatint.runtime.torch_engine.libraries import Libraries
from aquatint.runtime.torch_engine.standins import Place, put_inside

Opened = list[tuple[Any, dict[str, Any]]]
"""Modules whose insides a pipeline has changed, each with what it has made of them."""

_PERTURBING = "_set_pag_attn_processor"


@dataclass(slots=True)
class Assembled:
    """The parts of a pipeline by role: stand-ins with `places`, live objects, or None for one that is left out.

    `beside` are those of a weighter, in its roles: the pipeline's class knows nothing of them.
    """

    libraries: Libraries
    pipeline: Pipeline
    found: Any  # the pipeline's class
    parts: Mapping[str, Any]
    places: Mapping[str, Place]
    device: str
    beside: Mapping[str, Any] = field(default_factory=dict)
    _hooked: Any = field(default=None, repr=False)  # the pipeline whose modules have hooks that offload them
    _is_opening: bool = False  # whether its constructor reaches into modules, and may change what they are made of
    _replaced: list[tuple[Any, dict[str, Any]]] = field(default_factory=list, repr=False)

    def make(self) -> Any:
        """Return a pipeline with schedulers of its own; the modules of one that is offloaded have hooks from here on.

        Raises `EngineError`. `give_back` takes the hooks off.
        """
        if self.pipeline.offload is not None:
            for place in self.places.values():
                place.module()  # with its adapters on: hooks are hung on all layers that there are
        parts = {role: self._own(role, part) for role, part in self.parts.items()}
        # Never from_pipe: it casts modules that others share, and refuses quantized ones.
        with engine_error(f"can't make a {self.pipeline.class_name} of `{self.pipeline.source}`"):
            made = self.found(**parts, **self.pipeline.options)
            made.set_progress_bar_config(disable=True)
            # Its weighter finds them there; nothing that diffusers counts or moves.
            made.__dict__.update(self.beside)
            if self.pipeline.offload is not None:
                offloading.enable(self.libraries, made, self.pipeline.offload, self.device)
                self._hooked = made
        if hasattr(made, _PERTURBING):
            self._watch_attention(made)
        return made

    def try_out(self) -> None:
        """Make a pipeline of what is said of its parts: what is wrong with it shows, and no module is changed.

        One that is offloaded is made of the modules themselves. Raises `EngineError`.
        """
        with warnings.catch_warnings():
            # Some say of what diffusers made them of that it will go.
            warnings.simplefilter("ignore", FutureWarning)
            if self.pipeline.offload is None:
                self._try_without_modules()
                return
            try:
                self.make()
            finally:
                self.give_back()

    def _try_without_modules(self) -> None:
        live = {role: place.live for role, place in self.places.items()}
        try:
            for place in self.places.values():
                place.live = None
            self.make()
        except NotLoaded:
            # Where a constructor takes modules apart, what is wrong shows when a call has waited for them.
            self._is_opening = True
        finally:
            for role, place in self.places.items():
                place.live = live[role]
        for role in self.places if self._is_opening else ():
            if is_denoiser(role):
                self.places[role].watch()

    def put_together(self) -> Opened:
        """Let modules be made of what they were before a pipeline was made of them, and return what it had changed."""
        return [each for place in self.places.values() for each in place.put_together()] if self._is_opening else []

    def _own(self, role: str, part: Any) -> Any:
        """Return `part` itself, or a new one like it of those that have no weights, and change while they work.

        They are schedulers, of which some pipelines have several, and guiders.
        """
        if role in self.places or not issubclass(type(part), self.libraries.diffusers.configuration_utils.ConfigMixin):
            return part
        if issubclass(type(part), self.libraries.diffusers.SchedulerMixin):
            return generating.fresh_scheduler(self.libraries, part, None)
        if issubclass(type(part), self.libraries.torch.nn.Module):
            return part
        with engine_error(f"can't make the `{role}` of a {self.pipeline.class_name}"):
            return type(part).from_config(part.config)

    def _watch_attention(self, made: Any) -> None:
        """Remember the attention of what is live when `made`, a pipeline of diffusers' PAG, puts its own there."""
        perturb = getattr(made, _PERTURBING)

        def perturb_and_remember(*arguments: Any, **named: Any) -> Any:
            parts = (part for part in self._live() if hasattr(part, "attn_processors"))
            self._replaced += [(part, dict(part.attn_processors)) for part in parts]
            return perturb(*arguments, **named)

        setattr(made, _PERTURBING, perturb_and_remember)

    def give_back(self) -> None:
        """Undo what a call has done to modules that others share, and let those that are offloaded wait.

        A call that ended well has put attention back itself.
        """
        while self._replaced:
            part, processors = self._replaced.pop()
            part.set_attn_processor(processors)
        if (hooked := self._hooked) is not None:
            self._hooked = None
            with engine_error(f"can't let what is offloaded of a {self.pipeline.class_name} wait"):
                offloading.disable(self.libraries, hooked)

    def can_tile(self) -> bool:
        """Return whether a part of it can decode pictures in tiles."""
        decoders = [place for place in self.places.values() if hasattr(place.found, "enable_tiling")]
        return any(map(_can_tile, [place.live or place.skeleton for place in decoders] if decoders else self._live()))

    @contextmanager
    def computing(self, tiling: bool, timestep: computing.Timestep, opened: Opened) -> Iterator[None]:
        """Let what is live compute as the pipeline says in the body, and as it did afterwards: others share it.

        With `tiling` it decodes in tiles as well where it can; `timestep` tells where the call is, and `opened` keeps
        what it has changed in modules while it waits. Raises `EngineError`.
        """
        settings = uses.computing(self.pipeline)
        live = {role: self._dressed(role) for role in settings}
        with ExitStack() as stack:
            if tiling:
                for part in self._live():
                    if _can_tile(part):
                        stack.enter_context(computing.switched(part, "tiling"))
            stack.enter_context(computing.computing(self.libraries, live, settings, timestep))
            put_inside(opened)
            try:
                yield
            finally:
                opened[:] = self.put_together()

    def _dressed(self, role: str) -> Any:
        """Return the part in `role` with its adapters on, None while it isn't there."""
        place = self.places.get(role)
        if place is None:
            return self.parts.get(role)
        # A cache is hung on layers: those that the call will have.
        if place.live is not None and all(each.live is not None for each in place.adapters):
            place.wear(place)
        return place.live

    def _live(self) -> list[Any]:
        """Return the parts that are there: those of the places, or those that are offloaded and what has no weights."""
        if self.places:
            return [place.live for place in self.places.values() if place.live is not None]
        return list(self.parts.values())


def _can_tile(part: Any) -> bool:
    # Some classes inherit the method, and refuse.
    return hasattr(part, "enable_tiling") and hasattr(part, "use_tiling")
