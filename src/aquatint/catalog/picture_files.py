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

_DAMAGED = "is damaged, or cut short"
_LARGE = f"has more than {PIXELS_LIMIT:,} pixels"
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
        try:
            lying = found.getexif().get(_ORIENTATION) in _LYING
        except Exception as error:  # as in `decoded`
            raise NoPicture(_DAMAGED) from error
    return (height, width) if lying else (width, height)


def decoded(body: bytes) -> Image:
    """Return the picture in a file that holds `body`, RGB and upright. Raises `NoPicture`."""
    from PIL import ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _opened(body)
        try:
            return ImageOps.exif_transpose(found).convert("RGB")
        except MemoryError:
            raise
        except Exception as error:  # what Pillow raises for damaged files is of many kinds
            raise NoPicture(_DAMAGED) from error


def _opened(body: bytes) -> Image:
    from PIL import Image, UnidentifiedImageError

    try:
        found = Image.open(io.BytesIO(body), formats=FORMATS)
    except UnidentifiedImageError:
        raise NoPicture(f"is no picture of a kind that is read: {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        raise NoPicture(_LARGE) from None
    except Exception as error:  # as in `decoded`
        raise NoPicture(_DAMAGED) from error
    if found.width * found.height > PIXELS_LIMIT:
        raise NoPicture(_LARGE)
    return found
