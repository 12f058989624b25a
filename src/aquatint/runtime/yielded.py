"""What the steps of a run have yielded so far, for those that wait for it: pictures, strings and numbers.

Pictures are kept as long as a later step needs them, and are read from their files after that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image as images
from PIL.Image import Image

from aquatint.catalog import addresses, tensor_files, video_files
from aquatint.catalog.ip_adapters import BESIDE
from aquatint.catalog.media import is_video
from aquatint.catalog.picture_files import BYTES_LIMIT, NoPicture, decoded
from aquatint.catalog.tensor_files import Tensor
from aquatint.plan.steps import (
    Deferred,
    Generate,
    Grid,
    ImageRef,
    Line,
    NumberRef,
    PictureFile,
    Plan,
    Row,
    Step,
    TensorFile,
    TensorRef,
    Text,
    TextRef,
    VideoFile,
    givens,
)
from aquatint.plan.texts import complete, references
from aquatint.plan.uses import awaits
from aquatint.runtime.media import Clip, Medium, Tensors
from aquatint.runtime.media_files import read_clip, read_tensors
from aquatint.runtime.rewrites import Origin, Rewrite

_File = PictureFile | VideoFile | TensorFile

UNWRITTEN = 32
"""How many seeds' tensors, which no file has, are kept of the plans that came before."""

KEPT = 100_000
"""How many files, and how many strings and numbers, are known of the plans that came before."""


class Yielded:
    """What a session's plans have yielded: `made` are its files, `known` its strings and numbers."""

    def __init__(self) -> None:
        self.made: dict[ImageRef, Path] = {}
        self._unwritten: dict[ImageRef, Medium] = {}
        self.known: dict[TextRef | NumberRef, str | float] = {}
        self._origins: dict[TextRef, Origin] = {}
        self._videos: set[ImageRef] = set()
        self._pictures: dict[ImageRef, Medium | Path] = {}
        self._last_use: dict[ImageRef, int] = {}
        self._files: dict[ImageRef, str] = {}
        self._read: dict[_File, Image | Clip | Tensor | str] = {}

    def begin(self, plan: Plan) -> None:
        """Go on with `plan`: only pictures that its steps wait for are kept, and the last `KEPT` of what is known."""
        _shorten(self.made)
        _shorten(self.known)
        _shorten(self._origins)
        _shorten(self._unwritten, UNWRITTEN)
        self._pictures.clear()
        self._last_use = dict(_waits(plan))
        self._videos.update(
            ImageRef(step.id, index)
            for step in plan.steps
            if isinstance(step, Generate) and step.fps is not msgspec.UNSET
            for index in range(len(step.outputs))
        )
        self._files = {
            ImageRef(step.id, index): output.path
            for step in plan.steps
            if isinstance(step, Generate)
            for index, output in enumerate(step.outputs)
            if output.path is not None
        }

    def keep(self, image: ImageRef, picture: Medium | Path) -> None:
        """Keep a picture, or where its file is, if a step waits for it."""
        if image in self._last_use:
            self._pictures[image] = picture

    def keep_unwritten(self, image: ImageRef, medium: Medium) -> None:
        """Keep what no file has, for steps of this plan and of later ones."""
        self._unwritten[image] = medium

    def keep_file(self, image: ImageRef, path: Path) -> None:
        """Know the file of a picture, for steps of this plan and of later ones."""
        self.made[image] = path
        self.keep(image, path)

    def keep_text(self, reference: TextRef, text: str, origin: Origin) -> None:
        """Know a string that an upscaler wrote."""
        self.known[reference] = text
        self._origins[reference] = origin

    def rewrites(self, step: Generate) -> dict[str, Rewrite]:
        """Return those arguments of `step` that have upscalers' strings in them, by name, before they are completed."""
        found: dict[str, Rewrite] = {}
        for name, given in step.deferred.items():
            if isinstance(given, Text):
                origins = [self._origins[each] for each in references(given) if each in self._origins]
                if origins:
                    found[name] = Rewrite(self._written(given), origins)
        return found

    def _written(self, line: Line) -> str:
        """Return `line` complete, with the prompts in place of what upscalers made of them."""
        known = dict.fromkeys(references(line))
        return complete(line, {
            each: self._written(self._origins[each].prompt) if each in self._origins else self.known.get(each, "-")
            for each in known
        })  # fmt: skip

    def drop_after(self, number: int) -> None:
        """Drop the pictures that no step after the one at `number` uses."""
        for image in [image for image in self._pictures if self._last_use[image] <= number]:
            del self._pictures[image]

    def picture(self, image: ImageRef) -> Image | None:
        """Return a picture, None if it was not made or is gone, or is none."""
        found = self.medium(image)
        return found if isinstance(found, Image) else None

    def medium(self, image: ImageRef) -> Medium | None:
        """Return a picture or what else a seed has come to, None if it was not made or is gone."""
        match self._pictures.get(image, self._unwritten.get(image, self.made.get(image))):
            case Path() as path:
                try:
                    if path.suffix.lower() == tensor_files.SUFFIX:
                        return read_tensors(path)
                    if image in self._videos or is_video(path.name):
                        return read_clip(path)
                    with images.open(path) as opened:
                        return opened.convert("RGB")
                except OSError:  # gone, or not a picture
                    return None
            case found:
                return found

    def file(self, image: ImageRef) -> str:
        """Return the file that a picture was to be written to."""
        if image in self._files:
            return self._files[image]
        return str(self.made.get(image, f"{image.step}[{image.index}]"))

    def lacking(self, step: Step) -> str | None:
        """Return why `step` can't be carried out for want of what earlier steps were to yield, or None."""
        for reference in awaits(step):
            match reference:
                case TensorRef():
                    if not isinstance(self.medium(reference.image), Tensors):
                        return f"it needs `{reference.name}` of `{reference.step}`, which was not made"
                case ImageRef():
                    # A sheet and a table have an empty place for it.
                    if isinstance(step, Generate) and self.medium(reference) is None:
                        return f"it needs image {reference.index} of `{reference.step}`, which was not made"
                case TextRef() | NumberRef():
                    if reference not in self.known and not isinstance(step, Grid):
                        return f"it needs what `{reference.step}` was to yield"
        return None

    def unreadable(self, step: Generate) -> str | None:
        """Read the pictures in files that `step` is given, and return why one of them can't be taken, or None.

        They are kept until another step's are read: what `completed` hands out is what was found sound here.
        """
        files = [each for given in step.deferred.values() for each in givens(given) if isinstance(each, _File)]
        self._read = {each: self._read[each] if each in self._read else _from_file(each) for each in files}
        return next((found for found in self._read.values() if isinstance(found, str)), None)

    def completed(self, step: Generate) -> tuple[Generate, dict[str, Any]]:
        """Return `step` with its texts complete, and the pictures among its arguments.

        Nothing of it is lacking, or `unreadable`, which was asked last of `step`.
        """
        texts: dict[str, Any] = {}
        pictures: dict[str, Any] = {}
        for name, given in step.deferred.items():
            # What an IP-Adapter looks at is brought to a size by its image encoder alone.
            value = _scaled(self._given(given), None if name in BESIDE else step.scaled)
            (texts if _is_text(value) else pictures)[name] = value
        left = {name: given for name, given in step.deferred.items() if name not in texts}
        arguments = dict(sorted({**step.arguments, **texts}.items()))
        return msgspec.structs.replace(step, arguments=arguments, deferred=left), pictures

    def titled(self, step: Grid) -> Grid:
        """Return `step` with its texts complete."""
        return msgspec.structs.replace(
            step,
            cells=[msgspec.structs.replace(cell, label=self.line(cell.label)) for cell in step.cells],
            column_headers=[self.line(line) for line in step.column_headers],
            row_headers=[self.line(line) for line in step.row_headers],
            title=self.line(step.title),
        )

    def line(self, line: Line) -> str:
        """Return `line` complete; what a step should have yielded and didn't is a dash."""
        return complete(line, {ref: self.known.get(ref, "-") for ref in references(line)})

    def _given(self, given: Deferred | Row | None) -> Any:
        match given:
            case None:
                return None
            case ImageRef():
                medium = self.medium(given)
                return list(medium.frames) if isinstance(medium, Clip) else medium
            case TensorRef():
                found = self.medium(given.image)
                # What a pipeline leaves out is left out for the next one, too.
                return found.values.get(given.name) if isinstance(found, Tensors) else None
            case VideoFile():
                clip = self._read[given]
                return list(clip.frames) if isinstance(clip, Clip) else clip
            case PictureFile() | TensorFile():
                return self._read[given]
            case Text():
                return complete(given, self.known)
            case list():
                return [self._given(item) for item in given]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _from_file(picture: _File) -> Image | Clip | Tensor | str:
    """Return the picture, video or tensor, or why it isn't what the plan has seen in its file."""
    match picture:
        case PictureFile():
            what, limit = "picture", BYTES_LIMIT
        case VideoFile():
            what, limit = "video", video_files.BYTES_LIMIT
        case TensorFile():
            what, limit = "file", tensor_files.BYTES_LIMIT
    try:
        with open(addresses.place(picture.path), "rb") as stream:
            body = stream.read(limit + 1)
    except OSError:
        if addresses.is_address(picture.path):
            return f"what `{picture.path}` gave is gone: it can be fetched again by the script"
        return f"`{picture.path}` is gone, or can't be read any more"
    if hashlib.sha256(body).hexdigest() != picture.hash:
        return f"`{picture.path}` is not the {what} any more that the plan was made with"
    try:
        match picture:
            case PictureFile():
                return decoded(body)
            case VideoFile():
                return Clip(video_files.decoded(body))
            case TensorFile():
                return tensor_files.unpacked(body)[picture.name]
    except (NoPicture, video_files.NoVideo, tensor_files.NoTensors) as error:
        return f"`{picture.path}` {error}"


def _scaled(value: Any, size: tuple[int, int] | None) -> Any:
    """Return what a call is given with its pictures brought to `size`."""
    if size is None:
        return value
    if isinstance(value, list):
        return [_scaled(item, size) for item in value]
    if isinstance(value, Image) and value.size != tuple(size):
        return value.resize(size, images.Resampling.LANCZOS)
    return value


def _waits(plan: Plan) -> Iterator[tuple[ImageRef, int]]:
    """Yield each picture that other steps use with the number of the one that does, in order."""
    for number, step in enumerate(plan.steps):
        for reference in awaits(step):
            if isinstance(reference, ImageRef | TensorRef):
                yield (reference.image if isinstance(reference, TensorRef) else reference), number


def _shorten(known: dict[Any, Any], most: int = KEPT) -> None:
    """Forget what is oldest beyond `most`."""
    for oldest in list(islice(known, max(0, len(known) - most))):
        del known[oldest]
