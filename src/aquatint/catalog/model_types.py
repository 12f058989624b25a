"""Short names for what a checkpoint is: `sdxl` for the pipelines that diffusers calls `StableDiffusionXL...`.

A name stands for a family of classes, whose names begin alike. Families that aren't listed here go by the name of
their class: `SanaPipeline` is of the type `sana`. A class's own name is a type, too.
"""

from __future__ import annotations

import re

from aquatint.catalog.pipelines import pipeline_names

FAMILIES: dict[str, tuple[str, ...]] = {
    "sd": ("StableDiffusion",),
    "sdxl": ("StableDiffusionXL",),
    "sd3": ("StableDiffusion3",),
    "pix2pix": ("StableDiffusionInstructPix2Pix",),
    "sdxl-pix2pix": ("StableDiffusionXLInstructPix2Pix",),
    "upscaler-x2": ("StableDiffusionLatentUpscale",),
    "upscaler-x4": ("StableDiffusionUpscale",),
    "flux": ("Flux",),
    "flux-fill": ("FluxFill",),
    "flux-kontext": ("FluxKontext",),
    "flux2": ("Flux2",),
    "kolors": ("Kolors",),
    "chroma": ("Chroma",),
    "qwen-image": ("QwenImage",),
    "z-image": ("ZImage",),
    "pixart": ("PixArtAlpha", "PixArtSigma"),
    "wan": ("Wan",),
    "if": ("IF",),
    "ifs": ("IFSuperResolution", "IFInpaintingSuperResolution"),
    "ifs-img2img": ("IFImg2ImgSuperResolution",),
    "s-cascade": ("StableCascade",),
}
"""Type -> what the names of its classes begin with; of several that fit, the longest beginning decides."""


def type_of(class_name: str) -> str:
    """Return the type of a pipeline class."""
    fitting = [
        (len(beginning), name)
        for name, beginnings in FAMILIES.items()
        for beginning in beginnings
        # `Flux` begins `FluxPipeline` and `FluxImg2Img...`, and not `Fluxion`.
        if re.match(rf"{beginning}(?![a-z])", class_name)
    ]
    return max(fitting)[1] if fitting else class_name.removesuffix("Pipeline").lower()


def type_names() -> list[str]:
    """Return the name of every type that a checkpoint can be of, sorted."""
    return sorted({type_of(name) for name in pipeline_names()} | set(FAMILIES))


def is_type(name: str) -> bool:
    """Return whether `name` is a type or a pipeline class, in any spelling of `-` and `_`."""
    return _plain(name) in {_plain(known) for known in (*type_names(), *pipeline_names())}


def is_of_type(class_name: str, name: str) -> bool:
    """Return whether a pipeline class is of the type called `name`."""
    return _plain(name) in (_plain(type_of(class_name)), _plain(class_name))


def _plain(name: str) -> str:
    return re.sub(r"[-_]", "", name).lower()
