"""What each pipeline of diffusers is made of, and which arguments its call takes.

The facts are in `data/pipelines.json`, which `make catalog` writes from the source of the installed diffusers. Nothing
here imports diffusers; a class that came with a newer diffusers than the catalog's is unknown here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from aquatint.catalog.call_checks import CallChecks

LOADERS = "diffusers.loaders"
"""The module that has the classes by which LoRAs are read; a component of it is a LoRA."""

OWN = "aquatint"
"""What plans have for the library of a component whose class is this program's: a weighter's projector."""

DATA = Path(__file__).parent / "data" / "pipelines.json"

# By role, since the annotations of a few pipelines name no class. A controlnet steers a denoiser and is none; the
# decoders are those of the two-stage models (unCLIP, Würstchen, Stable Cascade), a VAE's is a part of the VAE.
_DENOISER = re.compile(
    r"(?:\w+_)?(?:unet|transformer)(?:_\d+)?|(?:prior_)?prior|(?:diffusion_)?decoder|super_res_(?:first|last)|model"
)
_TEXT_ENCODER = re.compile(r"(?:prior_)?text_encoder(?:_\d+)?|bert")


@dataclass(frozen=True, slots=True)
class Component:
    """A part of a pipeline. `classes` holds what diffusers declares for it; a checkpoint may have a relative of these.

    An `optional` one may be missing from a checkpoint.
    """

    role: str
    classes: tuple[str, ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a pipeline's call. `type` is Python's spelling, such as `int | None`, and may be empty.

    `default` is None where the argument is `required`, where the default is None, and where it can't be told as JSON.
    """

    name: str
    type: str
    default: Any
    required: bool


@dataclass(frozen=True)
class PipelineInfo:
    """A pipeline class: `components` and `arguments` are in the order in which diffusers declares them.

    `tasks` is empty for a class that no `AutoPipelineFor...` chooses; `options` are the settings of
    `model_index.json` that aren't components, with their defaults. One that `truncates` takes the whole number of its
    steps that its `strength` comes to, which may be none. `lora` is the class of `diffusers.loaders` that reads LoRAs
    for it, None for one that takes none; with `textual_inversion` it takes those. `ip_adapter` is
    the class there that loads IP-Adapters into it, if any does. `yields` are the names of what its
    call returns, none where that isn't known; with `latent` the call can leave the decoding out, and with `pixels` one
    that decodes nothing can leave them a tensor. `fps` are the frames in a second of which diffusers' own example
    writes its videos, if there is one. `caching` are the things that it tells a cache of its denoiser:
    `cache_context`, which pass of a step it is, and `current_timestep`. `packages` have to be installed for it beside
    what diffusers itself needs, by the names under which they are imported. `checks` is what its call refuses, and
    `before` a method without which it can't be called, since only that sets what the call reads of itself. Its
    `latents` have `latent_dims` dimensions, three where it packs positions into tokens; None where that isn't known.
    """

    name: str
    tasks: tuple[str, ...]
    components: Mapping[str, Component]
    options: Mapping[str, Any]
    arguments: Mapping[str, Argument]
    truncates: bool = False
    lora: str | None = None
    textual_inversion: bool = False
    ip_adapter: str | None = None
    yields: tuple[str, ...] = ()
    latent: bool = False
    pixels: bool = False
    fps: int | None = None
    caching: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    checks: CallChecks = field(default_factory=CallChecks)
    before: str | None = None
    latent_dims: int | None = None

    @cached_property
    def denoisers(self) -> tuple[str, ...]:
        """The roles of the networks that denoise, which are what a model's quantizer is for."""
        return tuple(filter(is_denoiser, self.components))

    @cached_property
    def text_encoders(self) -> tuple[str, ...]:
        """The roles of the networks that read the prompt."""
        return tuple(filter(is_text_encoder, self.components))


def is_text_encoder(role: str) -> bool:
    """Return whether a component in `role` reads the prompt."""
    return _TEXT_ENCODER.fullmatch(role) is not None


def is_denoiser(role: str) -> bool:
    """Return whether a component in `role` denoises."""
    return _DENOISER.fullmatch(role) is not None


class _Entry(msgspec.Struct):
    """A pipeline's entry in the file; an argument is `[type]` if it has to be given, else `[type, default]`."""

    arguments: dict[str, list[Any]] = {}
    components: dict[str, list[str]] = {}
    optional: list[str] = []
    options: dict[str, Any] = {}
    tasks: list[str] = []
    truncates: bool = False
    lora: str | None = None
    textual_inversion: bool = False
    ip_adapter: str | None = None
    yields: list[str] = []
    latent: bool = False
    pixels: bool = False
    fps: int | None = None
    caching: list[str] = []
    packages: list[str] = []
    checks: CallChecks = CallChecks()
    before: str | None = None
    latent_dims: int | None = None


class SchedulerEntry(msgspec.Struct):
    """A scheduler: those that its settings also serve, and its options, `[type, default]` each, as of an argument.

    `spaced` is how it can be told its steps: by `timesteps`, or `sigmas`.
    """

    alike: list[str] = []
    options: dict[str, list[Any]] = {}
    spaced: list[str] = []


class _Catalog(msgspec.Struct):
    """The file: entries stay undecoded until they are asked for."""

    diffusers: str
    schedulers: dict[str, SchedulerEntry]
    modules: list[str]
    families: dict[str, list[str]]
    loras: dict[str, list[str]]
    networks: dict[str, list[str]]
    attention: list[str]
    caches: dict[str, dict[str, list[Any]]]
    pipelines: dict[str, msgspec.Raw]


@lru_cache(maxsize=1)
def _catalog() -> _Catalog:
    return msgspec.json.decode(DATA.read_bytes(), type=_Catalog)


def catalog_version() -> str:
    """Return the version of diffusers that the catalog describes."""
    return _catalog().diffusers


def schedulers() -> Mapping[str, SchedulerEntry]:
    """Return what is known of each scheduler of diffusers, by class name; `schedulers` says what that means."""
    return _catalog().schedulers


def library(name: str) -> str | None:
    """Return the module that has a component's class, as plans write it, or None for a library that is never used.

    `name` is what `model_index.json` says, or what this function returned: `diffusers`, `transformers`, or a package of
    `diffusers.pipelines`, such as `stable_diffusion`, which has the safety checker. What reads LoRAs is in
    `diffusers.loaders`, and this program's own class is in `OWN`. A package that diffusers has moved is found by the
    name that checkpoints still have for it.
    """
    if name in ("diffusers", "transformers", LOADERS, OWN):
        return name
    module = name.removeprefix("diffusers.pipelines.")
    found = next((each for each in (module, f"deprecated.{module}") if each in _catalog().modules), None)
    return None if found is None else f"diffusers.pipelines.{found}"


def families() -> Mapping[str, Sequence[str]]:
    """Return the classes that diffusers' `AutoPipeline` has for the same weights, by its name for those."""
    return _catalog().families


def lora_roles(reader: str) -> tuple[str, ...]:
    """Return the roles that a class of `diffusers.loaders` has LoRAs for; none for one that isn't known."""
    return tuple(_catalog().loras.get(reader, ()))


def networks() -> Mapping[str, Sequence[str]]:
    """Return what can be set of how each class of models computes, by class name; `networks` says what that means."""
    return _catalog().networks


def attention_backends() -> Sequence[str]:
    """Return diffusers' names of ways to compute attention."""
    return _catalog().attention


def caches() -> Mapping[str, Mapping[str, list[Any]]]:
    """Return diffusers' configurations of caches with their fields, `[type, default]` each, as of an argument."""
    return _catalog().caches


def pipeline_names() -> list[str]:
    """Return the names of all pipeline classes in the catalog, sorted."""
    return sorted(_catalog().pipelines)


def made_of(class_name: str) -> list[str]:
    """Return the names of the pipeline classes that have a component of the class `class_name`, sorted."""
    found = []
    for name in pipeline_names():
        info = pipeline(name)
        if info is not None and any(class_name in part.classes for part in info.components.values()):
            found.append(name)
    return found


@lru_cache(maxsize=1)
def component_roles() -> frozenset[str]:
    """Return every role that a submodule has in some pipeline."""
    return frozenset(
        role for raw in _catalog().pipelines.values() for role in msgspec.json.decode(raw, type=_Entry).components
    )


@lru_cache(maxsize=512)
def pipeline(class_name: str) -> PipelineInfo | None:
    """Return what is known about a pipeline class, or None if the catalog doesn't have it."""
    raw = _catalog().pipelines.get(class_name)
    if raw is None:
        return None
    entry = msgspec.json.decode(raw, type=_Entry)
    components = {
        role: Component(role, tuple(classes), role in entry.optional) for role, classes in entry.components.items()
    }
    arguments = {
        name: Argument(name, given[0], given[1] if len(given) > 1 else None, required=len(given) == 1)
        for name, given in entry.arguments.items()
    }
    return PipelineInfo(
        class_name,
        tuple(entry.tasks),
        MappingProxyType(components),
        MappingProxyType(entry.options),
        MappingProxyType(arguments),
        entry.truncates,
        entry.lora,
        entry.textual_inversion,
        entry.ip_adapter,
        tuple(entry.yields),
        entry.latent,
        entry.pixels,
        entry.fps,
        tuple(entry.caching),
        tuple(entry.packages),
        entry.checks,
        entry.before,
        entry.latent_dims,
    )
