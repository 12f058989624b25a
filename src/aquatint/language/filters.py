"""What templates apply to values with `|` that is this language's: bounded, and with reasons in its words.

All raise `TemplateProblem`. Those that draw from the plan's seed are in `templates`.
"""

from __future__ import annotations

from typing import Any

from aquatint.language import deferred, operators
from aquatint.language.builtins import joined, slug
from aquatint.language.deferred import deferred_in
from aquatint.language.values import ITEM_LIMIT, called_exactly
from aquatint.language.views import MapView, TemplateProblem, kind_of, unview, view, written


def items_of(values: Any, name: str) -> list[Any]:
    """Return the items of a list, for the filter called `name`."""
    if not isinstance(values, list | tuple):
        raise TemplateProblem(f"`{name}` takes a list, not {kind_of(values)}", word=name)
    return list(values)


def join(values: Any, separator: Any = "") -> Any:
    """Return the items' texts as one."""
    items = tuple(unview(item) for item in items_of(values, "join"))
    if deferred_in((items, unview(separator))) is not None:
        return view(deferred.joined(items, unview(separator)))
    try:
        return joined([written(item) for item in items_of(values, "join")], written(separator))
    except ValueError as problem:
        raise TemplateProblem(f"`join` {problem}", word="join") from None


def replace(text: Any, old: Any, new: Any, count: int = -1) -> str:
    """Return `text` with `new` for `old`."""
    before, part, instead = written(text), written(old), written(new)
    if len(before) + before.count(part) * len(instead) > ITEM_LIMIT:
        raise TemplateProblem(f"`replace` makes more than {ITEM_LIMIT:,} characters", word="replace")
    return before.replace(part, instead, count)


def rounded(number: Any, digits: int = 0) -> Any:
    """Return `number` with so many digits after the point; without any a whole number."""
    if not operators.is_number(number) or not operators.is_whole(digits) or not -400 < digits < 400:
        what = called_exactly(unview(number))
        raise TemplateProblem(f"`round` takes a number and how many digits to keep, not {what}", word="round")
    return round(number, digits) if digits else round(number)


def absolute(number: Any) -> Any:
    """Return `number` without its sign."""
    if not operators.is_number(number):
        raise TemplateProblem(f"`abs` takes a number, not {kind_of(number)}", word="abs")
    return abs(number)


def pairs(values: Any) -> list[Any]:
    """Return the keys of a map, each with what it stands for."""
    if not isinstance(values, dict | MapView):
        raise TemplateProblem(f"`items` takes a map, not {kind_of(values)}", word="items")
    return [(key, values[key]) for key in values]


def slugged(text: Any, length: int = 40) -> str:
    """Return `text` as a part of a file name."""
    return slug(written(text), length)
