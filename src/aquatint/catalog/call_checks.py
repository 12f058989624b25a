"""What a pipeline's class refuses of its call's arguments, and what it changes of them, before it begins.

The facts are in `data/pipelines.json`: conditions that `make catalog` read in the class's own `check_inputs`. What is
said of a value that breaks one is for the language.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

Configured = Callable[[str, str], object]
"""Returns a setting of a component's configuration, by its role and name; None where it isn't known."""


class Side(msgspec.Struct, frozen=True):
    """What an argument has to be a multiple of: the product of `of`, in which texts are settings of configurations.

    With `rest` it is that much more than a multiple. The class `rounds` another value, or else refuses it.
    """

    of: list[int | str]
    rest: int = 0
    rounds: bool = False


class CallChecks(msgspec.Struct, frozen=True):
    """What a class asks of its arguments, by their names.

    One of each list in `needs` has to be there; the first of a pair that is `together` needs the second, and those of
    one that `excludes` don't go together. `limits` are comparisons that are refused, `choices` all values that there
    are, and `sides` what an argument is a multiple of. `orders` are comparisons of two arguments that are refused, item
    by item where they are lists. `spaced` are those that its scheduler is given, of which it takes one, and `gone`
    those that ask for what the libraries have no more.
    """

    needs: list[list[str]] = []
    together: list[tuple[str, str]] = []
    excludes: list[tuple[str, str]] = []
    limits: dict[str, list[tuple[str, float]]] = {}
    choices: dict[str, list[str]] = {}
    sides: dict[str, Side] = {}
    orders: list[tuple[str, str, str]] = []
    spaced: list[str] = []
    gone: list[str] = []


def step(side: Side, configured: Configured) -> int | None:
    """Return what an argument is a multiple of, or None where that needs a setting that isn't known."""
    factors = [each if isinstance(each, int) else _scale(configured(*each.split(".", 1))) for each in side.of]
    known = [each for each in factors if each is not None]
    return math.prod(known) if len(known) == len(factors) else None


def _scale(value: object) -> int | None:
    # Of a list, such as `block_out_channels`, each item but the first halves the sides.
    if isinstance(value, list | tuple) and value:
        return 1 << (len(value) - 1)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


_REFUSED: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "<": (lambda value, limit: value < limit, "at least"),
    "<=": (lambda value, limit: value <= limit, "more than"),
    ">": (lambda value, limit: value > limit, "at most"),
    ">=": (lambda value, limit: value >= limit, "less than"),
}


def is_refused(one: float, sign: str, other: float) -> bool:
    """Return whether a comparison of `limits` or `orders` refuses two numbers."""
    return _REFUSED[sign][0](one, other)


def unlike(sign: str) -> str:
    """Return in words what the first of two numbers has to be beside the second, where `sign` is refused."""
    return _REFUSED[sign][1]


def beyond(limits: list[tuple[str, float]], value: float) -> str | None:
    """Return what `value` has to be, such as `at most 512`, or None if it is within `limits`."""
    for sign, limit in limits:
        if is_refused(value, sign, limit):
            return f"{unlike(sign)} {limit:g}"
    return None
