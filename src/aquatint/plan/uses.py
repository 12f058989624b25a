"""What a step needs: the components that it uses, and what other steps have to yield before it.

When components are loaded for it is in `schedule`, what that comes to in `counts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import UNSET

from aquatint.catalog import ip_adapters as ip_adapter_files
from aquatint.catalog import textual_inversions as textual_inversion_files
from aquatint.catalog.pipelines import LOADERS, is_denoiser
from aquatint.plan.steps import (
    Compare,
    Component,
    Generate,
    Given,
    Grid,
    ImageRef,
    IpAdapterUse,
    Json,
    LoraUse,
    NumberRef,
    Phase,
    PictureFile,
    Pipeline,
    Print,
    Step,
    TensorFile,
    TensorRef,
    Text,
    TextRef,
    TextualInversionUse,
    Upscale,
    User,
    VideoFile,
    givens,
)
from aquatint.plan.texts import references

LAST = ("vae", "vqvae", "image_vae", "movq", "vqgan", "audio_vae", "vocoder", "safety_checker", "watermark")
"""Roles that a call comes to when it has denoised, unless it was given pictures."""

Reference = ImageRef | TensorRef | TextRef | NumberRef
"""Something that a step yields when it runs."""


def uses(step: Step, pipelines: Mapping[str, Pipeline]) -> dict[str, str]:
    """Return the keys of the components that `step` works with, by role; none for a step that works with none."""
    if not isinstance(step, User):
        return {}
    roles = None if isinstance(step, Upscale) else step.roles
    parts = pipelines[step.pipeline].parts
    return {role: key for role, key in parts.items() if key is not None and (roles is None or role in roles)}


def loras(pipeline: Pipeline) -> dict[str, LoraUse]:
    """Return the LoRAs of `pipeline` by role; none for most."""
    return {} if pipeline.loras is UNSET else pipeline.loras


def textual_inversions(pipeline: Pipeline) -> dict[str, TextualInversionUse]:
    """Return the textual inversions of `pipeline` by role; none for most."""
    return {} if pipeline.textual_inversions is UNSET else pipeline.textual_inversions


def ip_adapters(pipeline: Pipeline) -> dict[str, IpAdapterUse]:
    """Return the IP-Adapters of `pipeline` by role; none for most."""
    return {} if pipeline.ip_adapters is UNSET else pipeline.ip_adapters


def adapters(pipeline: Pipeline) -> dict[str, list[str]]:
    """Return the roles of the components that each adapter of `pipeline` is for, by its own role."""
    own = {role: use.roles for role, use in (loras(pipeline) | ip_adapters(pipeline)).items()}
    return own | {role: list(use.tensors) for role, use in textual_inversions(pipeline).items()}


def adapter_kind(component: Component) -> str | None:
    """Return what kind of adapter `component` is, for people; None for one that is none."""
    if component.library != LOADERS:
        return None
    if component.class_name == textual_inversion_files.READER:
        return "textual inversion"
    return "IP-Adapter" if component.class_name in ip_adapter_files.READERS else "LoRA"


def computing(pipeline: Pipeline) -> dict[str, dict[str, Json]]:
    """Return the settings of how parts of `pipeline` compute, by role; none for most."""
    return {} if pipeline.computing is UNSET else pipeline.computing


def device(pipeline: Pipeline, components: Mapping[str, Component]) -> str | None:
    """Return the device on which calls of `pipeline` draw their noise and go on with what its parts make.

    It is that of its denoiser, of the first part with weights where there is none; None for a pipeline without weights.
    Parts that aren't among `components` don't count.
    """
    weighty = {
        role: components[key] for role, key in pipeline.parts.items()
        if key is not None and key in components and components[key].dtype is not None
    }  # fmt: skip
    first = next((role for role in weighty if is_denoiser(role)), next(iter(weighty), None))
    return None if first is None else weighty[first].device


def needs(step: Step, pipelines: Mapping[str, Pipeline], components: Mapping[str, Component]) -> list[str]:
    """Return the keys of the components that have to be loaded for `step`: what it uses, and what makes a pipeline.

    A pipeline is made with its tokenizers, its scheduler and whatever else has no weights, in each phase.
    """
    used = dict.fromkeys(uses(step, pipelines).values())
    if isinstance(step, Generate | Phase | Upscale):
        parts = pipelines[step.pipeline].parts.values()
        used |= dict.fromkeys(key for key in parts if key is not None and components[key].dtype is None)
    return list(used)


def awaits(step: Step) -> Iterator[Reference]:
    """Yield what earlier steps have to have yielded for `step`, in the order of its fields."""
    match step:
        case Generate():
            for given in step.deferred.values():
                for each in givens(given):
                    yield from _inside(each)
        case Upscale():
            for prompt in step.prompts:
                yield from references(prompt)
        case Compare():
            for pair in step.pairs:
                yield from (pair.reference, pair.image, *references(pair.label))
        case Grid():
            for cell in step.cells:
                yield from (cell.image, *references(cell.label))
            for line in (step.title, *step.column_headers, *step.row_headers):
                yield from references(line)
        case Print():
            yield from references(step.text)
        case _:
            pass


def undecoded_roles(step: Generate, pipeline: Pipeline) -> list[str] | None:
    """Return the roles that `step` works with if it leaves its latents as they are, None where those are all.

    What a call comes to only then is needed for its configuration, which is there without it. A call that is given
    pictures may encode them, and one that is offloaded is put together of all that there is.
    """
    if step.arguments.get("output_type") != "latent" or takes_pictures(step) or pipeline.offload is not None:
        return None
    return [role for role, key in pipeline.parts.items() if key is not None and role not in LAST]


def takes_pictures(step: Generate) -> bool:
    """Return whether the calls of `step` are given pictures, or tensors, which may stand for some."""
    return any(not isinstance(each, Text) for given in step.deferred.values() for each in givens(given))


def _inside(given: Given) -> Iterator[Reference]:
    match given:
        case ImageRef() | TensorRef():
            yield given
        case Text():
            yield from references(given)
        case PictureFile() | VideoFile() | TensorFile():
            pass  # it is there before anything runs
