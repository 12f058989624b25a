"""Whether what a model asks for goes with its quantizers and with the devices that its submodules are on.

What goes with what is the catalog's knowledge (`compatibility`, `hardware`); here it is held against a model, and said
at the place in the script that asked for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aquatint.catalog import compatibility
from aquatint.catalog.compatibility import Cell
from aquatint.catalog.hardware import SHARED_MEMORY, notes
from aquatint.catalog.quantizers import canonical, label
from aquatint.diagnostics import Diagnostic, Diagnostics, Label
from aquatint.language.values import UNKNOWN, Model, Quantizer, Setting
from aquatint.plan.steps import Component
from aquatint.source import Span


def offloads_on(device: str) -> bool:
    """Return whether there is anything to offload on `device`: not where weights and computing share one memory."""
    return device.partition(":")[0] not in SHARED_MEMORY


def offload(model: Model, device: str, diagnostics: Diagnostics) -> str | None:
    """Return how `model` is offloaded on `device`: not at all where weights and computing share one memory."""
    setting = model.settings.get("offload")
    if setting is None or setting.value is None or setting.value is UNKNOWN:
        return None
    if not offloads_on(device):
        asked = f'`offload: "{setting.value}"`'
        message = f"{asked} does nothing on `{device}`, which computes in the computer's own memory"
        diagnostics.warning("nothing-to-offload", message, setting.span)
        return None
    return str(setting.value)


def check(
    model: Model,
    components: Mapping[str, Component],
    chosen: Mapping[str, Setting],
    diagnostics: Diagnostics,
) -> bool:
    """Report what doesn't go together in `model`, whose `components` are by role; return whether nothing was refused.

    `chosen` has the setting that chose a role's quantizer; a component that is stored quantized has none.
    """
    sound = True
    asked = model.settings["source"]
    for role, component in components.items():
        quantized = component.quantization or component.stored
        if quantized is None or quantized.backend is None:
            continue
        at, device = chosen.get(role, asked), component.device
        refused = compatibility.refusal(f"device-{device.partition(':')[0]}", quantized.backend, quantized.options)
        # The devices that diffusers refuses: transformers doesn't.
        if refused is not None and component.library == "diffusers":
            what = _called(quantized.backend, quantized.options)
            _refuse(diagnostics, f"{what} can't be run on `{device}`", refused, at.span)
            sound = False
        if component.offload is not None:
            feature = f"offload-{component.offload}"
            refused = compatibility.refusal(feature, quantized.backend, quantized.options)
            if refused is not None:
                asked_for = f'`offload: "{component.offload}"`'
                what = f"{asked_for} can't be had with {_called(quantized.backend, quantized.options)}"
                labels = (Label(at.span, f"the quantizer of `{role}`"),)
                _refuse(diagnostics, what, refused, model.settings["offload"].span, labels)
                sound = False
        if isinstance(at.value, Quantizer):
            sound = _note(device, at, at.value, diagnostics) and sound
    return sound


def refuse_quantized(
    what: str, backend: str, options: Mapping[str, Any], refused: Cell, span: Span, diagnostics: Diagnostics
) -> None:
    """Report that `what` can't be had with what is quantized by `backend` with `options`, and the table's reason."""
    _refuse(diagnostics, f"{what} can't be had with {_called(backend, options)}", refused, span)


def _note(device: str, chosen: Setting, quantizer: Quantizer, diagnostics: Diagnostics) -> bool:
    """Say what options of `quantizer` mean on `device`, where they are set; return whether it can run there."""
    sound = True
    for note in notes(quantizer.backend, canonical(quantizer.backend, quantizer.options), device):
        setting = quantizer.settings.get(note.setting)
        # An option may be what it is by default; then the quantizer itself is the place.
        span = chosen.span if setting is None else setting.span
        labels = () if span == chosen.span else (Label(chosen.span, "used here"),)
        message = f"quantizer `{quantizer.name}`: `{note.setting}`: {note.text}"
        diagnostics.add(Diagnostic("hardware", message, span, note.help, labels, note.severity))
        sound = sound and note.severity != "error"
    return sound


def _refuse(diagnostics: Diagnostics, what: str, refused: Cell, span: Span, labels: tuple[Label, ...] = ()) -> None:
    diagnostics.error("incompatible", f"{what}: {refused.text}", span, help=refused.help, labels=labels)


def _called(backend: str, options: Mapping[str, Any]) -> str:
    return f"`{label(backend, options)}`"
