"""Whether denoisers, and what steers them, from elsewhere go with the model's other submodules: class and widths.

Only what two configurations both say is compared. Whether a folder holds such a submodule at all is for
`catalog/checkpoints.py`, and of single files `catalog/single_files.py` compares the tensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aquatint.catalog import tasks
from aquatint.catalog.checkpoints import CheckpointError, Part, read_config
from aquatint.catalog.pipelines import PipelineInfo, is_denoiser, is_text_encoder, pipeline
from aquatint.diagnostics import Diagnostics
from aquatint.language import claims
from aquatint.language.values import Model
from aquatint.source import Span

_WIDTHS = (
    "cross_attention_dim", "joint_attention_dim", "caption_channels", "text_dim", "pooled_projection_dim",
    "addition_embed_type",
)  # fmt: skip
# What configurations call the widths and the kind of what a denoiser is given of a prompt.
_LATENTS = ("latent_channels", "z_dim")
# What those of VAEs call the channels of latents.


@dataclass(frozen=True, slots=True)
class Place:
    """Where a submodule is: the folder of its configuration, and `span`, where a script says so."""

    part: Part
    folder: Path
    span: Span


def check(
    model: Model, info: PipelineInfo, own: Mapping[str, Place], places: Mapping[str, Place], diagnostics: Diagnostics
) -> bool:
    """Report which of `places`, by role, can't stand among the others; return whether all can.

    `own` has those of the checkpoint, in whose stead others may be.
    """
    elsewhere = {role for role, block in model.parts.items() if any(name in block for name in ("source", "subfolder"))}
    reads_same = not any(is_text_encoder(role) for role in elsewhere)
    sound = True
    for role in sorted(elsewhere & places.keys()):
        place = places[role]
        if role == "vae" and role in own and (there := _latents(place)) and (here := _latents(own[role])):
            if there != here:
                why = f"its `{there[0]}` is {there[1]}, and the checkpoint's own `vae` has a `{here[0]}` of {here[1]}"
                diagnostics.error(
                    "wrong-component", f"this `vae` is for another model: {why}", place.span,
                    help="name a `vae` that was made for the same kind of model",
                )  # fmt: skip
                sound = False
            continue
        steers = bool(tasks.steering([role]))
        if place.part.library != "diffusers" or not (steers or is_denoiser(role)):
            continue
        classes = _classes(info, claims.home(role))
        found = place.part.class_name
        beside = next((each for each in places if is_denoiser(each)), None) if steers else role
        # What text encoders from elsewhere make isn't known here.
        around = (places if steers else own).get(beside or "") if steers or reads_same else None
        if classes and found not in classes and (around is None or steers or found != around.part.class_name):
            diagnostics.error(
                "wrong-component", f"`{role}` of a `{info.name}` is a {_or(classes)}, and this a `{found}`", place.span,
                help=f"name one that is a {_or(classes)}",
            )  # fmt: skip
            sound = False
        elif around is not None and (other := _differing(place, around)) is not None:
            setting, one, two = other
            whose = f"the `{beside}` here" if steers else f"the checkpoint's own `{role}`"
            why = f"its `{setting}` is {one}, and that of {whose} {two}"
            diagnostics.error(
                "wrong-component", f"this `{role}` is for another model: {why}", place.span,
                help=f"name {'an' if role[0] in 'aeio' else 'a'} `{role}` that was made for the same kind of model",
            )  # fmt: skip
            sound = False
    return sound


def _classes(info: PipelineInfo, role: str) -> tuple[str, ...]:
    """Return the classes that pipelines for these weights declare for `role`, as far as they name any."""
    infos = [info, *filter(None, map(pipeline, tasks.relatives(info.name)))]
    declared = [name for each in infos if role in each.components for name in each.components[role].classes]
    single = [re.sub(r"^(?:list|tuple)\[(\w+)\]$", r"\1", name) for name in declared]
    return tuple(name for name in dict.fromkeys(single) if "Multi" not in name)


def _or(classes: tuple[str, ...]) -> str:
    return " or ".join(f"`{name}`" for name in classes)


def _latents(vae: Place) -> tuple[str, int] | None:
    """Return what the configuration of a VAE calls the channels of latents, and how many they are, if it says."""
    try:
        config = read_config(vae.folder, vae.part.subfolder)
    except (CheckpointError, OSError, ValueError):
        return None  # what is wrong with a file is said where it is read
    return next(((name, config[name]) for name in _LATENTS if isinstance(config.get(name), int)), None)


def _differing(one: Place, other: Place) -> tuple[str, Any, Any] | None:
    """Return a setting of `one` that the configuration of `other` disagrees with, and both values."""
    try:
        first, second = (read_config(each.folder, each.part.subfolder) for each in (one, other))
    except (CheckpointError, OSError, ValueError):
        return None  # what is wrong with a file is said where it is read
    channels, blocks = first.get("channels"), second.get("block_out_channels")
    # What a T2I-adapter makes is added to what the denoiser's blocks do.
    if isinstance(channels, list) and isinstance(blocks, list) and channels[: len(blocks)] != blocks:
        return "channels", channels, blocks
    for name in _WIDTHS:
        values = [config.get(name, ()) for config in (first, second)]
        if values[0] != values[1] and all(value is None or isinstance(value, int | str) for value in values):
            ours, theirs = ("none" if value is None else value for value in values)
            return name, ours, theirs
    return None
