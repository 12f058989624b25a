"""What the file of a textual inversion says about itself: how many vectors it has, and for which text encoders.

Reads the header of one safetensors file; never a pickle, never the network. Which words a tokenizer has is read from
its JSON files here as well. Putting vectors beside live text encoders is the engine's business.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aquatint.catalog.adapter_files import DTYPES, Kind
from aquatint.catalog.checkpoints import CheckpointError, Tensor, read_header, read_json

KIND = Kind("learned_embeds.safetensors", "not-a-textual-inversion")
"""What diffusers calls the file."""

READER = "TextualInversionLoaderMixin"
"""The class of diffusers that reads textual inversions; its name says that a component is one."""

ENCODERS = ("CLIPTextModel", "CLIPTextModelWithProjection")
"""The classes of text encoders that textual inversions are for."""

VECTORS_LIMIT = 1000
"""More vectors than that stand for no word: CLIP reads 75 tokens at a time."""

# The tensors of a file for SDXL, by the roles that its text encoders have.
_PAIR = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
_FIRST = "text_encoder"
_NAMELESS = ("emb_params", *_PAIR.values())  # of these a tensor's name is not the word

_TOKEN = re.compile(r"[^\s()\[\]{}\\\"'|:,]+(?<![+-])")


@dataclass(frozen=True, slots=True)
class TextualInversion:
    """The vectors of a file, as many for each text encoder.

    `tensors` are the names of the file's tensors by the roles of the text encoders that they are for, `widths` the
    numbers that a vector has there. `token` is the word that the file is for, None if it doesn't say.
    """

    token: str | None
    tensors: Mapping[str, str]
    widths: Mapping[str, int]
    vectors: int
    dtype: str
    bytes: int


def tokenizer_of(role: str) -> str:
    """Return the role of the tokenizer that goes with the text encoder in `role`."""
    return role.replace("text_encoder", "tokenizer")


def is_token(text: str) -> bool:
    """Return whether `text` can stand in a prompt for vectors: the syntaxes of weighters mustn't take it apart."""
    return _TOKEN.fullmatch(text) is not None


def words(token: str, vectors: int) -> list[str]:
    """Return what a tokenizer calls each of the `vectors` that `token` stands for, as diffusers numbers them."""
    return [token, *(f"{token}_{number}" for number in range(1, vectors))]


def read(file: Path, roles: Collection[str]) -> TextualInversion:
    """Return what the header of `file` says of vectors for text encoders in `roles`. Raises `CheckpointError`."""
    tensors = {each.name: each for each in read_header(file)}
    if tensors and tensors.keys() <= set(_PAIR.values()):
        found = {role: tensors[name] for role, name in _PAIR.items() if role in roles and name in tensors}
        if not found:
            raise CheckpointError(
                "wrong-textual-inversion", f"`{file}` has no vectors for a text encoder of this model, but "
                f"{' and '.join(f'`{name}`' for name in tensors)}", "take one that was trained for this model",
            )  # fmt: skip
    elif len(tensors) == 1:
        found = dict.fromkeys([_FIRST] if _FIRST in roles else list(roles)[:1], next(iter(tensors.values())))
    else:
        odd = f"and this has {len(tensors)}" + (f", such as `{min(tensors)}`" if tensors else "")
        raise CheckpointError(KIND.code, f"`{file}` is no textual inversion: one has a single tensor, {odd}",
                              "one for SDXL has two tensors, `clip_l` and `clip_g`")  # fmt: skip
    counts = {_vectors(file, each) for each in found.values()}
    if len(counts) > 1:
        raise CheckpointError(KIND.code, f"`{file}` has {' and '.join(map(str, sorted(counts)))} vectors for its text "
                              "encoders, and needs as many for each", "fetch or write that file again")  # fmt: skip
    name = next(iter(tensors))
    return TextualInversion(
        None if name in _NAMELESS else name,
        {role: each.name for role, each in found.items()},
        {role: each.shape[-1] for role, each in found.items()},
        counts.pop(), _dtype(file, found.values()), sum(each.end - each.start for each in tensors.values()),
    )  # fmt: skip


def _vectors(file: Path, tensor: Tensor) -> int:
    count = 1 if len(tensor.shape) == 1 else tensor.shape[0] if len(tensor.shape) == 2 else 0
    if not 0 < count <= VECTORS_LIMIT or not tensor.shape[-1]:
        shape = "x".join(map(str, tensor.shape)) or "a single number"
        raise CheckpointError(KIND.code, f"`{file}` is no textual inversion: its tensor `{tensor.name}` is {shape}",
                              f"vectors are rows of a matrix, at most {VECTORS_LIMIT}")  # fmt: skip
    return count


def _dtype(file: Path, tensors: Iterable[Tensor]) -> str:
    found = sorted({each.dtype for each in tensors})
    if len(found) != 1 or found[0] not in DTYPES:
        raise CheckpointError(KIND.code, f"`{file}` is of the data types {', '.join(found)}",
                              "one of `float32`, `float16` and `bfloat16` is taken")  # fmt: skip
    return DTYPES[found[0]]


def width(folder: Path, tensors: Sequence[Tensor]) -> int | None:
    """Return how wide the vectors of a text encoder's tokens are, None where its files don't say.

    `folder` has its configuration; `tensors` are those of its weights, of which quantized ones may be packed. Raises
    `CheckpointError`.
    """
    config = folder / "config.json"
    said = read_json(config).get("hidden_size") if config.is_file() else None
    if isinstance(said, int):
        return said
    return next((each.shape[-1] for each in tensors if each.name.endswith("token_embedding.weight")), None)


def vocabulary(folder: Path) -> frozenset[str]:
    """Return what the tokenizer in `folder` has in its vocabulary already. Raises `CheckpointError`."""
    found: set[str] = set()
    for name in ("tokenizer.json", "vocab.json", "added_tokens.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            found.update(_listed(name, read_json(folder / name)))
    return frozenset(found)


def _listed(name: str, content: Mapping[str, object]) -> Iterator[str]:
    match name, content:
        case (("vocab.json" | "added_tokens.json"), _):
            yield from content
        case "tokenizer.json", {"model": {"vocab": dict(pieces)}}:
            yield from pieces
    added = content.get("added_tokens") or content.get("added_tokens_decoder")
    for entry in added.values() if isinstance(added, dict) else added if isinstance(added, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("content"), str):
            yield entry["content"]
