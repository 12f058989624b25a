"""The upscaler `magicprompt`: a causal language model of transformers writes on from a prompt, or is asked to rewrite.

A model with a chat template is asked, unless there is a preamble. Which tokens come is drawn in `drawing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import regex

from aquatint.catalog.language_models import MODEL, TOKENIZER
from aquatint.plan.steps import Json
from aquatint.runtime.engine import EngineError, Rewriting, Rewritten
from aquatint.runtime.torch_engine.drawing import Draw, Manner
from aquatint.runtime.torch_engine.libraries import Libraries
from aquatint.runtime.torch_engine.upscalers import seed_of

PATIENCE = 2.0
"""Seconds for one search of a script's regular expression, which may be one that never ends."""


@dataclass(frozen=True, slots=True)
class _String:
    """A string to be written: which one of all, what of, and how often it was begun anew."""

    place: int
    prompt: str
    variation: int
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class _Start:
    """The tokens that a string goes on from, and how many more there may be."""

    string: _String
    tokens: tuple[int, ...]
    room: int


def rewrite(libraries: Libraries, parts: Mapping[str, Any], asked: Rewriting) -> Rewritten:
    """Return what the language model in `parts` writes. Raises `EngineError`."""
    return _Writer(libraries, parts[MODEL], parts[TOKENIZER], asked).written()


class _Writer:
    def __init__(self, libraries: Libraries, model: Any, tokenizer: Any, asked: Rewriting) -> None:
        self.libraries = libraries
        self.model = model
        self.tokenizer = tokenizer
        self.asked = asked
        self.options: Mapping[str, Any] = asked.options
        self.preamble: str | None = self.options["preamble"]
        self.talks = bool(getattr(tokenizer, "chat_template", None)) and self.preamble is None
        self.warnings: list[str] = []

    def written(self) -> Rewritten:
        """Write all strings, and those anew that `block_regex` matches."""
        prompts = [prompt for prompt in self.asked.prompts for _ in range(self.asked.variations)]
        texts = list(prompts)
        waiting = [
            _String(place, prompt, place % self.asked.variations) for place, prompt in enumerate(prompts)
        ]  # fmt: skip
        while waiting:
            for string, text in self._round(waiting):
                texts[string.place] = text
            blocked = [string for string in waiting if self._is_blocked(texts[string.place])]
            waiting = [replace(string, attempt=string.attempt + 1) for string in blocked]
            given_up = [string for string in waiting if string.attempt >= self.options["max_attempts"]]
            for string in given_up:
                self._warn(f"`block_regex` still matches what became of {_shown(string.prompt)} after "
                           f"{string.attempt} attempts")  # fmt: skip
            waiting = [string for string in waiting if string not in given_up]
        return Rewritten(texts, self.warnings)

    def _round(self, strings: Sequence[_String]) -> Iterator[tuple[_String, str]]:
        """Write each of `strings` once. Those that share a call are equally long: nothing is filled up."""
        starts = []
        for string in strings:
            start = self._start(string)
            if start.room < 1:
                self._warn(f"{_shown(string.prompt)} has `max_length` tokens already, and stays as it is")
                yield string, string.prompt
            else:
                starts.append(start)
        size = self.options["max_batch"] if self.options["batch"] else 1
        # Sorting is stable: strings of one length keep their order.
        for _, alike in groupby(sorted(starts, key=_length), key=_length):
            together = list(alike)
            for first in range(0, len(together), size):
                yield from self._batch(together[first : first + size])

    def _start(self, string: _String) -> _Start:
        if self.talks:
            messages = [{"role": "user", "content": string.prompt}]
            if self.options["system"] is not None:
                messages.insert(0, {"role": "system", "content": self.options["system"]})
            encoded = self._asked_in_template(messages)
            tokens, own = encoded["input_ids"], 0
        else:
            before = self.preamble or ""
            tokens = self._tokens(before + string.prompt)
            own = len(tokens) - (len(self._tokens(before)) if before else 0)
        if not tokens:
            first = self.tokenizer.bos_token_id
            tokens = [self.tokenizer.eos_token_id if first is None else first]
        room: int = self.options["max_length"] - own
        context = getattr(self.model.config, "max_position_embeddings", None)
        if isinstance(context, int):
            if len(tokens) >= context:
                raise EngineError(
                    f"{_shown(string.prompt)} with what is said around it has {len(tokens):,} tokens, and the language "
                    f"model takes {context:,}", "shorten the prompt, `system` or `preamble`",
                )  # fmt: skip
            room = min(room, context - len(tokens))
        return _Start(string, tuple(tokens), room)

    def _asked_in_template(self, messages: Sequence[Mapping[str, str]]) -> Any:
        try:
            return self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
        except Exception as error:  # whatever a stranger's template raises: some refuse a system's message
            said = " ".join(str(error).split()) or type(error).__name__
            help = 'leave `system` out, or write `preamble: ""`, and it goes on from the prompt instead'
            raise EngineError(f"the language model's chat template can't be used: {said}", help) from error

    def _tokens(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer(text)["input_ids"]
        return found

    def _batch(self, starts: Sequence[_Start]) -> Iterator[tuple[_String, str]]:
        torch, transformers = self.libraries.torch, self.libraries.transformers
        generators = [
            torch.Generator().manual_seed(seed_of(self.asked.seed, each.prompt, each.variation, each.attempt))
            for each in (start.string for start in starts)
        ]
        manner = Manner(self.options["temperature"], self.options["top_k"], self.options["top_p"])
        tokens = torch.tensor([start.tokens for start in starts], device=self.model.device)
        ends = self._ends()
        made = self.model.generate(
            tokens, attention_mask=torch.ones_like(tokens), do_sample=False, num_beams=1,
            max_new_tokens=starts[0].room, eos_token_id=ends or None, pad_token_id=ends[0] if ends else 0,
            logits_processor=transformers.LogitsProcessorList([Draw(transformers, torch, manner, generators)]),
        )  # fmt: skip
        for start, row in zip(starts, made.tolist(), strict=True):
            new = row[len(start.tokens) :]
            length = next((place for place, token in enumerate(new) if token in ends), None)
            yield start.string, self._finished(start, new[:length], ran_out=length is None)

    def _ends(self) -> list[int]:
        """Return the tokens that end a text."""
        told = self.model.generation_config.eos_token_id
        told = self.tokenizer.eos_token_id if told is None else told
        return [] if told is None else list(told) if isinstance(told, list | tuple) else [told]

    def _finished(self, start: _Start, new: Sequence[int], ran_out: bool) -> str:
        """Return the string that comes of the `new` tokens."""
        prompt = start.string.prompt
        wrote = self._decoded(new) if self.talks else self._continuation(start.tokens, new)
        if ran_out and self.options["smart_truncate"]:
            wrote = truncated(wrote)
        if self.talks:
            text = wrote.strip()
            if self.options["remove_prompt"]:
                text = text.replace(prompt, "").strip(" ,")
            if self.options["prepend_prompt"]:
                text = f"{prompt} {text}"
        else:
            text = wrote if self.options["remove_prompt"] else prompt + wrote
        for pattern in self.options["cleanup"] or ():
            text = " ".join(self._search(lambda text=text, pattern=pattern: regex.sub(
                pattern, "", text, timeout=PATIENCE), pattern, "cleanup").split())  # fmt: skip
        text = text.strip()
        if not text:
            self._warn(f"nothing was left of what became of {_shown(prompt)}, which stays as it is")
        return text or prompt

    def _continuation(self, tokens: Sequence[int], new: Sequence[int]) -> str:
        # Decoded together: some tokenizers drop the space before the first token of a text.
        before, both = self._decoded(tokens), self._decoded([*tokens, *new])
        return both.removeprefix(before) if both.startswith(before) else self._decoded(new)

    def _decoded(self, tokens: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    def _is_blocked(self, text: str) -> bool:
        pattern = self.options["block_regex"]
        return pattern is not None and bool(
            self._search(lambda: regex.search(pattern, text, timeout=PATIENCE), pattern, "block_regex")
        )

    def _search(self, search: Any, pattern: Json, setting: str) -> Any:
        try:
            return search()
        except TimeoutError:
            message = f"the regular expression {pattern!r} of `{setting}` takes more than {PATIENCE:g} s for one text"
            raise EngineError(message, "write one with fewer repetitions inside of repetitions") from None
        except regex.error as error:
            raise EngineError(f"{pattern!r} in `{setting}` is no regular expression: {error}") from None

    def _warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)


def truncated(text: str) -> str:
    """Return `text` up to the end of its last whole phrase, or word if it has one phrase alone."""
    ends = [place for place, sign in enumerate(text) if sign in ".!?,;"]
    if not ends:
        return text.rpartition(" ")[0] or text
    last = ends[-1]
    return text[: last + 1] if text[last] in ".!?" else text[:last]


def _length(start: _Start) -> tuple[int, int]:
    return len(start.tokens), start.room


def _shown(prompt: str) -> str:
    """Return a prompt for a message of one line."""
    return repr(prompt if len(prompt) <= 60 else prompt[:60] + "...")
