"""The weighter `compel`: its record, and the syntax in which InvokeAI and the library compel weight words.

`word+` counts 1.1 times as much and `word-` 0.9 times, one time more for each further sign; `(two words)1.3` and
`"two words"+` weight several. Brackets nest, and `\\` takes a bracket's or a quote's meaning away. What that library
does beside weighting, `.blend`, `.and` and `.swap`, isn't done here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from aquatint.catalog.prompt_plugins import PromptPlugin
from aquatint.catalog.settings import Schema
from aquatint.catalog.weighting import (
    DEEPEST,
    ENCODERS,
    ESCAPE,
    MOST,
    PIPELINES,
    Fragment,
    Mistake,
    Reading,
    joined,
    read_weight,
    unweighted,
)

COMPEL_SCHEMA = Schema("compel", ())

MORE, LESS = 1.1, 0.9
"""What each `+` and each `-` multiplies by."""

_ESCAPED = re.compile(r'\\([()"])')
_WEIGHT = re.compile(r"\++|-+|[0-9.]+")
_MIXING = re.compile(r"\s*\.\s*(blend|and|swap)\s*\(")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_WORD = re.compile(r'(?:\\[()"]|[^\s()"])+')


@dataclass(slots=True)
class _Reader:
    prompt: str
    mistakes: list[Mistake]
    at: int = 0

    def fragments(self, depth: int) -> Iterator[Fragment]:
        """Yield what is up to the bracket that closes this one, or to the end."""
        prompt = self.prompt
        while self.at < len(prompt):
            character = prompt[self.at]
            if character.isspace():
                self.at += 1
            elif character == ")":
                if depth:
                    return
                self._wrong(self.at, 1, "this `)` closes nothing", ESCAPE)
                self.at += 1
            elif character == "(":
                yield from self._bracket(depth)
            elif character == '"' and (quoted := _QUOTED.match(prompt, self.at)):
                self.at = quoted.end()
                self._mixing(quoted.start())
                weight = self._weight(quoted.start())
                yield Fragment(_plain(quoted.group(1)), weight)
            elif character == '"':
                self.at += 1
                yield Fragment('"')
            else:
                yield from self._word()

    def _bracket(self, depth: int) -> Iterator[Fragment]:
        start = self.at
        self.at += 1
        if depth == DEEPEST:
            self._wrong(start, 1, f"brackets are more than {DEEPEST} deep", "take some away")
            self.at = len(self.prompt)
            return
        inner = list(self.fragments(depth + 1))
        if self.at >= len(self.prompt):
            self._wrong(start, 1, "this `(` is never closed", ESCAPE)
            yield from inner
            return
        self.at += 1
        self._mixing(start)
        weight = self._weight(start)
        yield from (Fragment(each.text, each.weight * weight) for each in inner)

    def _weight(self, start: int) -> float:
        """Return what stands behind a bracket or a quote that began at `start`."""
        found = _WEIGHT.match(self.prompt, self.at)
        if found is None:
            return 1.0
        text = found.group()
        if text[0] in "+-":
            self.at = found.end()
            return _power(text)
        number = text.rstrip(".")  # the point of a sentence
        if not number:
            return 1.0
        self.at = found.start() + len(number)
        weight = read_weight(number)
        if weight is None:
            self._wrong(found.start(), len(number), f"`{number}` is no weight",
                        f"write a number of at most {MOST:g}, as in `(two words)1.3`")  # fmt: skip
            return 1.0
        return weight

    def _word(self) -> Iterator[Fragment]:
        found = _WORD.match(self.prompt, self.at)
        assert found is not None
        self.at = found.end()
        word = found.group()
        if word.endswith(".swap") and self.prompt[self.at : self.at + 1] == "(":
            self._not_done(found.end() - 5, "swap")
        text, signs, rest = _taken_apart(word)
        yield Fragment(_plain(text), _power(signs))
        if rest:
            yield Fragment(_plain(rest))

    def _mixing(self, start: int) -> None:
        if (found := _MIXING.match(self.prompt, self.at)) is not None:
            self._not_done(found.start(1) - 1, found.group(1))
            self.at = found.end(1)

    def _not_done(self, at: int, name: str) -> None:
        self.mistakes.append(Mistake(
            at, len(name) + 1, f"the weighter `compel` doesn't do `.{name}`", "weight words of one prompt instead",
            is_lack=True,
        ))  # fmt: skip

    def _wrong(self, at: int, length: int, message: str, help: str) -> None:
        self.mistakes.append(Mistake(at, length, message, help))


def read(prompt: str) -> Reading:
    """Return what `prompt` says. One in which nothing has a meaning is one piece, as it is written."""
    reader = _Reader(prompt, [])
    fragments = joined(reader.fragments(0), " ")
    if not any(each.weight != 1.0 for each in fragments) and not set(prompt) & set('()"\\'):
        fragments = (Fragment(prompt),)
    return Reading((fragments,), tuple(reader.mistakes))


def mistakes(prompt: str) -> tuple[Mistake, ...]:
    """Return what is wrong in `prompt`."""
    return read(prompt).mistakes


def _taken_apart(word: str) -> tuple[str, str, str]:
    """Return `word` without its signs, these, and the punctuation behind them; without signs they are empty."""
    end = len(word)
    while end and not (word[end - 1].isalnum() or word[end - 1] in "_+-"):
        end -= 1
    start = end
    while start and word[start - 1] in "+-" and word[start - 1] == word[end - 1]:
        start -= 1
    if start == end or not word[:start].strip("+-"):
        return word, "", ""
    return word[:start], word[start:end], word[end:]


def _power(signs: str) -> float:
    if not signs:
        return 1.0
    # Of more signs the weight would be no number at last.
    return float((MORE if signs[0] == "+" else LESS) ** min(len(signs), 48))


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


COMPEL = PromptPlugin(
    kind="weighter",
    name="compel",
    help="Weights words as InvokeAI and compel do: `word++`, `(two words)1.3`. CLIP reads prompts of any length, 75 "
    "tokens at a time.",
    schema=COMPEL_SCHEMA,
    engine="aquatint.runtime.torch_engine.compel_weighter",
    mistakes=mistakes,
    pipelines=PIPELINES,
    encoders=ENCODERS,
    plain=lambda prompt: unweighted(read(prompt)),
)
