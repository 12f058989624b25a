"""Strings that are complete only when a plan runs: putting them together, then and before.

A hole has operations, so that a script may change what isn't there yet: those that `OPERATIONS` names. Everything else
that could be done with a string is for values that are known while the plan is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aquatint.plan.steps import Hole, Json, Line, NumberRef, Text, TextRef

Known = Mapping[TextRef | NumberRef, str | float]
"""What steps have yielded so far."""

OPERATIONS: dict[str, tuple[type, Callable[..., Any]]] = {
    "capitalize": (str, str.capitalize),
    "lower": (str, str.lower),
    "replace": (str, str.replace),
    "trim": (str, str.strip),
    "upper": (str, str.upper),
    "round": (float, lambda number, digits=0: round(number, digits) if digits else round(number)),
}
"""What a script can do with a value that it doesn't have yet: of which type that is, and the function."""

_VALUES: dict[str, tuple[tuple[type, ...], int]] = {
    "replace": ((str, str), 2),
    "trim": ((str,), 0),
    "round": ((int,), 0),
}
# Of which types the values beside it are, and how many there have to be.


def problem(name: str, is_number: bool, values: Sequence[Any]) -> str | None:
    """Return why the operation `name` can't be done with `values` on a number, or else a string; None if it can."""
    takes, _ = OPERATIONS[name]
    if is_number != (takes is float):
        return f"`{name}` takes a {'number' if takes is float else 'string'}"
    types, least = _VALUES.get(name, ((), 0))
    if not least <= len(values) <= len(types):
        return f"`{name}` can't be called like this"
    if any(type(value) is not wanted for value, wanted in zip(values, types, strict=False)):
        return f"`{name}` can't take this"
    if name == "round" and values and not -400 < values[0] < 400:
        return "`round` keeps less than 400 digits"
    return None


def complete(line: Line, known: Known) -> str:
    """Return `line` with what `known` has in its holes; raise `KeyError` with the reference that it lacks."""
    if isinstance(line, str):
        return line
    return "".join(part if isinstance(part, str) else _filled(part, known) for part in line.parts)


def references(line: Line) -> list[TextRef | NumberRef]:
    """Return what the holes of `line` are for, in order."""
    found: list[TextRef | NumberRef] = []
    for hole in holes(line):
        found += references(hole.ref) if isinstance(hole.ref, Text) else [hole.ref]
    return found


def holes(line: Line) -> list[Hole]:
    """Return the holes of `line`, without those inside of them."""
    return [] if isinstance(line, str) else [part for part in line.parts if isinstance(part, Hole)]


def shown(line: Line) -> str:
    """Return `line` as plans show it: `{u1[0] | upper}` stands for what isn't known yet."""
    if isinstance(line, str):
        return line
    return "".join(part if isinstance(part, str) else _shown(part) for part in line.parts)


def text_of(parts: Sequence[str | Hole]) -> Line:
    """Return the line that `parts` are, a plain string if there is no hole among them."""
    joined: list[str | Hole] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    if all(isinstance(part, str) for part in joined):
        return "".join(str(part) for part in joined)
    return Text(joined)


def _filled(hole: Hole, known: Known) -> str:
    value: Any = complete(hole.ref, known) if isinstance(hole.ref, Text) else known[hole.ref]
    for name, *values in hole.operations:
        value = OPERATIONS[name][1](value, *values)
    # As the language writes numbers.
    return repr(value) if isinstance(value, float) else str(value)


def _shown(hole: Hole) -> str:
    match hole.ref:
        case Text():
            name = shown(hole.ref)
        case TextRef(step=step, index=index):
            name = f"{step}[{index}]"
        case NumberRef(step=step, metric=metric, index=None):
            name = f"{step}.{metric}"
        case NumberRef(step=step, metric=metric, index=index):
            name = f"{step}[{index}].{metric}"
    return "{" + " | ".join([name, *map(_operation, hole.operations)]) + "}"


def _operation(operation: Sequence[Json]) -> str:
    name, *values = operation
    return f"{name}({', '.join(map(repr, values))})" if values else str(name)
