"""From the IP-Adapters that a model is given to parts of its pipeline, and whether a call gives each its picture.

Like LoRAs (`adapting`) they are no part of the denoiser that they are for. Their image encoder is a submodule like any
other: where the model names none, and its checkpoint has none, it is the one beside the first IP-Adapter.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import UNSET

from aquatint.catalog import checkpoints, ip_adapters
from aquatint.catalog.checkpoints import Checkpoint
from aquatint.catalog.ip_adapters import ARGUMENTS, IMAGE_ENCODER, MASKS, READERS, TIMED, IpAdapter
from aquatint.catalog.layers import WIDTHS
from aquatint.catalog.models import IP_ADAPTER
from aquatint.catalog.pipelines import PipelineInfo, is_denoiser
from aquatint.diagnostics import Diagnostics, Label
from aquatint.language import adapters, adapting
from aquatint.language.adapters import Report
from aquatint.language.values import UNKNOWN, Adapter, Model, Result, Setting, layered
from aquatint.language.world import World
from aquatint.plan import uses
from aquatint.plan.steps import Component, IpAdapterUse, Pipeline
from aquatint.source import Span

_NAME = IP_ADAPTER.name


@dataclass(frozen=True, slots=True)
class _Added:
    component: Component
    use: IpAdapterUse
    span: Span


def with_image_encoder(
    model: Model, checkpoint: Checkpoint, info: PipelineInfo, diagnostics: Diagnostics
) -> Model | None:
    """Return `model` with the image encoder beside its first IP-Adapter, where it has one and says of no other.

    Where that is, follows diffusers' `image_encoder_folder`: a folder beside the file, or a path from the source.
    Returns None after reporting that nothing is there.
    """
    own = model.parts.get(IMAGE_ENCODER, {})
    is_said = "source" in own or IMAGE_ENCODER in model.settings or checkpoint.parts.get(IMAGE_ENCODER) is not None
    if not model.ip_adapters or is_said or info.ip_adapter is None or IMAGE_ENCODER not in info.components:
        return model
    adapter = model.ip_adapters[0]
    given = {name: setting.value for name, setting in adapter.settings.items()}
    if UNKNOWN in given.values() or not isinstance(given.get("source"), str):
        return model  # which has been reported
    named = adapters.said(adapter).in_repository()
    source, folder = named.source, given.get("image_encoder_folder") or IMAGE_ENCODER
    if named.is_address:
        return model  # nothing is beside an address
    if Path(source).expanduser().is_file():
        source = posixpath.dirname(source) or "."
    inside = folder if "/" in folder else posixpath.join(named.subfolder or "", folder)
    at = adapter.settings.get("image_encoder_folder") or adapter.settings["source"]
    own_folder = Path(source).expanduser()
    if own_folder.is_dir() and not (own_folder / inside).is_dir():
        diagnostics.error(
            "missing-model", f"there is no image encoder beside this IP-Adapter: `{source}` has no folder `{inside}`",
            at.span, help=f"name one: `{IMAGE_ENCODER} {{ source: ... }}`, or do without, where `{ARGUMENTS[1]}` is "
            f"given: `{IMAGE_ENCODER}: none`",
        )  # fmt: skip
        return None
    place = {"source": source, "subfolder": inside, "revision": named.revision}
    settings = {name: replace(at, value=value, before=None) for name, value in place.items() if value is not None}
    parts = {**model.parts, IMAGE_ENCODER: MappingProxyType(layered(settings, own))}
    spans = {IMAGE_ENCODER: at.span, **model.part_spans}
    return replace(model, parts=MappingProxyType(parts), part_spans=MappingProxyType(spans))


def added(
    model: Model, info: PipelineInfo, parts: Mapping[str, Component], world: World, diagnostics: Diagnostics,
    report: Report,
) -> dict[str, tuple[Component, IpAdapterUse]] | None:  # fmt: skip
    """Return the IP-Adapters of `model` by the roles that they get, None after reporting what is wrong with one.

    `parts` are the model's other components by role; what can't be found goes to `report`. The roles are in the order
    of the blocks, which is that of the pictures.
    """
    if not model.ip_adapters:
        return {}
    denoiser = next((role for role in parts if is_denoiser(role)), None)
    at = model.ip_adapters[0].span
    if info.ip_adapter not in READERS or denoiser is None:
        diagnostics.error("incompatible", f"`{info.name}` takes no IP-Adapter", at, help="leave it out")
        return None
    if info.ip_adapter == TIMED and len(model.ip_adapters) > 1:
        diagnostics.error("incompatible", f"a `{info.name}` takes one IP-Adapter", model.ip_adapters[1].span,
                          labels=(Label(at, "the first"),), help="leave the others out")  # fmt: skip
        return None
    found = [_one(block, info, denoiser, parts, world, diagnostics, report) for block in model.ip_adapters]
    sound = [each for each in found if each is not None]
    files = [(each.component, each.span) for each in sound]
    if len(sound) < len(found) or not adapters.are_different(files, "IP-Adapter", diagnostics):
        return None
    return adapters.in_roles(_NAME, [(each.component, each.use) for each in sound])


def _one(
    block: Adapter, info: PipelineInfo, denoiser: str, parts: Mapping[str, Component], world: World,
    diagnostics: Diagnostics, report: Report,
) -> _Added | None:  # fmt: skip
    reader = info.ip_adapter or ""

    def look(file: Path) -> IpAdapter | None:
        read = ip_adapters.read(file)
        at = block.settings["source"].span
        if read.has_lora and not adapting.can_have_one(
            parts[denoiser], "an IP-Adapter for faces", world, at, diagnostics
        ):
            return None
        return read if _fits(read, reader, block.settings["source"], denoiser, parts, diagnostics) else None

    found = adapters.opened(block, _NAME, ip_adapters.KIND, look, diagnostics, report)
    if found is None:
        return None
    place, read = found
    # On the denoiser its tensors are in that one's data type.
    most = read.bytes + read.numel * WIDTHS[parts[denoiser].dtype or read.dtype]
    part = parts[denoiser]
    component = adapters.component(place, _NAME, reader, read, most, part.device, part.offload)
    scale = block.settings.get("scale")
    strength = float(1 if scale is None or scale.value is None else scale.value)
    use = IpAdapterUse(strength, [denoiser], True if read.has_lora else UNSET)
    return _Added(component, use, block.settings["source"].span)


def _fits(
    read: IpAdapter, reader: str, source: Setting, denoiser: str, parts: Mapping[str, Component],
    diagnostics: Diagnostics,
) -> bool:  # fmt: skip
    """Return whether an IP-Adapter is for the layers of the denoiser and for the image encoder, or report it."""
    part = parts[denoiser]
    folder = checkpoints.locate(part.source, part.revision)
    layers = ip_adapters.layers_of((each.name, each.shape) for each in adapters.tensors(folder, part))
    config = checkpoints.read_config(folder, part.subfolder)
    wrong = ip_adapters.mismatch(read, reader, config, layers, has_shapes=part.stored is None)
    if wrong is not None:
        diagnostics.error(
            "wrong-ip-adapter", f"`{source.value}` is an IP-Adapter for another model than this one with its "
            f"`{denoiser}`: {wrong}", source.span,
            help="take an IP-Adapter that was trained for this model, or for one of its kind and size",
        )  # fmt: skip
        return False
    encoder = parts.get(IMAGE_ENCODER)
    if encoder is None:
        return True
    if read.is_of_faces:
        diagnostics.error(
            "wrong-ip-adapter", f"`{source.value}` is an IP-Adapter for faces (FaceID), which takes no pictures that "
            f"the `{IMAGE_ENCODER}` encodes", source.span,
            help=f"do without: `{IMAGE_ENCODER}: none`, and give what knows faces makes of one: `{ARGUMENTS[1]}`",
        )  # fmt: skip
        return False
    config = checkpoints.read_config(checkpoints.locate(encoder.source, encoder.revision), encoder.subfolder)
    width = ip_adapters.image_width(read.projection, config)
    if width is not None and width != read.projection.image_width:
        diagnostics.error(
            "wrong-ip-adapter", f"`{source.value}` takes pictures that are encoded {read.projection.image_width} wide, "
            f"and the `{IMAGE_ENCODER}` makes them {width} wide", source.span,
            help=f"name the one that it was trained with: `{IMAGE_ENCODER} {{ source: ... }}`",
        )  # fmt: skip
        return False
    return True


def has_pictures(
    settings: Mapping[str, Setting], given: Mapping[str, Setting], pipeline: Pipeline, info: PipelineInfo, at: Span,
    diagnostics: Diagnostics,
) -> bool:  # fmt: skip
    """Return whether each IP-Adapter of `pipeline` has a picture among `settings`, and nothing else has, or report it.

    What is `given` and isn't among the settings has been reported. `at` is where the statement begins.
    """
    own = uses.ip_adapters(pipeline)
    named = [name for name in ARGUMENTS if name in settings]
    masks = settings.get(MASKS)
    if not own:
        for name in [*named, *([MASKS] if masks is not None else [])]:
            diagnostics.error(
                "unknown-setting", f"`{name}` is for an IP-Adapter, and the model has none", settings[name].name_span,
                help="give it one: `ip_adapter { source: ... }`, or leave this out",
            )  # fmt: skip
        return not named and masks is None
    if info.ip_adapter is None:
        diagnostics.error("incompatible", f"the model has an IP-Adapter, and a `{info.name}` takes none", at,
                          help="leave it out: `ip_adapter: none`")  # fmt: skip
        return False
    if not named:
        if not any(name in given for name in ARGUMENTS):
            diagnostics.error(
                "missing-setting", f"the model has an IP-Adapter, and this `generate` no `{ARGUMENTS[0]}`", at,
                help=f"write `{ARGUMENTS[0]}: ...` in its block, or leave the IP-Adapter out: `ip_adapter: none`",
            )  # fmt: skip
        return False
    if len(named) > 1:
        diagnostics.error(
            "contradicting-settings", f"`{named[0]}` and `{named[1]}` say the same in two ways",
            settings[named[1]].name_span, labels=(Label(settings[named[0]].name_span, "the other"),),
            help="give one or the other",
        )  # fmt: skip
        return False
    setting = settings[named[0]]
    if masks is not None and not _are_as_many(masks, MASKS, len(own), diagnostics):
        return False
    if named[0] == ARGUMENTS[0] and pipeline.parts.get(IMAGE_ENCODER) is None:
        diagnostics.error(
            "missing-setting", f"the model has no `{IMAGE_ENCODER}` to encode this picture with", setting.span,
            help=f"name one: `{IMAGE_ENCODER} {{ source: ... }}`, or give `{ARGUMENTS[1]}`",
        )  # fmt: skip
        return False
    return _are_as_many(setting, named[0], len(own), diagnostics)


def _are_as_many(setting: Setting, name: str, wanted: int, diagnostics: Diagnostics) -> bool:
    count = _length(setting.value)
    if count != wanted:
        several = f"{wanted} IP-Adapters" if wanted > 1 else "one IP-Adapter"
        what = "one value" if count == 1 else f"{count} values"
        diagnostics.error("wrong-value", f"the model has {several}, and `{name}` {what}", setting.span,
                          help="give one for each, in the order of the `ip_adapter` blocks")  # fmt: skip
        return False
    return True


def _length(value: Any) -> int:
    if isinstance(value, Result):
        return len(value.images)
    return len(value) if isinstance(value, tuple) else 1
