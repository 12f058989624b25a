"""Which pipelines a checkpoint serves beside its own: those for other tasks that work from the same weights.

What a script gives to `generate` says which task it means: with an `image` it is image-to-image, with a `mask_image` as
well it is inpainting. Two classes work from the same weights if diffusers' `AutoPipeline` takes one for the other, or
if their names differ in a task alone, as those of `ChromaPipeline` and `ChromaImg2ImgPipeline` do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

from aquatint.catalog.arguments import needed, scriptable, takes_pictures
from aquatint.catalog.ip_adapters import BESIDE
from aquatint.catalog.media import kind_of
from aquatint.catalog.pipelines import PipelineInfo, families, pipeline, pipeline_names

# What steers, and attention that is perturbed, adds to a pipeline and takes none of its weights away.
_TASK = re.compile(
    r"Img2Img|Inpaint(?:ing)?|(?:Text|Image|Video)ToVideo|Image2Video|ControlNet(?:Union)?|(?<!IP)Adapter|PAG"
)

_WITH_OTHER_WEIGHTS = frozenset({"CogVideoXImageToVideoPipeline", "WanImageToVideoPipeline"})
"""Those whose denoiser has channels for the picture that they are given, which that of the others lacks."""

STEERING = ("controlnet", "adapter")
"""The roles of what steers a denoiser by pictures: a ControlNet, and a T2I-Adapter."""

OF_SEVERAL_PICTURES = "ControlNetUnionModel"
"""The class of a controlnet that may be given several pictures, each of a kind of its own."""

_STEERING = re.compile(rf"(?P<kind>{'|'.join(STEERING)})(?P<further>_[2-9])?")

Roles = Mapping[str, str]
"""The submodules that there are, by role, each with its class."""


@lru_cache(maxsize=512)
def relatives(class_name: str) -> tuple[str, ...]:
    """Return other classes that work from the weights of a pipeline of that class, first those of `AutoPipeline`."""
    listed = [name for members in families().values() if class_name in members for name in members]
    alike = [name for name in pipeline_names() if _stem(name) == _stem(class_name) and _makes_alike(name, class_name)]
    return tuple(name for name in dict.fromkeys([*listed, *alike]) if name != class_name and pipeline(name))


def _makes_alike(one: str, other: str) -> bool:
    """Return whether two classes make the same kind of thing, and neither has weights of its own."""
    infos = pipeline(one), pipeline(other)
    kinds = {kind_of(info) for info in infos if info is not None}
    return len(kinds) == 1 and _WITH_OTHER_WEIGHTS.isdisjoint((one, other))


def serving(own: PipelineInfo, roles: Roles, given: Collection[str]) -> PipelineInfo:
    """Return the pipeline that takes the arguments `given`, of those that a checkpoint with `roles` serves.

    It is the checkpoint's `own` where that takes them, and where no other takes more of them. Of several that take as
    many, the one is meant that needs the least beside them, and of those the one whose name says the least.
    """
    if all(name in scriptable(own) for name in given) and not _is_idle(own, roles):
        return own
    found = [own]
    for name in relatives(own.name):
        other = pipeline(name)
        if other is not None and _can_be_made(other, own, roles):
            found.append(other)
    # A misspelt argument is one that none of them takes, and says nothing.
    telling = {name for name in given if any(name in scriptable(info) for info in found)}
    return min(found, key=lambda info: _distance(info, telling, roles, found))


def together(class_name: str, roles: Roles) -> PipelineInfo:
    """Return what is known of a pipeline class, with the arguments of all that a checkpoint with `roles` serves."""
    return _together(class_name, tuple(roles.items()))


@lru_cache(maxsize=512)
def _together(class_name: str, roles: tuple[tuple[str, str], ...]) -> PipelineInfo:
    own = pipeline(class_name)
    assert own is not None, class_name
    arguments = dict(own.arguments)
    for name in relatives(class_name):
        other = pipeline(name)
        if other is not None and _can_be_made(other, own, dict(roles)):
            arguments = {**other.arguments, **arguments}
    return replace(own, arguments=arguments)


def _distance(info: PipelineInfo, telling: Collection[str], roles: Roles, found: list[PipelineInfo]) -> tuple[int, ...]:
    left_out = sum(name not in scriptable(info) for name in telling)
    missing = 0 if info is found[0] else sum(name not in telling for name in needed(info))
    added = 0 if info is found[0] else len(_TASK.findall(info.name))
    return int(_is_idle(info, roles)), left_out, missing, added, found.index(info)


def _is_idle(info: PipelineInfo, roles: Roles) -> bool:
    """Return whether something steers, which adds to a pipeline, and one of that class has no place for it."""
    for kind in STEERING:
        if kind not in roles:
            continue
        place = info.components.get(kind)
        if place is None or roles[kind] not in place.classes:
            return True
        if len(steering(roles, kind)) > 1 and not takes_several(info, kind, roles[kind]):
            return True
    return False


def _can_be_made(info: PipelineInfo, own: PipelineInfo, roles: Roles) -> bool:
    # What the checkpoint's own class does without, its relatives do, too: diffusers doesn't say so of each.
    spared = {role for role, part in own.components.items() if part.optional}
    return all(part.optional or role in roles or role in spared for role, part in info.components.items())


def first_of(role: str) -> str | None:
    """Return the role of `STEERING` whose further one `role` is: `controlnet_2` and so on, to `_9`. None for any other.

    No pipeline has such a component: it is given a list of them in the first one's place.
    """
    found = _STEERING.fullmatch(role)
    return found["kind"] if found is not None and found["further"] else None


def steering(roles: Iterable[str], kind: str | None = None) -> list[str]:
    """Return those of `roles` that steer, in their order; of `kind`, a role of `STEERING`, alone if it is given."""
    return sorted(role for role in roles if (found := _STEERING.fullmatch(role)) and kind in (None, found["kind"]))


def takes_several(info: PipelineInfo, kind: str, class_name: str) -> bool:
    """Return whether a pipeline takes a list of that class in the role `kind`, one of `STEERING`."""
    place = info.components.get(kind)
    return place is not None and f"list[{class_name}]" in place.classes


def without_size(info: PipelineInfo) -> bool:
    """Return whether a pipeline takes the size of its pictures from one that it is given."""
    arguments = scriptable(info)
    own = (argument for name, argument in arguments.items() if name not in BESIDE)
    return not {"width", "height"} & arguments.keys() and any(map(takes_pictures, own))


def _stem(name: str) -> str:
    return _TASK.sub("", name)
