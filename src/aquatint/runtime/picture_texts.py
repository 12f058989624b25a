"""Where a picture's file has the texts about how it was made, and how they are read out of one.

Pictures come from strangers: nothing is decoded but texts, each up to a limit, and no pixel is looked at. What the
texts say is the business of `record` and `infotext`; `metadata` writes them.
"""

from __future__ import annotations

import io
import json
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from PIL import Image

from aquatint.catalog.tensor_files import TEXTS

Format = Literal["PNG", "JPEG", "WEBP", "GIF", "MP4", "WAV", "SAFETENSORS"]

PARAMETERS, RECORD = "parameters", "aquatint"
"""Keywords of a PNG's text chunks: A1111's form, and the record."""

COMMENT, DESCRIPTION = "comment", "description"
"""FFmpeg's names of an MP4's tags for the record and for A1111's form; a GIF has the record as its comment."""

INFO_COMMENT, INFO_SUBJECT = "ICMT", "ISBJ"
"""The entries of a WAV file's list of kind `INFO` for the record and for A1111's form."""

IMAGE_DESCRIPTION = 0x010E
"""Exif's tag for the record."""

EXIF_IFD = 0x8769
USER_COMMENT = 0x9286
"""Exif's tags for A1111's form: the directory, and the entry in it."""

UNICODE = b"UNICODE\0"
"""Exif 2.32, table 9: what follows is UTF-16, by the web UI's custom big-endian."""

FILE_LIMIT = 256 << 20
"""Bytes of a picture's file: what is larger isn't read."""

TEXT_LIMIT = 4 << 20
"""Bytes of one text, uncompressed: what is longer counts as damage."""

_CHUNK_LIMIT = 100_000  # a PNG of the largest size in chunks of 4 KiB has fewer
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ASCII = b"ASCII\0\0\0"
# ComfyUI's keywords for the graph that ran, and for the one on the screen.
_WORKFLOWS = ("prompt", "workflow")


class UnreadablePicture(Exception):
    """A file is no picture whose texts can be read; the message says why, and follows the file's name."""


@dataclass(frozen=True, slots=True)
class PictureTexts:
    """What a file has, unchecked: A1111's form, the record as JSON, and whether there is a graph of ComfyUI's.

    `form` is None for a file that is a record by itself, which has no `size`.
    """

    form: Format | None
    size: tuple[int, int] | None = None
    parameters: str | None = None
    record: str | None = None
    has_workflow: bool = False


def read_texts(body: bytes) -> PictureTexts:
    """Return the texts in the file whose bytes are `body`. Raises `UnreadablePicture`."""
    if len(body) > FILE_LIMIT:
        raise UnreadablePicture(f"is larger than {FILE_LIMIT >> 20} MiB")
    if body.startswith(_SIGNATURE):
        return _of_png(body)
    if body.startswith(b"\xff\xd8"):
        return _of_exif(body, "JPEG")
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP":
        return _of_exif(body, "WEBP")
    if body.startswith(b"RIFF") and body[8:12] == b"WAVE":
        return _of_wav(body)
    if body.startswith((b"GIF87a", b"GIF89a")):
        return _of_gif(body)
    if body[4:8] == b"ftyp":
        return _of_mp4(body)
    if body[8:9] == b"{" and 0 < int.from_bytes(body[:8], "little") <= len(body) - 8:
        return _of_tensors(body)
    if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        if len(body) > TEXT_LIMIT:
            raise UnreadablePicture(f"is a record of more than {TEXT_LIMIT >> 20} MiB")
        return PictureTexts(None, record=body.decode("utf-8-sig", "replace"))
    raise UnreadablePicture("is empty" if not body else "is no kind of file that Aquatint writes")


def _of_png(body: bytes) -> PictureTexts:
    # By hand, not with Pillow: it has to decode the pixels to get at the texts behind them.
    found = PictureTexts("PNG")
    for kind, data, is_whole in _chunks(body):
        if kind == b"IHDR" and len(data) >= 8:
            found = replace(found, size=struct.unpack(">II", data[:8]))
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            continue
        keyword = data[:80].partition(b"\0")[0].decode("latin-1")
        if keyword in _WORKFLOWS:
            found = replace(found, has_workflow=True)
        if keyword not in (PARAMETERS, RECORD):
            continue
        text = _text(kind, data) if is_whole else None
        if text is None:
            raise UnreadablePicture(f"is damaged: its text `{keyword}` can't be read")
        if keyword == PARAMETERS and found.parameters is None:
            found = replace(found, parameters=text)
        elif keyword == RECORD and found.record is None:
            found = replace(found, record=text)
    if found.size is None:
        raise UnreadablePicture("is damaged: it begins like a PNG picture, and is none")
    return found


def _chunks(body: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield the chunks of a PNG file up to where it is cut off: kind, data, and whether the data is what was written.

    Of others than texts only the beginning of the data is given, and the last is not checked.
    """
    place = len(_SIGNATURE)
    for _ in range(_CHUNK_LIMIT):
        if len(body) < place + 12:
            return
        length, kind = struct.unpack(">I4s", body[place : place + 8])
        start, end = place + 8, place + 8 + length
        if not kind.endswith(b"Xt"):
            yield kind, body[start : min(end, start + 16)], True
        elif length <= TEXT_LIMIT:
            data = body[start:end]
            yield kind, data, body[end : end + 4] == struct.pack(">I", zlib.crc32(kind + data))
        else:
            yield kind, body[start : start + 80], False
        if kind == b"IEND":
            return
        place = end + 4
    raise UnreadablePicture(f"has more than {_CHUNK_LIMIT:,} parts")


def _text(kind: bytes, data: bytes) -> str | None:
    """Return the text of a chunk, None if it has none or too long a one. PNG 3.0, 11.3.3."""
    _, _, rest = data.partition(b"\0")
    if kind == b"tEXt":
        return rest.decode("latin-1")
    if kind == b"zTXt":
        unpacked = _inflated(rest[1:])
        return None if unpacked is None else unpacked.decode("latin-1")
    is_packed, packed = rest[:1] == b"\1", rest[2:].split(b"\0", 2)
    if len(packed) < 3:
        return None
    plain = _inflated(packed[2]) if is_packed else packed[2]
    return None if plain is None else plain.decode("utf-8", "replace")


def _inflated(data: bytes) -> bytes | None:
    # A few bytes can stand for gigabytes.
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data, TEXT_LIMIT)
    except zlib.error:
        return None
    return plain if stream.eof else None


def _of_exif(body: bytes, form: Format) -> PictureTexts:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd Exif data, and on large pictures
        try:
            with Image.open(io.BytesIO(body), formats=(form,)) as image:
                size = image.size
                exif = image.getexif()
                description = exif.get(IMAGE_DESCRIPTION)
                comment = exif.get_ifd(EXIF_IFD).get(USER_COMMENT, b"")
        except Exception:
            # Whatever a reader of binary data stumbles over in a file made to that end.
            raise UnreadablePicture(f"is damaged: it begins like a {form} picture, and is none") from None
    parameters = None
    if isinstance(comment, bytes) and comment.startswith(UNICODE):
        parameters = comment.removeprefix(UNICODE).decode("utf-16-be", "replace")
    elif isinstance(comment, bytes) and comment.startswith(_ASCII):
        parameters = comment.removeprefix(_ASCII).decode("ascii", "replace")
    # Any program may describe a picture there; a record is an object.
    record = description if isinstance(description, str) and description.lstrip().startswith("{") else None
    if max(len(record or ""), len(parameters or "")) > TEXT_LIMIT:
        raise UnreadablePicture(f"is damaged: it has a text of more than {TEXT_LIMIT >> 20} MiB")
    return PictureTexts(form, size, parameters, record)


def _of_gif(body: bytes) -> PictureTexts:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(body), formats=("GIF",)) as image:
                size, comment = image.size, image.info.get("comment", b"")
        except Exception:  # as in `_of_exif`
            raise UnreadablePicture("is damaged: it begins like a GIF, and is none") from None
    if len(comment) > TEXT_LIMIT:
        raise UnreadablePicture(f"is damaged: it has a text of more than {TEXT_LIMIT >> 20} MiB")
    text = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)
    return PictureTexts("GIF", size, record=text if text.lstrip().startswith("{") else None)


# Where an MP4 has its tags: boxes in boxes, the last of a tag's own name.
_TAGS = (b"moov", b"udta", b"meta", b"ilst")
_NAMES = {b"\xa9cmt": COMMENT, b"desc": DESCRIPTION}
_TEXT = 1  # the type of a value that is UTF-8


def _of_mp4(body: bytes) -> PictureTexts:
    # By hand, not with PyAV: an extra, whose decoders are not to see a stranger's file for the sake of a text.
    tags = dict(_tags(_box(body, _TAGS)))
    header = _box(body, (b"moov", b"trak", b"tkhd"))
    size = None
    if len(header) in (84, 96):  # by its version; width and height come last, in 65536ths of a pixel
        width, height = struct.unpack(">II", header[-8:])
        size = width >> 16, height >> 16
    record = tags.get(COMMENT)
    return PictureTexts(
        "MP4", size, tags.get(DESCRIPTION), record if record is not None and record.startswith("{") else None
    )


def _box(body: bytes, path: tuple[bytes, ...]) -> bytes:
    """Return what is in the first box at `path`, nothing if there is none."""
    for kind in path:
        body = next((inside for name, inside in _boxes(body) if name == kind), b"")
        # This one has a version and flags before the boxes in it.
        body = body[4:] if kind == b"meta" else body
    return body


def _boxes(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the boxes of an MP4 or of one of its boxes, up to where they are cut off: kind and content."""
    place = 0
    for _ in range(_CHUNK_LIMIT):
        if len(body) < place + 8:
            return
        length, kind = struct.unpack(">I4s", body[place : place + 8])
        head = 8
        if length == 1 and len(body) >= place + 16:
            (length,), head = struct.unpack(">Q", body[place + 8 : place + 16]), 16
        length = length or len(body) - place  # up to the end
        if length < head:
            return
        yield kind, body[place + head : place + length]
        place += length
    raise UnreadablePicture(f"has more than {_CHUNK_LIMIT:,} parts")


def _tags(listed: bytes) -> Iterator[tuple[str, str]]:
    for kind, inside in _boxes(listed):
        data = _box(inside, (b"data",))
        if kind not in _NAMES or len(data) < 8 or int.from_bytes(data[:4]) != _TEXT:
            continue
        if len(data) > TEXT_LIMIT:
            raise UnreadablePicture(f"is damaged: it has a text of more than {TEXT_LIMIT >> 20} MiB")
        yield _NAMES[kind], data[8:].decode("utf-8", "replace")


def with_info(body: bytes, texts: Mapping[str, str]) -> bytes:
    """Return a RIFF file with `texts` in it, by the names of the entries of its list of kind `INFO`.

    The texts are UTF-8; the format itself says nothing of that.
    """
    if not texts:
        return body
    entries = b"".join(_riff(name.encode(), text.encode() + b"\0") for name, text in texts.items())
    inside = body[8:] + _riff(b"LIST", b"INFO" + entries)
    return b"RIFF" + struct.pack("<I", len(inside)) + inside


def _riff(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _of_wav(body: bytes) -> PictureTexts:
    found: dict[bytes, str] = {}
    for kind, data in _riff_parts(body[12:]):
        if kind != b"LIST" or not data.startswith(b"INFO"):
            continue
        for name, text in _riff_parts(data[4:]):
            if len(text) > TEXT_LIMIT:
                raise UnreadablePicture(f"is damaged: it has a text of more than {TEXT_LIMIT >> 20} MiB")
            found.setdefault(name, text.rstrip(b"\0").decode("utf-8", "replace"))
    record = found.get(INFO_COMMENT.encode())
    return PictureTexts(
        "WAV", None, found.get(INFO_SUBJECT.encode()), record if record is not None and record.startswith("{") else None
    )


def _riff_parts(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the parts of a RIFF file or list, up to where they are cut off: kind and content."""
    place = 0
    for _ in range(_CHUNK_LIMIT):
        if len(body) < place + 8:
            return
        kind, length = struct.unpack("<4sI", body[place : place + 8])
        yield kind, body[place + 8 : place + 8 + length]
        place += 8 + length + length % 2
    raise UnreadablePicture(f"has more than {_CHUNK_LIMIT:,} parts")


def _of_tensors(body: bytes) -> PictureTexts:
    end = 8 + int.from_bytes(body[:8], "little")
    if end > TEXT_LIMIT:
        raise UnreadablePicture(f"is damaged: it has a text of more than {TEXT_LIMIT >> 20} MiB")
    try:
        found = json.loads(body[8:end]).get(TEXTS, {})
        texts = {name: text for name, text in found.items() if isinstance(text, str)}
    except (ValueError, RecursionError, AttributeError):
        raise UnreadablePicture("is damaged: it begins like a file of tensors, and is none") from None
    return PictureTexts("SAFETENSORS", None, texts.get(PARAMETERS), texts.get(RECORD))
