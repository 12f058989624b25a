"""What a pipeline's class would refuse of a call's arguments once it is called, and what it would round, said before.

The conditions are the catalog's (`call_checks`). Sides of pictures are checked here, too, of whatever class they are.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from itertools import pairwise

from aquatint.catalog.arguments import needed, scriptable, takes_pictures, takes_tensors
from aquatint.catalog.call_checks import Configured, beyond, is_refused, step, unlike
from aquatint.catalog.pipelines import PipelineInfo
from aquatint.diagnostics import Diagnostics, Label, did_you_mean
from aquatint.language.values import Setting, Size
from aquatint.source import Span

SIDE_STEP = 8
"""Pixels: what Stable Diffusion's pipelines want sides to be multiples of, and this program of all."""

_SIDES = ("width", "height")


def fit(
    settings: Mapping[str, Setting], given: Collection[str], info: PipelineInfo, configured: Configured, verb: Span,
    diagnostics: Diagnostics,
) -> bool:  # fmt: skip
    """Return whether a class's call takes `settings` together, or report at each why it doesn't.

    `given` are the names that the statement has at all, also of what can't be known. What is missing is said at `verb`.
    """
    found = [
        _can_be_called(info, verb, diagnostics),
        _go_together(settings, given, info, diagnostics),
        *(_is_within(name, setting, info, diagnostics) for name, setting in settings.items()),
    ]
    for name in info.checks.gone:
        if name in settings and settings[name].value is not None:
            diagnostics.error(
                "not-supported-yet", f"`{name}` of a `{info.name}` asks for what transformers has no more",
                settings[name].name_span, help="leave it out",
            )  # fmt: skip
            found.append(False)
    found.append(_skips_layers(settings, info, configured, diagnostics))
    for name, side in info.checks.sides.items():
        value = None if name not in settings else settings[name].value
        multiple = step(side, configured)
        if name in _SIDES or not isinstance(value, int) or not multiple or (value - side.rest) % multiple == 0:
            continue
        below = max(0, value - side.rest) // multiple * multiple + side.rest
        # As the class does it: what is left over may be less than the rest.
        made = max(1, value // multiple * multiple + side.rest)
        what = f"{side.rest} more than a multiple of {multiple}" if side.rest else f"a multiple of {multiple}"
        help = f"write {made}" if made > value else f"write {below} or {below + multiple}"
        if side.rounds:
            message = f"`{name}` {value} becomes {made}: a `{info.name}` takes {what}"
            diagnostics.warning("rounded-setting", message, settings[name].span, help=help)
        else:
            message = f"`{name}` of a `{info.name}` must be {what}, not {value}"
            diagnostics.error("wrong-value", message, settings[name].span, help=help)
            found.append(False)
    return all(found)


def missing(settings: Mapping[str, Setting], given: Collection[str], info: PipelineInfo) -> list[list[str]]:
    """Return what a class's call can't do without and isn't `given`: groups of arguments, one of each being enough."""
    instead = {"prompt"} if "prompt_embeds" in settings else set()
    groups = [[name] for name in needed(info)]
    groups += [names for names in info.checks.needs if names not in groups]
    if "masked_image_latents" in info.arguments:
        # What is painted anew: the picture with its mask, or what became of both.
        groups += [names for names in (["image", "masked_image_latents"], ["mask_image"]) if names[:1] not in groups]
    return [names for names in groups if instead.union(given).isdisjoint(names)]


def report_missing(missing: list[list[str]], info: PipelineInfo, verb: Span, diagnostics: Diagnostics) -> None:
    """Report all that is missing in a statement at its `verb`."""
    unknown = [names for names in missing if scriptable(info).keys().isdisjoint(names)]
    if unknown:
        # A tensor, as the second of two chained pipelines takes it from the first.
        message = f"a `{info.name}` needs `{unknown[0][0]}`, for which scripts have no values"
        help = "take a checkpoint whose pipeline makes it itself"
        diagnostics.error("missing-setting", message, verb, help=help)
    else:
        possible = [[name for name in names if name in scriptable(info)] for names in missing]
        listed = " and no ".join(" or ".join(f"`{name}`" for name in names) for names in possible)
        written = " and ".join(f"`{names[0]}: {_example(info, names[0])}`" for names in possible)
        diagnostics.error("missing-setting", f"this `generate` has no {listed}", verb,
                          help=f"write {written} in its block")  # fmt: skip


def _example(info: PipelineInfo, name: str) -> str:
    # What no other statement makes, and no picture can be given for, is read from a file.
    argument = scriptable(info)[name]
    return '"file.safetensors"' if takes_tensors(argument) and not takes_pictures(argument) else "..."


def sides_fit(
    settings: Mapping[str, Setting], info: PipelineInfo | None, configured: Configured, diagnostics: Diagnostics
) -> bool:
    """Return whether pictures can have the sides that are set, or report it; say what the class rounds."""
    sides = [] if info is None else [side for name, side in info.checks.sides.items() if name in _SIDES]
    strict = [step(side, configured) or 1 for side in sides if not side.rounds]
    loose = [step(side, configured) or 1 for side in sides if side.rounds]
    multiple = math.lcm(SIDE_STEP, *strict)
    brought = math.lcm(multiple, *loose)
    sound = True
    for name in ("size", *_SIDES):
        if name not in settings:
            continue
        value = settings[name].value
        own = (value.width, value.height) if isinstance(value, Size) else (value,)
        numbers = [side for side in own if isinstance(side, int)]
        if any(side % multiple for side in numbers):
            near = "x".join(str(max(multiple, round(side / multiple) * multiple)) for side in numbers)
            message = f"`{name}` {value}: width and height must be multiples of {multiple}"
            diagnostics.error("wrong-value", message, settings[name].span, help=f"nearest: {near}")
            sound = False
        elif info is not None and any(side % brought for side in numbers):
            made, more = (
                "x".join(str(max(brought, extent(side / brought) * brought)) for side in numbers)
                for extent in (math.floor, math.ceil)
            )
            message = f"`{name}` {value} becomes {made}: a `{info.name}` makes multiples of {brought}"
            help = f"write `{made}`" if made == more else f"write `{made}` or `{more}`"
            diagnostics.warning("rounded-setting", message, settings[name].span, help=help)
    return sound


def _can_be_called(info: PipelineInfo, verb: Span, diagnostics: Diagnostics) -> bool:
    if info.before is None:
        return True
    diagnostics.error(
        "not-supported-yet", f"a `{info.name}` works on what its method `{info.before}` was given before, which "
        "scripts can't call", verb,
        help="take a checkpoint whose pipeline takes the picture itself: for `image` and `strength`, a "
        "`StableDiffusionPipeline`",
    )  # fmt: skip
    return False


def _go_together(
    settings: Mapping[str, Setting], given: Collection[str], info: PipelineInfo, diagnostics: Diagnostics
) -> bool:
    sound = all([_are_in_order(settings, info, *order, diagnostics) for order in info.checks.orders])
    for one, other in info.checks.together:
        is_told = [other] in missing(settings, given, info)
        if one in settings and settings[one].value is not None and other not in given and not is_told:
            known = other in scriptable(info)
            diagnostics.error(
                "missing-setting", f"a `{info.name}` takes `{one}` with `{other}` only", settings[one].name_span,
                help=f"add `{other}`, or leave `{one}` out" if known else f"leave `{one}` out",
            )  # fmt: skip
            sound = False
    for one, other in [*info.checks.excludes, *pairwise(info.checks.spaced)]:
        if any(name not in settings or settings[name].value is None for name in (one, other)):
            continue
        diagnostics.error(
            "contradicting-settings", f"a `{info.name}` takes `{one}` or `{other}`, not both",
            settings[other].name_span, labels=(Label(settings[one].name_span, f"`{one}`"),),
            help="leave one of them out",
        )  # fmt: skip
        sound = False
    return sound


def _are_in_order(
    settings: Mapping[str, Setting], info: PipelineInfo, one: str, sign: str, other: str, diagnostics: Diagnostics
) -> bool:
    """Return whether two arguments that are numbers, or lists of them, are in the order that a class asks for."""
    pair = [settings[name].value if name in settings else info.arguments[name].default for name in (one, other)]
    numbers = [list(value) if isinstance(value, list | tuple) else [value] for value in pair]
    length = max(map(len, numbers))
    rows = zip(*(value * length if len(value) == 1 else value for value in numbers), strict=False)
    wrong = next((row for row in rows if all(isinstance(each, int | float) for each in row)
                  and is_refused(row[0], sign, row[1])), None)  # fmt: skip
    at = settings.get(one) or settings.get(other)
    if wrong is None or at is None:
        return True
    labels = (Label(settings[other].span, f"`{other}`"),) if one in settings and other in settings else ()
    message = f"`{one}` of a `{info.name}` must be {unlike(sign)} `{other}`: {wrong[0]:g} and {wrong[1]:g}"
    diagnostics.error("wrong-value", message, at.span, labels=labels, help=f"change one of them, or leave `{one}` out")
    return False


def _skips_layers(
    settings: Mapping[str, Setting], info: PipelineInfo, configured: Configured, diagnostics: Diagnostics
) -> bool:
    """Return whether `clip_skip` leaves a layer of the text encoder to be read."""
    skip, layers = settings.get("clip_skip"), configured("text_encoder", "num_hidden_layers")
    if skip is None or not isinstance(skip.value, int) or not isinstance(layers, int) or info.checks.gone:
        return True
    # Of several encoders the last layer is never read.
    most = layers if len(info.text_encoders) == 1 else layers - 1
    if skip.value <= most:
        return True
    message = f"`clip_skip` {skip.value} is more than the text encoder's layers allow"
    diagnostics.error("wrong-value", message, skip.span, help=f"it has {layers}: write at most {most}")
    return False


def _is_within(name: str, setting: Setting, info: PipelineInfo, diagnostics: Diagnostics) -> bool:
    value = setting.value
    choices, limits = info.checks.choices.get(name), info.checks.limits.get(name)
    if choices is not None and isinstance(value, str) and value not in choices:
        message = f'`{name}` of a `{info.name}` can\'t be `"{value}"`'
        diagnostics.error("wrong-value", message, setting.span, help=did_you_mean(value, choices, "what it can be"))
        return False
    for number in value if isinstance(value, tuple) else (value,):
        if limits is None or isinstance(number, bool) or not isinstance(number, int | float):
            continue
        wanted = beyond(limits, number)
        if wanted is not None:
            message = f"`{name}` of a `{info.name}` must be {wanted}, not {number}"
            diagnostics.error("wrong-value", message, setting.span, help=_inside(limits))
            return False
    return True


def _inside(limits: list[tuple[str, float]]) -> str | None:
    """Return what is proposed for a number beyond `limits`: the whole range, if it has two ends."""
    words = dict.fromkeys(each for sign, limit in limits if (each := beyond([(sign, limit)], _past(sign, limit))))
    return f"write a number that is {' and '.join(words)}, or leave it out"


def _past(sign: str, limit: float) -> float:
    return limit + (1 if sign in (">", ">=") else -1)
