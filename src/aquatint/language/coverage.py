"""What a model's quantizers make of its components, where that is less than was meant, or fails.

The findings are the catalog's (`catalog.coverage`); here they get their places: one quantizer may be for several
components, and what it says of layers that one of them has is right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aquatint.catalog import coverage, estimates
from aquatint.catalog.backend import Backend
from aquatint.catalog.checkpoints import Part, Tensor
from aquatint.catalog.coverage import Misfit
from aquatint.catalog.estimates import Estimate
from aquatint.catalog.layers import Network
from aquatint.catalog.quantizers import backend, canonical
from aquatint.diagnostics import Diagnostic, Diagnostics, Label
from aquatint.language.names import inside
from aquatint.language.values import Quantizer, Setting
from aquatint.plan.steps import Json


@dataclass(frozen=True, slots=True)
class Use:
    """A component that a quantizer is for; `is_own` says that the component's own block chose it."""

    role: str
    chosen: Setting
    is_own: bool
    quantizer: Quantizer
    backend: Backend
    options: dict[str, Json]
    network: Network
    tensors: list[Tensor]
    estimate: Estimate

    @property
    def misfits(self) -> list[Misfit]:
        """The names of layers that the component lacks."""
        if not self.network.is_named:
            return []
        return coverage.misfits(self.backend, self.options, self.tensors)


def use(chosen: Setting, is_own: bool, folder: Path, part: Part, variant: str | None, dtype: str) -> Use:
    """Return what the quantizer that `chosen` holds makes of a component. Raises `CheckpointError`."""
    quantizer = chosen.value
    found = backend(quantizer.backend)
    assert isinstance(quantizer, Quantizer) and found is not None, "a value has passed its checks"
    options = canonical(quantizer.backend, quantizer.options)
    network, tensors = estimates.read(folder, part, variant, dtype)
    estimate = estimates.quantized(network, tensors, found, options)
    return Use(part.role, chosen, is_own, quantizer, found, options, network, tensors, estimate)


def check(uses: Iterable[Use], diagnostics: Diagnostics) -> bool:
    """Report what is amiss with `uses`, all of one model; return whether none of it is an error."""
    by_quantizer: dict[int, list[Use]] = {}
    for each in uses:
        by_quantizer.setdefault(id(each.quantizer), []).append(each)
    sound = True
    for alike in by_quantizer.values():
        sound = _check_work(alike, diagnostics) and sound
        _check_names(alike, diagnostics)
        for each in alike:
            sound = _check_layers(each, diagnostics) and sound
    return sound


def _check_work(uses: list[Use], diagnostics: Diagnostics) -> bool:
    """Report the components in which one quantizer finds nothing: a mistake where it was chosen for them alone."""
    idle = [use for use in uses if coverage.is_idle(use.estimate)]
    for use in idle:
        roles = " and ".join(f"`{other.role}`" for other in idle if other.chosen is use.chosen)
        report = diagnostics.error if use.is_own else diagnostics.warning
        message = f"quantizer `{use.quantizer.name}` finds no layer of {roles} to quantize"
        report("nothing-to-quantize", message, use.chosen.span, help=_help_if_idle(use))
    return not any(use.is_own for use in idle)


def _help_if_idle(use: Use) -> str | None:
    return coverage.help_if_idle(
        use.options, lambda options: estimates.quantized(use.network, use.tensors, use.backend, options)
    )


def _check_layers(use: Use, diagnostics: Diagnostics) -> bool:
    """Report layers that the backend can't store, which is an error, and those that it can't convert."""
    for found in coverage.failing(use.estimate):
        diagnostics.error(
            "unfit-layer", f"quantizer `{use.quantizer.name}` fails with `{use.role}`: {found.why} ({found.layers})",
            use.chosen.span, help=found.help,
        )  # fmt: skip
    for gap, help in coverage.gaps(use.backend, use.estimate):
        diagnostics.warning("layers-left", f"in `{use.role}` {use.backend.name} {gap}", use.chosen.span, help=help)
    return not use.estimate.unfit


def _check_names(uses: list[Use], diagnostics: Diagnostics) -> None:
    """Warn of what one quantizer names and none of its components has: it names the layers of all of them."""
    use = uses[0]
    where = " and ".join(f"`{other.role}`" for other in uses)
    by_use = [each.misfits for each in uses]
    for misfit in by_use[0]:
        alike = [m for found in by_use for m in found if (m.setting, m.name) == (misfit.setting, misfit.name)]
        if len(alike) < len(uses):
            continue
        helps = [m.help for m in alike if m.help is not None]
        # A warning: layers that share another's weights are in no file.
        diagnostics.add(Diagnostic(
            "unknown-module", f"`{misfit.setting}`: no layer of {where} has `{misfit.name}` in its name",
            inside(use.quantizer.settings[misfit.setting].span, misfit.name),
            next((help for help in helps if help.startswith("did you mean")), misfit.help),
            (Label(use.chosen.span, "used here"),), "warning",
        ))  # fmt: skip
