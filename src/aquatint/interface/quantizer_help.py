"""What `--quantizer-help` tells of the quantization backends: which there are, and each with all its options.

Everything in it comes from the backends' records, so that other packages' are told of like this program's own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
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
from aquatint.catalog.settings import Setting
from aquatint.diagnostics import Diagnostic
from aquatint.interface.exits import DONE, WRONG
from aquatint.interface.option_help import (
    FEW,
    NARROWEST,
    WIDEST,
    WORDS,
    Emphasis,
    entries_text,
    explanation,
    heading,
    spelt,
    value_text,
    values_text,
    wrapped,
    write,
)
from aquatint.interface.report import write_diagnostic


def answer(names: Sequence[str]) -> int:
    """Write the listing, or what there is to know of the backends called `names`; return the exit code."""
    unknown = [unknown_backend(name) for name in names if backend(name) is None]
    for problem in unknown:
        write_diagnostic(Diagnostic(problem.code, problem.message, help=problem.help), sys.stderr)
    if unknown:
        return WRONG
    asked = dict.fromkeys(found for name in names if (found := backend(name)) is not None)
    write(asked, documentation, listing)
    return DONE


def listing(width: int, strong: Emphasis = str) -> str:
    """Return one entry for each backend, in lines of at most `width` columns."""
    entries = {_called(each): _in_short(each) for each in backends()}
    entries |= {name: f"can't be used: {reason}" for name, reason in unusable_backends().items()}
    names = " ".join(each.name for each in backends())
    by = f"aquatint --quantizer-help {names}"
    return entries_text("quantization backends:", entries, by, width, strong)


def documentation(of: Backend, width: int, strong: Emphasis = str) -> str:
    """Return what there is to know of `of` and of each of its options, in lines of at most `width` columns."""
    width = max(NARROWEST, min(width, WIDEST))
    there = "installed" if is_installed(of.package) else f"not installed: {of.install}"
    lines = [
        strong(_called(of)),
        *wrapped(of.help, width, "    "),
        "",
        f"    package {of.distribution}, {there}",
        "",
        *explanation(of.name, of.schema, width),
    ]
    listed: dict[tuple[Any, ...], str] = {}
    for setting in of.schema.settings:
        lines += ["", *_option(of, setting, listed, width, strong)]
    return "\n".join(lines) + "\n"


def _called(of: Backend) -> str:
    return ", also ".join([of.name, *of.aliases])


def _in_short(of: Backend) -> str:
    first = re.split(r"(?<=\.) ", of.help, maxsplit=1)[0]
    return first if is_installed(of.package) else f"{first} Not installed: {of.install}"


def _option(
    of: Backend, setting: Setting, listed: dict[tuple[Any, ...], str], width: int, strong: Emphasis
) -> Iterator[str]:
    """Yield the lines about one option; `listed` has the option under which a long list of choices stands already."""
    choices, second_names, refused = _choices(of, setting)
    values, before = values_text(setting, choices), listed.get(setting.choices)
    if len(choices) > FEW:
        values = WORDS[setting.type] if before is None else f"a value of {spelt(before)}"
    yield from heading(setting, values, width, strong)
    for constraint in of.constraints:
        if setting.name in constraint.settings:
            yield from wrapped(_needs(of, constraint), width, "      ")
    for note in NOTES:
        if (note.backend, note.setting) == (of.name, setting.name):
            yield from wrapped(_hardware(note), width, "      ")
    if len(choices) > FEW and before is None:
        listed[setting.choices] = setting.name
        yield from wrapped(f"Names: {', '.join(choices)}.", width, "      ")
        if second_names:
            yield from wrapped(f"Second names: {', '.join(second_names)}.", width, "      ")
    if refused and before is None:
        yield from wrapped(f"Refused, since the library gets them wrong: {', '.join(refused)}.", width, "      ")


def _choices(of: Backend, setting: Setting) -> tuple[list[str], list[str], list[str]]:
    """Return the values that an option chooses from, each under one name, their second names, and those refused."""
    choices, second_names, refused = [], [], []
    for choice in setting.choices:
        settled = of.settled(setting, choice)
        if any(of.problems_of_value(setting, setting.name, choice)):
            refused.append(value_text(choice))
        elif settled != choice:
            second_names.append(f"{value_text(choice)} ({value_text(settled)})")
        else:
            choices.append(value_text(choice))
    return choices, second_names, refused


def _needs(of: Backend, constraint: Constraint) -> str:
    needs = [_need(of, name, allowed) for name, allowed in constraint.needs]
    if constraint.help is not None and None in needs:
        names = " or ".join(spelt(name) for (name, _), need in zip(constraint.needs, needs, strict=True) if not need)
        return f"With some values of {names} it {constraint.consequence}: {constraint.help}."
    told = [need or f"a {spelt(name)} of its kind" for (name, _), need in zip(constraint.needs, needs, strict=True)]
    told += [f"a {spelt(name)} that brings it" for name in constraint.unless]
    return f"Needs {' or '.join(told)}; otherwise it {constraint.consequence}."


def _need(of: Backend, name: str, allowed: tuple[Any, ...]) -> str | None:
    """Return what an option needs of another, or None if that takes too many words."""
    setting = of.schema.find(name)
    if setting is not None:
        # What is refused helps nobody.
        allowed = tuple(value for value in allowed if not any(of.problems_of_value(setting, name, value)))
    if len(allowed) == 1:
        return f"{spelt(name)}={value_text(allowed[0])}"
    others = [] if setting is None else _others(of, setting, allowed)
    if others and len(others) < len(allowed) and len(others) <= FEW:
        return f"another {spelt(name)} than {', '.join(others)}"
    return f"{spelt(name)} to be one of {', '.join(map(value_text, allowed))}" if len(allowed) <= FEW else None


def _others(of: Backend, setting: Setting, allowed: Iterable[Any]) -> list[str]:
    """Return the choices of an option that are not among `allowed`, each under one name, without the refused."""
    sound = (choice for choice in setting.choices if not any(of.problems_of_value(setting, setting.name, choice)))
    settled = dict.fromkeys(of.settled(setting, choice) for choice in sound)
    return [value_text(choice) for choice in settled if choice not in allowed]


def _hardware(note: Note) -> str:
    refused = "can't be used, since " if note.severity == "error" else ""
    return f"On {', '.join(note.devices)} with {', '.join(map(value_text, note.values))}: {refused}{note.text}."
