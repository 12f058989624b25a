"""The functions and constants that every script starts with.

These functions are pure. Those that see files and the environment are in `reading`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from aquatint.catalog.hardware import DEVICES
from aquatint.catalog.models import DTYPES
from aquatint.catalog.prompt_plugins import KINDS, prompt_plugins, unusable_prompt_plugins
from aquatint.catalog.quantizer_backends import backends, unusable_backends
from aquatint.language import deferred
from aquatint.language.deferred import deferred_in
from aquatint.language.scope import Scope
from aquatint.language.values import ITEM_LIMIT, Builtin, PathText, Result, Size, shown, type_name

DEVICE = object()
"""What `device` is bound to; evaluation puts the plan's device in its place where a script uses it."""


def prelude(more: Iterable[Builtin] = ()) -> Scope:
    """Return a scope with the built-in functions and constants, and functions of other modules."""
    scope = Scope()
    # The names of data types and devices, and whatever else a backend's setting chooses from, stand for themselves, so
    # that `weights_dtype: int8` needs no quotes.
    chosen = (word for each in backends() for setting in each.schema.settings for word in setting.choices)
    words = {*DTYPES, *DEVICES, *chosen}
    for word in sorted(word for word in words if isinstance(word, str) and word.isidentifier()):
        scope.bind(word, word, None)
    plugins = [plugin for kind in KINDS for plugin in prompt_plugins(kind)]
    named = [(each.name, each.aliases) for each in backends()] + [(each.name, each.aliases) for each in plugins]
    # Where one is asked for that can't be used, that is what is to be said.
    unusable = {name for kind in KINDS for name in unusable_prompt_plugins(kind)} | unusable_backends().keys()
    named += [(name, ()) for name in sorted(unusable)]
    for name, aliases in named:
        for alias in (name, *aliases):
            scope.bind(alias, name, None)
    scope.bind("device", DEVICE, None)
    for function in (*FUNCTIONS, *more):
        scope.bind(function.name, function, None)
    return scope


def _sequence(value: Any) -> tuple[Any, ...]:
    if isinstance(value, tuple):
        return value
    if isinstance(value, Result):
        return value.images
    if hasattr(value, "keys"):
        return tuple(value)
    raise ValueError(f"takes a list, not {type_name(value)}")


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    return len(_sequence(value))


def _range(*bounds: Any) -> tuple[int, ...]:
    if not 1 <= len(bounds) <= 3 or not all(isinstance(b, int) and not isinstance(b, bool) for b in bounds):
        raise ValueError("takes one to three whole numbers")
    if len(bounds) == 3 and bounds[2] == 0:
        raise ValueError("can't step by 0")
    return _limited(range(*bounds))


def _limited(numbers: range) -> tuple[int, ...]:
    # len() of a longer range than the machine's word overflows.
    if (numbers.stop - numbers.start) // numbers.step > ITEM_LIMIT:
        raise ValueError(f"makes more than {ITEM_LIMIT:,} items")
    return tuple(numbers)


def inclusive_range(first: int, last: int, step: int) -> tuple[int, ...]:
    """Return the numbers from `first` up or down to `last`, both included. Raises `ValueError`."""
    if step == 0:
        raise ValueError("can't step by 0")
    return _limited(range(first, last + (1 if step > 0 else -1), step))


def _zip(*lists: Any) -> tuple[Any, ...]:
    sequences = [_sequence(item) for item in lists]
    if len({len(sequence) for sequence in sequences}) > 1:
        raise ValueError("takes lists of equal length, not " + ", ".join(str(len(s)) for s in sequences))
    return tuple(zip(*sequences, strict=True))


def _enumerate(values: Any, start: int = 0) -> tuple[Any, ...]:
    return tuple(enumerate(_sequence(values), start))


def _product(*lists: Any) -> tuple[Any, ...]:
    sequences = [_sequence(item) for item in lists]
    if math.prod(len(sequence) for sequence in sequences) > ITEM_LIMIT:
        raise ValueError(f"makes more than {ITEM_LIMIT:,} items")
    return tuple(itertools.product(*sequences))


def _seeds(count: Any, **named: Any) -> tuple[int, ...]:
    start = named.pop("from", 0)
    if named:
        raise ValueError(f"has no argument `{next(iter(named))}`; it takes `from`")
    if not isinstance(count, int) or not isinstance(start, int) or isinstance(count, bool) or count < 0:
        raise ValueError("takes a number of seeds, and `from`, the first of them")
    return _limited(range(start, start + count))


def _slug(text: Any, length: int = 40) -> str:
    return slug(str(text), length)


def slug(text: str, length: int = 40) -> str:
    """Return `text` as a part of a file name: lower case letters, digits and single hyphens, cut at a word."""
    kept: list[str] = []
    left = length
    for found in re.finditer(r"[a-z0-9]+", text.lower()):
        word = found[0] if kept else found[0][:length]
        if kept and len(word) + 1 > left:
            break
        left -= len(word) + bool(kept)
        kept.append(word)
    return "-".join(kept) or "image"


def _ordered(values: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    items = _sequence(values[0]) if len(values) == 1 else values
    if not items:
        raise ValueError("takes at least one value")
    kinds = {type_name(item) for item in items}
    if kinds not in ({"a number"}, {"a string"}):
        raise ValueError("takes numbers or strings, not " + " and ".join(sorted(kinds)))
    return items


def _sum(values: Any) -> Any:
    items = _sequence(values)
    if not all(isinstance(i, int | float) and not isinstance(i, bool) for i in items):
        raise ValueError("takes a list of numbers")
    return _finite(sum(items))


def _finite(number: Any) -> Any:
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError("comes to a number that is too large")
    return number


def _sorted(values: Any) -> tuple[Any, ...]:
    items = _sequence(values)
    return tuple(sorted(_ordered((items,), "sorted"))) if items else ()


def _unique(values: Any) -> tuple[Any, ...]:
    kept: dict[Any, Any] = {}
    for item in _sequence(values):
        kept.setdefault(_identity(item), item)
    return tuple(kept.values())


def _identity(value: Any) -> Any:
    """Return what is equal for equal values only: `1` and `true` are equal to Python and different here."""
    if isinstance(value, tuple):
        return "list", tuple(_identity(item) for item in value)
    if isinstance(value, Mapping):
        return "map", frozenset((key, _identity(item)) for key, item in value.items())
    return isinstance(value, bool), value


def _int(value: Any) -> int:
    if isinstance(value, str) and len(value) > 40:
        raise ValueError("takes at most 40 digits")
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"can't make a whole number of {_named(value)}") from None


def _float(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"can't make a number of {_named(value)}") from None
    if not math.isfinite(number):
        raise ValueError(f"can't make a number of {_named(value)}")
    return number


def _named(value: Any) -> str:
    return f'"{value[:40]}"' if isinstance(value, str) else type_name(value)


def _join(values: Any, separator: Any = ", ") -> Any:
    items = _sequence(values)
    if deferred_in((items, separator)) is not None:
        return deferred.joined(items, separator)
    return joined([shown(item) for item in items], str(separator))


def joined(texts: list[str], separator: str) -> str:
    """Return `texts` as one. Raises `ValueError` if that is too long."""
    if sum(map(len, texts)) + len(separator) * len(texts) > ITEM_LIMIT:
        raise ValueError(f"makes more than {ITEM_LIMIT:,} characters")
    return separator.join(texts)


def _str(value: Any) -> Any:
    return deferred.joined([value]) if deferred_in(value) is not None else shown(value)


def _size(width: Any, height: Any) -> Size:
    if not all(isinstance(side, int) and not isinstance(side, bool) and 0 < side <= 65536 for side in (width, height)):
        raise ValueError("takes two whole numbers from 1 to 65536")
    return Size(width, height)


def _path(*parts: Any) -> PathText:
    if not parts or not all(isinstance(part, str) for part in parts):
        raise ValueError("takes one string or more")
    return PathText(PurePosixPath(*parts))


FUNCTIONS = (
    Builtin("len", "(values)", _len, lazy=True),
    Builtin("range", "(stop) or (start, stop, step = 1)", _range),
    Builtin("zip", "(lists...)", _zip, lazy=True),
    Builtin("enumerate", "(values, start = 0)", _enumerate, lazy=True),
    Builtin("product", "(lists...)", _product, lazy=True),
    Builtin("seeds", "(n, from = 0)", _seeds),
    Builtin("join", '(values, separator = ", ")', _join, lazy=True),
    Builtin("slug", "(text, length = 40)", _slug),
    Builtin("path", "(parts...)", _path),
    Builtin("min", "(values...)", lambda *values: min(_ordered(values, "min"))),
    Builtin("max", "(values...)", lambda *values: max(_ordered(values, "max"))),
    Builtin("sum", "(values)", _sum),
    Builtin("sorted", "(values)", _sorted),
    Builtin("unique", "(values)", _unique),
    Builtin("str", "(value)", _str, lazy=True),
    Builtin("int", "(value)", _int),
    Builtin("float", "(value)", _float),
    Builtin("size", "(width, height)", _size),
)
