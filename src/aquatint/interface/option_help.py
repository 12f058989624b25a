"""How the options of URIs are told of in a terminal, in lines of a width: names, values, bounds.

What there are options of is for `quantizer_help` and `prompt_help` to say.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from aquatint.catalog.settings import Schema, Setting, Type
from aquatint.interface.colour import colours

NARROWEST, WIDEST = 60, 100
"""Columns: narrower text has a word a line, wider text is hard to read."""

FEW = 12
"""How many values stand behind an option's name; more are listed below it."""

WORDS: dict[Type, str] = {
    "int": "N", "float": "X", "bool": "true | false", "str": "NAME", "names": "NAME,NAME,...", "map": "JSON",
    "quantizer": "QUANTIZER",
    "any": "VALUE",
}  # fmt: skip

Emphasis = Callable[[str], str]
"""Makes a heading stand out, where the text is shown on something that can."""


Of = TypeVar("Of")


def write(asked: Iterable[Of], document: Callable[[Of, int, Emphasis], str], listing: Callable[..., str]) -> None:
    """Write what `document` says of each that is `asked` for, or the `listing`, as wide as the terminal is."""
    width = shutil.get_terminal_size().columns
    strong = _bold if colours(sys.stdout) else str
    texts = [document(each, width, strong) for each in asked] or [listing(width, strong)]
    sys.stdout.write("\n\n".join(texts))


def entries_text(title: str, entries: Mapping[str, str], by: str, width: int, strong: Emphasis) -> str:
    """Return a listing: what there is by its name, with a sentence for each, and the command that documents it."""
    width = max(NARROWEST, min(width, WIDEST))
    indent = max(map(len, entries)) + 4
    lines = []
    for called, text in entries.items():
        first, *rest = wrapped(text, width, " " * indent)
        lines += [f"  {strong(called)}{first[2 + len(called) :]}", *rest]
    return "\n".join([title, "", *lines, "", f"documented by: {by}", ""])


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m"


def explanation(name: str, schema: Schema, width: int) -> list[str]:
    """Return what the options of `name` have in common."""
    example = _example(name, schema)
    return wrapped(
        f"Options of a URI, as in `{example}`. A block of a script has `: ` for `=`; `_` and `-` are the same in both.",
        width, "",
    )  # fmt: skip


def _example(name: str, schema: Schema) -> str:
    """Return a URI with the first option that there is a value to show for."""
    for setting in schema.settings:
        value = setting.default if setting.default is not None else next(iter(setting.choices), None)
        if value is not None:
            return f"{name};{spelt(setting.name)}={value_text(value)}"
    return name


def heading(setting: Setting, values: str, width: int, strong: Emphasis) -> Iterator[str]:
    """Yield the lines that an option begins with: its name and values, its default, its other names, its help."""
    name = spelt(setting.name)
    first, *rest = wrapped(f"{name}={values}", width, "  ", "      ")
    yield f"  {strong(name)}{first[2 + len(name) :]}"
    yield from rest
    notes = [f"default {value_text(setting.default)}"]
    if setting.aliases:
        notes.append("also " + ", ".join(map(spelt, setting.aliases)))
    yield from wrapped("; ".join(notes), width, "      ")
    yield from wrapped(setting.help, width, "      ")


def values_text(setting: Setting, choices: list[str]) -> str:
    if choices:
        return " | ".join(choices)
    return WORDS[setting.type] + (_bounds(setting) if setting.type in ("int", "float") else "")


def _bounds(setting: Setting) -> str:
    low = "" if setting.minimum is None else f" from {_number(setting.minimum)}"
    if setting.above is not None:
        low = f" above {_number(setting.above)}"
    return low + ("" if setting.maximum is None else f" up to {_number(setting.maximum)}")


def _number(bound: float) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def spelt(name: str) -> str:
    return name.replace("_", "-")


def value_text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value) or '""'


def wrapped(text: str, width: int, indent: str, later: str | None = None) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent if later is None else later,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
