"""What a model says about its checkpoint: which type it is of, and which of its submodules to leave out.

`text_encoder_3: none` is a setting of the model whose name is a role; a block of that name in a later layer undoes it.
"""

from __future__ import annotations

from dataclasses import replace

from aquatint.catalog.checkpoints import Checkpoint, CheckpointError, Part, locate, read_config
from aquatint.catalog.model_types import FAMILIES, is_of_type, is_type, type_names, type_of
from aquatint.catalog.omissions import can_do_without, use_of
from aquatint.catalog.pipelines import PipelineInfo, component_roles, pipeline
from aquatint.catalog.tasks import STEERING, first_of, relatives, serving, takes_several
from aquatint.diagnostics import Diagnostics, Label, did_you_mean
from aquatint.language.values import Model

ADDED = {**dict.fromkeys(STEERING, "diffusers"), "image_encoder": "transformers"}
"""Submodules that a model can be given though its checkpoint lacks them, and the library that has their classes."""


def check_type(model: Model, checkpoint: Checkpoint, diagnostics: Diagnostics) -> bool:
    """Return whether `checkpoint` is of the type that `model` says, if it says any, or report that it isn't."""
    setting = model.settings.get("type")
    if setting is None or not isinstance(setting.value, str) or is_of_type(checkpoint.pipeline, setting.value):
        return True
    if not is_type(setting.value):
        names = type_names()
        help = did_you_mean(setting.value, names, "types")
        if not help.startswith("did you mean"):
            help = "types: " + ", ".join(f"`{name}`" for name in FAMILIES) + f" and {len(names) - len(FAMILIES)} more"
        message = f"there is no type of model `{setting.value}`"
        diagnostics.error("wrong-value", message, setting.span, help=help)
        return False
    source = model.settings["source"]
    diagnostics.error(
        "contradicting-settings",
        f"`{source.value}` is a `{checkpoint.pipeline}`, and not of the type `{setting.value}`",
        setting.span,
        labels=(Label(source.span, f"of the type `{type_of(checkpoint.pipeline)}`"),),
        help="leave `type` out, or name another checkpoint",
    )
    return False


def with_added(model: Model, checkpoint: Checkpoint, info: PipelineInfo) -> tuple[Checkpoint, PipelineInfo]:
    """Return `checkpoint` with the submodules that `model` adds to it, and the pipeline that has a place for all."""
    given = [role for role in ADDED if "source" in model.parts.get(role, {}) and checkpoint.parts.get(role) is None]
    for role in given:
        known_classes = [info, *map(pipeline, relatives(info.name))]
        there = [known.components[role] for known in known_classes if known is not None and role in known.components]
        taken = [name for component in there for name in component.classes]
        if not taken:
            continue
        own = _class_of(model, role)
        part = Part(role, ADDED[role], own if own in taken else taken[0], role, True)
        checkpoint = replace(checkpoint, parts={**checkpoint.parts, role: part})
        info = serving(info, classes(checkpoint), ())
        options = {name: value for name, value in checkpoint.options.items() if name in info.options}
        checkpoint = replace(checkpoint, pipeline=info.name, options=options)
    for role in sorted(role for role in model.parts if first_of(role) and "source" in model.parts[role]):
        first, others = checkpoint.parts.get(home(role)), [info, *map(pipeline, relatives(info.name))]
        own = _class_of(model, role)
        if first is None or own not in (None, first.class_name):
            continue
        if not any(other and takes_several(other, home(role), first.class_name) for other in others):
            continue
        part = Part(role, first.library, first.class_name, role, True)
        checkpoint = replace(checkpoint, parts={**checkpoint.parts, role: part})
        info = serving(info, classes(checkpoint), ())
        options = {name: value for name, value in checkpoint.options.items() if name in info.options}
        checkpoint = replace(checkpoint, pipeline=info.name, options=options)
    return checkpoint, info


def is_added(role: str) -> bool:
    """Return whether a model can be given a submodule in `role` though its checkpoint lacks it."""
    return role in ADDED or first_of(role) is not None


def home(role: str) -> str:
    """Return the folder that a whole pipeline has for the submodule `role`: of several that steer it is the first's."""
    return first_of(role) or role


def classes(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the class of each submodule that `checkpoint` has, by role."""
    return {role: part.class_name for role, part in checkpoint.parts.items() if part is not None}


def _class_of(model: Model, role: str) -> str | None:
    """Return the class of the component that the block of `role` names, None where that can't be told yet."""
    block = model.parts[role]
    source, revision, subfolder = (
        None if (setting := block.get(name)) is None or not isinstance(setting.value, str) else setting.value
        for name in ("source", "revision", "subfolder")
    )
    try:
        folder = locate(source or "", revision)
        inside = subfolder if subfolder is not None else home(role) if (folder / home(role)).is_dir() else ""
        found = read_config(folder, inside).get("_class_name")
    except (CheckpointError, OSError, ValueError):
        return None  # what is wrong with it is said where it is read
    return found if isinstance(found, str) else None


def without_omitted(
    model: Model, checkpoint: Checkpoint, info: PipelineInfo, diagnostics: Diagnostics
) -> Checkpoint | None:
    """Return `checkpoint` without the submodules that `model` leaves out, or None after reporting what it can't."""
    omitted = {role: s for role, s in model.settings.items() if s.value is None and role in component_roles()}
    left_out = {role for role in (*info.components, *checkpoint.parts) if checkpoint.parts.get(role) is None}
    left_out |= omitted.keys()
    sound = True
    for role, component in info.components.items():
        lacks = role in checkpoint.parts and checkpoint.parts[role] is None
        if lacks and role in info.denoisers and not component.optional and role not in {*omitted, *model.parts}:
            message = f"`{checkpoint.source}` leaves out `{role}`, {use_of(info, role)}"
            diagnostics.error("damaged-checkpoint", message, model.settings["source"].span,
                              help="fetch or write `model_index.json` again")  # fmt: skip
            sound = False
    for role, setting in omitted.items():
        if is_added(role) and role not in checkpoint.parts:
            continue  # a layer below has added it, or none has
        if role not in checkpoint.parts and role not in info.components:
            there = [known for known, part in checkpoint.parts.items() if part is not None]
            diagnostics.error("unknown-submodule", f"model `{model.name}` has no submodule `{role}`", setting.name_span,
                              help=did_you_mean(role, there, "it has"))  # fmt: skip
        elif not can_do_without(info, role, left_out):
            held = [known for known, part in checkpoint.parts.items() if part is not None]
            spared = [known for known in held if can_do_without(info, known, left_out | {known})]
            help = f"it can do without {' and '.join(f'`{known}`' for known in spared)}" if spared else None
            diagnostics.error(
                "needed-submodule", f"`{info.name}` can't do without `{role}`, {use_of(info, role)}", setting.name_span,
                help=help,
            )  # fmt: skip
        else:
            continue
        sound = False
    gone = dict.fromkeys(role for role in omitted if checkpoint.parts.get(role) is not None)
    return replace(checkpoint, parts={**checkpoint.parts, **gone}) if sound else None
