"""Which of its modes a controlnet works in, where it has several: one that was made for many kinds of pictures.

How many modes there are is in the controlnet's configuration; what they are for, only the page of its checkpoint says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from aquatint.catalog import tasks
from aquatint.diagnostics import Diagnostics, Label
from aquatint.language.resolution import Resolved
from aquatint.language.values import Setting
from aquatint.source import Span

MODE = "control_mode"
_ROLE = "controlnet"
_PICTURE = "control_image"

_COUNTS: Mapping[str, tuple[str, int | None]] = {
    "FluxControlNetModel": ("num_mode", None),
    tasks.OF_SEVERAL_PICTURES: ("num_control_type", 6),
}
# What configurations call the number of modes, and the number where they leave it out.


def fit(
    settings: Mapping[str, Setting], given: Collection[str], resolved: Resolved,
    configs: Mapping[str, Mapping[str, Any]], at: Span, diagnostics: Diagnostics,
) -> bool:  # fmt: skip
    """Return whether each controlnet that has modes is told one of them, or report that at `at`, or at the setting.

    `given` are the names of all settings that were written, whatever their values; of `settings` these are sound.
    `configs` has the configurations of components by their keys.
    """
    roles = tasks.steering(resolved.roles, _ROLE)
    if MODE not in resolved.info.arguments or not roles or (MODE in given and MODE not in settings):
        return True
    counts = [_count(resolved, role, configs) for role in roles]
    known = [count for count in counts if count is not None]
    told = settings.get(MODE)
    if told is None or told.value is None:
        if not known:
            return True
        diagnostics.error(
            "missing-setting", f"this `generate` has no `{MODE}`, and its controlnet has {known[0]} modes",
            told.span if told is not None else at,
            help=f"write `{MODE}: 0`, or another up to {known[0] - 1}, for the kind of picture that it is steered by",
        )  # fmt: skip
        return False
    several = resolved.roles[roles[0]] == tasks.OF_SEVERAL_PICTURES and len(roles) == 1
    if not _has_one_for_each(told, settings, roles, several, resolved, diagnostics):
        return False
    if several and isinstance(told.value, tuple):
        counts *= len(told.value)
    return _are_there(told, counts, diagnostics)


def _count(resolved: Resolved, role: str, configs: Mapping[str, Mapping[str, Any]]) -> int | None:
    """Return the modes of a controlnet; None for one that has none, or whose configuration isn't known."""
    named = _COUNTS.get(resolved.roles[role])
    config = configs.get(resolved.pipeline.parts.get(role) or "")
    if named is None or config is None:
        return None
    found = config.get(*named)
    return found if isinstance(found, int) and found > 0 else None


def _has_one_for_each(
    told: Setting, settings: Mapping[str, Setting], roles: list[str], several: bool, resolved: Resolved,
    diagnostics: Diagnostics,
) -> bool:  # fmt: skip
    """Return whether there is a mode for each controlnet, or for each of one's `several` pictures, or report it."""
    modes = len(told.value) if isinstance(told.value, tuple) else None
    pictures = settings.get(_PICTURE)
    if several:
        count = len(pictures.value) if pictures is not None and isinstance(pictures.value, tuple) else 1
        if (modes or 1) == count or pictures is None:
            return True
        diagnostics.error(
            "wrong-value", f"`{MODE}` is for {modes or 1} picture{'s' * ((modes or 1) != 1)}, and there are {count}",
            told.span, labels=(Label(pictures.span, f"{count} picture{'s' * (count != 1)}"),),
            help=f"give a mode for each picture of `{_PICTURE}`, in a list in their order",
        )  # fmt: skip
        return False
    # FLUX's take one number for all of them; SDXL's go through a list.
    spread = modes is None and (len(roles) == 1 or resolved.roles[roles[0]] != tasks.OF_SEVERAL_PICTURES)
    if spread or (modes == len(roles) and modes > 1):
        return True
    help = "give a list with a mode for each, in their order" if len(roles) > 1 else "write it without the brackets"
    diagnostics.error(
        "wrong-value", f"the model has {len(roles)} controlnet{'s' * (len(roles) != 1)}, and `{MODE}` "
        + (f"{modes} number{'s' * (modes != 1)} in a list" if modes is not None else "one number"),
        told.span, help=help,
    )  # fmt: skip
    return False


def _are_there(told: Setting, counts: list[int | None], diagnostics: Diagnostics) -> bool:
    """Return whether each controlnet has the mode that it is told, or report the first that it hasn't."""
    modes = told.value if isinstance(told.value, tuple) else (told.value,) * len(counts)
    for number, (mode, count) in enumerate(zip(modes, counts, strict=True)):
        at = told.place(number) if isinstance(told.value, tuple) else told.span
        if count is not None and isinstance(mode, int) and not 0 <= mode < count:
            diagnostics.error("wrong-value", f"`{MODE}` {mode} is none that the controlnet has", at,
                              help=f"one of 0 to {count - 1}")  # fmt: skip
            return False
    return True
