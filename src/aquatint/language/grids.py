"""What `grid` does at plan time: images, their rows, columns and captions become a step that lays them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aquatint.catalog.models import GRID
from aquatint.diagnostics import Diagnostics, did_you_mean
from aquatint.language.blocks import Blocks
from aquatint.language.deferred import line_of
from aquatint.language.images import captions, fact, fact_lines, images_in
from aquatint.language.outputs import OutputNames
from aquatint.language.places import place_of
from aquatint.language.scope import Scope
from aquatint.language.values import UNKNOWN, ImageValue, Setting, Unknown, quoted, type_name
from aquatint.plan.builder import PlanBuilder
from aquatint.plan.steps import Line
from aquatint.source import Span
from aquatint.syntax import nodes as n


class Grids:
    """Carries out `grid` for one plan."""

    def __init__(self, diagnostics: Diagnostics, blocks: Blocks, builder: PlanBuilder, outputs: OutputNames) -> None:
        self.diagnostics = diagnostics
        self.blocks = blocks
        self.builder = builder
        self.outputs = outputs

    def grid(self, node: n.Action, scope: Scope, made: Sequence[ImageValue]) -> Unknown | None:
        """Add the step of a `grid`; `made` are the images of the block around it so far."""
        settings = self.blocks.known(self.blocks.given(node.block, scope, "statement"), GRID)
        if settings is None:
            return UNKNOWN
        if "output" not in settings and self.diagnostics.any_within(node.block.span):
            return UNKNOWN
        if "output" not in settings:
            return self._error(
                "missing-setting", "this `grid` has no `output`", node.verb.span, help='write `output: "sheet.png"`'
            )
        images = self._images_of(settings.get("images"), node, made)
        if images is None or not self.outputs.is_good(settings["output"]):
            return UNKNOWN
        layout = self._lay_out(images, settings, node)
        if layout is None:
            return UNKNOWN
        ordered, columns, column_headers, row_headers, told = layout
        labels = self._labels(ordered, settings.get("labels"), told)
        if labels is None or not self.outputs.claim(settings["output"].value, settings["output"].span):
            return UNKNOWN
        self.builder.grid(
            cells=[(image.ref, label) for image, label in zip(ordered, labels, strict=True)], columns=columns,
            column_headers=column_headers, row_headers=row_headers,
            title=line_of(settings["title"].value) if "title" in settings else "", path=settings["output"].value,
            sidecar=settings["sidecar"].value if "sidecar" in settings else False, place=place_of(node.span),
        )  # fmt: skip
        return None

    def _images_of(
        self, setting: Setting | None, node: n.Action, made: Sequence[ImageValue]
    ) -> list[ImageValue] | None:
        if setting is None or setting.value is None:
            images = [image for image in made if image.kind == "image"]
            if not images:
                # A mistake in the statements before it has been reported already.
                if not self.diagnostics.has_errors:
                    self._error("empty-grid", "no image was made before this `grid`", node.verb.span,
                                help="generate some in the same block, or set `images`")  # fmt: skip
                return None
            return images
        flat: list[ImageValue] = []
        for item in images_in(setting.value):
            if not isinstance(item, ImageValue) or item.kind != "image":
                what = "pictures" if isinstance(item, ImageValue) else "results of `generate`"
                self._error("wrong-type", f"`images` takes {what}, not {type_name(item)}", setting.span)
                return None
            flat.append(item)
        if not flat:
            self._error("empty-grid", "`images` has no image", setting.span)
            return None
        return flat

    def _lay_out(
        self, images: list[ImageValue], settings: Mapping[str, Setting], node: n.Action
    ) -> tuple[list[ImageValue], int, list[Line], list[Line], set[str]] | None:
        """Return the images in the order of the sheet, its columns, its headers, and the facts that those tell."""
        columns, rows = settings.get("columns"), settings.get("rows")
        for setting in (columns, rows):
            if setting is not None and isinstance(setting.value, str) and setting.value not in images[0].facts:
                known = {name for image in images for name in image.facts}
                self._error("wrong-value", f"images have no fact `{setting.value}`", setting.span,
                            help=did_you_mean(setting.value, known, "facts"))  # fmt: skip
                return None
        if columns is not None and not isinstance(columns.value, str):
            number = columns.value
            if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= 1000:
                self._error("wrong-type", "`columns` takes a number from 1 to 1000, or a fact's name", columns.span)
                return None
            if rows is not None:
                self._error("contradicting-settings", "`rows` decides how many columns there are", columns.span,
                            help="leave `columns` out, or name the fact that the columns tell apart")  # fmt: skip
                return None
        across = columns.value if columns is not None and isinstance(columns.value, str) else None
        down = rows.value if rows is not None else None
        if across is None and down is None:
            width = columns.value if columns is not None else _square(len(images))
            return images, min(width, len(images)), [], [], set()
        return self._table(images, across, down, columns or rows or next(iter(settings.values())))

    def _table(
        self, images: list[ImageValue], across: str | None, down: str | None, at: Setting
    ) -> tuple[list[ImageValue], int, list[Line], list[Line], set[str]] | None:
        headers = fact_lines(images, across) if across else {}
        sides = fact_lines(images, down) if down else {}
        told = {fact for fact in (across, down) if fact}
        groups: dict[tuple[str, str], list[ImageValue]] = {}
        for image in images:
            groups.setdefault((fact(image, down), fact(image, across)), []).append(image)
        if across and down:
            wrong = [(r, c) for r in sides for c in headers if len(groups.get((r, c), ())) != 1]
            if wrong:
                (r, c), count = wrong[0], len(groups.get(wrong[0], ()))
                cell = f"{_fact_of(images, down, r)} and {_fact_of(images, across, c)}"
                more = f", and not just one in {_counted(wrong[1:], 'other cell')}" if len(wrong) > 1 else ""
                message = f"a table of `{down}` by `{across}` has {_many(count)} for {cell}{more}"
                self._error("wrong-value", message, at.span,
                            help="leave `rows` or `columns` out, or name the images with `images`")  # fmt: skip
                return None
            shown = list(headers.values()), list(sides.values())
            return [groups[r, c][0] for r in sides for c in headers], len(headers), *shown, told
        lines = [[image for image in images if fact(image, across or down) == value] for value in headers or sides]
        if len({len(line) for line in lines}) != 1:
            name = across or down or ""
            one, other = lines[0], next(line for line in lines if len(line) != len(lines[0]))
            of_each = " and ".join(f"{_many(len(line))} for {_fact_of(line, name)}" for line in (one, other))
            message = f"the values of `{name}` have different numbers of images: {of_each}"
            self._error("wrong-value", message, at.span, help="name the images with `images`")
            return None
        if down:
            return [image for line in lines for image in line], len(lines[0]), [], list(sides.values()), told
        return [line[i] for i in range(len(lines[0])) for line in lines], len(headers), list(headers.values()), [], told

    def _labels(self, images: list[ImageValue], setting: Setting | None, told: set[str]) -> list[Line] | None:
        if setting is None:
            return captions(images, told)
        labels = setting.value if isinstance(setting.value, tuple) else (setting.value,)
        if len(labels) != len(images):
            self._error("wrong-value", f"{_counted(labels, 'label')} for {_counted(images, 'image')}", setting.span)
            return None
        return [line_of(label) for label in labels]

    def _error(self, code: str, message: str, span: Span, *, help: str | None = None) -> Unknown:
        self.diagnostics.error(code, message, span, help=help)
        return UNKNOWN


def _fact_of(images: Sequence[ImageValue], name: str, text: str | None = None) -> str:
    """Return a fact of the first of `images`, or of the one in which it reads `text`, for a message."""
    found = next(image for image in images if text is None or fact(image, name) == text)
    return f"`{name}` {quoted(found.facts.get(name))}"


def _many(count: int) -> str:
    return f"{count or 'no'} image{'s' * (count > 1)}"


def _counted(items: Sequence[Any], noun: str) -> str:
    return f"{len(items)} {noun}{'s' * (len(items) != 1)}"


def _square(count: int) -> int:
    """Return the columns of a sheet that is about as wide as it is high."""
    width = 1
    while width * width < count:
        width += 1
    return width
