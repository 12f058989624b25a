"""From a picture to the script that makes it again: what `script` writes and `replay` runs."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aquatint.catalog.hardware import is_device
from aquatint.catalog.media import SUFFIXES
from aquatint.interface.exits import Refusal
from aquatint.interface.picture import Picture, image_of, read_picture

if TYPE_CHECKING:
    from aquatint.diagnostics import Diagnostics
    from aquatint.interface.recipe import Recipe
    from aquatint.runtime.record import ImageRecord

_STEM = 200  # bytes of a name: with what comes behind it must fit into 255
_SUFFIXES = {
    "PNG": ".png",
    "JPEG": ".jpg",
    "WEBP": ".webp",
    "GIF": ".gif",
    "MP4": ".mp4",
    "WAV": ".wav",
    "SAFETENSORS": ".safetensors",
}
_KNOWN = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
THREADS_LIMIT = 64
"""Threads that a record may ask for: no stranger's picture starts thousands."""


@dataclass(frozen=True, slots=True)
class PictureScript:
    """The script of `picture`; `record` is None where it is made of a text in A1111's form.

    Of the images that the script makes, `statement` is the one, counted from 1, that is the picture's.
    """

    picture: Picture
    record: ImageRecord | None
    text: str
    statement: int = 1


def add_picture_options(command: argparse.ArgumentParser) -> None:
    """Declare the picture, and what is to be another than its record says."""
    command.add_argument(
        "image", metavar="IMAGE", help="a picture, a video, a safetensors file, or the file with its record"
    )
    command.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[],
        help="take another value than the record's: of a setting of `generate` (seed=5), of the model "
        '(dtype=float16), or of a submodule (unet.quantizer="sdnq;type=int8"); may be repeated',
    )  # fmt: skip
    command.add_argument(
        "--output", metavar="FILE", help="the file to write (IMAGE's name with -replay, in the current folder)"
    )


def script_of(options: argparse.Namespace, diagnostics: Diagnostics) -> PictureScript:
    """Return the script of the picture that `options` name, with what they change; report mistakes in that.

    Raises `Refusal`.
    """
    from aquatint.interface.recipe import of_record, text_of
    from aquatint.interface.recipe_changes import change

    if any("\ud800" <= character <= "\udfff" for word in (*options.set, options.output or "") for character in word):
        raise Refusal("not-utf-8", "an argument is not text in UTF-8")
    picture = read_picture(options.image)
    record: ImageRecord | None = None
    if picture.record is None and picture.texts.parameters is not None:
        recipe, head = _of_parameters(picture)
    else:
        record = image_of(picture)
        if record.deferred:
            name, help = next(iter(record.deferred)), "run the script that made it; `aquatint info` shows its statement"
            raise Refusal("no-record", f"`{name}` of `{picture.name}` was another step's result, which it doesn't hold",
                          help)  # fmt: skip
        recipe = of_record(record)
        head = [f"Makes {picture.name} again, as its record says.", *_command(record), *_company(record)]
    recipe.arguments["output"] = _output(picture)
    change(recipe, options.set, diagnostics)
    if options.output is not None:
        recipe.arguments["output"] = options.output
    statement = recipe.index + 1 if len(recipe.calls_for()) > 1 else 1
    return PictureScript(picture, record, text_of(recipe, head), statement)


def _of_parameters(picture: Picture) -> tuple[Recipe, list[str]]:
    from aquatint.interface.infotext_recipe import of_infotext
    from aquatint.runtime.infotext import read_infotext

    assert picture.texts.parameters is not None
    recipe, left = of_infotext(read_infotext(picture.texts.parameters))
    head = [f"What the text in A1111's form in {picture.name} says.",
            "Its model has no place there: run this with --set source=..., a folder or a hub id."]  # fmt: skip
    return recipe, [*head, *(["Not carried over:"] if left else []), *(f"    {each}" for each in left)]


def _command(record: ImageRecord) -> Iterator[str]:
    """Yield the command that runs the script where and as the picture was made."""
    options = {"--device": device_of(record), "--threads": threads_of(record)}
    words = [word for option, value in options.items() if value is not None for word in (option, str(value))]
    words += ["--tiling"] if is_tiled(record) else []
    if words:
        yield f"    aquatint run {shlex.join(words)} FILE"


def _company(record: ImageRecord) -> Iterator[str]:
    """Yield why the script makes others, too."""
    if record.batch is not None:
        count, number = len(record.batch.images), record.batch.index + 1
        yield f"Its pixels depend on all {count} images of its call: this writes them all, and it is number {number}."


def device_of(record: ImageRecord) -> str | None:
    """Return the device that the picture was made on, if the record names one."""
    device = record.engine.get("device")
    return device if isinstance(device, str) and is_device(device) else None


def threads_of(record: ImageRecord) -> int | None:
    """Return the number of CPU threads that the picture was made with, if the record has one that can be taken."""
    threads = record.engine.get("threads")
    return threads if isinstance(threads, int) and 1 <= threads <= THREADS_LIMIT else None


def is_tiled(record: ImageRecord) -> bool:
    """Return whether the picture was decoded in tiles, be it that this was asked for or that memory didn't suffice."""
    return record.engine.get("tiling") is True or "tiling" in record.out_of_memory


def _output(picture: Picture) -> str:
    """Return the name of the file to write, which is not the picture's, wherever that is."""
    path = Path(picture.name)
    if picture.texts.form is None:
        path = path.with_suffix("")  # a record called x.png.json is about x.png
    suffix = path.suffix if path.suffix.lower() in _KNOWN else _SUFFIXES[picture.texts.form or "PNG"]
    stem = "".join(character for character in path.stem if character.isprintable())
    return f"{stem.encode()[:_STEM].decode(errors='ignore') or 'picture'}-replay{suffix}"
