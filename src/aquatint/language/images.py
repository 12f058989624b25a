"""Images that statements name: taken out of results and lists, and told apart by their facts.

Which of them a sheet or a table shows is for `grids` and `comparing` to say.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any

from aquatint.language.deferred import line_of, pieces
from aquatint.language.values import ImageValue, Result, shown
from aquatint.plan.steps import Hole, Line
from aquatint.plan.texts import text_of

# Facts about an image that no caption has: its own name, and what is too long to read.
_NO_CAPTION = ("path", "negative_prompt")
# Facts that say what they are.
_BARE = ("prompt", "model", "quantizer")


def images_in(value: Any) -> Iterator[Any]:
    """Yield the images of results, images, and lists of them in any nesting; whatever else there is, as it is."""
    match value:
        case tuple():
            for item in value:
                yield from images_in(item)
        case Result():
            yield from value.images
        case _:
            yield value


def fact(image: ImageValue, name: str | None) -> str:
    """Return a fact as `print` writes it: equal texts are equal facts."""
    return shown(image.facts.get(name)) if name else ""


def fact_lines(images: Sequence[ImageValue], name: str) -> dict[str, Line]:
    """Return each value of a fact as it is shown, by its text, in the order of the images."""
    return {fact(image, name): line_of(image.facts.get(name)) for image in images}


def captions(images: Sequence[ImageValue], told: Container[str] = ()) -> list[Line]:
    """Return for each image the facts that tell these images apart, without those that are `told` elsewhere."""
    names = dict.fromkeys(name for image in images for name in image.facts if name not in _NO_CAPTION)
    differ = [name for name in names if name not in told and len({fact(image, name) for image in images}) > 1]
    return [_caption(image, differ) for image in images]


def _caption(image: ImageValue, names: Sequence[str]) -> Line:
    parts: list[str | Hole] = []
    for name in names:
        parts += [", "] if parts else []
        parts += [] if name in _BARE else [f"{name.replace('_', ' ')} "]
        parts += pieces(image.facts.get(name))
    return text_of(parts)
