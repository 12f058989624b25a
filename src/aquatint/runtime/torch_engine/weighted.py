"""Weights on the tokens of a prompt, and prompts in chunks, for pipelines that read prompts with CLIP and T5.

The pipeline's own code goes on encoding the prompt. While it does, its tokenizers read a weighting syntax, and its text
encoders weight what they return: tokens that were read with weights come back to them, and tell which. So a prompt
without weights, of one chunk, is the library's own business from end to end, down to the last bit; and what is
remembered of an encoder, and kept on the disk, is what it makes of tokens, with weights put on afterwards.

CLIP takes as many tokens as its tokenizer says, 77 with the two around them. Of a longer prompt it gets a chunk at a
time, and the chunks' embeddings are put one behind the other; all prompts of a call have as many chunks as the longest.
What stands for a whole prompt, the pooled embedding, is that of the first chunk, without weights. T5 has no chunks: it
takes as many tokens as the pipeline allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import Any, Protocol

from aquatint.catalog.arguments import is_prompt
from aquatint.catalog.weighting import CLIP_ENCODERS, Fragment, Reading
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine.libraries import Libraries

Read = Callable[[str], Reading]
"""Reads a prompt in one syntax."""

_STATES = ("last_hidden_state", "hidden_states")
"""What an encoder's output has for each token; the rest is for the prompt as a whole."""


@dataclass(frozen=True, slots=True)
class Row:
    """The tokens of a prompt as an encoder gets them, chunk after chunk, and of each its weight and its piece.

    Pieces are numbered as they are in the prompt; None is for tokens that are in none.
    """

    ids: tuple[int, ...]
    weights: tuple[float, ...]
    pieces: tuple[int | None, ...]

    @property
    def is_weighted(self) -> bool:
        return any(weight != 1.0 for weight in self.weights)


class Emphasis(Protocol):
    """What weights do to embeddings."""

    def __call__(self, encoding: Encoding, state: Callable[[Any], Any]) -> Any:
        """Return the weighted state of a prompt, shaped [1, tokens, width], in the dtype of the encoder's own.

        `state` takes it out of one of the outputs of `encoding`.
        """
        ...


@dataclass(slots=True)
class Encoding:
    """One prompt at an encoder: its tokens, and what the encoder makes of them. `chunk` is how many tokens it takes.

    `call` makes an output, shaped as the encoder's for one chunk, of ids and a mask of 1 and 0, or None.
    """

    libraries: Libraries
    row: Row
    chunk: int
    empty: tuple[int, ...]  # a chunk without a prompt
    call: Callable[[Sequence[int], Sequence[int] | None], Any]
    mask: tuple[int, ...] | None  # as the pipeline gives it
    _outputs: dict[tuple[int, ...] | None, Any] = field(default_factory=dict)
    _nothing: Any = None

    @property
    def plain(self) -> Any:
        """The output without weights, of all chunks."""
        return self._output(self.mask)

    @property
    def nothing(self) -> Any:
        """The output of as many chunks without a prompt."""
        if self._nothing is None:
            count = len(self.row.ids) // self.chunk
            self._nothing = self._joined([self.call(self.empty, None)] * count)
        return self._nothing

    def without(self, piece: int) -> Any:
        """Return the output where the encoder doesn't see the tokens of `piece`."""
        seen = self.mask or (1,) * len(self.row.ids)
        return self._output(
            tuple(int(each != piece) and there for each, there in zip(self.row.pieces, seen, strict=True))
        )

    def tensor(self, values: Sequence[float], like: Any) -> Any:
        """Return one value for each token as a tensor [1, tokens, 1] in float32 where `like` is."""
        torch = self.libraries.torch
        return torch.tensor(values, dtype=torch.float32, device=like.device)[None, :, None]

    def _output(self, mask: tuple[int, ...] | None) -> Any:
        if mask not in self._outputs:
            starts = range(0, len(self.row.ids), self.chunk)
            self._outputs[mask] = self._joined([
                self.call(self.row.ids[at : at + self.chunk], None if mask is None else mask[at : at + self.chunk])
                for at in starts
            ])  # fmt: skip
        return self._outputs[mask]

    def _joined(self, outputs: Sequence[Any]) -> Any:
        first = outputs[0]
        if len(outputs) == 1:
            return first
        join = self.libraries.torch.cat
        items = dict(first)
        for name in _STATES:
            value = items.get(name)
            if isinstance(value, tuple):
                items[name] = tuple(join([each[name][at] for each in outputs], dim=1) for at in range(len(value)))
            elif value is not None:
                items[name] = join([each[name] for each in outputs], dim=1)
        return type(first)(**items)


class _Tokenizer:
    """A pipeline's tokenizer that reads prompts in a weighting syntax; all else is the tokenizer's own.

    `chunks` is how many a prompt of the call has, None for T5. `backtrack` is how many tokens before the end of a chunk
    a comma may be for the chunk to end there.
    """

    def __init__(self, libraries: Libraries, own: Any, read: Read, is_clip: bool, backtrack: int) -> None:
        self.own = own
        self.rows: dict[tuple[int, ...], Row] = {}
        self.chunks = 1
        self._libraries = libraries
        self._read = read
        self._is_clip = is_clip
        self._backtrack = backtrack

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)

    def __len__(self) -> int:
        return len(self.own)

    def __call__(self, text: Any, **kwargs: Any) -> Any:
        rows = [self._row(each, kwargs) for each in ([text] if isinstance(text, str) else text)]
        plain = [row for row in rows if isinstance(row, str)]
        if len(plain) == len(rows):
            made = self.own(plain[0] if isinstance(text, str) else plain, **kwargs)
            # What has the same tokens as a prompt before it has no weights all the same.
            for ids in made["input_ids"].tolist():
                self.rows.pop(tuple(ids), None)
            return made
        if len(rows) != 1:
            raise EngineError("several prompts of one call can't be weighted", "leave `images_per_batch` out")
        [row] = rows
        assert isinstance(row, Row)
        self.rows[row.ids] = row
        torch = self._libraries.torch
        # Tokens behind a chunk's end are as those of any prompt: there for the encoder to see, but for its own mask.
        ids = torch.tensor([row.ids])
        mask = torch.tensor([[int(piece is not None) for piece in row.pieces]])
        return self._libraries.transformers.BatchEncoding({"input_ids": ids, "attention_mask": mask})

    def count(self, prompt: str) -> int:
        """Return how many chunks `prompt` has."""
        return len(self._chunked(self._read(prompt)))

    def _row(self, prompt: str, kwargs: Mapping[str, Any]) -> Row | str:
        """Return a prompt's tokens; the text that the tokenizer reads itself, if it has no weights and one chunk."""
        reading = self._read(prompt)
        if reading.mistakes:
            raise EngineError(f"the prompt {_shown(prompt)}: {reading.mistakes[0].message}", reading.mistakes[0].help)
        pieces = [piece for part in reading.parts for piece in part]
        is_plain = len(pieces) <= 1 and all(piece.weight == 1.0 for piece in pieces) and len(reading.parts) == 1
        text = pieces[0].text if pieces else ""
        if not self._is_clip:
            return text if is_plain else self._t5(pieces, kwargs)
        if is_plain and self.chunks == 1:
            return text
        return self._clip(self._chunked(reading))

    def _clip(self, chunks: list[list[tuple[int, float, int]]]) -> Row:
        first, last, pad = self._marks()
        size = self.own.model_max_length
        ids: list[int] = []
        weights: list[float] = []
        numbers: list[int | None] = []
        for chunk in [*chunks, *[[]] * (self.chunks - len(chunks))]:
            empty = size - 2 - len(chunk)
            ids += [first, *(token for token, _, _ in chunk), last, *[pad] * empty]
            weights += [1.0, *(weight for _, weight, _ in chunk), 1.0, *[1.0] * empty]
            numbers += [-1, *(number for _, _, number in chunk), -1, *[None] * empty]
        return Row(tuple(ids), tuple(weights), tuple(numbers))

    def _t5(self, pieces: Sequence[Fragment], kwargs: Mapping[str, Any]) -> Row:
        tokens = [token for number, piece in enumerate(pieces) for token in self._tokens(piece, number)]
        limit = kwargs["max_length"] - 1 if kwargs.get("truncation") else len(tokens)
        tokens = tokens[:limit]
        empty = limit - len(tokens)
        return Row(
            (*(token for token, _, _ in tokens), self.own.eos_token_id, *[self.own.pad_token_id] * empty),
            (*(weight for _, weight, _ in tokens), 1.0, *[1.0] * empty),
            (*(number for _, _, number in tokens), -1, *[None] * empty),
        )

    def _chunked(self, reading: Reading) -> list[list[tuple[int, float, int]]]:
        """Return the tokens of a prompt in chunks, each with its weight and the number of its piece."""
        size = self.own.model_max_length - 2
        comma = self.own.convert_tokens_to_ids(",</w>") if self._backtrack else None
        chunks: list[list[tuple[int, float, int]]] = []
        number = 0
        for part in reading.parts:
            chunk: list[tuple[int, float, int]] = []
            last_comma = -1
            for piece in part:
                for token in self._tokens(piece, number):
                    if len(chunk) == size:
                        # A phrase that would be cut goes over into the next chunk as a whole.
                        is_cut = token[0] != comma and last_comma >= size - self._backtrack
                        end = last_comma + 1 if is_cut else size
                        chunks.append(chunk[:end])
                        chunk, last_comma = chunk[end:], -1
                    if token[0] == comma:
                        last_comma = len(chunk)
                    chunk.append(token)
                number += 1
            chunks.append(chunk)
        if len(chunks) > 1 and not chunks[-1]:
            chunks.pop()
        return chunks

    def _tokens(self, piece: Fragment, number: int) -> list[tuple[int, float, int]]:
        ids = self.own(piece.text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        return [(token, piece.weight, number) for token in ids]

    def _marks(self) -> tuple[int, int, int]:
        return self.own.bos_token_id, self.own.eos_token_id, self.own.pad_token_id

    def empty(self, size: int) -> tuple[int, ...]:
        """Return the tokens of an empty prompt; `size` is how many T5 gets."""
        first, last, pad = self._marks()
        return (first, last, *[pad] * (size - 2)) if self._is_clip else (last, *[pad] * (size - 1))

    def chunk_of(self, count: int) -> int:
        """Return how many tokens the encoder takes at once, of a prompt of `count`."""
        return int(self.own.model_max_length) if self._is_clip else count


class _Encoder:
    """A pipeline's text encoder that weights what it returns for tokens that its tokenizer read with weights."""

    def __init__(self, libraries: Libraries, own: Any, tokenizer: _Tokenizer, emphasis: Emphasis) -> None:
        self.own = own
        self._libraries = libraries
        self._tokenizer = tokenizer
        self._emphasis = emphasis

    # `isinstance` believes it: pipelines look for modules among their parts.
    __class__: Any = property(lambda self: self.own.__class__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)

    def __call__(self, ids: Any, attention_mask: Any = None, **kwargs: Any) -> Any:
        row = self._tokenizer.rows.get(tuple(ids[0].tolist())) if len(ids) == 1 else None
        given = {} if attention_mask is None else {"attention_mask": attention_mask}
        chunk = self._tokenizer.chunk_of(ids.shape[1])
        if row is None or (not row.is_weighted and ids.shape[1] == chunk):
            return self.own(ids, **given, **kwargs)
        torch = self._libraries.torch

        def call(chunk: Sequence[int], mask: Sequence[int] | None) -> Any:
            masked = {} if mask is None else {"attention_mask": torch.tensor([mask], device=ids.device)}
            return self.own(torch.tensor([chunk], device=ids.device), **masked, **kwargs)

        mask = None if attention_mask is None else tuple(map(int, attention_mask[0].tolist()))
        encoding = Encoding(self._libraries, row, chunk, self._tokenizer.empty(chunk), call, mask)
        return self._weighted(encoding)

    def _weighted(self, encoding: Encoding) -> Any:
        items = dict(encoding.plain)
        if encoding.row.is_weighted:
            for name in _STATES:
                value = items.get(name)
                if isinstance(value, tuple):
                    taken = [partial(_layer, name=name, at=at) for at in range(len(value))]
                    items[name] = tuple(self._emphasis(encoding, layer) for layer in taken)
                elif value is not None:
                    items[name] = self._emphasis(encoding, itemgetter(name))
        return type(encoding.plain)(**items)


def _layer(output: Any, name: str, at: int) -> Any:
    return output[name][at]


@contextmanager
def weighing(
    libraries: Libraries,
    pipeline: Any,
    arguments: Mapping[str, Any],
    read: Read,
    emphasis: Emphasis,
    backtrack: int = 0,
) -> Iterator[Mapping[str, Any]]:
    """Let `pipeline` read the prompts of `arguments` by `read`, and weight them by `emphasis`, in the body."""
    encode = pipeline.encode_prompt

    def weighted(*args: Any, **kwargs: Any) -> Any:
        # Only while prompts are encoded: what a pipeline does to its parts in the end, it does to the parts.
        parts = _parts(libraries, pipeline, arguments, read, emphasis, backtrack)
        own = {name: pipeline.__dict__[name] for name in parts}
        pipeline.__dict__.update(parts)
        try:
            return encode(*args, **kwargs)
        finally:
            pipeline.__dict__.update(own)

    pipeline.__dict__["encode_prompt"] = weighted
    try:
        yield arguments
    finally:
        del pipeline.__dict__["encode_prompt"]


def _parts(
    libraries: Libraries,
    pipeline: Any,
    arguments: Mapping[str, Any],
    read: Read,
    emphasis: Emphasis,
    backtrack: int,
) -> dict[str, Any]:
    """Return what stands in the places of the tokenizers and text encoders of `pipeline`, by name."""
    parts: dict[str, Any] = {}
    chunked: list[_Tokenizer] = []
    chunks = 1
    for number in ("", "_2", "_3"):
        own, encoder = (getattr(pipeline, f"{part}{number}", None) for part in ("tokenizer", "text_encoder"))
        if own is None or encoder is None:
            continue
        is_clip = encoder.__class__.__name__ in CLIP_ENCODERS
        tokenizer = _Tokenizer(libraries, own, read, is_clip, backtrack)
        parts[f"tokenizer{number}"] = tokenizer
        parts[f"text_encoder{number}"] = _Encoder(libraries, encoder, tokenizer, emphasis)
        if is_clip:
            chunked.append(tokenizer)
            # As the pipeline has them before it asks the tokenizer: with a word for each vector of a textual inversion.
            convert = getattr(pipeline, "maybe_convert_prompt", lambda prompt, _: prompt)
            for prompt in _prompts(arguments, number):
                chunks = max(chunks, tokenizer.count(convert(prompt, own)))
    for tokenizer in chunked:
        tokenizer.chunks = chunks
    return parts


def _prompts(arguments: Mapping[str, Any], number: str) -> Iterator[str]:
    """Yield the prompts that the encoder of that `number` reads: those of its own, or the first."""
    for name in ("prompt", "negative_prompt"):
        assert is_prompt(name)
        prompt = arguments.get(f"{name}{number}") or arguments.get(name)
        if isinstance(prompt, str):
            yield prompt


def _shown(prompt: str) -> str:
    return f'"{prompt if len(prompt) <= 60 else prompt[:57] + "..."}"'
