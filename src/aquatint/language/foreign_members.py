"""What to write for members that values have in other languages, and in templates: `text.upper()`, `xs.length`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aquatint.language.values import Result
from aquatint.source import Span

_LENGTH = dict.fromkeys(("length", "len", "size", "count", "__len__"), "`len({0})`")
_OF_STRINGS = _LENGTH | {
    "contains": '`"..." in {0}`', "includes": '`"..." in {0}`', "startswith": '`{0}[:1] == "..."`',
    "endswith": '`{0}[-1:] == "..."`', "join": '`join(list, {0})`', "slug": "`slug({0})`",
    "format": '`"{{{{ ... }}}}"` with the values in it', "name": "`path({0}).name`", "stem": "`path({0}).stem`",
    "suffix": "`path({0}).suffix`", "parent": "`path({0}).parent`",
}  # fmt: skip
_OF_LISTS = _LENGTH | {
    "append": "`{0} + [...]`", "push": "`{0} + [...]`", "add": "`{0} + [...]`", "extend": "`{0} + ...`",
    "concat": "`{0} + ...`", "first": "`{0}[0]`", "last": "`{0}[-1]`", "sort": "`sorted({0})`",
    "sorted": "`sorted({0})`", "contains": "`... in {0}`", "includes": "`... in {0}`", "join": "`join({0})`",
    "map": "`[... for item in {0}]`", "filter": "`[item for item in {0} if ...]`", "sum": "`sum({0})`",
    "min": "`min({0})`", "max": "`max({0})`", "unique": "`unique({0})`",
}  # fmt: skip
_OF_MAPS = _LENGTH | {
    "keys": "`[key for key in {0}]`", "values": "`[{0}[key] for key in {0}]`",
    "items": "`[[key, {0}[key]] for key in {0}]`", "get": "`{0}[key] if key in {0} else ...`",
}  # fmt: skip
_IN_TEMPLATES = (
    "capitalize", "lower", "upper", "title", "trim", "strip", "lstrip", "rstrip", "replace", "truncate", "removeprefix",
    "removesuffix",
)  # fmt: skip
"""What only a string can be asked for inside of a template, and makes a string."""

_LONGEST = 40
"""Characters of an expression that is written out again in a proposal."""


def instead(base: Any, name: str, at: Span) -> str | None:
    """Return what to write for the member `name` of `base`, the value of the expression at `at`; None if unknown."""
    written = at.brief(_LONGEST)
    if isinstance(base, str) and name in _IN_TEMPLATES:
        call = name if name in ("capitalize", "lower", "upper", "title", "trim") else f"{name}(...)"
        # In a template, a string in a string takes the other quotes.
        inside = written.replace('"', "'") if '"' in written else written
        form = f"{inside}.{call}" if "(" in call and name not in ("replace", "truncate") else f"{inside} | {call}"
        return f'strings are changed in templates: write `"{{{{ {form} }}}}"`'
    known: Mapping[str, str] = {}
    match base:
        case str():
            known = _OF_STRINGS
        case tuple() | Result():
            known = _OF_LISTS
        case Mapping():
            known = _OF_MAPS
    return f"write {known[name].format(written)}" if name in known else None
