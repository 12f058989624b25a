"""The world the model learns: scenes of one or two coloured shapes on a plain background, and their pictures.

What a scene is called is in `captions`; what a picture shows is read back in `checker`.
"""

import hashlib
import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

SIZE = 64
SUPERSAMPLING = 4

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (220, 30, 35),
    "orange": (255, 135, 0),
    "yellow": (250, 225, 40),
    "green": (30, 155, 60),
    "blue": (35, 75, 220),
    "purple": (125, 35, 165),
    "pink": (255, 160, 205),
    "white": (250, 250, 250),
    "black": (15, 15, 15),
    "gray": (135, 135, 135),
}
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black")
BACKGROUNDS = ("white", "black", "gray", "red", "yellow", "green", "blue", "pink")
SHAPES = ("circle", "square", "triangle", "star", "heart", "cross")
KINDS = ("one", "pair", "two")

# One combination in eight is never drawn for training; the seed is part of what is hashed.
HELD_OUT_SEED = 2026
HELD_OUT_ONE_IN = 8


@dataclass(frozen=True)
class Thing:
    """One coloured shape; `x`, `y` and `radius` are in pixels of the finished picture."""

    colour: str
    shape: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """A background and the one or two things on it."""

    background: str
    things: tuple[Thing, ...]

    @property
    def kind(self) -> str:
        """Return `one`, `pair` (two alike) or `two` (two that differ)."""
        if len(self.things) == 1:
            return "one"
        first, second = self.things
        return "pair" if (first.colour, first.shape) == (second.colour, second.shape) else "two"


def combination(scene: Scene) -> str:
    """Return what the scene shows, whatever the places and sizes: the unit that is held out."""
    return "; ".join([scene.background, *sorted(f"{thing.colour} {thing.shape}" for thing in scene.things)])


def is_held_out(scene: Scene) -> bool:
    """Tell whether the scene's combination is kept for evaluation."""
    digest = hashlib.blake2b(f"{HELD_OUT_SEED} {combination(scene)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % HELD_OUT_ONE_IN == 0


def sample(random_: random.Random, kind: str | None = None, held_out: bool = False) -> Scene:
    """Return a scene of `kind` (any, with one thing in half of the scenes, when None)."""
    chosen = kind or random_.choices(KINDS, (0.5, 0.2, 0.3))[0]
    while True:
        scene = _sample(random_, chosen)
        if is_held_out(scene) == held_out:
            return scene


def _sample(random_: random.Random, kind: str) -> Scene:
    background = random_.choice(BACKGROUNDS)
    colours = [colour for colour in COLOURS if colour != background]
    looks = [(random_.choice(colours), random_.choice(SHAPES))]
    if kind == "pair":
        looks *= 2
    while kind == "two" and len(looks) < 2:
        look = (random_.choice(colours), random_.choice(SHAPES))
        if look not in looks:
            looks.append(look)
    middle = SIZE / 2
    if kind == "one":
        places = [(middle + random_.uniform(-7, 7), middle + random_.uniform(-7, 7), random_.uniform(14, 20))]
    else:
        near = [(17 + random_.uniform(-2, 2), middle + random_.uniform(-5, 5), random_.uniform(10, 12.5))]
        far = [(47 + random_.uniform(-2, 2), middle + random_.uniform(-5, 5), random_.uniform(10, 12.5))]
        places = near + far
        if random_.random() < 0.5:
            places = [(y, x, radius) for x, y, radius in places]
        random_.shuffle(places)
    things = [Thing(colour, shape, *place) for (colour, shape), place in zip(looks, places, strict=True)]
    return Scene(background, tuple(things))


def outline(shape: str) -> list[tuple[float, float]]:
    """Return the shape as a polygon in the square from -1 to 1, y downwards."""
    match shape:
        case "circle":
            return [(math.cos(2 * math.pi * i / 96), math.sin(2 * math.pi * i / 96)) for i in range(96)]
        case "square":
            return [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)]
        case "triangle":
            return [(0, -0.95), (1, 0.85), (-1, 0.85)]
        case "star":
            tips = [(-math.pi / 2 + math.pi * i / 5, 1.05 if i % 2 == 0 else 0.45) for i in range(10)]
            return [(radius * math.cos(angle), radius * math.sin(angle) + 0.08) for angle, radius in tips]
        case "heart":
            angles = [2 * math.pi * i / 96 for i in range(96)]
            return [
                (
                    math.sin(t) ** 3,
                    -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16 - 0.1,
                )
                for t in angles
            ]
        case "cross":
            a, b = 0.34, 0.98
            return [
                (-a, -b),
                (a, -b),
                (a, -a),
                (b, -a),
                (b, a),
                (a, a),
                (a, b),
                (-a, b),
                (-a, a),
                (-b, a),
                (-b, -a),
                (-a, -a),
            ]
    raise ValueError(f"no such shape: {shape}")


_OUTLINES = {shape: outline(shape) for shape in SHAPES}


def render(scene: Scene) -> Image.Image:
    """Draw the scene as a 64 x 64 RGB picture."""
    large = Image.new("RGB", (SIZE * SUPERSAMPLING, SIZE * SUPERSAMPLING), PALETTE[scene.background])
    draw = ImageDraw.Draw(large)
    for thing in scene.things:
        points = [
            ((thing.x + thing.radius * x) * SUPERSAMPLING, (thing.y + thing.radius * y) * SUPERSAMPLING)
            for x, y in _OUTLINES[thing.shape]
        ]
        draw.polygon(points, fill=PALETTE[thing.colour])
    return large.reduce(SUPERSAMPLING)
