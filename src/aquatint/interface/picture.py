"""The picture that a command names: its texts, from its file or from the one beside it, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aquatint.interface.exits import Refusal

if TYPE_CHECKING:
    from aquatint.plan.steps import Json
    from aquatint.runtime.picture_texts import PictureTexts
    from aquatint.runtime.record import ImageRecord


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's file called `name`; `record` is unchecked, and None if there is none in the file or beside it."""

    name: str
    texts: PictureTexts
    record: dict[str, Json] | None
    is_beside: bool = False


def read_picture(name: str) -> Picture:
    """Return the picture called `name`, which has at least one of the texts. Raises `Refusal`."""
    from aquatint.runtime.outputs import SIDECAR
    from aquatint.runtime.picture_texts import UnreadablePicture, read_texts
    from aquatint.runtime.record import RecordError, read_json

    body = _read(name)
    try:
        texts = read_texts(body)
    except UnreadablePicture as error:
        help = "it writes PNG, JPEG, WebP, GIF, MP4 and safetensors; a record may be in a file beside them, too"
        raise Refusal("unreadable-picture", f"`{name}` {error}", help) from None
    text, beside = texts.record, None
    if text is None and texts.form is not None:
        beside = f"{name}{SIDECAR}" if Path(f"{name}{SIDECAR}").is_file() else None
        text = None if beside is None else _record_in(beside)
    if text is None:
        if texts.parameters is None and not texts.has_workflow:
            help = "it was made with `metadata: false` or by another program, or something took the texts out of it"
            raise Refusal("no-record", f"`{name}` doesn't say how it was made", help)
        return Picture(name, texts, None)
    try:
        return Picture(name, texts, read_json(text), beside is not None)
    except RecordError as error:
        # Another program's description of a picture may look like JSON.
        if texts.parameters is not None and texts.form != "PNG" and beside is None:
            return Picture(name, texts, None)
        raise _bad_record(beside or name, error) from None


def _record_in(name: str) -> str | None:
    from aquatint.runtime.picture_texts import UnreadablePicture, read_texts

    try:
        return read_texts(_read(name)).record
    except UnreadablePicture as error:
        raise Refusal("bad-record", f"`{name}` {error}", "take it away, or put the record there again") from None


def image_of(picture: Picture) -> ImageRecord:
    """Return the checked record of `picture`, which must be that of an image. Raises `Refusal`."""
    from aquatint.runtime.record import RecordError, image_record

    name = picture.name
    if picture.record is None:
        help = "`aquatint script` makes a script of it, as far as its text goes"
        by = "a graph of ComfyUI's" if picture.texts.parameters is None else "a text in A1111's form"
        raise Refusal("no-record", f"`{name}` has {by}, and no record of Aquatint's", help)
    if picture.record["kind"] == "sheet":
        help = "give one of the pictures that it shows"
        raise Refusal("no-record", f"`{name}` is a sheet of pictures, and doesn't say how these were made", help)
    try:
        record = image_record(picture.record)
    except RecordError as error:
        raise _bad_record(name, error) from None
    return record


def _bad_record(name: str, error: Exception) -> Refusal:
    help = "it was changed, cut off, or written by another version"
    return Refusal("bad-record", f"the record of `{name}` {error}", help)


def _read(name: str) -> bytes:
    from aquatint.diagnostics import did_you_mean
    from aquatint.language.disk import Disk
    from aquatint.runtime.picture_texts import FILE_LIMIT

    try:
        return Disk().read(name, FILE_LIMIT + 1)
    except FileNotFoundError:
        folder = Path(name).parent
        near = [str(folder / file.name) for file in folder.iterdir()] if folder.is_dir() else []
        help = did_you_mean(name, near, "files") if near else f"there is no folder `{folder}`"
        raise Refusal("missing-file", f"can't read `{name}`: no such file", help) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a name of a file"
        raise Refusal("missing-file", f"can't read `{name}`: {reason[:1].lower()}{reason[1:]}") from None
