"""What one seed of a call comes to, in the computer's memory: a picture, or what else a pipeline makes.

How each is written to a file and read from one is in `media_files`.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Clip:
    """A video: RGB pictures of one size, at least one, in their order."""

    frames: tuple[Image, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of each frame, in pixels."""
        return self.frames[0].size


Medium = Image | Clip
