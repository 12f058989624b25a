"""What pipelines make beside pictures, and as which files each kind of that is written.

A file's suffix is what decides its form; how one is encoded is the runtime's business.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from aquatint.catalog.models import OUTPUT_SUFFIXES
from aquatint.catalog.pipelines import PipelineInfo

Kind = Literal["image", "video"]
"""What one seed comes to: a picture, or frames that follow one another."""

VIDEO_SUFFIXES = (".mp4", ".webp", ".gif")

SUFFIXES: dict[Kind, tuple[str, ...]] = {"image": OUTPUT_SUFFIXES, "video": VIDEO_SUFFIXES}
"""As what each kind can be written, in lower case; the first is that of a file which a script gives no name."""

NAMES: dict[Kind, str] = {"image": "pictures", "video": "videos"}
"""What messages call several of a kind."""

SUFFIX_OF_PACKAGE = ".mp4"
PACKAGE = "av"
"""The suffix whose files need a package beside what is always installed, and that package."""

FPS = 10.0
"""Frames in a second of a video of which nobody says another number; that of diffusers' own `export_to_video`."""

RATES = ("fps", "frame_rate")
"""Arguments of pipelines that say of how many frames in a second the video is to be."""


def kind_of(info: PipelineInfo) -> Kind:
    """Return what the calls of a pipeline make."""
    return "video" if "frames" in info.yields else "image"


def is_video(path: str) -> bool:
    """Return whether a file's name says that it holds a video, and nothing else."""
    return PurePosixPath(path).suffix.lower() in set(VIDEO_SUFFIXES) - set(OUTPUT_SUFFIXES)
