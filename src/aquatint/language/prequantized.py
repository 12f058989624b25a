"""Components that their checkpoint holds quantized: what a script may say of them, and what they are called.

They are loaded as they are. A quantizer that says just what the files hold is taken for a remark; any other would
quantize twice.
"""

from __future__ import annotations

from aquatint.catalog import quantizers
from aquatint.catalog.checkpoints import Part
from aquatint.catalog.stored import Stored, differences, unreadable
from aquatint.diagnostics import Diagnostics, Label
from aquatint.language.values import Model, Quantizer, Setting
from aquatint.plan import steps
from aquatint.plan.steps import Component
from aquatint.source import Span


def chosen_for(model: Model, role: str, is_quantized: bool) -> Setting | None:
    """Return the setting that decides how a component is quantized; `is_quantized` if the model's own is for it."""
    return model.parts.get(role, {}).get("quantizer") or (model.settings.get("quantizer") if is_quantized else None)


def check(part: Part, source: str, span: Span, chosen: Setting | None, diagnostics: Diagnostics) -> bool:
    """Report a quantizer that says something else than the files of `part`, and files that mislead.

    `span` is where the checkpoint `source` is named. Return whether there was nothing to report.
    """
    stored = part.stored
    if stored is None:
        return True
    if lost := unreadable(stored.backend, stored.options, part.library):
        diagnostics.error(
            "unreadable-weights", f"`{part.role}` of `{source}` is stored by {stored.backend} with `{lost[0]}`, which "
            "it can't read back", span, help="store it again without that option, or take the checkpoint that it was "
            "made from",
        )  # fmt: skip
        return False
    if chosen is None or not isinstance(chosen.value, Quantizer):
        return True
    quantizer = chosen.value
    differing = differences(stored, quantizer.backend, quantizer.options)
    if differing:
        label = quantizers.label(quantizer.backend, quantizer.options)
        # Where the labels tell what differs, nothing more need be said.
        settings = (
            " (they differ in " + ", ".join(f"`{name}`" for name in differing) + ")" if label == stored.name else ""
        )
        diagnostics.error(
            "already-quantized", f"`{part.role}` of `{source}` is stored quantized as {stored.name}, and can't be "
            f"quantized again as {label}{settings}", chosen.span, labels=(Label(span, f"stored as {stored.name}"),),
            help=f"leave it as it is: `{part.role} {{ quantizer: none }}`",
        )  # fmt: skip
    return not differing


def quantizer_name(component: Component, chosen: Setting | None) -> str | None:
    """Return what facts and file names call the quantizer of a component: the script's name for it, where it has one.

    `chosen` is the setting that decides for the component.
    """
    if component.quantization is not None:
        return component.quantization.name
    if component.stored is None:
        return None
    return chosen.value.name if chosen is not None and isinstance(chosen.value, Quantizer) else component.stored.name


def as_planned(stored: Stored | None) -> steps.Stored | None:
    """Return what a plan says of how a component is stored."""
    if stored is None:
        return None
    return steps.Stored(
        method=stored.method, backend=stored.backend if stored.whole else None,
        options=dict(stored.options) if stored.whole else {}, name=stored.name,
    )  # fmt: skip
