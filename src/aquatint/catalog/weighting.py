"""A prompt in a weighting syntax, read: pieces of text with weights; and the pipelines whose prompts can be weighted.

The syntaxes are in `a1111` and `compel`; what weights do to embeddings is the engine's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite

MOST = 100.0
"""The largest weight, either way: far beyond any that leaves a picture."""


DEEPEST = 100
"""How deep brackets of a prompt may be inside of one another."""


ESCAPE = "a bracket with a backslash before it means nothing"


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of a prompt, as the tokenizer reads it, and how much it counts; 1 is as much as without a weight."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong in a prompt, and at which of its characters; `is_lack`: it is sound, and the weighter lacks it."""

    offset: int
    length: int
    message: str
    help: str | None = None
    is_lack: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt in parts, which begin a new chunk of tokens each, and every mistake in it."""

    parts: tuple[tuple[Fragment, ...], ...]
    mistakes: tuple[Mistake, ...] = ()


def unweighted(reading: Reading) -> str:
    """Return the text of a prompt that was read, without weights and breaks."""
    return " ".join("".join(fragment.text for fragment in part) for part in reading.parts)


def read_weight(text: str) -> float | None:
    """Return the weight that `text` is, None if it is none: digits, with a point and a sign if need be."""
    if not re.fullmatch(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)", text.strip()):
        return None
    weight = float(text)
    return weight if isfinite(weight) and abs(weight) <= MOST else None


def joined(fragments: Iterable[Fragment], between: str = "") -> tuple[Fragment, ...]:
    """Return `fragments` with neighbours of one weight made one, with `between` in the middle."""
    return tuple(_joined(fragments, between))


def _joined(fragments: Iterable[Fragment], between: str) -> Iterator[Fragment]:
    last: Fragment | None = None
    for fragment in fragments:
        if last is None:
            last = fragment
        elif last.weight == fragment.weight:
            last = Fragment(last.text + between + fragment.text, last.weight)
        else:
            yield last
            last = fragment
    if last is not None:
        yield last


PIPELINES = frozenset({
    "LatentConsistencyModelImg2ImgPipeline", "LatentConsistencyModelPipeline",
    "StableDiffusionControlNetImg2ImgPipeline", "StableDiffusionControlNetInpaintPipeline",
    "StableDiffusionControlNetPAGInpaintPipeline", "StableDiffusionControlNetPAGPipeline",
    "StableDiffusionControlNetPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline",
    "StableDiffusionPAGImg2ImgPipeline", "StableDiffusionPAGInpaintPipeline", "StableDiffusionPAGPipeline",
    "StableDiffusionPipeline",
    "StableDiffusionXLControlNetImg2ImgPipeline", "StableDiffusionXLControlNetInpaintPipeline",
    "StableDiffusionXLControlNetPAGImg2ImgPipeline", "StableDiffusionXLControlNetPAGPipeline",
    "StableDiffusionXLControlNetPipeline", "StableDiffusionXLControlNetUnionImg2ImgPipeline",
    "StableDiffusionXLControlNetUnionInpaintPipeline", "StableDiffusionXLControlNetUnionPipeline",
    "StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLInpaintPipeline", "StableDiffusionXLPAGImg2ImgPipeline",
    "StableDiffusionXLPAGInpaintPipeline", "StableDiffusionXLPAGPipeline", "StableDiffusionXLPipeline",
    "StableDiffusion3ControlNetInpaintingPipeline", "StableDiffusion3ControlNetPipeline",
    "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline", "StableDiffusion3PAGImg2ImgPipeline",
    "StableDiffusion3PAGPipeline", "StableDiffusion3Pipeline",
    "FluxControlImg2ImgPipeline", "FluxControlInpaintPipeline", "FluxControlNetImg2ImgPipeline",
    "FluxControlNetInpaintPipeline", "FluxControlPipeline", "FluxFillPipeline", "FluxImg2ImgPipeline",
    "FluxInpaintPipeline", "FluxKontextInpaintPipeline", "FluxKontextPipeline", "FluxPipeline",
})  # fmt: skip
"""Pipelines that turn prompts into embeddings by the same code as the first of their family: each tokenizer is asked
for a prompt's tokens, and then its encoder for their embeddings. A test compares the code."""

CLIP_ENCODERS = frozenset({"CLIPTextModel", "CLIPTextModelWithProjection"})
T5_ENCODERS = frozenset({"T5EncoderModel"})
ENCODERS = CLIP_ENCODERS | T5_ENCODERS
"""The classes of text encoders whose embeddings can be weighted."""
