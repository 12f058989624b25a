"""From what `generate` is given to the pipeline that takes it: its task is inferred, and its pictures are looked at.

The submodules stay the model's, whichever pipeline is made of them: they are loaded once for all tasks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import repeat
from typing import Any

import msgspec
from msgspec import UNSET

from aquatint.catalog import addresses, checkpoints, tasks, tensor_files
from aquatint.catalog.arguments import is_text_too, scriptable, takes_pictures, takes_tensors, takes_videos
from aquatint.catalog.models import GENERATE
from aquatint.catalog.pipelines import Argument, PipelineInfo
from aquatint.catalog.tasks import Roles
from aquatint.diagnostics import Diagnostics, Label
from aquatint.language.disk import under
from aquatint.language.outside import Outside, OutsideProblem
from aquatint.language.resolution import Resolved
from aquatint.language.sources import Lack
from aquatint.language.values import UNKNOWN, Result, Setting, sides
from aquatint.plan.keys import keyed
from aquatint.plan.steps import PictureFile
from aquatint.plan.uses import adapters, computing
from aquatint.source import Span

_OF_EACH = {
    "controlnet": ("controlnet_conditioning_scale", "control_guidance_start", "control_guidance_end"),
    "adapter": ("adapter_conditioning_scale",),
}  # fmt: skip
# Arguments of which there may be one for each of what steers.


LEAST_SIDE = 8
"""Pixels of a picture that is gone on from: with fewer nothing is left of it in latents."""

_PAINTS_ANEW = re.compile(r"Img2Img|Inpaint")
"""Pipelines that go on from one picture for each prompt; others may be shown several."""


def _length(value: Any) -> int | None:
    """Return how many items a list has, or how many pictures a result; None for what is no list."""
    if isinstance(value, Result):
        return len(value.images)
    return len(value) if isinstance(value, tuple) else None


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}" + "s" * (count != 1)


def pipeline_for(info: PipelineInfo, roles: Roles, given: Mapping[str, Setting]) -> PipelineInfo:
    """Return the class that is meant by what is given, among those that can be made of the submodules in `roles`.

    A model's `defaults` say nothing of the task but by their pictures.
    """
    telling = [
        name for name, setting in given.items()
        if GENERATE.find(name) is None and (setting.layer == "statement" or _is_for_picture(name))
    ]  # fmt: skip
    return tasks.serving(info, roles, telling)


def _is_for_picture(name: str) -> bool:
    return name.endswith("image")


def fitting(given: Mapping[str, Setting], own: PipelineInfo, info: PipelineInfo, roles: Roles) -> dict[str, Setting]:
    """Return `given` without those of a model's `defaults` that are for other tasks than that of `info`.

    Nor has it those that the class doesn't take beside what the statement gives, as a `prompt` beside `prompt_embeds`.
    """
    for one, other in info.checks.excludes:
        layers = {name: given[name].layer == "statement" for name in (one, other) if name in given}
        if len(layers) == 2 and len({*layers.values()}) == 2:
            given = {name: setting for name, setting in given.items() if layers.get(name, True)}
    taken = scriptable(info)
    others = [name for name, setting in given.items() if setting.layer != "statement" and name not in taken]
    if not others:
        return dict(given)
    known = scriptable(tasks.together(own.name, roles))
    return {name: setting for name, setting in given.items() if name not in others or name not in known}


def as_task(resolved: Resolved, info: PipelineInfo) -> Resolved:
    """Return what a model comes to as a pipeline of the class that `info` is about, made of the same submodules."""
    if info is resolved.info:
        return resolved
    own = resolved.pipeline
    beside = adapters(own)
    parts = {
        role: key for role, key in own.parts.items()
        if role in info.components or role in beside
        or ((first := tasks.first_of(role)) and tasks.takes_several(info, first, resolved.roles[role]))
    }  # fmt: skip
    parts |= {role: None for role in info.components if role not in parts}
    options = {name: value for name, value in own.options.items() if name in info.options}
    how = {role: settings for role, settings in computing(own).items() if parts.get(role) is not None}
    pipeline = keyed(
        msgspec.structs.replace(own, class_name=info.name, parts=parts, options=options, computing=how or UNSET)
    )
    used = {key for key in parts.values() if key is not None}
    return replace(
        resolved,
        pipeline=pipeline,
        components={key: component for key, component in resolved.components.items() if key in used},
        quantizers={role: name for role, name in resolved.quantizers.items() if parts.get(role) is not None},
        info=info,
    )


def _takes_files(argument: Argument) -> bool:
    return (takes_pictures(argument) or takes_tensors(argument)) and not is_text_too(argument)


class Pictures:
    """Reads what is in the pictures and tensors that scripts name; `written` tells where a script writes a file.

    `lacks` has those that are to be fetched first.
    """

    def __init__(self, diagnostics: Diagnostics, outside: Outside, written: Callable[[str], Span | None]) -> None:
        self.diagnostics = diagnostics
        self.outside = outside
        self.written = written
        self.lacks: list[Lack] = []

    def read(self, given: Mapping[str, Setting], info: PipelineInfo | None) -> dict[str, Setting]:
        """Return `given` with pictures for the names of files, unknown ones after reporting why one can't be taken."""
        known = {} if info is None else scriptable(info)
        return {
            name: replace(setting, value=self._value(setting.value, setting, known[name], setting.span))
            if name in known and _takes_files(known[name]) else setting
            for name, setting in given.items()
        }  # fmt: skip

    def fit(self, settings: Mapping[str, Setting], info: PipelineInfo | None) -> bool:
        """Return whether a mask is of its picture's size, and what is painted anew one picture, or report why not."""
        if info is not None and _PAINTS_ANEW.search(info.name):
            for name in ("image", "mask_image"):
                setting = settings.get(name)
                count = None if setting is None or not isinstance(setting.value, tuple) else len(setting.value)
                if setting is not None and count is not None and count != 1:
                    self.diagnostics.error(
                        "wrong-type", f"`{name}` of a `{info.name}` takes one picture, not {count}", setting.span,
                        help="go through a list with `for`",
                    )  # fmt: skip
                    return False
        for name in ("image", "mask_image", "control_image"):
            given = settings.get(name)
            small = None if given is None else given.value
            if given is not None and isinstance(small, PictureFile) and min(small.width, small.height) < LEAST_SIDE:
                self.diagnostics.error(
                    "wrong-value", f"`{small.path}` is of {small.width}x{small.height} pixels: too small for `{name}`",
                    given.span, help=f"give a picture of at least {LEAST_SIDE}x{LEAST_SIDE}",
                )  # fmt: skip
                return False
        mask, image = settings.get("mask_image"), settings.get("image")
        one, other = (None if each is None else each.value for each in (mask, image))
        if not (isinstance(one, PictureFile) and isinstance(other, PictureFile)) or mask is None or image is None:
            return True
        if (one.width, one.height) == (other.width, other.height):
            return True
        self.diagnostics.error(
            "wrong-value", f"the mask is of {one.width}x{one.height} pixels, and its picture of another size",
            mask.span, labels=(Label(image.span, f"{other.width}x{other.height}"),),
            help="draw the mask on the picture itself: white is what is made anew",
        )  # fmt: skip
        return False

    def steer(self, settings: Mapping[str, Setting], info: PipelineInfo, roles: Roles) -> bool:
        """Return whether there is one picture, and one of whatever is a list, for each of what steers, or report it.

        The pictures have to be of one size where none is said: that is the size of the controls then. Where one is
        said, and the controls are of another, that is told.
        """
        kind = next((each for each in tasks.STEERING if each in roles and each in info.components), None)
        if kind is None:
            return True
        count, sound = len(tasks.steering(roles, kind)), True
        # One of these has a number for each of its pictures.
        several = roles[kind] == tasks.OF_SEVERAL_PICTURES and count == 1
        name = "control_image" if "control_image" in info.arguments else "image"
        given = settings.get(name)
        if given is not None and count > 1 and (pictures := _length(given.value) or 1) != count:
            self.diagnostics.error(
                "wrong-value", f"the model has {count} {kind}s, and `{name}` {_several(pictures, 'picture')}",
                given.span, help=f"give a list with a picture for each, in the order of the {kind}s",
            )  # fmt: skip
            sound = False
        of, numbers = kind, count
        if several and given is not None:
            of, numbers = "picture", _length(given.value) or 1
        for each in _OF_EACH[kind]:
            setting = settings.get(each)
            length = None if setting is None else _length(setting.value)
            if setting is not None and length is not None and (length != numbers or (count == 1 and not several)):
                self.diagnostics.error(
                    "wrong-value", f"{'this `generate`' if several else 'the model'} has {_several(numbers, of)}, "
                    f"and `{each}` {_several(length, 'number')}", setting.span,
                    help=f"give a number for each {of}, or one that is no list, for all",
                )  # fmt: skip
                sound = False
        if sound and given is not None:
            self._tell_resized(settings, given)
        return sound and self._of_one_size(settings, name, info)

    def _tell_resized(self, settings: Mapping[str, Setting], given: Setting) -> None:
        """Warn of what steers in another size than that of the picture: its lines are brought to other places."""
        said = sides(settings)
        width, height = said.get("width"), said.get("height")
        if not isinstance(width, int) or not isinstance(height, int):
            return
        for number, picture in enumerate(given.value if isinstance(given.value, tuple) else [given.value]):
            if not isinstance(picture, PictureFile) or (picture.width, picture.height) == (width, height):
                continue
            is_stretched = picture.width * height != picture.height * width
            how = "is stretched to" if is_stretched else "is brought to"
            self.diagnostics.warning(
                "resized-picture",
                f"`{picture.path}` is of {picture.width}x{picture.height} pixels, and {how} {width}x{height}",
                given.place(number),
                help="draw it in the size of the picture that it steers" + (
                    ", or write a `size` of its shape" if is_stretched else ""
                ),
            )  # fmt: skip

    def _of_one_size(self, settings: Mapping[str, Setting], name: str, info: PipelineInfo) -> bool:
        # Those with a transformer bring every picture to a size of their own.
        if any(each in settings for each in ("size", "width", "height")) or "unet" not in info.components:
            return True
        sizes = [
            (picture.width, picture.height, setting.place(number))
            for each in dict.fromkeys(("image", name))
            if (setting := settings.get(each)) is not None
            for number, picture in enumerate(setting.value if isinstance(setting.value, tuple) else [setting.value])
            if isinstance(picture, PictureFile)
        ]
        other = next((each for each in sizes if each[:2] != sizes[0][:2]), None)
        if other is None:
            return True
        width, height, at = sizes[0]
        labels = () if at == other[2] else (Label(at, f"{width}x{height}"),)
        self.diagnostics.error(
            "wrong-value", f"a picture to steer by is of {other[0]}x{other[1]} pixels, and another of {width}x{height}",
            other[2], labels=labels, help=f"write `size: {width}x{height}`, to which all are brought",
        )  # fmt: skip
        return False

    def leave_steps(self, settings: Mapping[str, Setting], info: PipelineInfo) -> bool:
        """Return whether `strength` leaves a step to be done, or report that it doesn't."""
        strength = settings.get("strength")
        given, known = settings.get("num_inference_steps"), info.arguments.get("num_inference_steps")
        # Some have no such argument: their steps are counted before the call, or there are none.
        steps = given.value if given is not None else None if known is None else known.default
        if not info.truncates or strength is None or not isinstance(steps, int) or steps * strength.value >= 1:
            return True
        fitting = f", or `num_inference_steps` of at least {math.ceil(1 / strength.value)}" if strength.value else ""
        self.diagnostics.error(
            "wrong-value", f"`strength` {strength.value} of {steps} step{'s' * (steps != 1)} leaves none to be done",
            strength.span, help=f"a `strength` of at least {math.ceil(100 / steps) / 100:g}{fitting}",
        )  # fmt: skip
        return False

    def _value(self, value: Any, setting: Setting, argument: Argument, at: Span) -> Any:
        if isinstance(value, tuple):
            places = map(setting.place, range(len(value))) if value is setting.value else repeat(at)
            found = tuple(
                self._value(item, setting, argument, place) for item, place in zip(value, places, strict=False)
            )
            return UNKNOWN if UNKNOWN in found else found
        if not isinstance(value, str):
            return value
        is_tensor = takes_tensors(argument) and value.lower().endswith(tensor_files.SUFFIX)
        if not is_tensor and not takes_pictures(argument):
            return value
        # In a list, each is a frame.
        is_video = takes_videos(argument) and value is setting.value
        path = value if addresses.is_address(value) else under(at.source.folder, value)
        if (place := self.written(path)) is not None:
            self.diagnostics.error(
                "not-saved-yet", f"`{path}` is written by this script: what is in it isn't known while it is planned",
                at, labels=(Label(place, "written here"),),
                help="bind that `generate` to a name with `let`, and give the name",
            )  # fmt: skip
            return UNKNOWN
        try:
            if is_tensor:
                return self.outside.tensor(path, argument.name)
            return self.outside.video(path) if is_video else self.outside.picture(path)
        except OutsideProblem as problem:
            help = problem.help
            if problem.lack is not None:
                self.lacks.append(Lack(problem.lack, problem.code, at))
                help = checkpoints.fetch_help(value if at.source.name.startswith("<") else at.source.name)
            self.diagnostics.error(problem.code, problem.message, at, labels=problem.labels, help=help)
            return UNKNOWN
