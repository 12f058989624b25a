"""What scenes are called: a scene's caption in many wordings, and the parse of a caption into what it asks for."""

import random
import re
from dataclasses import dataclass, replace

from shapes.world import BACKGROUNDS, COLOURS, SHAPES, Scene

PREFIXES = ("", "", "", "", "a picture of ", "an image of ", "a drawing of ", "a painting of ", "draw ", "a photo of ")
RELATIONS = ("left", "right", "above", "below", "beside")
BETWEEN: dict[str, tuple[str, ...]] = {
    "left": ("left of", "to the left of", "on the left of", "on the left side of"),
    "right": ("right of", "to the right of", "on the right of", "on the right side of"),
    "above": ("above", "over", "on top of", "atop"),
    "below": ("below", "under", "beneath", "underneath"),
    "beside": ("next to", "beside"),
    "": ("and", "with", "and also"),
}
PLACES: dict[str, tuple[tuple[str, str], ...]] = {
    "left": (("on the left", "on the right"), ("at the left", "at the right")),
    "right": (("on the right", "on the left"), ("at the right", "at the left")),
    "above": (("at the top", "at the bottom"), ("on top", "below")),
    "below": (("at the bottom", "at the top"), ("on the bottom", "on top")),
}
BACKDROPS = (
    " on a {} background",
    " on a {} background",
    " on a {} background",
    " on {}",
    ", {} background",
    " {} background",
    " against a {} background",
    " in front of a {} background",
    " with a {} background",
)
_PLURALS = {shape: "crosses" if shape == "cross" else shape + "s" for shape in SHAPES}
_SHAPES_BY_WORD = {word: shape for shape in SHAPES for word in (shape, _PLURALS[shape])}
_OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}


@dataclass(frozen=True)
class Wanted:
    """One thing that a caption asks for; no colour when the caption leaves it open."""

    colour: str | None
    shape: str


@dataclass(frozen=True)
class Request:
    """What a caption asks for; `relation` is where the first thing is, seen from the second."""

    wanted: tuple[Wanted, ...]
    relation: str | None = None
    background: str | None = None

    def ordered(self) -> "Request":
        """Return the same request with the left or the upper thing first, where the caption tells which that is."""
        if self.relation in ("right", "below"):
            return replace(self, wanted=self.wanted[::-1], relation=_OPPOSITE[self.relation])
        return self


def caption(scene: Scene, random_: random.Random, complete: bool = False) -> str:
    """Name the scene in one of many wordings; `complete` names the background and every colour."""
    if scene.kind == "two":
        text = _two(scene, random_)
    else:
        first = scene.things[0]
        colour = "" if not complete and random_.random() < 0.05 else first.colour + " "
        if scene.kind == "one":
            text = _one(colour, first.shape, random_)
        else:
            number = random_.choice(("two ", "two ", "two ", "2 ", "a pair of "))
            text = number + colour + _PLURALS[first.shape]
    text = random_.choice(PREFIXES) + text
    if complete or random_.random() < 0.85:
        backdrop = scene.background
        if backdrop == "gray" and random_.random() < 0.3:
            backdrop = "grey"
        text += random_.choice(BACKDROPS).format(backdrop)
    return text + ("." if random_.random() < 0.1 else "")


def _one(colour: str, shape: str, random_: random.Random) -> str:
    noun = colour + shape
    article = random_.choice(("a", "a", "a", "a", "", "one", "the", "a single"))
    if article == "a" and noun[0] in "aeiou":
        article = "an"
    return f"{article} {noun}".strip()


def _two(scene: Scene, random_: random.Random) -> str:
    first, second = scene.things
    if abs(first.x - second.x) > abs(first.y - second.y):
        relation = "left" if first.x < second.x else "right"
    else:
        relation = "above" if first.y < second.y else "below"
    a, b = (_one(thing.colour + " ", thing.shape, random_) for thing in scene.things)
    wording = random_.random()
    if wording < 0.12:
        places = random_.choice(PLACES[relation])
        return f"{a} {places[0]} and {b} {places[1]}"
    if wording < 0.32:
        relation = ""
    elif wording < 0.5 and relation in ("left", "right"):
        relation = "beside"
    return f"{a} {random_.choice(BETWEEN[relation])} {b}"


_ANY_COLOUR = "|".join((*COLOURS, "gray", "grey"))
_NOUN = re.compile(rf"(?:\b({_ANY_COLOUR}) )?\b({'|'.join(sorted(_SHAPES_BY_WORD, key=len, reverse=True))})\b")
_BACKGROUND = re.compile(rf"\b({_ANY_COLOUR}) background\b|\bon (?:a )?({_ANY_COLOUR})$")
_TWO = re.compile(r"\b(two|2|pair)\b")
# The order matters: `on top of` before `on top`, and the longer phrases before the words in them.
_RELATIONS = (
    ("above", r"above|over|on top of|atop|at the top|on top"),
    ("below", r"below|underneath|under|beneath|at the bottom|on the bottom"),
    ("left", r"left"),
    ("right", r"right"),
    ("beside", r"next to|beside"),
)


def parse(text: str) -> Request:
    """Return what a caption asks for; raise ValueError when it names no shape of the world."""
    text = " ".join(text.lower().strip().rstrip(".").split())
    background = None
    if found := _BACKGROUND.search(text):
        background = (found[1] or found[2]).replace("grey", "gray")
        text = text[: found.start()] + text[found.end() :]
    nouns = list(_NOUN.finditer(text))
    if not nouns:
        raise ValueError(f"the caption names no shape: {text!r}")
    wanted = [Wanted(noun[1], _SHAPES_BY_WORD[noun[2]]) for noun in nouns[:2]]
    relation = None
    if len(wanted) == 1:
        if _TWO.search(text):
            wanted *= 2
    else:
        # The first place word after the first thing says where that thing is.
        hits = [
            (hit.start(), -len(hit[0]), name)
            for name, words in _RELATIONS
            for hit in re.finditer(rf"\b(?:{words})\b", text[nouns[0].end() :])
        ]
        relation = min(hits)[2] if hits else None
    return Request(tuple(wanted), relation, background if background in BACKGROUNDS else None)


def corpus() -> list[str]:
    """Return every word that captions are made of, for the tokenizer."""
    words: set[str] = {
        *_ANY_COLOUR.split("|"),
        *_SHAPES_BY_WORD,
        "a",
        "an",
        "one",
        "two",
        "2",
        "the",
        "single",
        "pair",
        "of",
    }
    for part in (
        *PREFIXES,
        *BACKDROPS,
        *(w for ws in BETWEEN.values() for w in ws),
        *(w for p in PLACES.values() for ws in p for w in ws),
    ):
        words.update(re.findall(r"[a-z0-9]+", part))
    return sorted(words | {",", "."})
