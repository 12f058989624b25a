"""What the operators do to two values, in scripts and in templates alike.

Each takes values of the language and raises `ValueError` with the reason, `ZeroDivisionError`, `OverflowError` for a
result that is too large, or `NotYet` if it would have to look at what is known only when the plan runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from aquatint.language.deferred import NotYet, deferred_in, joined
from aquatint.language.values import ITEM_LIMIT, Deferred, type_name

INTEGER_BITS = 1100
"""Bits of a whole number: somewhat more than the largest float has."""


_NUMBERS = (int, float)


def apply(operator: str, left: Any, right: Any) -> Any:
    """Return `left operator right`, for every operator but `and` and `or`."""
    if operator == "+" and isinstance(left, str | Deferred) and isinstance(right, str | Deferred):
        for value in (left, right):
            if isinstance(value, Deferred) and value.kind == "number" and not _are_numbers(left, right):
                raise ValueError("`+` joins strings, and this is a deferred number; write `str(...)` around it")
    # `+` and `*` only put lists together.
    looking = (left, right) if operator not in ("+", "*") else [v for v in (left, right) if isinstance(v, Deferred)]
    if (found := deferred_in(looking)) is not None and not (operator == "+" and _are_texts(left, right)):
        raise NotYet(found)
    result = _OPERATORS[operator](left, right)
    if isinstance(result, float) and not math.isfinite(result):
        raise OverflowError
    if isinstance(result, int) and result.bit_length() > INTEGER_BITS:
        raise OverflowError
    return result


def is_number(value: Any) -> bool:
    """Return whether `value` is a number, which a boolean is not."""
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Return whether `value` is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_key(value: Any) -> bool:
    """Return whether `value` could be a key of a map."""
    return isinstance(value, str | int | float | bool | None)


def _numbers(operator: str, left: Any, right: Any) -> None:
    if not (is_number(left) and is_number(right)):
        raise ValueError(f"`{operator}` takes two numbers, not {type_name(left)} and {type_name(right)}")


def _are_numbers(left: Any, right: Any) -> bool:
    return all(is_number(v) or (isinstance(v, Deferred) and v.kind == "number") for v in (left, right))


def _are_texts(left: Any, right: Any) -> bool:
    return all(v.kind == "string" if isinstance(v, Deferred) else isinstance(v, str) for v in (left, right))


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, Deferred) or isinstance(right, Deferred):
        return joined([left, right])
    for kind in (str, tuple):
        if isinstance(left, kind) and isinstance(right, kind):
            if len(left) + len(right) > ITEM_LIMIT:
                raise OverflowError
            return left + right  # type: ignore[operator]
    if not (is_number(left) and is_number(right)):
        raise ValueError(f"`+` adds two numbers, strings or lists, not {type_name(left)} and {type_name(right)}")
    return left + right


def _multiply(left: Any, right: Any) -> Any:
    for many, times in ((left, right), (right, left)):
        if isinstance(many, str | tuple) and is_whole(times):
            if len(many) * max(times, 0) > ITEM_LIMIT:
                raise OverflowError
            return many * times
    _numbers("*", left, right)
    return left * right


def _power(left: Any, right: Any) -> Any:
    _numbers("**", left, right)
    # 2 ** 10 ** 9 would take the machine's memory.
    if is_whole(left) and is_whole(right) and abs(left) > 1 and abs(right) * left.bit_length() > INTEGER_BITS:
        raise OverflowError
    result = left**right
    if isinstance(result, complex):
        raise ValueError("a negative number has no such root")
    return result


def _arithmetic(operator: str, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def apply(left: Any, right: Any) -> Any:
        if not (type(left) in _NUMBERS and type(right) in _NUMBERS):
            _numbers(operator, left, right)
        return function(left, right)

    return apply


def _ordering(operator: str, function: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    def apply(left: Any, right: Any) -> Any:
        if not (is_number(left) and is_number(right)) and not (isinstance(left, str) and isinstance(right, str)):
            if isinstance(left, bool):
                raise ValueError(f"`{operator}` doesn't chain: write `a {operator} b and b {operator} c`")
            raise ValueError(
                f"`{operator}` compares two numbers or two strings, not {type_name(left)} and {type_name(right)}"
            )
        return function(left, right)

    return apply


def equal(left: Any, right: Any) -> bool:
    """Return whether two values are the same; to Python `1 == true`, here nowhere, however deep."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    return bool(left == right)


def contains(item: Any, values: Any) -> bool:
    """Return whether `item` is in a list, among the keys of a map, or a part of a string."""
    if isinstance(values, str):
        if not isinstance(item, str):
            raise ValueError(f"`in` looks for a string in a string, not for {type_name(item)}")
        return item in values
    if isinstance(values, Mapping):
        return is_key(item) and any(equal(item, key) for key in values)
    if isinstance(values, tuple):
        return any(equal(item, other) for other in values)
    raise ValueError(f"`in` looks into a list, a map or a string, not {type_name(values)}")


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": _add,
    "-": _arithmetic("-", lambda a, b: a - b),
    "*": _multiply,
    "/": _arithmetic("/", lambda a, b: a / b),
    "//": _arithmetic("//", lambda a, b: a // b),
    "%": _arithmetic("%", lambda a, b: a % b),
    "**": _power,
    "==": equal,
    "!=": lambda a, b: not equal(a, b),
    "<": _ordering("<", lambda a, b: a < b),
    "<=": _ordering("<=", lambda a, b: a <= b),
    ">": _ordering(">", lambda a, b: a > b),
    ">=": _ordering(">=", lambda a, b: a >= b),
    "in": contains,
    "not in": lambda a, b: not contains(a, b),
}
