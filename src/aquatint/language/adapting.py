"""From the LoRAs that a model is given to parts of its pipeline: which components each is for, and whether it fits.

They are no part of the components that they change: what is shared stays as it is, and only the LoRA is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from aquatint.catalog import adapter_files, checkpoints, compatibility, loras
from aquatint.catalog.checkpoints import CheckpointError, Part, Tensor
from aquatint.catalog.gguf_files import is_gguf
from aquatint.catalog.hub_files import Request
from aquatint.catalog.loras import Lora
from aquatint.catalog.models import LORA
from aquatint.catalog.pipelines import LOADERS, PipelineInfo, is_text_encoder, lora_roles
from aquatint.diagnostics import Diagnostics, Label
from aquatint.language import suitability
from aquatint.language.values import UNKNOWN, Adapter, Model
from aquatint.language.world import World
from aquatint.plan.keys import component_key
from aquatint.plan.steps import ByteRange, Component, LoraUse
from aquatint.source import Span

Report = Callable[[CheckpointError, Span, Request], None]
"""Reports what a request comes to nothing for, and where it is asked."""

PACKAGE = "peft"
"""What puts LoRAs on modules; an extra of this program."""


@dataclass(frozen=True, slots=True)
class _Added:
    component: Component
    use: LoraUse
    span: Span


def added(
    model: Model, info: PipelineInfo, parts: Mapping[str, Component], world: World, diagnostics: Diagnostics,
    report: Report,
) -> dict[str, tuple[Component, LoraUse]] | None:  # fmt: skip
    """Return the LoRAs of `model` by the roles that they get, None after reporting what is wrong with one.

    `parts` are the model's other components by role; what can't be found goes to `report`. The roles of LoRAs don't
    depend on the order of the blocks, and so neither do the pictures: sums are rounded differently in another order.
    """
    if not model.loras:
        return {}
    if not _can_have_any(model, info, world, diagnostics):
        return None
    found = [_one(lora, info, parts, world.device, diagnostics, report) for lora in model.loras]
    sound = [each for each in found if each is not None]
    if len(sound) < len(found) or not _are_different(sound, diagnostics):
        return None
    sound.sort(key=lambda each: each.component.key)
    roles = [LORA.name if number == 1 else f"{LORA.name}_{number}" for number in range(1, len(sound) + 1)]
    return {
        role: (msgspec.structs.replace(each.component, role=role), each.use)
        for role, each in zip(roles, sound, strict=True)
    }


def request(adapter: Adapter, kind: str) -> Request:
    """Return what an adapter, whose block begins with the word `kind`, needs of the hub, if that is where it is."""
    given = {name: setting.value for name, setting in adapter.settings.items()}
    return Request(str(given.get("source")), given.get("revision"), None, given.get("subfolder") or "", kind,
                   file=given.get("weight_name"))  # fmt: skip


def block_of(component: Component, adapters: Iterable[Adapter]) -> Adapter:
    """Return which of `adapters`, blocks of a model, an adapter of it comes from."""
    inside = PurePosixPath(component.subfolder)
    place = component.source, inside.parent
    own = [each for each in adapters if (each.name[0], PurePosixPath(each.name[1] or "")) == place]
    return next((each for each in own if each.name[2] == inside.name), own[0])


def _can_have_any(model: Model, info: PipelineInfo, world: World, diagnostics: Diagnostics) -> bool:
    at = model.loras[0].span
    if info.lora is None:
        diagnostics.error("incompatible", f"`{info.name}` takes no LoRA", at, help="leave it out")
        return False
    if not world.is_installed(PACKAGE):
        message = f"a LoRA needs `{PACKAGE}`, which is not installed"
        diagnostics.error("package-not-installed", message, at, help='install it: `pip install "aquatint[lora]"`')
        return False
    offload = model.settings.get("offload")
    if offload is not None and offload.value is not None and suitability.offloads_on(world.device):
        diagnostics.error(
            "not-supported-yet", "a model that is offloaded can't have a LoRA in this version", at,
            labels=(Label(offload.span, "offloaded here"),), help="leave `offload` out, or the LoRA",
        )  # fmt: skip
        return False
    return True


def _one(
    lora: Adapter, info: PipelineInfo, parts: Mapping[str, Component], device: str, diagnostics: Diagnostics,
    report: Report,
) -> _Added | None:  # fmt: skip
    given = {name: None if (s := lora.settings.get(name)) is None else s.value for name in LORA.names()}
    if UNKNOWN in given.values() or given["source"] is None:
        return None  # which has been reported
    span = lora.settings["source"].span
    reader = info.lora or ""
    roles = [role for role in lora_roles(reader) if role in parts]
    try:
        found, inside = adapter_files.find(
            loras.KIND, given["source"], given["revision"], given["subfolder"], given["weight_name"]
        )
        file = adapter_files.path(given["source"], given["revision"], inside)
        read = loras.read(file, roles)
        identity = adapter_files.identity(file)
        if not _fits(read, str(given["source"]), reader, parts, span, diagnostics):
            return None
    except CheckpointError as error:
        report(error, span, request(lora, LORA.name))
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a name of a file"
        diagnostics.error("unreadable", f"`{given['source']}` can't be read: {reason.lower()}", span)
        return None
    key = component_key(
        library=LOADERS, class_name=reader, source=given["source"], revision=found.revision, subfolder=inside,
        variant=None, identity=identity, dtype=read.dtype, device=device, quantization=None,
    )  # fmt: skip
    component = Component(
        key=key, role=LORA.name, library=LOADERS, class_name=reader, source=given["source"], subfolder=inside,
        variant=None, revision=found.revision, dtype=read.dtype, device=device, quantization=None,
        identity=identity, bytes=read.bytes, held=ByteRange(read.bytes, 2 * read.bytes),
        reads=read.bytes,
    )  # fmt: skip
    return _Added(component, LoraUse(_weight(given["weight"]), list(read.changes)), span)


def _weight(given: Any) -> float:
    return float(1 if given is None else given)


def _fits(
    read: Lora, source: str, reader: str, parts: Mapping[str, Component], span: Span, diagnostics: Diagnostics
) -> bool:
    """Return whether a LoRA is for layers that `parts` have, and goes with their quantizers, or report what isn't."""
    for role, changes in read.changes.items():
        part = parts[role]
        if is_gguf(part.single_file):
            diagnostics.error("incompatible", f"a LoRA for `{role}` can't be put on the layers of a GGUF file", span,
                              help="leave the LoRA out, or take the model's weights from another file")  # fmt: skip
            return False
        quantized = part.quantization or part.stored
        if quantized is not None and quantized.backend is not None:
            feature = "lora-text-encoder" if is_text_encoder(role) else "lora"
            refused = compatibility.refusal(feature, quantized.backend, quantized.options)
            if refused is not None:
                what = f"a LoRA for `{role}`"
                suitability.refuse_quantized(what, quantized.backend, quantized.options, refused, span, diagnostics)
                return False
        folder = checkpoints.locate(part.source, part.revision)
        weights = {
            each.name.removesuffix(".weight"): each.shape
            for each in tensors(folder, part) if each.name.endswith(".weight")
        }  # fmt: skip
        wrong = loras.mismatch(changes, weights, reader, has_shapes=part.stored is None)
        if wrong is not None:
            diagnostics.error(
                "wrong-lora", f"`{source}` is a LoRA for another model than this one with its `{role}`: {wrong}", span,
                help="take a LoRA that was trained for this model, or for one of its kind and size",
            )  # fmt: skip
            return False
    return True


def tensors(folder: Path, component: Component) -> list[Tensor]:
    """Return the tensors of a component's files, by their headers. Raises `CheckpointError`."""
    part = Part(
        component.role, component.library, component.class_name, component.subfolder, True, file=component.single_file
    )
    return checkpoints.part_tensors(folder, part, component.variant)[0]


def _are_different(found: list[_Added], diagnostics: Diagnostics) -> bool:
    first: dict[str, Span] = {}
    for each in found:
        before = first.setdefault(each.component.identity, each.span)
        if before is not each.span:
            diagnostics.error("duplicate-setting", "this LoRA is given twice", each.span,
                              labels=(Label(before, "the same file"),), help="take one of them out")  # fmt: skip
            return False
    return True
