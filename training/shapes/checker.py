"""An automatic judge: what a picture shows, and which attributes of a request it meets."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from shapes.captions import Request, Wanted
from shapes.world import BACKGROUNDS, COLOURS, PALETTE, SHAPES, outline

ATTRIBUTES = ("background", "count", "colour", "shape", "binding", "relation")

FOREGROUND_DISTANCE = 55.0  # in RGB, from the background's colour; the nearest two colours of the world are 70 apart
SMALLEST_AREA = 24  # pixels; less is a blemish, not a thing
# Intersection over union with the best template: a small star that is a pixel off at its tips has 0.65.
SMALLEST_OVERLAP = 0.62


@dataclass(frozen=True)
class Found:
    """One thing seen in a picture; `shape` is None for what resembles no shape of the world."""

    colour: str
    shape: str | None
    x: float
    y: float


@dataclass(frozen=True)
class Seen:
    """What a picture shows."""

    background: str
    things: tuple[Found, ...]


def _nearest(colour: np.ndarray, names: tuple[str, ...]) -> str:
    distances = [float(np.linalg.norm(colour - np.array(PALETTE[name]))) for name in names]
    return names[int(np.argmin(distances))]


def _template(shape: str, width: int, height: int) -> np.ndarray:
    """Return the shape filling a box of this size, as numbers from 0 to 1."""
    points = np.array(outline(shape))
    points = (points - points.min(0)) / (points.max(0) - points.min(0)) * (np.array([width, height]) * 4 - 1)
    large = Image.new("L", (width * 4, height * 4))
    ImageDraw.Draw(large).polygon([tuple(point) for point in points], fill=255)
    return np.asarray(large.reduce(4)) / 255.0


def _shape(mask: np.ndarray) -> str | None:
    height, width = mask.shape
    overlaps = []
    for shape in SHAPES:
        template = _template(shape, width, height) > 0.5
        overlaps.append((mask & template).sum() / max(1, (mask | template).sum()))
    best = int(np.argmax(overlaps))
    return SHAPES[best] if overlaps[best] >= SMALLEST_OVERLAP else None


def look(picture: Image.Image) -> Seen:
    """Return what the picture shows."""
    pixels = np.asarray(picture.convert("RGB")).astype(np.float32)
    border = np.concatenate(
        [
            pixels[:2].reshape(-1, 3),
            pixels[-2:].reshape(-1, 3),
            pixels[:, :2].reshape(-1, 3),
            pixels[:, -2:].reshape(-1, 3),
        ]
    )
    ground = np.median(border, axis=0)
    distance = np.linalg.norm(pixels - ground, axis=-1)
    labels, _ = ndimage.label(distance > FOREGROUND_DISTANCE)
    things = []
    for index, box in enumerate(ndimage.find_objects(labels), start=1):
        mask = labels == index
        if mask.sum() < SMALLEST_AREA:
            continue
        inner = ndimage.binary_erosion(mask, iterations=2)
        colour = np.median(pixels[inner if inner.any() else mask], axis=0)
        y, x = ndimage.center_of_mass(mask)
        # Half the way between the two colours is where an edge lies, whatever their contrast.
        halfway = distance[box] > 0.5 * np.linalg.norm(colour - ground)
        solid = halfway & mask[box]
        rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
        if len(rows) == 0:
            continue
        cropped = solid[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        things.append(Found(_nearest(colour, COLOURS), _shape(cropped), float(x), float(y)))
    return Seen(_nearest(ground, BACKGROUNDS), tuple(things))


def check(picture: Image.Image, request: Request) -> dict[str, bool]:
    """Return, for each attribute that the request speaks of, whether the picture meets it."""
    return judge(look(picture), request)


def judge(seen: Seen, request: Request) -> dict[str, bool]:
    """Return, for each attribute that the request speaks of, whether what is seen meets it."""
    scores: dict[str, bool] = {}
    if request.background is not None:
        scores["background"] = seen.background == request.background
    scores["count"] = len(seen.things) == len(request.wanted)
    coloured = all(wanted.colour is not None for wanted in request.wanted)
    if coloured:
        scores["colour"] = sorted(t.colour for t in seen.things) == sorted(str(w.colour) for w in request.wanted)
    scores["shape"] = sorted(str(t.shape) for t in seen.things) == sorted(w.shape for w in request.wanted)
    if len(request.wanted) == 2 and request.wanted[0] != request.wanted[1]:
        looks = sorted((thing.colour, str(thing.shape)) for thing in seen.things)
        scores["binding"] = looks == sorted((str(w.colour), w.shape) for w in request.wanted)
        if request.relation is not None:
            scores["relation"] = _related(seen, request)
    return scores


def _likeness(found: Found, wanted: Wanted) -> int:
    return (found.colour == wanted.colour) + (found.shape == wanted.shape)


def _related(seen: Seen, request: Request) -> bool:
    """Tell whether the two things stand as asked, each taken for the wanted thing that it is most like."""
    if len(seen.things) != 2:
        return False
    first, second = seen.things
    one, other = request.wanted
    straight = _likeness(first, one) + _likeness(second, other)
    crossed = _likeness(first, other) + _likeness(second, one)
    across, down = second.x - first.x, second.y - first.y
    if request.relation == "beside":
        return abs(across) > abs(down)
    if straight == crossed:
        return False
    if crossed > straight:
        across, down = -across, -down
    match request.relation:
        case "left":
            return across > abs(down)
        case "right":
            return -across > abs(down)
        case "above":
            return down > abs(across)
        case _:
            return -down > abs(across)
