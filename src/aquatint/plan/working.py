"""How much memory a step takes beside weights while it runs, estimated: `catalog.working` has each component's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aquatint.catalog.pipelines import pipeline as info_of
from aquatint.catalog.prompt_plugins import prompt_plugin
from aquatint.catalog.tasks import without_size
from aquatint.catalog.working import SCALE
from aquatint.plan.steps import Component, Generate, Line, PictureFile, Pipeline, Upscale, VideoFile

USUAL = 128
"""Positions of latents to a side of a picture where neither a statement nor a checkpoint says that."""

HOLE = 400
"""Characters of what an earlier step writes into a prompt: a hundred tokens, or so."""


def pixels(step: Generate, pipeline: Pipeline, components: Mapping[str, Component]) -> int:
    """Return how many pixels a picture of `step` has, or about how many, where its pipeline chooses the size."""
    scale, side = _decoding(pipeline, components), 0
    for key in pipeline.parts.values():
        if key is not None and (working := components[key].working) is not None and not working.scale:
            side = max(side, working.side)
    usual = (side or USUAL) * scale
    given = step.arguments.get("width"), step.arguments.get("height")
    if step.scaled is not None:
        given = step.scaled
    elif (info := info_of(pipeline.class_name)) is not None and without_size(info):
        given_files = (each for each in step.deferred.values() if isinstance(each, PictureFile | VideoFile))
        files = [(each.width, each.height) for each in given_files]
        given = max(files, default=given, key=lambda size: size[0] * size[1])
    width, height = (each if isinstance(each, int) else usual for each in given)
    return width * height


def loading(keys: Iterable[str], components: Mapping[str, Component]) -> int:
    """Return the bytes that loading takes, of those components that take most."""
    found = (components[key].working for key in keys)
    return max((working.loading for working in found if working is not None), default=0)


def work(
    step: Generate, roles: Iterable[str], pipeline: Pipeline, components: Mapping[str, Component], images: int
) -> int:
    """Return the bytes that the components in `roles` take for `step`: to be loaded, and to compute one by one.

    `images` are those of its largest call.
    """
    area, scale = pixels(step, pipeline, components), _decoding(pipeline, components)
    keys = [key for role in roles if (key := pipeline.parts[role]) is not None]
    most = loading(keys, components)
    for key in keys:
        if (working := components[key].working) is not None:
            most = max(most, working.fixed + images * working.each * (area if working.scale else area // scale**2))
    return most


def rewriting(step: Upscale, keys: Iterable[str], components: Mapping[str, Component]) -> int:
    """Return the bytes that the components `keys` of an upscaler take for `step`: to be loaded, and to write."""
    found = [working for key in keys if (working := components[key].working) is not None]
    plugin = prompt_plugin("upscaler", step.upscaler.plugin)
    if plugin is None or not found:
        return 0
    lengths = [_length(prompt) for prompt in step.prompts]
    extent = plugin.extent(step.upscaler.options, lengths, step.variations)
    return max(max(working.loading, working.rewriting(*extent)) for working in found)


def _length(line: Line) -> int:
    if isinstance(line, str):
        return len(line)
    return sum(len(part) if isinstance(part, str) else HOLE for part in line.parts)


def _decoding(pipeline: Pipeline, components: Mapping[str, Component]) -> int:
    """Return the pixels to a side of a position of latents."""
    found = (components[key].working for key in pipeline.parts.values() if key is not None)
    return next((working.scale for working in found if working is not None and working.scale), SCALE)
