"""Pictures in files that a script gives to a pipeline: which are taken, and what is in them.

Planning looks at a file's head alone; what computes with a picture decodes it. Both see it upright, as its camera says.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
"""By Pillow's names, whose decoders of other formats may start programs; of several frames the first is taken."""

BYTES_LIMIT = 256 << 20
"""Bytes of a picture's file."""

PIXELS_LIMIT = 1 << 27
"""Pixels of a picture: a file of few bytes can hold more of them than there is memory for."""

_ORIENTATION = 0x0112
_LYING = (5, 6, 7, 8)


class NoPicture(Exception):
    """A file is no picture that can be taken; the message ends a sentence that begins with its name."""


def size_of(body: bytes) -> tuple[int, int]:
    """Return width and height in pixels of the picture in a file that holds `body`. Raises `NoPicture`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _opened(body)
        width, height = found.size
        lying = found.getexif().get(_ORIENTATION) in _LYING
    return (height, width) if lying else (width, height)


def decoded(body: bytes) -> Image:
    """Return the picture in a file that holds `body`, RGB and upright. Raises `NoPicture`."""
    from PIL import ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ImageOps.exif_transpose(_opened(body)).convert("RGB")
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise NoPicture("is damaged, or cut short") from error


def _opened(body: bytes) -> Image:
    from PIL import Image, UnidentifiedImageError

    try:
        found = Image.open(io.BytesIO(body), formats=FORMATS)
    except UnidentifiedImageError:
        raise NoPicture(f"is no picture of a kind that is read: {', '.join(FORMATS)}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, Image.DecompressionBombError):
            raise NoPicture(f"has more than {PIXELS_LIMIT:,} pixels") from None
        raise NoPicture("is damaged, or cut short") from error
    if found.width * found.height > PIXELS_LIMIT:
        raise NoPicture(f"has more than {PIXELS_LIMIT:,} pixels")
    return found
