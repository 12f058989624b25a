"""What pipelines make beside pictures, and as which files each kind of that is written.

A file's suffix is what decides its form; how one is encoded is the runtime's business.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal

from aquatint.catalog import tensor_files, video_files
from aquatint.catalog.models import GENERATE, OUTPUT_SUFFIXES
from aquatint.catalog.pipelines import PipelineInfo

Kind = Literal["image", "video", "audio", "tensors"]
"""What one seed comes to: a picture, frames that follow one another, sound, or what another pipeline goes on with."""

VIDEO_SUFFIXES = (".mp4", ".webp", ".gif")
AUDIO_SUFFIXES = (".wav",)

SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "image": OUTPUT_SUFFIXES, "video": VIDEO_SUFFIXES, "audio": AUDIO_SUFFIXES, "tensors": (tensor_files.SUFFIX,),
}  # fmt: skip
"""As what each kind can be written, in lower case; the first is that of a file which a script gives no name."""

NAMES: dict[Kind, str] = {"image": "pictures", "video": "videos", "audio": "sound", "tensors": "tensors"}
"""What messages call several of a kind."""

SUFFIX_OF_PACKAGE = ".mp4"
PACKAGE = video_files.PACKAGE
"""The suffix whose files need a package beside what is always installed, and that package."""

FPS = 10.0
"""Frames in a second of a video of which nobody says another number; that of diffusers' own `export_to_video`."""

RATES = ("fps", "frame_rate")
"""Arguments of pipelines that say of how many frames in a second the video is to be."""


UNDECODED = {"latent": "latents", "pt": "pixels"}
"""By the `output_type` of a call that leaves the decoding out, what the tensor is called that it makes.

What a pipeline that denoises pixels leaves out with `"pt"` is their rounding to 8 bits.
"""

# What another pipeline goes on with, and what is known of each point of a picture: how far away it is, and the like.
_TENSORS = re.compile(r".*(?:embeds|embeddings)(?:_pooled)?|prediction|uncertainty|latent")

PICTURES, VIDEOS, SOUNDS = ("images", "image"), ("frames", "video"), ("audios",)
"""What pipelines call the pictures, the videos and the sound that they return."""

SOUNDTRACKS = ("audio", "sound")
"""What pipelines call the sound that they return beside a video."""

SOUNDTRACK_SUFFIX = ".mp4"
"""The suffix of videos that have room for sound."""

SOUNDTRACK_LATENTS = "audio_latents"
"""What the tensor of such sound is called where the decoding is left out, as are the arguments that take it."""

_NUMBERS_OF_FRAMES = ("num_frames", "video_length", "frame_size")


def kind_of(info: PipelineInfo, is_undecoded: bool = False) -> Kind:
    """Return what the calls of a pipeline make; `is_undecoded` says that they leave the decoding out."""
    if is_undecoded or tensors_of(info):
        return "tensors"
    if makes_audio(info):
        return "audio"
    if any(name in info.yields for name in VIDEOS):
        return "video"
    # Some call the frames of a video images.
    return "video" if any(name in info.arguments for name in _NUMBERS_OF_FRAMES) else "image"


def makes_audio(info: PipelineInfo) -> bool:
    """Return whether the calls of a pipeline make sound; one that goes along with a video isn't meant."""
    return any(name in info.yields for name in SOUNDS)


def has_soundtrack(info: PipelineInfo) -> bool:
    """Return whether the videos of a pipeline have sound beside them."""
    return kind_of(info) == "video" and any(name in info.yields for name in SOUNDTRACKS)


def handed_on(info: PipelineInfo, output_type: str | None) -> tuple[str, ...]:
    """Return the names of the tensors of a call that makes nothing else; `output_type` is what it is asked for."""
    if output_type is None:
        return tensors_of(info)
    beside = (SOUNDTRACK_LATENTS,) if output_type == "latent" and has_soundtrack(info) else ()
    return (UNDECODED[output_type], *beside)


def is_written(info: PipelineInfo) -> bool:
    """Return whether what a pipeline makes is of a kind that is known here; texts, for one, aren't."""
    return not info.yields or bool(tensors_of(info) or {*PICTURES, *VIDEOS, *SOUNDS} & {*info.yields})


def undecoded(info: PipelineInfo) -> str | None:
    """Return the `output_type` by which a pipeline's call leaves the decoding out, None for one that can't."""
    if tensors_of(info):
        return None
    return "latent" if info.latent else "pt" if info.pixels else None


def tensors_of(info: PipelineInfo) -> tuple[str, ...]:
    """Return what a pipeline that makes nothing but tensors calls them; nothing for one that makes pictures."""
    return info.yields if all(map(_TENSORS.fullmatch, info.yields)) else ()


def suffixes_of(info: PipelineInfo) -> tuple[str, ...]:
    """Return as what the files of a pipeline can be written; tensors, where it can leave the decoding out, are last."""
    own = SUFFIXES[kind_of(info)]
    return own + SUFFIXES["tensors"] if undecoded(info) else own


def settings_of(info: PipelineInfo) -> list[str]:
    """Return the settings of `generate` that mean something for a pipeline, beside the arguments of its call."""
    is_video = kind_of(info) == "video"
    return [name for name in GENERATE.names() if name != "fps" or is_video]


def is_video(path: str) -> bool:
    """Return whether a file's name says that it holds a video, and nothing else."""
    return PurePosixPath(path).suffix.lower() in set(VIDEO_SUFFIXES) - set(OUTPUT_SUFFIXES)
