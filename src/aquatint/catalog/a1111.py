"""The weighter `a1111`: its settings, its record, and the syntax in which the web UI of AUTOMATIC1111 weights words.

`(word)` counts 1.1 times as much, `[word]` as much less, `(word:1.3)` 1.3 times; brackets nest, `\\` takes a bracket's
meaning away, and after `BREAK` a new chunk of tokens begins. As there, a bracket that closes nothing is text, and one
that isn't closed goes on to the end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from aquatint.catalog.prompt_plugins import PromptPlugin
from aquatint.catalog.settings import Schema, Setting
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

A1111_SCHEMA = Schema("a1111", (
    Setting("emphasis", "str", "What becomes of a chunk's mean once its tokens are weighted: `original` brings it back "
            "to what it was, `no_norm` leaves it.", "original", choices=("original", "no_norm")),
    Setting("comma_padding_backtrack", "int", "How many tokens before the end of a chunk a comma may be, for the chunk "
            "to end there; 0 cuts at the 75th token.", 20, minimum=0, maximum=74),
))  # fmt: skip
"""The settings go by their names in that program."""

STEP = 1.1
"""What a pair of brackets without a number multiplies or divides by."""

_TOKEN = re.compile(r"\\[()\[\]\\]|\\|[()\[\]]|[^\\()\[\]]+")
# What that program does beside weighting.
_EDITING = re.compile(r":\s*[0-9.]+\s*$")
_LORA = re.compile(r"<(?:lora|lyco|hypernet):[^<>]*>")
_AND = re.compile(r"\bAND\b")
_BREAK = re.compile(r"\s*\bBREAK\b\s*")


@dataclass(slots=True)
class _Reader:
    """The pieces so far, each a text and its weight, None for `BREAK`; and where open brackets begin among them."""

    pieces: list[Fragment | None] = field(default_factory=list)
    round: list[int] = field(default_factory=list)
    square: list[int] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)

    def text(self, text: str) -> None:
        for number, part in enumerate(_BREAK.split(text)):
            if number:
                self.pieces.append(None)
            self.pieces.append(Fragment(part))

    def multiply(self, start: int, factor: float) -> None:
        self.pieces[start:] = [
            None if piece is None else Fragment(piece.text, piece.weight * factor) for piece in self.pieces[start:]
        ]

    def close(self, text: str, end: int) -> None:
        """Read a `)` that closes a bracket, after the plain `text` that ends at the character `end`."""
        before, colon, number = text.rpartition(":")
        weight = STEP
        if colon:
            read = read_weight(number)
            if read is None:
                shown = number.strip()
                where = end - len(number) if shown else end - 1
                self.mistakes.append(Mistake(
                    where + len(number) - len(number.lstrip()) if shown else where, max(1, len(shown)),
                    f"`{shown}` is no weight" if shown else "there is no weight after the `:`",
                    f"write a number of at most {MOST:g}, as in `(word:1.2)`; `(a: b:1.1)` weights text with a colon, "
                    f"and {ESCAPE}",
                ))  # fmt: skip
            else:
                weight, text = read, before
        self.text(text)
        self.multiply(self.round.pop(), weight)


def read(prompt: str) -> Reading:
    """Return what `prompt` says."""
    reader = _Reader()
    plain = ""  # what may turn out to end with a weight
    for found in _TOKEN.finditer(prompt):
        token = found.group()
        if token == ")" and reader.round:
            reader.close(plain, found.start())
            plain = ""
            continue
        if token not in ("(", "[", "]", ")") and not token.startswith("\\"):
            plain = token
            continue
        reader.text(plain)
        plain = ""
        if token in ("(", "[") and len(reader.round) + len(reader.square) == DEEPEST:
            reader.mistakes.append(Mistake(found.start(), 1, f"brackets are more than {DEEPEST} deep",
                                           "take some away"))  # fmt: skip
            break
        if token == "(":
            reader.round.append(len(reader.pieces))
        elif token == "[":
            reader.square.append(len(reader.pieces))
        elif token == "]" and reader.square:
            if _EDITING.search(prompt, 0, found.start()) is not None:
                reader.mistakes.append(_not_done(found.start(), 1, "edit prompts between steps, as `[a:b:0.5]` does",
                                                 f"take the number out; {ESCAPE}"))  # fmt: skip
            reader.multiply(reader.square.pop(), 1 / STEP)
        else:
            reader.pieces.append(Fragment(token[-1]))
    reader.text(plain)
    for there in _LORA.finditer(prompt):
        reader.mistakes.append(_not_done(there.start(), len(there.group()), "put LoRAs on",
                                         "give the model a `lora` block"))  # fmt: skip
    for there in _AND.finditer(prompt):
        reader.mistakes.append(_not_done(there.start(), 3, "mix prompts by `AND`", "write `and`"))
    for start in reader.round:
        reader.multiply(start, STEP)
    for start in reader.square:
        reader.multiply(start, 1 / STEP)
    parts: list[list[Fragment]] = [[]]
    for piece in reader.pieces:
        if piece is None:
            parts.append([])
        elif piece.text:
            parts[-1].append(piece)
    return Reading(tuple(map(joined, parts)), tuple(reader.mistakes))


def _not_done(offset: int, length: int, what: str, help: str) -> Mistake:
    return Mistake(offset, length, f"the weighter `a1111` doesn't {what}", help, is_lack=True)


def mistakes(prompt: str) -> tuple[Mistake, ...]:
    """Return what is wrong in `prompt`."""
    return read(prompt).mistakes


A1111 = PromptPlugin(
    kind="weighter",
    name="a1111",
    help="Weights words as the web UI of AUTOMATIC1111 does: `(word:1.2)`, `[word]`, `BREAK`. CLIP reads prompts of "
    "any length, 75 tokens at a time.",
    schema=A1111_SCHEMA,
    engine="aquatint.runtime.torch_engine.a1111_weighter",
    mistakes=mistakes,
    pipelines=PIPELINES,
    encoders=ENCODERS,
    plain=lambda prompt: unweighted(read(prompt)),
)
