"""What `--quantizer-help` tells of the quantization backends: which there are, and each with all its options.

Everything in it comes from the backends' records, so that other packages' are told of like this program's own.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from aquatint.catalog.hardware import NOTES, Note
from aquatint.catalog.quantizer_backends import (
    Backend,
    Constraint,
    backend,
    backends,
    is_installed,
    unknown_backend,
    unusable_backends,
)
from aquatint.catalog.settings import Setting, Type
from aquatint.diagnostics import Diagnostic
from aquatint.interface.colour import colours
from aquatint.interface.exits import DONE, WRONG
from aquatint.interface.report import write_diagnostic

NARROWEST, WIDEST = 60, 100
"""Columns: narrower text has a word a line, wider text is hard to read."""

FEW = 12
"""How many values stand behind an option's name; more are listed below it."""

_WORDS: dict[Type, str] = {
    "int": "N", "float": "X", "bool": "true | false", "str": "NAME", "names": "NAME,NAME,...", "map": "JSON",
    "quantizer": "QUANTIZER",
    "any": "VALUE",
}  # fmt: skip

Emphasis = Callable[[str], str]
"""Makes a heading stand out, where the text is shown on something that can."""


def answer(names: Sequence[str]) -> int:
    """Write the listing, or what there is to know of the backends called `names`; return the exit code."""
    unknown = [unknown_backend(name) for name in names if backend(name) is None]
    for problem in unknown:
        write_diagnostic(Diagnostic(problem.code, problem.message, help=problem.help), sys.stderr)
    if unknown:
        return WRONG
    width = shutil.get_terminal_size().columns
    strong = _bold if colours(sys.stdout) else str
    asked = dict.fromkeys(found for name in names if (found := backend(name)) is not None)
    texts = [documentation(each, width, strong) for each in asked] or [listing(width, strong)]
    sys.stdout.write("\n\n".join(texts))
    return DONE


def listing(width: int, strong: Emphasis = str) -> str:
    """Return one entry for each backend, in lines of at most `width` columns."""
    width = max(NARROWEST, min(width, WIDEST))
    entries = {_called(each): _in_short(each) for each in backends()}
    entries |= {name: f"can't be used: {reason}" for name, reason in unusable_backends().items()}
    indent = max(map(len, entries)) + 4
    lines = []
    for called, text in entries.items():
        first, *rest = _wrapped(text, width, " " * indent)
        lines += [f"  {strong(called)}{first[2 + len(called) :]}", *rest]
    names = " ".join(each.name for each in backends())
    return "\n".join(
        ["quantization backends:", "", *lines, "", f"documented by: aquatint --quantizer-help {names}", ""]
    )


def documentation(of: Backend, width: int, strong: Emphasis = str) -> str:
    """Return what there is to know of `of` and of each of its options, in lines of at most `width` columns."""
    width = max(NARROWEST, min(width, WIDEST))
    there = "installed" if is_installed(of.package) else f"not installed: {of.install}"
    lines = [
        strong(_called(of)),
        *_wrapped(of.help, width, "    "),
        "",
        f"    package {of.distribution}, {there}",
        "",
        *_wrapped(
            f"Options of a URI, as in `{_example(of)}`. A block of a script has `: ` for `=`; `_` and `-` are the same "
            "in both.",
            width,
            "",
        ),
    ]
    listed: dict[tuple[Any, ...], str] = {}
    for setting in of.schema.settings:
        lines += ["", *_option(of, setting, listed, width, strong)]
    return "\n".join(lines) + "\n"


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m"


def _called(of: Backend) -> str:
    return ", also ".join([of.name, *of.aliases])


def _in_short(of: Backend) -> str:
    first = re.split(r"(?<=\.) ", of.help, maxsplit=1)[0]
    return first if is_installed(of.package) else f"{first} Not installed: {of.install}"


def _example(of: Backend) -> str:
    """Return a URI with the first option that there is a value to show for."""
    for setting in of.schema.settings:
        value = setting.default if setting.default is not None else next(iter(setting.choices), None)
        if value is not None:
            return f"{of.name};{_spelt(setting.name)}={_value(value)}"
    return of.name


def _option(
    of: Backend, setting: Setting, listed: dict[tuple[Any, ...], str], width: int, strong: Emphasis
) -> Iterator[str]:
    """Yield the lines about one option; `listed` has the option under which a long list of choices stands already."""
    choices, second_names, refused = _choices(of, setting)
    values, before = _values(setting, choices), listed.get(setting.choices)
    if len(choices) > FEW:
        values = _WORDS[setting.type] if before is None else f"a value of {_spelt(before)}"
    name = _spelt(setting.name)
    first, *rest = _wrapped(f"{name}={values}", width, "  ", "      ")
    yield f"  {strong(name)}{first[2 + len(name) :]}"
    yield from rest
    notes = [f"default {_value(setting.default)}"]
    if setting.aliases:
        notes.append("also " + ", ".join(map(_spelt, setting.aliases)))
    yield from _wrapped("; ".join(notes), width, "      ")
    yield from _wrapped(setting.help, width, "      ")
    for constraint in of.constraints:
        if setting.name in constraint.settings:
            yield from _wrapped(_needs(of, constraint), width, "      ")
    for note in NOTES:
        if (note.backend, note.setting) == (of.name, setting.name):
            yield from _wrapped(_hardware(note), width, "      ")
    if len(choices) > FEW and before is None:
        listed[setting.choices] = setting.name
        yield from _wrapped(f"Names: {', '.join(choices)}.", width, "      ")
        if second_names:
            yield from _wrapped(f"Second names: {', '.join(second_names)}.", width, "      ")
    if refused and before is None:
        yield from _wrapped(f"Refused, since the library gets them wrong: {', '.join(refused)}.", width, "      ")


def _choices(of: Backend, setting: Setting) -> tuple[list[str], list[str], list[str]]:
    """Return the values that an option chooses from, each under one name, their second names, and those refused."""
    choices, second_names, refused = [], [], []
    for choice in setting.choices:
        settled = of.settled(setting, choice)
        if any(of.problems_of_value(setting, setting.name, choice)):
            refused.append(_value(choice))
        elif settled != choice:
            second_names.append(f"{_value(choice)} ({_value(settled)})")
        else:
            choices.append(_value(choice))
    return choices, second_names, refused


def _values(setting: Setting, choices: list[str]) -> str:
    if choices:
        return " | ".join(choices)
    return _WORDS[setting.type] + (_bounds(setting) if setting.type in ("int", "float") else "")


def _bounds(setting: Setting) -> str:
    low = "" if setting.minimum is None else f" from {setting.minimum:g}"
    if setting.above is not None:
        low = f" above {setting.above:g}"
    return low + ("" if setting.maximum is None else f" up to {setting.maximum:g}")


def _needs(of: Backend, constraint: Constraint) -> str:
    needs = [_need(of, name, allowed) for name, allowed in constraint.needs]
    if constraint.help is not None and None in needs:
        names = " or ".join(_spelt(name) for (name, _), need in zip(constraint.needs, needs, strict=True) if not need)
        return f"With some values of {names} it {constraint.consequence}: {constraint.help}."
    told = [need or f"a {_spelt(name)} of its kind" for (name, _), need in zip(constraint.needs, needs, strict=True)]
    told += [f"a {_spelt(name)} that brings it" for name in constraint.unless]
    return f"Needs {' or '.join(told)}; otherwise it {constraint.consequence}."


def _need(of: Backend, name: str, allowed: tuple[Any, ...]) -> str | None:
    """Return what an option needs of another, or None if that takes too many words."""
    setting = of.schema.find(name)
    if setting is not None:
        # What is refused helps nobody.
        allowed = tuple(value for value in allowed if not any(of.problems_of_value(setting, name, value)))
    if len(allowed) == 1:
        return f"{_spelt(name)}={_value(allowed[0])}"
    others = [] if setting is None else _others(of, setting, allowed)
    if others and len(others) < len(allowed) and len(others) <= FEW:
        return f"another {_spelt(name)} than {', '.join(others)}"
    return f"{_spelt(name)} to be one of {', '.join(map(_value, allowed))}" if len(allowed) <= FEW else None


def _others(of: Backend, setting: Setting, allowed: Iterable[Any]) -> list[str]:
    """Return the choices of an option that are not among `allowed`, each under one name, without the refused."""
    sound = (choice for choice in setting.choices if not any(of.problems_of_value(setting, setting.name, choice)))
    settled = dict.fromkeys(of.settled(setting, choice) for choice in sound)
    return [_value(choice) for choice in settled if choice not in allowed]


def _hardware(note: Note) -> str:
    refused = "can't be used, since " if note.severity == "error" else ""
    return f"On {', '.join(note.devices)} with {', '.join(map(_value, note.values))}: {refused}{note.text}."


def _spelt(name: str) -> str:
    return name.replace("_", "-")


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value) or '""'


def _wrapped(text: str, width: int, indent: str, later: str | None = None) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent if later is None else later,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
