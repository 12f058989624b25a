"""A1111's form of how a picture was made, read as leniently as it is written by many programs.

The form has three parts: the prompt, `Negative prompt: ...`, and a line of `Name: value` pairs. What the pairs mean is
left to whoever needs them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# Names and quoted values have a length, so that a text made to that end takes no time to search.
_FIELD = re.compile(r'\s*(\w[\w \-/]{0,60}?):\s*("(?:\\.|[^\\"]){0,5000}"|[^,]*)(?:,|$)')
_NEGATIVE = "Negative prompt:"
# Fewer pairs than that make no line of them: a prompt may have a colon, too.
_PAIRS = 3
_FIRST = "Steps:"
LENGTH_LIMIT = 200_000
"""Characters that are read: no prompt has more."""

_LINE_LIMIT = 20_000  # characters of the line of pairs


@dataclass(frozen=True, slots=True)
class Infotext:
    """The three parts; `fields` keeps the order and the texts, without quotes."""

    prompt: str
    negative_prompt: str
    fields: Mapping[str, str] = field(default_factory=dict)


def read_infotext(text: str) -> Infotext:
    """Return the parts of `text`. Anything is a prompt, if nothing else."""
    lines = text[:LENGTH_LIMIT].replace("\r\n", "\n").strip().split("\n")
    fields: dict[str, str] = {}
    # The last line that looks like one: some programs write more below it.
    for number in range(len(lines) - 1, -1, -1):
        is_named, is_last = lines[number].lstrip().startswith(_FIRST), number == len(lines) - 1
        pairs = _FIELD.findall(lines[number][:_LINE_LIMIT]) if is_named or is_last else []
        if is_named or len(pairs) >= _PAIRS:
            fields = {name.strip(): _unquoted(value.strip()) for name, value in pairs}
            lines = lines[:number]
            break
    prompts: tuple[list[str], list[str]] = [], []
    is_negative = False
    for line in lines:
        if line.strip().startswith(_NEGATIVE):
            is_negative = True
            line = line.strip().removeprefix(_NEGATIVE)
        prompts[is_negative].append(line.strip())
    return Infotext("\n".join(prompts[0]).strip(), "\n".join(prompts[1]).strip(), fields)


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value
