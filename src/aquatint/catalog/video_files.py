"""Videos in files that a script gives to a pipeline: which are taken, and what is in them.

Planning looks at how many frames there are, and of which size; what computes with a video decodes them, each as it is
stored. Files of strangers reach no demuxer of FFmpeg's but two, and none that opens other files.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aquatint.catalog import picture_files

if TYPE_CHECKING:
    from PIL.Image import Image

BYTES_LIMIT = 1 << 30
"""Bytes of a video's file."""

PIXELS_LIMIT = 1 << 29
"""Pixels of all its frames, which are in memory together."""

PACKAGE = "av"
"""What reads those that aren't animated pictures."""

_ANIMATED = ("GIF", "WEBP")
_READ = "MP4, MOV, WebM, Matroska, animated GIF and WebP"
_LARGE = f"has more than {PIXELS_LIMIT:,} pixels in all its frames"
_DAMAGED = "is damaged, or cut short"
_BT709 = 1  # by FFmpeg's numbers of colour spaces


class NoVideo(Exception):
    """A file is no video that can be taken; the message ends a sentence that begins with its name."""


@dataclass(frozen=True, slots=True)
class Facts:
    """How many frames a video has, and how many pixels each is wide and high."""

    frames: int
    width: int
    height: int


def needs_package(body: bytes) -> bool:
    """Return whether `PACKAGE` reads the file that holds `body`, or that begins with it."""
    return _demuxer(body) is not None


def facts_of(body: bytes) -> Facts:
    """Return what there is in the video in a file that holds `body`; no frame is decoded. Raises `NoVideo`."""
    try:
        found = _facts(body)
    except NoVideo:
        raise
    except MemoryError:
        raise
    except Exception as error:  # what readers raise for damaged files is of many kinds
        raise NoVideo(_DAMAGED) from error
    if not found.frames:
        raise NoVideo("has no frames")
    if found.frames * found.width * found.height > PIXELS_LIMIT:
        raise NoVideo(_LARGE)
    return found


def decoded(body: bytes) -> tuple[Image, ...]:
    """Return the frames of the video in a file that holds `body`, RGB, in their order. Raises `NoVideo`."""
    known = facts_of(body)
    try:
        frames = _animated(body) if _demuxer(body) is None else _decoded(body, known)
    except (NoVideo, MemoryError):
        raise
    except Exception as error:  # as in `facts_of`
        raise NoVideo(_DAMAGED) from error
    if not frames:
        raise NoVideo(_DAMAGED)
    return frames


def _demuxer(body: bytes) -> str | None:
    """Return FFmpeg's name for what takes a file apart, None for one that it is not asked about."""
    if body[4:8] == b"ftyp":
        return "mov"
    return "matroska" if body.startswith(b"\x1a\x45\xdf\xa3") else None


def _facts(body: bytes) -> Facts:
    if (demuxer := _demuxer(body)) is None:
        with _opened(body) as found:
            return Facts(getattr(found, "n_frames", 1), *found.size)
    import av

    with av.open(io.BytesIO(body), "r", format=demuxer) as container:
        if not container.streams.video:
            raise NoVideo("has no picture in it")
        stream = container.streams.video[0]
        # What the header says of their number may be nothing, or wrong.
        frames = len([packet for packet in container.demux(stream) if packet.size])
        return Facts(frames, stream.width, stream.height)


def _opened(body: bytes) -> Any:
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = Image.open(io.BytesIO(body), formats=picture_files.FORMATS)
        except UnidentifiedImageError:
            raise NoVideo(f"is no video of a kind that is read: {_READ}") from None
    if found.format not in _ANIMATED:
        raise NoVideo("is a picture, and no video")
    return found


def _animated(body: bytes) -> tuple[Image, ...]:
    frames = []
    with _opened(body) as found:
        for number in range(getattr(found, "n_frames", 1)):
            found.seek(number)
            frames.append(found.convert("RGB"))
    return tuple(frames)


def _decoded(body: bytes, known: Facts) -> tuple[Image, ...]:
    import av
    from av.video.reformatter import Colorspace
    from PIL import Image

    frames: list[Image.Image] = []
    with av.open(io.BytesIO(body), "r", format=_demuxer(body)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            # A file may hold more than its packets say, and frames of other sizes.
            if len(frames) > 2 * known.frames or frame.width * frame.height > picture_files.PIXELS_LIMIT:
                raise NoVideo(_LARGE)
            space = Colorspace.ITU709 if frame.colorspace == _BT709 else None
            frames.append(Image.fromarray(frame.reformat(src_colorspace=space, format="rgb24").to_ndarray()))
    return tuple(frames)
