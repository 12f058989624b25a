"""What one seed of a call comes to, in the computer's memory: a picture, or what else a pipeline makes.

How each is written to a file and read from one is in `media_files`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from PIL.Image import Image

from aquatint.catalog.tensor_files import Tensor

SAMPLE_WIDTH = 2
"""Bytes of a sample of sound."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples as a WAV file has them: 16 bits each, little-endian, those of one moment for every channel together.

    `rate` are the moments in a second.
    """

    channels: int
    rate: int
    samples: bytes = field(repr=False)

    @property
    def moments(self) -> int:
        """How many samples each channel has."""
        return len(self.samples) // (SAMPLE_WIDTH * self.channels)


@dataclass(frozen=True, slots=True)
class Clip:
    """A video: RGB pictures of one size, at least one, in their order, and the `sound` beside them, if there is any."""

    frames: tuple[Image, ...]
    sound: Sound | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of each frame, in pixels."""
        return self.frames[0].size


@dataclass(frozen=True, slots=True)
class Tensors:
    """What another pipeline goes on with, by the names of this one's output; at least one."""

    values: Mapping[str, Tensor]


Medium = Image | Clip | Sound | Tensors
