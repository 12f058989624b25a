"""Which values an argument of a pipeline's call takes, from the type that diffusers writes for it."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any

from aquatint.catalog import media
from aquatint.catalog.ip_adapters import MASKED, MASKS
from aquatint.catalog.pipelines import Argument, PipelineInfo

MANAGED = {
    "generator": "each image has a generator of its own: set `seed`",
    "num_images_per_prompt": "set `images`",
    "num_images": "set `images`",
    "output_type": "pictures are written as files: set `output`",
    "return_dict": "it has no effect on the picture",
    "callback": "scripts have no callbacks",
    "callback_steps": "scripts have no callbacks",
    "callback_on_step_end": "scripts have no callbacks",
    "callback_on_step_end_tensor_inputs": "scripts have no callbacks",
}
"""Arguments that this program sets itself, and what a script says instead."""

FAMILIAR = {
    "steps": "num_inference_steps", "num_steps": "num_inference_steps", "inference_steps": "num_inference_steps",
    "sampling_steps": "num_inference_steps", "cfg": "guidance_scale", "cfg_scale": "guidance_scale",
    "guidance": "guidance_scale", "guidance_scales": "guidance_scale", "scale": "guidance_scale",
    "negative": "negative_prompt", "sampler": "scheduler", "seeds": "seed", "prompts": "prompt", "count": "images",
    "num_images": "images", "batch_size": "images_per_batch", "batch_count": "images", "resolution": "size",
    "w": "width", "h": "height", "filename": "output", "file": "output", "path": "output", "to": "output",
    "mask": "mask_image", "init_image": "image", "input_image": "image", "denoise": "strength",
    "denoising_strength": "strength", "n": "images",
}  # fmt: skip
"""What other programs call settings of `generate`."""

PICTURE = object()
"""Stands for a picture in a value that `problem` is asked about: pictures are there only when a plan runs."""

VIDEO = [PICTURE]
"""Stands for a video in the same way, by its identity: its frames are what a call is given."""

TENSOR = object()
"""Stands for a tensor that another pipeline makes, or a file holds."""

# How diffusers writes the type of a picture; `PipelineImageInput` is one or several.
_PICTURE = re.compile(r"PipelineImageInput|(?:PIL\.)?Image\.Image")
# Of the same types, and no pictures.
_OF_FRAMES = re.compile(r"(?:\w+_)?(?:video|frames)")
_NO_PICTURE = re.compile(r".*(?:latents|embeds)")

# As pictures, latents or embeddings can be given.
_TENSOR = re.compile(r"(?:torch\.)?(?:Float)?Tensor|PipelineImageInput")

# Lists for others, such as `editing_prompt`, are several for one image.
_PROMPT = re.compile(r"(negative_)?prompt(_[0-9])?")

# Alternatives of a type that a script has values for; the others are tensors and callables.
_SIMPLE: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}

_MINIMUM = {
    "num_inference_steps": 1, "height": 8, "width": 8, "strength": 0, "num_frames": 1, "max_sequence_length": 1,
    "decode_chunk_size": 1, "clip_skip": 0,
}  # fmt: skip
# An upper bound that keeps a slip of the finger from running for days.
_MAXIMUM = {"num_inference_steps": 10_000, "height": 65_536, "width": 65_536, "strength": 1}


def scriptable(info: PipelineInfo) -> Mapping[str, Argument]:
    """Return the arguments of a pipeline's call that a script can set, by name."""
    found = _SCRIPTABLE.get(id(info))
    if found is None:
        # Of what pipelines take more than a script has a use for.
        decoded, undecoded = "np" if media.makes_audio(info) else "pil", media.undecoded(info)
        kinds = f"Literal['{decoded}', '{undecoded}']" if undecoded else None
        named = {
            name: replace(argument, type=kinds) if kinds and name == "output_type" else argument
            for name, argument in info.arguments.items()
            if _is_scriptable(argument) or (kinds and name == "output_type")
        }
        if info.ip_adapter == MASKED and "cross_attention_kwargs" in info.arguments:
            named[MASKS] = Argument(MASKS, "PIL.Image.Image | list[PIL.Image.Image] | None", None, False)
        found = _SCRIPTABLE[id(info)] = info, MappingProxyType(named)
    return found[1]


# Every `generate` of a script asks. What is known of a class is kept with what it comes to, so that no id comes again.
_SCRIPTABLE: dict[int, tuple[PipelineInfo, Mapping[str, Argument]]] = {}
_NEEDED: dict[int, tuple[PipelineInfo, tuple[str, ...]]] = {}


def _is_scriptable(argument: Argument) -> bool:
    parts = _alternatives(argument.type)
    if takes_pictures(argument) or takes_tensors(argument):
        return True
    return argument.name not in MANAGED and any(part in _SIMPLE or _is_plain_list(part) for part in parts)


def takes_pictures(argument: Argument) -> bool:
    """Return whether a picture, or several, can be an argument."""
    return not _NO_PICTURE.fullmatch(argument.name) and any(map(_has_pictures, _alternatives(argument.type)))


def takes_rows(argument: Argument) -> bool:
    """Return whether pictures can only be given as rows of a grid, in which None is one that is to be made."""
    return takes_pictures(argument) and all(part.startswith("list[list[") for part in _alternatives(argument.type))


def takes_videos(argument: Argument) -> bool:
    """Return whether a video can be an argument: pictures that are the frames of one."""
    return _OF_FRAMES.fullmatch(argument.name) is not None and takes_pictures(argument)


def takes_tensors(argument: Argument) -> bool:
    """Return whether a tensor, or several, can be an argument."""
    if argument.name in MANAGED:
        return False
    return any(map(_has_tensors, _alternatives(argument.type)))


def is_text_too(argument: Argument) -> bool:
    """Return whether a string is a value of an argument, whatever else is."""
    return "str" in _alternatives(argument.type)


def is_each_images(argument: Argument) -> bool:
    """Return whether an argument is a text for each image: a string for one, and a list for the images of a call."""
    parts = _alternatives(argument.type)
    return is_prompt(argument.name) and "str" in parts and "list[str]" in parts


def needed(info: PipelineInfo) -> tuple[str, ...]:
    """Return the arguments that a pipeline's call can't do without, by name."""
    found = _NEEDED.get(id(info))
    if found is None:
        # What another pipeline goes on with, FLUX's Redux makes of a picture, and adds a prompt's if there is one.
        image = info.arguments.get("image")
        without = ("prompt",) if media.tensors_of(info) and image is not None and image.required else ()
        names = tuple(
            name for name, argument in info.arguments.items()
            if argument.required or (name not in without and _is_needed(argument))
        )  # fmt: skip
        found = _NEEDED[id(info)] = info, names
    return found[1]


def _is_needed(argument: Argument) -> bool:
    # diffusers gives some that it can't do without a default of None all the same.
    of_none = argument.name in ("image", "mask_image", "control_image", "control_mask") and takes_pictures(argument)
    is_needed = argument.name in ("prompt", "conditioning_frames")
    return argument.required or is_needed or (of_none and "None" not in _alternatives(argument.type))


def _has_pictures(part: str) -> bool:
    # Of videos, some take lists of lists: one each, of which one is given like a list.
    inside = [word for word in _inside(part) if word != part or "[" not in word]
    return any(_has_pictures(word) if "[" in word else _PICTURE.fullmatch(word) for word in inside)


def _has_tensors(part: str) -> bool:
    return any(_TENSOR.fullmatch(word) for word in _inside(part))


def _inside(part: str) -> Sequence[str]:
    """Return the alternatives of a list's items, or of what is no list."""
    if not part.startswith(("list[", "List[", "tuple[")):
        return [part]
    inner = _alternatives(part[part.index("[") + 1 : -1])
    return [piece.strip() for item in inner for piece in item.split(",") if "[" not in item] or inner


def is_prompt(name: str) -> bool:
    """Return whether an argument of that name is a prompt, or what is to stay away from the picture."""
    return _PROMPT.fullmatch(name) is not None


def problem(argument: Argument, value: Any) -> str | None:
    """Return why `value`, a plain Python value, can't be `argument`'s, or None if it can."""
    parts = _alternatives(argument.type)
    if argument.type.startswith("Literal["):
        choices = ast.literal_eval(argument.type.removeprefix("Literal"))
        wanted = " or ".join(f'`"{choice}"`' for choice in choices)
        return None if value in choices else f"`{argument.name}` takes {wanted}"
    if argument.name == "prompt":
        return None if isinstance(value, str) else "`prompt` takes a string"
    if is_prompt(argument.name) and isinstance(value, list | tuple) and "str" in parts:
        return f"`{argument.name}` takes a string"  # as `prompt` is one: pipelines take one string for each
    is_video = takes_videos(argument) and isinstance(value, list) and all(each is PICTURE for each in value)
    if not is_video and (
        not any(_fits(part, value) for part in parts)
        or value is VIDEO  # a picture for each prompt, or views of one thing
    ):
        return f"`{argument.name}` takes {_described(parts)}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = _MINIMUM.get(argument.name), _MAXIMUM.get(argument.name)
        if low is not None and value < low:
            return f"`{argument.name}` must be at least {low}"
        if high is not None and value > high:
            return f"`{argument.name}` must be at most {high}"
    return None if _is_writable(value) else f"`{argument.name}` takes plain values, and numbers of at most 64 bits"


def _is_writable(value: Any) -> bool:
    """Return whether `value` can be written into a plan."""
    if value is PICTURE or value is TENSOR:
        return True
    if isinstance(value, Mapping):
        return all(map(_is_writable, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_writable, value))
    return -(2**63) <= value < 2**63 if isinstance(value, int) else value is None or isinstance(value, str | float)


@cache
def _alternatives(type: str) -> tuple[str, ...]:
    """Return the parts of a union, outside brackets."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(type):
        depth += (character == "[") - (character == "]")
        if character == "|" and depth == 0:
            parts.append(type[start:index].strip())
            start = index + 1
    return tuple(part for part in [*parts, type[start:].strip()] if part)


def _is_plain_list(part: str) -> bool:
    return part == "list" or (part.startswith(("list[", "List[", "tuple[", "dict[")) and _plain_inside(part))


def _plain_inside(part: str) -> bool:
    words = set(re.findall(r"[A-Za-z_][\w.]*", part)) - {"list", "List", "tuple", "dict", "Any", "None"}
    return words <= set(_SIMPLE)


def _fits(part: str, value: Any) -> bool:
    if part == "None":
        return value is None
    if part in _SIMPLE:
        return isinstance(value, _SIMPLE[part]) and (part == "bool") == isinstance(value, bool)
    if part.startswith("dict["):
        return isinstance(value, Mapping)
    if part == "list":  # of what isn't said
        return isinstance(value, list | tuple) and all(isinstance(item, bool | int | float | str) for item in value)
    if value is PICTURE:
        return _PICTURE.fullmatch(part) is not None
    if value is TENSOR:
        return _TENSOR.fullmatch(part) is not None
    is_list = (
        part == "PipelineImageInput"
        or _is_list_of_tensors(part)
        or _is_plain_list(part)
        or (part.lower()[:4] == "list" and _has_pictures(part))
    )
    if is_list and isinstance(value, list | tuple):
        return all(any(_fits(piece, item) for piece in _inside(part)) for item in value)
    return False


def _is_list_of_tensors(part: str) -> bool:
    return part.lower().startswith(("list[", "tuple[")) and _has_tensors(part)


def _described(parts: Sequence[str]) -> str:
    if all(part.startswith("list[list[") and _has_pictures(part) for part in parts):
        return "a list of lists of images"
    names = {
        "int": "a whole number",
        "float": "a number",
        "bool": "`true` or `false`",
        "str": "a string",
        "None": "`none`",
    }
    known = [
        names.get(part) or ("an image" if _PICTURE.fullmatch(part) else "a list of images" if _has_pictures(part)
        else "a tensor" if _TENSOR.fullmatch(part) else "a list of tensors" if _has_tensors(part)
        else "a list" if part[:4].lower() == "list" or part.startswith("tuple") else "a map")
        for part in parts if part in names or _has_pictures(part) or _has_tensors(part) or _is_plain_list(part)
    ]  # fmt: skip
    unique = list(dict.fromkeys(known))
    return (
        unique[0]
        if len(unique) == 1
        else ", ".join(unique[:-1]) + " or " + unique[-1]
        if unique
        else "nothing a script has"
    )
