"""What the verbs do at plan time: `generate` and `grid` become steps of the plan, and yield results.

Everything that can be known before a model is loaded is checked here.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from aquatint.catalog.models import GENERATE, GRID, LATER_GENERATE, OUTPUT_SUFFIXES
from aquatint.catalog.pipelines import PipelineInfo, scheduler_names, scheduler_substitutes
from aquatint.diagnostics import Diagnostics, Label, did_you_mean
from aquatint.language.blocks import Blocks
from aquatint.language.builtins import slug
from aquatint.language.claims import NO_IMAGES
from aquatint.language.resolution import Resolved, Resolver, quantizer_summary
from aquatint.language.scope import Scope
from aquatint.language.values import (
    UNKNOWN,
    ImageValue,
    Model,
    Result,
    Setting,
    Size,
    Unknown,
    layered,
    plain,
    shown,
    type_name,
)
from aquatint.language.why import Statement
from aquatint.plan.builder import PlanBuilder
from aquatint.plan.steps import ImageRef, Output, Place
from aquatint.source import Span
from aquatint.syntax import nodes as n

IMAGE_LIMIT = 100_000
"""Images of a plan."""

# Facts about an image that its caption leaves out: its own name, and what is too long to read.
_NO_CAPTION = ("path", "negative_prompt")


def place_of(span: Span) -> Place:
    """Return `span`'s start as the plan writes it."""
    return Place(file=span.source.name, line=span.line, column=span.column)


SIDE_STEP = 8
"""Pixels: what Stable Diffusion's pipelines, the strictest of diffusers', want sides to be multiples of."""


class Actions:
    """Carries out verbs for one plan; `made` are the images of the session so far, in order.

    `told`, if it is a list, gets the statements that became steps.
    """

    def __init__(
        self, diagnostics: Diagnostics, blocks: Blocks, resolver: Resolver, builder: PlanBuilder, image_limit: int
    ) -> None:
        self.diagnostics = diagnostics
        self.blocks = blocks
        self.resolver = resolver
        self.builder = builder
        self.made: list[ImageValue] = []
        self._output_spans: dict[str, Span] = {}
        self._images = 0
        self.told: list[Statement] | None = None
        self._image_limit = image_limit

    # generate

    def generate(self, node: n.Action, target: Any, scope: Scope) -> Result | Unknown:
        """Add the step of a `generate` and return its result."""
        own = self.blocks.given(node.block, scope, "statement")
        if isinstance(target, Unknown):
            self._look_over(own, None, node)
            return UNKNOWN
        if not isinstance(target, Model):
            return self._error("wrong-type", f"`generate` takes a model, not {type_name(target)}", node.targets[0].span)
        resolved = self.resolver.resolve(target)
        if resolved is None:
            self._look_over(own, target, node)
            return UNKNOWN
        if resolved.pipeline.parts.get("controlnet") is not None:
            message = f"`{target.name}` is a `{resolved.info.name}`: {NO_IMAGES}"
            return self._error("not-supported-yet", message, node.targets[0].span)
        given = layered(target.defaults, own)
        settings, sound = self.blocks.arguments(given, resolved.info)
        # Each check speaks, so that all mistakes of a statement are told at once.
        checks = (
            sound,
            self._has_all(given, resolved.info, node),
            self._has_good_size(settings),
            self._has_good_scheduler(settings, resolved, target),
            "output" not in settings or self._is_good_path(settings["output"]),
        )
        if not all(checks):
            return UNKNOWN
        place = place_of(node.span)
        count = settings["images"].value if "images" in settings else 1
        self._images += count
        if self._images > self._image_limit:
            message = f"the script comes to more than {self._image_limit:,} images"
            return self._error("too-large", message, node.verb.span,
                               help="make several scripts of it, or allow more with `--limit`")  # fmt: skip
        expressions = self.blocks.expressions
        seed = settings["seed"].value if "seed" in settings else expressions.draws.seed(node, expressions.turn)
        arguments = self._arguments(settings)
        summary = quantizer_summary(resolved.quantizers, resolved.info)
        paths = self._paths(settings, target.name, summary, str(arguments.get("prompt", "")), seed, count, node)
        if paths is None:
            return UNKNOWN
        self.builder.add_pipeline(resolved.pipeline, resolved.components)
        outputs = [Output(seed=seed + number, path=path) for number, path in enumerate(paths)]
        step = self.builder.generate(
            pipeline=resolved.pipeline.key,
            model=target.name,
            quantizers=dict(resolved.quantizers),
            arguments=arguments,
            scheduler=settings["scheduler"].value if "scheduler" in settings else None,
            outputs=outputs,
            metadata=settings["metadata"].value if "metadata" in settings else True,
            place=place,
            statement=node.span.text,
        )
        if self.told is not None:
            self.told.append(
                Statement(
                    step, "generate", node.span, tuple(paths), target, settings, resolved, self.blocks.world.device
                )
            )
        images = tuple(
            ImageValue(ImageRef(step=step, index=number), MappingProxyType(
                {"model": target.name, "quantizer": summary, "seed": output.seed, **arguments, "path": output.path}))
            for number, output in enumerate(outputs)
        )  # fmt: skip
        self.made += images
        return Result(step, images)

    def _look_over(self, own: Mapping[str, Setting], model: Model | None, node: n.Action) -> None:
        """Report what is wrong with a `generate` itself, whose model has mistakes or can't be known."""
        sketch = None if model is None else self.resolver.sketch(model)
        info = None if sketch is None else sketch.info
        defaults, sound = self.blocks.arguments({} if model is None else model.defaults, info)
        given = layered(defaults, own)
        settings, _ = self.blocks.arguments(given, info)
        self._has_good_size(settings)
        self._has_good_scheduler(settings, None, model)
        if "output" in settings:
            self._is_good_path(settings["output"])
        if sketch is not None and sketch.is_whole and sound:
            self._has_all(given, sketch.info, node)

    def _has_all(self, settings: Mapping[str, Setting], info: PipelineInfo, node: n.Action) -> bool:
        missing = [
            name
            for name, argument in info.arguments.items()
            if name not in settings and (argument.required or name == "prompt") and name not in LATER_GENERATE
        ]
        # Perhaps it is what could not be read, or is misspelt.
        if not self.diagnostics.any_within(node.block.span):
            for name in missing:
                help = f"write `{name}: ...` in its block"
                self._error("missing-setting", f"this `generate` has no `{name}`", node.verb.span, help=help)
        return not missing

    def _has_good_size(self, settings: Mapping[str, Setting]) -> bool:
        sound = True
        size = settings.get("size")
        other = settings.get("width") or settings.get("height")
        if size is not None and other is not None and other.layer == size.layer:
            message = "`size` stands for `width` and `height`; give one or the other"
            self._error("contradicting-settings", message, size.name_span)
            sound = False
        for name in ("size", "width", "height"):
            if name not in settings:
                continue
            value = settings[name].value
            sides = (value.width, value.height) if isinstance(value, Size) else (value,)
            if any(isinstance(side, int) and side % SIDE_STEP for side in sides):
                near = "x".join(str(max(SIDE_STEP, round(side / SIDE_STEP) * SIDE_STEP)) for side in sides)
                message = f"`{name}` {value}: width and height must be multiples of {SIDE_STEP}"
                self._error("wrong-value", message, settings[name].span, help=f"nearest: {near}")
                sound = False
        return sound

    def _has_good_scheduler(
        self, settings: Mapping[str, Setting], resolved: Resolved | None, model: Model | None
    ) -> bool:
        sound = True
        name = "" if model is None else model.name
        limit = None if resolved is None else resolved.train_timesteps
        steps = settings.get("num_inference_steps")
        if steps is not None and limit is not None and isinstance(steps.value, int) and steps.value > limit:
            message = f"`num_inference_steps` {steps.value} is more than the scheduler of `{name}` can make"
            self._error("wrong-value", message, steps.span, help=f"it was trained with {limit}")
            sound = False
        scheduler = settings.get("scheduler")
        if scheduler is not None and scheduler.value not in scheduler_names():
            self._error("wrong-value", f"diffusers has no scheduler `{scheduler.value}`", scheduler.span,
                        help=did_you_mean(scheduler.value, scheduler_names(), "schedulers"))  # fmt: skip
            sound = False
        elif scheduler is not None and resolved is not None and resolved.scheduler is not None:
            allowed = scheduler_substitutes(resolved.scheduler)
            if scheduler.value not in allowed:
                message = f"`{scheduler.value}` can't stand in for the `{resolved.scheduler}` of `{name}`"
                help = did_you_mean(scheduler.value, allowed, "schedulers that can")
                self._error("wrong-value", message, scheduler.span, help=help)
                sound = False
        return sound

    @staticmethod
    def _arguments(settings: Mapping[str, Setting]) -> dict[str, Any]:
        """Return the arguments of the pipeline's call: the settings that are its own, with `size` taken apart."""
        arguments = {name: plain(s.value) for name, s in settings.items() if GENERATE.find(name) is None}
        size = settings.get("size")
        if size is not None:
            for side in ("width", "height"):
                if side not in settings or settings[side].layer != "statement" or size.layer == "statement":
                    arguments[side] = getattr(size.value, side)
        return dict(sorted(arguments.items()))

    def _paths(
        self,
        settings: Mapping[str, Setting],
        model: str,
        summary: str,
        prompt: str,
        seed: int,
        count: int,
        node: n.Action,
    ) -> list[str] | None:
        setting = settings.get("output")
        if setting is None:
            stem = "-".join(part for part in (slug(model), slug(summary), slug(prompt)) if part)
            return [self._free(f"{stem}-{seed + number}.png", node.span) for number in range(count)]
        path = PurePosixPath(setting.value)
        # One name for several images: each gets its seed.
        named = [str(path)] if count == 1 else [
            str(path.with_name(f"{path.stem}-{seed + number}{path.suffix}")) for number in range(count)
        ]  # fmt: skip
        return named if all([self.claim(name, setting.span) for name in named]) else None

    def _is_good_path(self, setting: Setting) -> bool:
        text = setting.value
        path = PurePosixPath(text)
        suffix = path.suffix.lower()
        if not text.isprintable():
            self._error("wrong-value", "`output` has a character that doesn't belong into a name", setting.span,
                        help="take it out, or name the file with `slug(...)`")  # fmt: skip
            return False
        if not text.strip() or text.endswith("/") or path.name in OUTPUT_SUFFIXES:
            self._error(
                "wrong-value", "`output` names no file", setting.span, help="write a name such as `out/cat.png`"
            )
            return False
        if suffix not in OUTPUT_SUFFIXES:
            why = f"pictures can't be written as `{suffix}`" if suffix else f"`{text}` doesn't say as what to write it"
            self._error("wrong-value", why, setting.span,
                        help="end the name with one of " + ", ".join(f"`{s}`" for s in OUTPUT_SUFFIXES))  # fmt: skip
            return False
        if any(len(part.encode()) > 250 for part in path.parts):
            self._error(
                "wrong-value", "this name is too long for a file", setting.span, help="shorten it with `slug(...)`"
            )
            return False
        return True

    def claim(self, path: str, span: Span) -> bool:
        """Return whether no other statement of the plan writes to `path`."""
        file = self._file(path)
        first = self._output_spans.get(file)
        if first is None:
            self._output_spans[file] = span
            return True
        if first == span:
            self.diagnostics.error("duplicate-output", f"more than one turn of this loop writes `{path}`", span,
                                   help="put what differs into the name, as in `{{ seed }}`")  # fmt: skip
        else:
            self.diagnostics.error("duplicate-output", f"`{path}` is written by an earlier statement", span,
                                   labels=(Label(first, "here"),), help="give one of them another name")  # fmt: skip
        return False

    def _free(self, path: str, span: Span) -> str:
        free, number = path, 1
        while self._file(free) in self._output_spans:
            number += 1
            free = f"{path.removesuffix('.png')}-{number}.png"
        self._output_spans[self._file(free)] = span
        return free

    def _file(self, path: str) -> str:
        """Return one name for all those of a file, as far as that can be told without looking for links."""
        whole = posixpath.normpath(posixpath.join(self.blocks.world.output_folder, path))
        return "/" + whole.lstrip("/") if whole.startswith("/") else whole

    # grid

    def grid(self, node: n.Action, scope: Scope, since: int) -> Unknown | None:
        """Add the step of a `grid`; `since` is how many images there were when the block around it began."""
        settings = self.blocks.known(self.blocks.given(node.block, scope, "statement"), GRID)
        if settings is None:
            return UNKNOWN
        if "output" not in settings and self.diagnostics.any_within(node.block.span):
            return UNKNOWN
        if "output" not in settings:
            return self._error(
                "missing-setting", "this `grid` has no `output`", node.verb.span, help='write `output: "sheet.png"`'
            )
        images = self._images_of(settings.get("images"), node, since)
        if images is None or not self._is_good_path(settings["output"]):
            return UNKNOWN
        layout = self._lay_out(images, settings, node)
        if layout is None:
            return UNKNOWN
        ordered, columns, column_headers, row_headers, told = layout
        labels = self._labels(ordered, settings.get("labels"), told)
        if labels is None or not self.claim(settings["output"].value, settings["output"].span):
            return UNKNOWN
        self.builder.grid(
            cells=[(image.ref, label) for image, label in zip(ordered, labels, strict=True)], columns=columns,
            column_headers=column_headers, row_headers=row_headers,
            title=settings["title"].value if "title" in settings else "", path=settings["output"].value,
            place=place_of(node.span),
        )  # fmt: skip
        return None

    def _images_of(self, setting: Setting | None, node: n.Action, since: int) -> list[ImageValue] | None:
        if setting is None or setting.value is None:
            images = self.made[since:]
            if not images:
                # A mistake in the statements before it has been reported already.
                if not self.diagnostics.has_errors:
                    self._error("empty-grid", "no image was made before this `grid`", node.verb.span,
                                help="generate some in the same block, or set `images`")  # fmt: skip
                return None
            return images
        flat: list[ImageValue] = []
        for item in _flattened(setting.value):
            if isinstance(item, Result):
                flat += item.images
            elif isinstance(item, ImageValue):
                flat.append(item)
            else:
                self._error("wrong-type", f"`images` takes results of `generate`, not {type_name(item)}", setting.span)
                return None
        if not flat:
            self._error("empty-grid", "`images` has no image", setting.span)
            return None
        return flat

    def _lay_out(
        self, images: list[ImageValue], settings: Mapping[str, Setting], node: n.Action
    ) -> tuple[list[ImageValue], int, list[str], list[str], set[str]] | None:
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
    ) -> tuple[list[ImageValue], int, list[str], list[str], set[str]] | None:
        def values(fact: str | None) -> list[str]:
            return list(dict.fromkeys(_fact(image, fact) for image in images)) if fact else []

        headers, sides = values(across), values(down)
        told = {fact for fact in (across, down) if fact}
        groups: dict[tuple[str, str], list[ImageValue]] = {}
        for image in images:
            groups.setdefault((_fact(image, down), _fact(image, across)), []).append(image)
        if across and down:
            wrong = next((cell for r in sides for c in headers if len(cell := groups.get((r, c), [])) != 1), None)
            if wrong is not None:
                why = "no image" if not wrong else f"{len(wrong)} images"
                self._error("wrong-value", f"a table of `{down}` by `{across}` has a cell with {why}", at.span,
                            help="leave `rows` or `columns` out, or name the images with `images`")  # fmt: skip
                return None
            return [groups[r, c][0] for r in sides for c in headers], len(headers), headers, sides, told
        lines = [[image for image in images if _fact(image, across or down) == value] for value in headers or sides]
        if len({len(line) for line in lines}) != 1:
            self._error("wrong-value", f"the values of `{across or down}` have different numbers of images", at.span,
                        help="name the images with `images`")  # fmt: skip
            return None
        if down:
            return [image for line in lines for image in line], len(lines[0]), [], sides, told
        return [line[i] for i in range(len(lines[0])) for line in lines], len(headers), headers, [], told

    def _labels(self, images: list[ImageValue], setting: Setting | None, told: set[str]) -> list[str] | None:
        if setting is not None:
            labels = [setting.value] if isinstance(setting.value, str) else list(setting.value)
            if len(labels) != len(images):
                self._error("wrong-value", f"{_counted(labels, 'label')} for {_counted(images, 'image')}", setting.span)
                return None
            return labels
        facts = dict.fromkeys(name for image in images for name in image.facts if name not in _NO_CAPTION)
        differ = [fact for fact in facts if fact not in told and len({_fact(image, fact) for image in images}) > 1]
        return [", ".join(_caption(fact, _fact(image, fact)) for fact in differ) for image in images]

    def _error(self, code: str, message: str, span: Span, *, help: str | None = None) -> Unknown:
        self.diagnostics.error(code, message, span, help=help)
        return UNKNOWN


def _counted(items: Sequence[Any], noun: str) -> str:
    return f"{len(items)} {noun}{'s' * (len(items) != 1)}"


def _flattened(value: Any) -> list[Any]:
    return [inner for item in value for inner in _flattened(item)] if isinstance(value, tuple) else [value]


def _fact(image: ImageValue, fact: str | None) -> str:
    return shown(image.facts.get(fact)) if fact else ""


def _caption(fact: str, value: str) -> str:
    return value if fact in ("prompt", "model", "quantizer") else f"{re.sub('_', ' ', fact)} {value}"


def _square(count: int) -> int:
    """Return the columns of a sheet that is about as wide as it is high."""
    width = 1
    while width * width < count:
        width += 1
    return width
