"""What `compare` does at plan time: images are paired with references, and become a step that measures them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from aquatint.catalog.metrics import METRICS
from aquatint.catalog.models import COMPARE, TABLE_SUFFIXES
from aquatint.diagnostics import Diagnostics, Label
from aquatint.language.blocks import Blocks
from aquatint.language.deferred import line_of
from aquatint.language.images import captions, images_in
from aquatint.language.outputs import OutputNames
from aquatint.language.places import place_of
from aquatint.language.scope import Scope
from aquatint.language.values import UNKNOWN, Deferred, ImageValue, Result, Setting, Unknown, type_name
from aquatint.plan.builder import PlanBuilder
from aquatint.plan.steps import Hole, Line, NumberRef, Pair
from aquatint.source import Span
from aquatint.syntax import nodes as n

PAIR_STEPS = 10
"""Steps of a pair: what tells its image apart from the others is looked for."""


class Comparing:
    """Carries out `compare` for one plan."""

    def __init__(self, diagnostics: Diagnostics, blocks: Blocks, builder: PlanBuilder, outputs: OutputNames) -> None:
        self.diagnostics = diagnostics
        self.blocks = blocks
        self.builder = builder
        self.outputs = outputs

    def compare(self, node: n.Action, targets: Sequence[Any], scope: Scope, printed: bool) -> Any:
        """Add the step of a `compare`; return a map of what it will measure: means by metric, and `pairs`.

        Without an output its table is `printed`, or only the map is of use.
        """
        settings = self.blocks.known(self.blocks.given(node.block, scope, "statement"), COMPARE)
        first, *rest = zip(targets, node.targets, strict=True)
        found = [(self._images(*first), first[1])]
        found += [(self._images(value, target), target) for given, target in rest for value in _groups(given)]
        if settings is None or any(group is None for group, _ in found):
            return UNKNOWN
        (reference, _), *others = [(group, target) for group, target in found if group is not None]
        pairs: list[tuple[ImageValue, ImageValue]] = []
        for group, target in others:
            if len(reference) not in (1, len(group)):
                message = f"{_counted(group)} to compare with {_counted(reference)}"
                self.diagnostics.error(
                    "wrong-value", message, target.span, labels=(Label(node.targets[0].span, "the references"),),
                    help="give one reference, or one for each image",
                )  # fmt: skip
                return UNKNOWN
            pairs += zip(reference * len(group) if len(reference) == 1 else reference, group, strict=True)
        if not pairs:
            return self._error("wrong-value", "this `compare` has nothing to compare with its first images",
                               node.verb.span, help="name two results: `compare a, b { ... }`")  # fmt: skip
        self.blocks.expressions.spend(PAIR_STEPS * len(pairs), node.verb.span)
        metrics = settings.get("metrics")
        if metrics is not None and metrics.value in ((), []):
            there = ", ".join(f"`{name}`" for name in METRICS)
            return self._error("wrong-value", "`metrics` names no measure", metrics.span,
                               help=f"leave it out, or name some of {there}")  # fmt: skip
        if not self._same_size(pairs, node):
            return UNKNOWN
        output = settings.get("output")
        labels = self._labels([image for _, image in pairs], settings.get("labels"))
        if output is not None and not self.outputs.is_good(output, TABLE_SUFFIXES, "tables"):
            return UNKNOWN
        if labels is None or (output is not None and not self.outputs.claim(output.value, output.span)):
            return UNKNOWN
        return self._added(node, pairs, labels, settings, printed)

    def _added(
        self, node: n.Action, pairs: Sequence[tuple[ImageValue, ImageValue]], labels: Sequence[Line],
        settings: Mapping[str, Setting], printed: bool,
    ) -> Any:  # fmt: skip
        default = COMPARE.find("metrics")
        assert default is not None
        metrics = list(
            dict.fromkeys(default.normal(settings["metrics"].value if "metrics" in settings else default.default))
        )
        step = self.builder.compare(
            pairs=[
                Pair(reference.ref, image.ref, label)
                for (reference, image), label in zip(pairs, labels, strict=True)
            ],
            metrics=metrics, path=settings["output"].value if "output" in settings else None,
            place=place_of(node.span), printed=printed,
        )  # fmt: skip

        def number(metric: str, index: int | None) -> Deferred:
            hole = Hole(NumberRef(step, metric, index))
            return Deferred("number", (hole,), f"the {metric} that `compare` measures", node.span, metric)

        each = tuple(
            MappingProxyType({metric: number(metric, index) for metric in metrics}) for index in range(len(pairs))
        )
        return MappingProxyType({**{metric: number(metric, None) for metric in metrics}, "pairs": each})

    def _images(self, value: Any, target: n.Expression) -> list[ImageValue] | None:
        if value is UNKNOWN:
            return None
        found = list(images_in(value))
        wrong = next((item for item in found if not _is_image(item)), None)
        if wrong is not None or not found:
            what = "no image" if not found else type_name(wrong)
            takes = "pictures" if isinstance(wrong, ImageValue) else "results of `generate`"
            self._error("wrong-type", f"`compare` takes {takes}, not {what}", target.span)
            return None
        return found

    def _same_size(self, pairs: Sequence[tuple[ImageValue, ImageValue]], node: n.Action) -> bool:
        """Return whether no pair is known to have two sizes, or report one that has."""
        for reference, image in pairs:
            for side in ("width", "height"):
                one, other = reference.facts.get(side), image.facts.get(side)
                if isinstance(one, int) and isinstance(other, int) and one != other:
                    message = f"`{image}` and `{reference}` have different sizes: {side} {other} and {one}"
                    self._error("wrong-value", message, node.verb.span, help="compare images of one size")
                    return False
        return True

    def _labels(self, images: Sequence[ImageValue], setting: Setting | None) -> list[Line] | None:
        if setting is None:
            found = captions(images)
            # Nothing tells a lone image apart.
            return [label or str(image) for label, image in zip(found, images, strict=True)]
        labels = setting.value if isinstance(setting.value, tuple) else (setting.value,)
        if len(labels) != len(images):
            message = f"{len(labels)} label{'s' * (len(labels) != 1)} for {len(images)} pair{'s' * (len(images) != 1)}"
            self._error("wrong-value", message, setting.span)
            return None
        return [line_of(label) for label in labels]

    def _error(self, code: str, message: str, span: Span, *, help: str | None = None) -> Unknown:
        self.diagnostics.error(code, message, span, help=help)
        return UNKNOWN


def _groups(value: Any) -> list[Any]:
    """Return the results of a list, each of which is compared for itself; what else there is is compared together."""
    is_of_results = isinstance(value, tuple) and any(isinstance(item, Result | tuple) for item in value)
    return list(value) if is_of_results else [value]


def _is_image(value: Any) -> bool:
    return isinstance(value, ImageValue) and value.kind == "image"


def _counted(images: Sequence[ImageValue]) -> str:
    return f"{len(images)} image{'s' * (len(images) != 1)}"
