"""Encodes pictures, videos, sound and tensors as files, in memory, and reads videos and tensors back.

The same medium, text and frames in a second give the same bytes, whatever the machine is called and whatever time it
is; of an MP4, with the same PyAV. What the text says is in `metadata`.
"""

from __future__ import annotations

import io
import wave
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
from PIL.Image import Image

from aquatint.catalog import media, tensor_files, video_files
from aquatint.runtime.engine import EngineError
from aquatint.runtime.media import SAMPLE_WIDTH, Clip, Medium, Sound, Tensors
from aquatint.runtime.metadata import About, embedded
from aquatint.runtime.picture_texts import Format, with_info

FORMATS: dict[str, Format] = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".gif": "GIF",
                              ".mp4": "MP4", ".wav": "WAV", ".safetensors": "SAFETENSORS"}  # fmt: skip
"""The suffixes that can be written, in lower case."""

_QUALITY = "16"  # x264's constant rate factor: 0 is lossless, and of 17 people say that they see no difference
_SOUND_BITS = 160_000  # in a second of each channel of AAC
_BT709 = 1  # by FFmpeg's numbers for matrix, primaries and transfer


def encoded(medium: Medium, form: Format, about: About | None, fps: float = media.FPS) -> bytes:
    """Return `medium` as a file of `form`, a video of `fps` frames in a second. Raises `EngineError`.

    A picture is PNG, JPEG or WebP; a video is WebP, GIF or MP4, the last of which has its sound, too, as AAC; sound
    alone is WAV; tensors are safetensors.
    """
    texts = {} if about is None or not about.inside else embedded(form, about)
    buffer = io.BytesIO()
    match medium, form:
        case Image(), "PNG":
            medium.save(buffer, "PNG", **texts)
        case Image(), "JPEG":
            medium.convert("RGB").save(buffer, "JPEG", quality=95, subsampling=0, **texts)
        case Image(), "WEBP":
            # Lossless: pictures are compared by their pixels.
            medium.save(buffer, "WEBP", lossless=True, **texts)
        case Clip(), "WEBP":
            _save_all(medium, buffer, form, _durations(len(medium.frames), fps, 1), {"lossless": True, **texts})
        case Clip(), "GIF":
            _save_all(medium, buffer, form, _durations(len(medium.frames), fps, 10), texts)
        case Clip(), "MP4":
            _mp4(medium, buffer, fps, texts)
        case Sound(), "WAV":
            with wave.open(buffer, "wb") as written:
                written.setnchannels(medium.channels)
                written.setsampwidth(SAMPLE_WIDTH)
                written.setframerate(medium.rate)
                written.writeframes(medium.samples)
            return with_info(buffer.getvalue(), texts)
        case Tensors(), "SAFETENSORS":
            return tensor_files.packed(medium.values, texts)
        case _:
            what = media.NAMES[kind(medium)]
            raise EngineError(f"can't write {what} as {form}", "end the name of the file with another suffix")
    return buffer.getvalue()


def kind(medium: Medium) -> media.Kind:
    """Return what `medium` is."""
    match medium:
        case Clip():
            return "video"
        case Sound():
            return "audio"
        case Tensors():
            return "tensors"
    return "image"


def soundtrack(medium: Medium, path: str) -> Sound | None:
    """Return the sound beside a video that a file called `path` has room for; None if there is none."""
    has_room = path.lower().endswith(media.SOUNDTRACK_SUFFIX)
    return medium.sound if isinstance(medium, Clip) and has_room else None


def read_clip(path: Path) -> Clip:
    """Return the frames of the video at `path`, which this program wrote. Raises `OSError` if there are none."""
    with open(path, "rb") as stream:
        body = stream.read(video_files.BYTES_LIMIT + 1)
    try:
        return Clip(video_files.decoded(body))
    except video_files.NoVideo as error:
        raise OSError(str(error)) from error


def read_tensors(path: Path) -> Tensors:
    """Return the tensors in the file at `path`. Raises `OSError` if there are none."""
    with open(path, "rb") as stream:
        body = stream.read(tensor_files.BYTES_LIMIT + 1)
    try:
        return Tensors(tensor_files.unpacked(body))
    except tensor_files.NoTensors as error:
        raise OSError(str(error)) from error


def _durations(count: int, fps: float, unit: int) -> list[int]:
    """Return how many milliseconds each frame is shown, in multiples of `unit`: no error adds up."""
    ends = [round(number * 1000 / fps / unit) * unit for number in range(count + 1)]
    return [end - start for start, end in pairwise(ends)]


def _save_all(clip: Clip, buffer: io.BytesIO, form: Format, durations: list[int], extra: dict[str, Any]) -> None:
    first, *others = clip.frames
    # Played over and over.
    first.save(buffer, form, save_all=True, append_images=others, duration=durations, loop=0, **extra)


def _mp4(clip: Clip, buffer: io.BytesIO, fps: float, texts: dict[str, str]) -> None:
    import av
    from av.video.reformatter import Colorspace

    width, height = clip.size
    # What players and browsers read has one colour for each four pixels, and so only whole pairs of pixels.
    form = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        container.metadata.update(texts)
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, form
        context = stream.codec_context
        # With several threads a frame's bits depend on how many there are.
        context.thread_count = 1
        # Its assembly reads beside what it is given: bits then depend on what lay in memory before.
        context.options = {"crf": _QUALITY, "preset": "medium", "flags": "+bitexact", "x264-params": "asm=0"}
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        packets = []
        for frame in clip.frames:
            picture = av.VideoFrame.from_ndarray(numpy.asarray(frame), format="rgb24")
            packets += stream.encode(picture.reformat(format=form, dst_colorspace=Colorspace.ITU709))
        packets += stream.encode()
        if clip.sound is not None:
            packets += _sound_packets(clip.sound, container)
        # What is heard and what is seen at a time lie beside each other in the file.
        container.mux(sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base))


def _sound_packets(sound: Sound, container: Any) -> list[Any]:
    """Return the sound of a video as it is written into `container`, which then has a stream for it."""
    import av

    layout = {1: "mono", 2: "stereo"}.get(sound.channels)
    if layout is None:
        raise EngineError(
            f"can't write sound of {sound.channels} channels into an MP4", "end the name with `.webp`: it has no sound"
        )
    # The codec knows some rates only: sound of another is brought to the next.
    rates = av.Codec("aac", "w").audio_rates or []
    rate = min((each for each in rates if each >= sound.rate), default=max(rates))
    stream = container.add_stream("aac", rate=rate, layout=layout, bit_rate=_SOUND_BITS * sound.channels)
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"flags": "+bitexact"}
    samples = numpy.frombuffer(sound.samples, "<i2").reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = sound.rate, 0, Fraction(1, sound.rate)
    return [*stream.encode(frame), *stream.encode()]
