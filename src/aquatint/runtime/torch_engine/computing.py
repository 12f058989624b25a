"""Sets how live modules compute while a call goes on, and puts back how they did: other pipelines share them.

What may be set of a class is in `catalog.networks`; modules that aren't there yet are set when the call goes on with
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from aquatint.catalog import networks
from aquatint.plan.steps import Json
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine.faults import engine_error
from aquatint.runtime.torch_engine.libraries import Libraries

Timestep = Callable[[], Any]
"""Returns the time step that a call is at."""


@contextmanager
def computing(
    libraries: Libraries, live: Mapping[str, Any], settings: Mapping[str, Mapping[str, Json]], timestep: Timestep
) -> Iterator[None]:
    """Let the modules `live`, by role, compute by `settings` in the body, and as they did afterwards.

    Raises `EngineError` for what a class refuses.
    """
    with ExitStack() as stack:
        for role, own in settings.items():
            if (module := live.get(role)) is None:
                continue
            for name, switch in _SWITCHES.items():
                if name in own:
                    stack.enter_context(switch(libraries, module, own[name], timestep))
        yield


@contextmanager
def switched(module: Any, ability: str) -> Iterator[None]:
    """Let an autoencoder that can work on tiles, or on slices, do so in the body: `ability` says on which."""
    before = getattr(module, f"use_{ability}")
    setattr(module, f"use_{ability}", True)
    try:
        yield
    finally:
        setattr(module, f"use_{ability}", before)


@contextmanager
def _attending(libraries: Libraries, module: Any, backend: Json, timestep: Timestep) -> Iterator[None]:
    """Let the layers of `module` compute attention by `backend`.

    diffusers would also make it everyone's who has none of their own: that is put back at once.
    """
    dispatch = libraries.diffusers.models.attention_dispatch
    registry = dispatch._AttentionBackendRegistry
    before = registry.get_active_backend()[0]
    found = [getattr(each, "processor", None) for each in module.modules()]
    processors: list[Any] = [each for each in found if hasattr(each, "_attention_backend")]
    own = [processor._attention_backend for processor in processors]
    with engine_error(f"can't compute attention by `{backend}`"):
        try:
            module.set_attention_backend(backend)
        finally:
            registry.set_active_backend(before)
    try:
        yield
    finally:
        for processor, each in zip(processors, own, strict=True):
            processor._attention_backend = each


@contextmanager
def _caching(libraries: Libraries, module: Any, options: Json, timestep: Timestep) -> Iterator[None]:
    """Let `module` use again what it computed in earlier steps of this call: the cache begins empty, and is dropped."""
    given = {name: _value(libraries, name, value) for name, value in options.items() if name != networks.CONFIG}
    config = getattr(libraries.diffusers.hooks, options[networks.CONFIG])
    given = {name: value for name, value in given.items() if value is not None or _has_none(config, name)}
    if networks.needs_of_cache(options[networks.CONFIG]) == "current_timestep":
        given["current_timestep_callback"] = timestep
    before = _hooks(module)
    with engine_error(f"can't put a {config.__name__} on a {type(module).__name__}"):
        try:
            module.enable_cache(config(**given))
        except Exception:
            # What it hung on some layers before it refused another.
            for registry, name in _hooks(module) - before:
                registry.remove_hook(name, recurse=False)
            raise
    try:
        yield
    finally:
        module.disable_cache()


def _hooks(module: Any) -> set[tuple[Any, str]]:
    """Return the hooks of diffusers on the layers of `module`: what has them, and their names."""
    registries = [each._diffusers_hook for each in module.modules() if hasattr(each, "_diffusers_hook")]
    return {(registry, name) for registry in registries for name in registry.hooks}


def _value(libraries: Libraries, name: str, value: Json) -> Any:
    if name.endswith("_dtype") and isinstance(value, str):
        return getattr(libraries.torch, value)
    return tuple(value) if isinstance(value, list) and name.endswith("_range") else value


def _has_none(config: Any, name: str) -> bool:
    """Return whether None is a field's own default, and not what stands for one that no plan can hold."""
    return config.__dataclass_fields__[name].default is None


@contextmanager
def _compiled(libraries: Libraries, module: Any, wanted: Json, timestep: Timestep) -> Iterator[None]:
    """Let the repeated blocks of `module` be compiled: once, and what was compiled is kept beside them.

    It is what they compute themselves. The hooks on them, of caches and of offloading, are new for each call and come
    around that: within it they would be compiled anew for each, until torch gives up.
    """
    blocks = [each for each in module.modules() if type(each).__name__ in (module._repeated_blocks or ())]
    if not blocks:
        raise EngineError(f"a {type(module).__name__} has no repeated blocks to compile", "leave `compile` out")
    with engine_error(f"can't compile the blocks of a {type(module).__name__}"):
        for block in blocks:
            if _KEPT not in block.__dict__:
                # Beside the module's own state, so that nothing that goes through this finds it.
                block.__dict__[_KEPT] = libraries.torch.compile(block.forward)
            block.__dict__["forward"] = block.__dict__[_KEPT]
    try:
        yield
    finally:
        for block in blocks:
            del block.__dict__["forward"]


_KEPT = "_aquatint_compiled"


def _switch(ability: str) -> Callable[[Libraries, Any, Json, Timestep], AbstractContextManager[None]]:
    return lambda libraries, module, wanted, timestep: switched(module, ability)


_SWITCHES: Mapping[str, Callable[[Libraries, Any, Json, Timestep], AbstractContextManager[None]]] = {
    "tiling": _switch("tiling"), "slicing": _switch("slicing"), "attention": _attending, "compile": _compiled,
    "cache": _caching,
}  # fmt: skip
# In the order in which they are switched on.
