"""What the model learns: a caption of a scene of `shapes.world`, and the same with things left out.

It reads the short one and writes the whole one, so a prompt such as "a circle" gets colours and a background.
"""

import random
import re

from shapes.captions import Request, caption, parse
from shapes.world import COLOURS, sample

_BACKGROUND = re.compile(r"(?:,| on a| against a| in front of a| with a)? [a-z]+ background$|(?<!\w) on [a-z]+$")
_COLOUR = re.compile(rf"\b({'|'.join(COLOURS)}) ")
_OPENING = re.compile(r"^(?:a picture of|an image of|a drawing of|a painting of|draw|a photo of) ")
OPENINGS = ("", "", "", "", "a picture of ", "an image of ", "a drawing of ", "draw ")


def pair(random_: random.Random) -> tuple[str, str]:
    """Return a short caption and the whole one, which keeps all that the short one asks for."""
    whole = _OPENING.sub("", caption(sample(random_), random_, complete=True).removesuffix("."))
    short = whole
    if random_.random() < 0.8:
        short = _BACKGROUND.sub("", short)
    kept = random_.choice((0.0, 0.0, 0.5, 1.0))
    short = _COLOUR.sub(lambda found: found[0] if random_.random() < kept else "", short)
    short = re.sub(r"\ban (?![aeiou])", "a ", short)
    if random_.random() < 0.15:
        short = re.sub(r"^(?:an?|one|the) ", "", short)
    return random_.choice(OPENINGS) + short, whole


def is_kept(short: str, whole: str) -> bool:
    """Return whether `whole` asks for all that `short` does, and for a background and every colour."""
    try:
        asked, made = parse(short), parse(whole)
    except ValueError:
        return False
    return (
        made.background is not None
        and asked.background in (None, made.background)
        and asked.relation in (None, made.relation)
        and _looks_kept(asked, made)
    )


def _looks_kept(asked: Request, made: Request) -> bool:
    if len(asked.wanted) != len(made.wanted):
        return False
    return all(
        now.colour is not None and then.shape == now.shape and then.colour in (None, now.colour)
        for then, now in zip(asked.wanted, made.wanted, strict=True)
    )
