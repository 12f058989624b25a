"""Components that their checkpoint holds quantized: what a script may say of them, and what they are called.

They are loaded as they are. A quantizer that says just what the files hold is taken for a remark; any other would
quantize twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A component that is stored quantized, and the setting that wants it otherwise."""

    part: Part
    source: str
    span: Span  # where `source` is named
    chosen: Setting
    differing: tuple[str, ...]  # settings


def contradiction(part: Part, source: str, span: Span, chosen: Setting | None) -> Contradiction | None:
    """Return what is wrong with the quantizer that `chosen` is for `part`, None where it says what the files hold."""
    if part.stored is None or chosen is None or not isinstance(chosen.value, Quantizer):
        return None
    differing = differences(part.stored, chosen.value.backend, chosen.value.options)
    return Contradiction(part, source, span, chosen, tuple(differing)) if differing else None


def report(found: Sequence[Contradiction], diagnostics: Diagnostics) -> None:
    """Report the contradictions of a model: those of one quantizer with components that are stored alike as one."""
    groups: dict[tuple[int, str, tuple[str, ...], Span], list[Contradiction]] = {}
    for each in found:
        assert each.part.stored is not None
        groups.setdefault((id(each.chosen), each.part.stored.name, each.differing, each.span), []).append(each)
    for (_, stored, differing, span), group in groups.items():
        first = group[0]
        quantizer: Quantizer = first.chosen.value
        label = quantizers.label(quantizer.backend, quantizer.options)
        # Where the labels tell what differs, nothing more need be said.
        settings = " (they differ in " + ", ".join(f"`{name}`" for name in differing) + ")" if label == stored else ""
        roles, are = " and ".join(f"`{each.part.role}`" for each in group), "is" if len(group) == 1 else "are"
        help = (
            f"leave it as it is: `{first.part.role} {{ quantizer: none }}`" if len(group) == 1
            else "leave them as they are: `quantizer: none` in a block of each, or for the whole model"
        )  # fmt: skip
        diagnostics.error(
            "already-quantized", f"{roles} of `{first.source}` {are} stored quantized as {stored}, and can't be "
            f"quantized again as {label}{settings}", first.chosen.span, labels=(Label(span, f"stored as {stored}"),),
            help=help,
        )  # fmt: skip


def reads_back(part: Part, source: str, span: Span, diagnostics: Diagnostics) -> bool:
    """Report files that the library which wrote them takes for something else; return whether `part` has none."""
    lost = () if part.stored is None else unreadable(part.stored.backend, part.stored.options, part.library)
    if part.stored is not None and lost:
        diagnostics.error(
            "unreadable-weights", f"`{part.role}` of `{source}` is stored by {part.stored.backend} with `{lost[0]}`, "
            "which it can't read back", span, help="store it again without that option, or take the checkpoint that it "
            "was made from",
        )  # fmt: skip
    return not lost


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
