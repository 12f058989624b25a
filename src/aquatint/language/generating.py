"""What `generate` does at plan time: it becomes a step of the plan, and yields a result.

Everything that can be known before a model is loaded is checked here.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from aquatint.catalog import media, packages, schedulers, tensor_files
from aquatint.catalog.call_checks import Configured
from aquatint.catalog.media import Kind
from aquatint.catalog.models import GENERATE
from aquatint.catalog.pipelines import PipelineInfo
from aquatint.catalog.tasks import without_size
from aquatint.diagnostics import Diagnostics, Label, did_you_mean
from aquatint.language import modes, refusals
from aquatint.language.blocks import Blocks
from aquatint.language.builtins import slug
from aquatint.language.computing import fits_task
from aquatint.language.deferred import line_of
from aquatint.language.ip_adapting import has_pictures
from aquatint.language.latents import Latents
from aquatint.language.names import within
from aquatint.language.outputs import OutputNames, written
from aquatint.language.outside import Outside
from aquatint.language.places import place_of
from aquatint.language.prompting import plugin_of
from aquatint.language.resolution import Resolved, Resolver, quantizer_summary
from aquatint.language.scope import Scope
from aquatint.language.tasks import Pictures, as_task, fitting, pipeline_for
from aquatint.language.values import (
    UNKNOWN,
    Deferred,
    ImageValue,
    Model,
    Result,
    Setting,
    TensorValue,
    Unknown,
    layered,
    plain,
    sides,
    type_name,
)
from aquatint.language.weighting import Weighting
from aquatint.language.why import Statement
from aquatint.plan import steps
from aquatint.plan.builder import PlanBuilder
from aquatint.plan.steps import ImageRef, Output, PictureFile, TensorFile, VideoFile
from aquatint.plan.uses import computing
from aquatint.source import Span
from aquatint.syntax import nodes as n

IMAGE_LIMIT = 100_000
"""Images of a plan."""


class Generating:
    """Carries out `generate` for one plan; `made` are the images of the session so far, in order.

    `told`, if it is a list, gets the statements that became steps.
    """

    def __init__(
        self,
        diagnostics: Diagnostics,
        blocks: Blocks,
        resolver: Resolver,
        builder: PlanBuilder,
        outputs: OutputNames,
        outside: Outside,
        image_limit: int,
    ) -> None:
        self.diagnostics = diagnostics
        self.blocks = blocks
        self.resolver = resolver
        self.builder = builder
        self.outputs = outputs
        self.pictures = Pictures(diagnostics, outside, outputs.place_of)
        self.latents = Latents(outside, diagnostics)
        self.weighting = Weighting(diagnostics, resolver)
        self.made: list[ImageValue] = []
        self._images = 0
        self.told: list[Statement] | None = None
        self.running = False
        self._image_limit = image_limit

    def generate(self, node: n.Action, target: Any, scope: Scope) -> Result | Unknown:
        """Add the step of a `generate` and return its result."""
        own = self.blocks.given(node.block, scope, "statement")
        if isinstance(target, Unknown):
            self._look_over(own, None, node)
            return UNKNOWN
        if not isinstance(target, Model):
            help = "declare it before: `model m { source: ... }`" if isinstance(target, str) else None
            return self._error("wrong-type", f"`generate` takes a model, not {type_name(target)}", node.targets[0].span,
                               help=help)  # fmt: skip
        resolved = self.resolver.resolve(target)
        if resolved is None:
            self._look_over(own, target, node)
            return UNKNOWN
        given = layered(target.defaults, own)
        info = pipeline_for(resolved.info, resolved.roles, given)
        given = self.pictures.read(fitting(given, resolved.info, info, resolved.roles), info)
        resolved = as_task(resolved, info)
        settings, sound = self.blocks.arguments(given, info)
        configured = self.resolver.components.configured(resolved.pipeline.parts)
        # Each check speaks, so that all mistakes of a statement are told at once.
        undecoded = _undecoded(settings, info)
        kind = media.kind_of(info, undecoded is not None)
        checks = (
            sound,
            self._has_all(given, settings, resolved.info, node),
            self._has_good_size(settings, info, configured),
            refusals.fit(settings, given, info, configured, node.verb.span, self.diagnostics),
            self.pictures.fit(settings, info),
            self.pictures.steer(settings, info, resolved.roles),
            modes.fit(settings, given, resolved, self.resolver.components.configs, node.verb.span, self.diagnostics),
            self.pictures.leave_steps(settings, info),
            self.latents.fit(settings, resolved, self.resolver.components.configs, configured),
            has_pictures(settings, given, resolved.pipeline, info, node.verb.span, self.diagnostics),
            self._has_good_scheduler(settings, resolved, target),
            fits_task(target, computing(resolved.pipeline), info, self.diagnostics),
            self.weighting.fits(settings, info, resolved.roles, self.running),
            self._has_good_file(settings, info, kind),
            self._has_packages(resolved, node),
            self._has_a_kind(info, node),
        )
        if not all(checks):
            return UNKNOWN
        weighted = self.weighting.weighted(settings, resolved)
        if weighted is None:
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
        arguments, deferred = self._arguments(settings)
        scaled = None
        if "size" in settings and without_size(info):
            scaled = arguments.pop("width"), arguments.pop("height")
        summary = quantizer_summary(resolved.quantizers, resolved.info)
        prompt = settings["prompt"].value if "prompt" in settings else ""
        told = prompt.name if isinstance(prompt, Deferred) else prompt
        arguments.pop("output_type", None)
        if undecoded is not None:
            arguments = dict(sorted({**arguments, "output_type": undecoded}.items()))
        suffix = None if kind == "tensors" else media.SUFFIXES[kind][0]
        paths = self._paths(settings, target.name, summary, told, seed, count, node, suffix)
        named = settings["output"].span if "output" in settings else node.verb.span
        if paths is None or not self._has_encoder(paths, named):
            return UNKNOWN
        self._say_what_is_lost(paths, named, info, kind)
        self.builder.add_pipeline(weighted.pipeline, weighted.components)
        outputs = [Output(seed=seed + number, path=path) for number, path in enumerate(paths)]
        step = self.builder.generate(
            pipeline=weighted.pipeline.key,
            model=target.name,
            quantizers=dict(resolved.quantizers),
            arguments=arguments,
            scheduler=schedulers.read(settings["scheduler"].value, resolved.scheduler).text
            if "scheduler" in settings
            else None,
            outputs=outputs,
            metadata=settings["metadata"].value if "metadata" in settings else True,
            sidecar=settings["sidecar"].value if "sidecar" in settings else False,
            place=place,
            statement=node.span.text,
            deferred=deferred,
            weighter=plugin_of(settings["weighter"].value) if "weighter" in settings else None,
            # Tensors have no place in a batch of which others' are known.
            images_per_batch=settings["images_per_batch"].value
            if "images_per_batch" in settings and kind != "tensors"
            else 1,
            scaled=scaled,
            fps=_rate(arguments, settings, info) if kind == "video" else None,
            span=node.verb.span,
        )
        if undecoded == "latent":
            self.latents.made(step, resolved.info, configured)
        if self.told is not None:
            device, turn = self.blocks.world.device, expressions.names_of_turn()
            self.told.append(
                Statement(
                    step,
                    "generate",
                    node.span,
                    tuple(path for path in paths if path is not None),
                    target,
                    settings,
                    resolved,
                    device,
                    turn,
                )
            )
        texts = {name: settings[name].value for name, value in deferred.items() if isinstance(value, steps.Text)}
        texts |= {name: value.path for name, value in deferred.items() if isinstance(value, _FILES)}
        facts = dict(sorted({**arguments, **texts}.items()))
        tensors = media.handed_on(info, undecoded)
        images = tuple(
            ImageValue(ImageRef(step=step, index=number), MappingProxyType(
                {"model": target.name, "quantizer": summary, "seed": output.seed, **facts, "path": output.path}
            ), kind, tensors)
            for number, output in enumerate(outputs)
        )  # fmt: skip
        self.made += images
        return Result(step, images)

    def _look_over(self, own: Mapping[str, Setting], model: Model | None, node: n.Action) -> None:
        """Report what is wrong with a `generate` itself, whose model has mistakes or can't be known."""
        sketch = None if model is None else self.resolver.sketch(model)
        of_model = {} if model is None else model.defaults
        info = None
        if sketch is not None:
            info = pipeline_for(sketch.info, sketch.roles, layered(of_model, own))
            of_model = fitting(of_model, sketch.info, info, sketch.roles)
        defaults, sound = self.blocks.arguments(self.pictures.read(of_model, info), info)
        given = layered(defaults, self.pictures.read(own, info))
        settings, _ = self.blocks.arguments(given, info)
        self._has_good_size(settings, info, lambda role, name: None)
        self._has_good_scheduler(settings, None, model)
        self._has_good_file(
            settings, info, None if info is None else media.kind_of(info, _undecoded(settings, info) is not None)
        )
        if sketch is not None and info is not None and sketch.is_whole and sound:
            self._has_all(given, settings, info, node)

    def _has_all(
        self, given: Mapping[str, Setting], settings: Mapping[str, Setting], info: PipelineInfo, node: n.Action
    ) -> bool:
        unknown = {name for name, setting in given.items() if setting.value is UNKNOWN}
        missing = refusals.missing(settings, {*settings, *unknown}, info)
        # Perhaps it is what could not be read, or is misspelt.
        if missing and not self.diagnostics.any_within(node.block.span):
            refusals.report_missing(missing, info, node.verb.span, self.diagnostics)
        return not missing

    def _has_good_size(
        self, settings: Mapping[str, Setting], info: PipelineInfo | None, configured: Configured
    ) -> bool:
        sound = True
        size = settings.get("size")
        takes_sides = info is None or not info.arguments.keys().isdisjoint(("width", "height"))
        if size is not None and info is not None and not takes_sides and not without_size(info):
            message = f"what a `{info.name}` makes has no `size` that could be set"
            self._error("unknown-setting", message, size.name_span, help="leave `size` out")
            sound = False
        other = settings.get("width") or settings.get("height")
        if size is not None and other is not None and other.layer == size.layer:
            message = "`size` stands for `width` and `height`; give one or the other"
            self._error("contradicting-settings", message, size.name_span)
            sound = False
        return refusals.sides_fit(settings, info, configured, self.diagnostics) and sound

    def _has_good_scheduler(
        self, settings: Mapping[str, Setting], resolved: Resolved | None, model: Model | None
    ) -> bool:
        sound = True
        name = "" if model is None else model.name
        own = None if resolved is None else resolved.scheduler
        scheduler = settings.get("scheduler")
        asked = None if scheduler is None else schedulers.read(scheduler.value, own)
        limit = None if resolved is None else resolved.train_timesteps
        if asked is not None:
            limit = asked.options.get("num_train_timesteps", limit)
        steps = settings.get("num_inference_steps")
        if steps is not None and limit is not None and isinstance(steps.value, int) and steps.value > limit:
            if asked is not None and scheduler is not None and "num_train_timesteps" in asked.options:
                message = f"`num_train_timesteps` {limit} is less than `num_inference_steps`, {steps.value}"
                self._error("wrong-value", message, scheduler.span, help="leave `num_train_timesteps` out")
            else:
                message = f"`num_inference_steps` {steps.value} is more than the scheduler of `{name}` can make"
                self._error("wrong-value", message, steps.span, help=f"it was trained with {limit}")
            sound = False
        used = own if asked is None else asked.class_name
        for each in () if resolved is None else resolved.info.checks.spaced:
            if used is None or settings.get(each) is None or settings[each].value is None:
                continue
            if each in schedulers.spaced_by(used):
                continue
            able = [one for one in schedulers.substitutes(own or "") if each in schedulers.spaced_by(one)]
            others = ", ".join(f"`{one}`" for one in able[:3])
            message = f"`{used}`, the scheduler of `{name}`, takes no `{each}`: it spaces its steps itself"
            help = f"leave it out, or set `scheduler` to one that does: {others}" if able else "leave it out"
            self._error("wrong-value", message, settings[each].name_span, help=help)
            sound = False
        if scheduler is None or asked is None:
            return sound
        if resolved is not None and "scheduler" not in resolved.info.components:
            message = f"a `{resolved.info.name}` has no part that is called `scheduler`"
            self._error("unknown-setting", message, scheduler.name_span, help="leave `scheduler` out")
            return False
        for error in asked.errors:
            at = within(scheduler.span, scheduler.value, error.offset, error.length)
            self._error(error.code, error.message, at, help=error.help)
        if own is not None and asked.class_name in schedulers.names():
            allowed = schedulers.substitutes(own)
            if asked.class_name not in allowed:
                message = f"`{asked.class_name}` can't stand in for the `{own}` of `{name}`"
                help = did_you_mean(asked.class_name, allowed, "schedulers that can")
                self._error("wrong-value", message, within(scheduler.span, scheduler.value, 0, len(asked.class_name)),
                            help=help)  # fmt: skip
                return False
        return sound and not asked.errors

    def _has_good_file(self, settings: Mapping[str, Setting], info: PipelineInfo | None, kind: Kind | None) -> bool:
        """Return whether the file can hold what the pipeline makes, of which nothing is known without `info`."""
        output, fps = settings.get("output"), settings.get("fps")
        sound = True
        if fps is not None and info is not None and kind != "video":
            message = f"`fps` is of videos, and a `{info.name}` makes {media.NAMES[kind or 'image']}"
            self._error("unknown-setting", message, fps.name_span, help="leave `fps` out")
            sound = False
        elif fps is not None and info is not None and media.has_soundtrack(info):
            for name in (name for name in media.RATES if name != "fps" and name in settings):
                if isinstance(fps.value, int | float) and settings[name].value != fps.value:
                    message = f"with {fps.value:g} frames in a second the video isn't as long as its sound"
                    self.diagnostics.error(
                        "contradicting-settings", message, fps.span, help=f"leave `fps` out, or `{name}`",
                        labels=(Label(settings[name].span, "the sound is made for so many"),),
                    )  # fmt: skip
                    sound = False
        if output is not None and info is not None and kind is not None:
            # Where the decoding was not left out by name, a suffix may do so.
            suffixes = media.SUFFIXES[kind] if "output_type" in settings else media.suffixes_of(info)
            sound = self.outputs.is_good(output, suffixes, media.NAMES[kind]) and sound
        elif output is not None:
            known = dict.fromkeys(suffix for suffixes in media.SUFFIXES.values() for suffix in suffixes)
            sound = self.outputs.is_good(output, tuple(known), "what `generate` makes") and sound
        return sound

    def _has_packages(self, resolved: Resolved, node: n.Action) -> bool:
        """Return whether what the pipeline's classes need is installed and fits, or report what isn't or doesn't."""
        classes = [resolved.roles[role] for role in resolved.info.components if role in resolved.roles]
        sound = True
        for package, name in packages.needed(resolved.info, classes).items():
            what = f"a `{name}` needs `{package}`"
            if (wrong := self.blocks.world.misfit(package)) is not None:
                self._error("package-does-not-fit", f"{what}, {wrong.message}", node.verb.span, help=wrong.help)
            elif not self.blocks.world.is_installed(package):
                self._error("package-not-installed", f"{what}, which is not installed", node.verb.span,
                            help=f"install it: `{packages.installing(package)}`")  # fmt: skip
            else:
                continue
            sound = False
        return sound

    def _has_a_kind(self, info: PipelineInfo, node: n.Action) -> bool:
        """Return whether what the pipeline makes can be written, or report that it can't."""
        if not media.is_written(info):
            message = f"a `{info.name}` makes `{info.yields[0]}`, which this version can't write"
            help = "take a checkpoint whose pipeline makes pictures, videos, sound or embeddings"
            self._error("not-supported-yet", message, node.verb.span, help=help)
        return media.is_written(info)

    def _has_encoder(self, paths: Sequence[str | None], at: Span) -> bool:
        """Return whether what writes a video's file is installed, or report that it isn't."""
        is_needed = paths[0] is not None and paths[0].lower().endswith(media.SUFFIX_OF_PACKAGE)
        if not is_needed or self.blocks.world.is_installed(media.PACKAGE):
            return True
        self._error("package-not-installed", f"writing `{media.SUFFIX_OF_PACKAGE}` needs `{media.PACKAGE}`, which is "
                    "not installed", at, help="install it: `pip install 'aquatint[video]'`, or write a `.webp` or "
                    "`.gif`")  # fmt: skip
        return False

    def _say_what_is_lost(self, paths: Sequence[str | None], at: Span, info: PipelineInfo, kind: Kind) -> None:
        """Warn of a file without room for the sound that the pipeline makes beside its videos."""
        suffix = posixpath.splitext(paths[0] or "")[1].lower()
        if kind != "video" or not media.has_soundtrack(info) or suffix == media.SOUNDTRACK_SUFFIX:
            return
        message = f"a `{suffix}` has no room for the sound that a `{info.name}` makes beside its video"
        self.diagnostics.warning("sound-left-out", message, at,
                                 help=f"end the name with `{media.SOUNDTRACK_SUFFIX}` to keep it")  # fmt: skip

    @staticmethod
    def _arguments(settings: Mapping[str, Setting]) -> tuple[dict[str, Any], dict[str, steps.Deferred]]:
        """Return the arguments of the pipeline's call, `size` taken apart: those that are known, and the others."""
        own = {name: setting.value for name, setting in settings.items() if GENERATE.find(name) is None}
        later = {name: given for name, value in sorted(own.items()) if (given := _given(value)) is not None}
        arguments = {name: plain(value) for name, value in own.items() if name not in later}
        return dict(sorted((arguments | sides(settings)).items())), later

    def _paths(
        self,
        settings: Mapping[str, Setting],
        model: str,
        summary: str,
        prompt: str,
        seed: int,
        count: int,
        node: n.Action,
        suffix: str | None,
    ) -> Sequence[str | None] | None:
        """Return the names of the files, None for each that isn't written; None after reporting one that is taken."""
        setting = settings.get("output")
        if setting is None and suffix is None:
            return [None] * count
        if setting is None:
            stem = "-".join(part for part in (slug(model), slug(summary), slug(prompt)) if part)
            return [self.outputs.free(f"{stem}-{seed + number}{suffix}", node.span) for number in range(count)]
        # One name for several images: each gets its seed.
        path = written(setting.value)
        stem, suffix = posixpath.splitext(path)
        named = [path] if count == 1 else [f"{stem}-{seed + number}{suffix}" for number in range(count)]
        return named if all([self.outputs.claim(name, setting.span) for name in named]) else None

    def _error(self, code: str, message: str, span: Span, *, help: str | None = None) -> Unknown:
        self.diagnostics.error(code, message, span, help=help)
        return UNKNOWN


def _undecoded(settings: Mapping[str, Setting], info: PipelineInfo) -> str | None:
    """Return the `output_type` of a call that leaves the decoding out, as that or its file's name says; else None."""
    output, asked = settings.get("output"), settings.get("output_type")
    is_meant = (
        asked.value in media.UNDECODED
        if asked is not None
        else output is not None and str(output.value).lower().endswith(tensor_files.SUFFIX)
    )
    return media.undecoded(info) if is_meant else None


def _rate(arguments: dict[str, Any], settings: Mapping[str, Setting], info: PipelineInfo) -> float:
    """Return the frames in a second of a video. What the pipeline itself is to know of them becomes its argument."""
    own = [name for name in media.RATES if name in info.arguments]
    if "fps" in settings:
        fps = float(settings["fps"].value)
        if "fps" in own:
            arguments["fps"] = round(fps)
        elif own and media.has_soundtrack(info) and info.arguments[own[0]].default != fps:
            arguments.setdefault(own[0], fps)  # the sound is as long as the pipeline takes the video to be
        return fps
    said = [arguments.get(name, info.arguments[name].default) for name in own]
    return float(next((rate for rate in said if isinstance(rate, int | float) and rate >= 1), info.fps or media.FPS))


def _given(value: Any) -> steps.Deferred | None:
    """Return an argument that earlier steps yield as the plan has it, None for one that is known already."""
    match value:
        case ImageValue() | PictureFile() | VideoFile() | TensorValue() | TensorFile():
            return _item(value)
        case Result():
            first, *others = (_item(image) for image in value.images)
            return [first, *others] if others else first
        case Deferred():
            return _text(value)
        case tuple() if any(isinstance(item, _LATER) for item in _flat(value)):
            return [_row(item) if isinstance(item, tuple) else _or_none(item) for item in value]
    return None


def _flat(value: tuple[Any, ...]) -> Iterator[Any]:
    for item in value:
        yield from item if isinstance(item, tuple) else (item,)


def _row(values: tuple[Any, ...]) -> steps.Row:
    return [_or_none(item) for item in values]


def _or_none(value: Any) -> steps.Given | None:
    return None if value is None else _item(value)


_FILES = PictureFile | VideoFile | TensorFile
_LATER = Deferred | Result | ImageValue | TensorValue | _FILES


def _item(value: Any) -> steps.Given:
    match value:
        case Result():
            return _item(value.images[0])  # a list takes none that has several
        case ImageValue(kind="tensors"):
            return value.tensor(value.tensors[0]).ref
        case ImageValue() | TensorValue():
            return value.ref
        case PictureFile() | VideoFile() | TensorFile():
            return value
    return _text(value)


def _text(value: Any) -> steps.Text:
    line = line_of(value)
    return steps.Text([line]) if isinstance(line, str) else line
