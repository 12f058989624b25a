"""On which device a model and its submodules are: which setting wins, and what can't be.

What devices are called is the catalog's knowledge (`hardware`); what is on the same one is the plan's (`uses`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aquatint.catalog import hardware
from aquatint.catalog.checkpoints import Part
from aquatint.diagnostics import Diagnostics, Label
from aquatint.language.values import UNKNOWN, Model, Setting
from aquatint.language.world import World


def of_model(model: Model, world: World) -> str:
    """Return the device of `model`, where its submodules are that have none of their own."""
    return _named(model.settings.get("device"), world) or world.device


def of_part(model: Model, role: str, world: World) -> str:
    """Return the device of the submodule `role` of `model`."""
    return _named(model.parts.get(role, {}).get("device"), world) or of_model(model, world)


def _named(setting: Setting | None, world: World) -> str | None:
    if setting is None or setting.value is None or setting.value is UNKNOWN:
        return None
    return hardware.named(setting.value, world.device)


def check(model: Model, parts: Mapping[str, Part], offload: str | None, world: World, diagnostics: Diagnostics) -> bool:
    """Report devices of `model` that can't be; return whether there are none.

    `parts` are the submodules that there are, by role; `offload` is how the model is offloaded.
    """
    sound = True
    for setting in _given(model, parts):
        sound = is_there(setting, world, diagnostics) and sound
    whole = of_model(model, world)
    for role, part in parts.items():
        own = model.parts.get(role, {}).get("device")
        if own is None or own.value is None:
            continue
        if not part.has_weights:
            diagnostics.error("unfit-setting", f"`{role}` has no weights, which are what is on a device",
                              own.name_span, help="leave it out")  # fmt: skip
            sound = False
        elif offload is not None and of_part(model, role, world) != whole:
            diagnostics.error(
                "contradicting-settings",
                f"`{role}` can't be on `{own.value}`: `offload` brings all submodules to `{whole}`", own.span,
                labels=(Label(model.settings["offload"].span, "offloaded here"),),
                help="leave one of them out: what is on another device takes no room of this one",
            )  # fmt: skip
            sound = False
    return sound


def is_there(setting: Setting, world: World, diagnostics: Diagnostics) -> bool:
    """Return whether the computer that the plan is for may have the device of `setting`, or report that it hasn't."""
    if setting.value is None or not world.lacks_device(hardware.named(setting.value, world.device)):
        return True
    diagnostics.error(
        "missing-device", f"there is no device `{setting.value}` on this machine", setting.span,
        help="name one that there is; `aquatint plan --device` plans for another computer",
    )  # fmt: skip
    return False


def _given(model: Model, parts: Mapping[str, Part]) -> Iterator[Setting]:
    for block in (model.settings, *(model.parts.get(role, {}) for role in parts)):
        if (setting := block.get("device")) is not None and setting.value is not UNKNOWN:
            yield setting
