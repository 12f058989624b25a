"""From the LoRAs that a model is given to parts of its pipeline: which components each is for, and whether it fits.

They are no part of the components that they change: what is shared stays as it is, and only the LoRA is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aquatint.catalog import checkpoints, compatibility, loras
from aquatint.catalog.gguf_files import is_gguf
from aquatint.catalog.loras import SECOND, Lora
from aquatint.catalog.models import LORA
from aquatint.catalog.pipelines import PipelineInfo, is_text_encoder, lora_roles
from aquatint.diagnostics import Diagnostics
from aquatint.language import adapters, devices, suitability
from aquatint.language.adapters import Report
from aquatint.language.values import Adapter, Model
from aquatint.language.world import World
from aquatint.plan.steps import Component, LoraUse
from aquatint.source import Span

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
    if not _can_have_any(model, info, parts, world, diagnostics):
        return None
    device = devices.of_model(model, world)
    found = [_one(lora, info, parts, device, diagnostics, report) for lora in model.loras]
    sound = [each for each in found if each is not None]
    if len(sound) < len(found):
        return None
    for roles in {tuple(each.use.roles) for each in sound}:
        files = [(each.component, each.span) for each in sound if tuple(each.use.roles) == roles]
        if not adapters.are_different(files, "LoRA", diagnostics):
            return None
    sound.sort(key=lambda each: (each.component.key, each.use.roles))
    return adapters.in_roles(LORA.name, [(each.component, each.use) for each in sound])


def _can_have_any(
    model: Model, info: PipelineInfo, parts: Mapping[str, Component], world: World, diagnostics: Diagnostics
) -> bool:
    at = model.loras[0].span
    without = any(part.class_name in loras.WITHOUT_LAYERS for part in parts.values())
    if info.lora is None or without:
        diagnostics.error("incompatible", f"`{info.name}` takes no LoRA", at, help="leave it out")
        return False
    return _is_installed("a LoRA", world, at, diagnostics)


def _is_installed(what: str, world: World, at: Span, diagnostics: Diagnostics) -> bool:
    if not world.is_installed(PACKAGE):
        message = f"{what} needs `{PACKAGE}`, which is not installed"
        diagnostics.error("package-not-installed", message, at, help='install it: `pip install "aquatint[lora]"`')
        return False
    return True


def can_have_one(part: Component, what: str, world: World, at: Span, diagnostics: Diagnostics) -> bool:
    """Return whether the layers of `part` can have a LoRA, which comes with `what`, on; or report why not."""
    return _is_installed(what, world, at, diagnostics) and _takes(part, part.role, f"{what} for `{part.role}`", at,
                                                                  diagnostics)  # fmt: skip


def _one(
    lora: Adapter, info: PipelineInfo, parts: Mapping[str, Component], device: str, diagnostics: Diagnostics,
    report: Report,
) -> _Added | None:  # fmt: skip
    reader = info.lora or ""
    roles = [role for role in lora_roles(reader) if role in parts]
    if lora.is_for_second and SECOND not in roles:
        setting = lora.settings["load_into_transformer_2"]
        diagnostics.error("incompatible", f"this model has no `{SECOND}` that a LoRA can be for", setting.span,
                          help="leave `load_into_transformer_2` out")  # fmt: skip
        return None

    def look(file: Path) -> Lora | None:
        read, source = loras.read(file, roles, reader), lora.settings["source"]
        read = read.for_second() if lora.is_for_second else read
        return read if _fits(read, str(source.value), parts, source.span, diagnostics) else None

    found = adapters.opened(lora, LORA.name, loras.KIND, look, diagnostics, report)
    if found is None:
        return None
    place, read = found
    offload = next(parts[role].offload for role in read.changes)
    component = adapters.component(place, LORA.name, reader, read, 2 * read.bytes, device, offload)
    weight = lora.settings.get("weight")
    use = LoraUse(_weight(None if weight is None else weight.value), list(read.changes))
    return _Added(component, use, lora.settings["source"].span)


def _weight(given: Any) -> float:
    return float(1 if given is None else given)


def _fits(read: Lora, source: str, parts: Mapping[str, Component], span: Span, diagnostics: Diagnostics) -> bool:
    """Return whether a LoRA is for layers that `parts` have, and goes with their quantizers, or report what isn't."""
    for role, changes in read.changes.items():
        part = parts[role]
        if not _takes(part, role, f"a LoRA for `{role}`", span, diagnostics):
            return False
        if read.is_dora and (part.quantization is not None or part.stored is not None):
            diagnostics.error(
                "not-supported-yet", f"`{source}` is a DoRA, which goes with no `{role}` that is quantized in this "
                "version", span, help=f"leave it out, or leave `{role}` as it is: `quantizer: none`",
            )  # fmt: skip
            return False
        folder = checkpoints.locate(part.source, part.revision)
        weights = {
            each.name.removesuffix(".weight"): each.shape
            for each in adapters.tensors(folder, part) if each.name.endswith(".weight")
        }  # fmt: skip
        wrong = loras.mismatch(changes, weights, has_shapes=part.stored is None)
        if wrong is not None:
            diagnostics.error(
                "wrong-lora", f"`{source}` is a LoRA for another model than this one with its `{role}`: {wrong}", span,
                help="take a LoRA that was trained for this model, or for one of its kind and size",
            )  # fmt: skip
            return False
    return True


def _takes(part: Component, role: str, what: str, span: Span, diagnostics: Diagnostics) -> bool:
    """Return whether the layers of `part` are stored in a way that `what` can be put on, or report that."""
    if is_gguf(part.single_file):
        diagnostics.error("incompatible", f"{what} can't be put on the layers of a GGUF file", span,
                          help="leave it out, or take the model's weights from another file")  # fmt: skip
        return False
    quantized = part.quantization or part.stored
    if quantized is not None and quantized.backend is not None:
        feature = "lora-text-encoder" if is_text_encoder(role) else "lora"
        refused = compatibility.refusal(feature, quantized.backend, quantized.options)
        if refused is not None:
            suitability.refuse_quantized(what, quantized.backend, quantized.options, refused, span, diagnostics)
            return False
    return True
