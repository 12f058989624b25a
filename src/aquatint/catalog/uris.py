"""The one-line form that settings have in a string: `NAME;option=value;option=value`.

`-` and `_` are the same in names of options. A value is read by its setting's type: `true` or `false`, a number, a
word, `none`; a list is `a,b` and a map is JSON. A value with a `;` in it, such as another URI, stands in quotes,
`'...'` or `"..."`; inside, `\\` goes before a quote or another `\\`. What the name in front means, and which options
there are, is said elsewhere: `quantizer_uri`, `schedulers` and `prompt_plugins`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aquatint.catalog.settings import Schema, Setting


class UriError(Exception):
    """A text is no URI; `offset` and `length` point at the part of it that is wrong."""

    def __init__(
        self, message: str, offset: int, length: int, help: str | None = None, code: str = "malformed-uri"
    ) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.length = length
        self.help = help
        self.code = code


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a URI by the settings' own names, with every mistake in them.

    One that the schema lacks keeps its name and its text. `unclear` are the names of those that couldn't be read, and
    `places` says where each stands: offset and length of `name=value`; `value_places` those of the value with its
    quotes.
    """

    values: dict[str, Any] = field(default_factory=dict)
    unclear: tuple[str, ...] = ()
    errors: tuple[UriError, ...] = ()
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    value_places: dict[str, tuple[int, int]] = field(default_factory=dict)


def parts(text: str) -> list[tuple[int, str]]:
    """Return what is between those `;` of `text` that are outside quotes, without spaces around it, and its offset."""
    found, start = [], 0
    for end in [*_separators(text), len(text)]:
        part = text[start:end]
        found.append((start + len(part) - len(part.lstrip()), part.strip()))
        start = end + 1
    return found


def unquoted(text: str, offset: int) -> str:
    """Return what a value stands for that begins with a quote. Raises `UriError`; `text` stands at `offset`."""
    end = closing_quote(text, 0)
    if end >= len(text):
        raise UriError("this quote is never closed", offset, 1, f"add `{text[0]}`")
    if end < len(text) - 1:
        help = "a `;` begins the next setting; a quote inside quotes is written with a `\\` before it"
        raise UriError("there is text behind the closing quote", offset + end + 1, len(text) - end - 1, help)
    made, index = "", 1
    while index < end:
        # Any other `\` is itself: folders of Windows have them.
        index += text[index] == "\\" and text[index + 1] in ("\\", text[0])
        made += text[index]
        index += 1
    return made


def closing_quote(text: str, opening: int) -> int:
    """Return where the quote that opens at `opening` is closed, or the end of `text`."""
    index = opening + 1
    while index < len(text) and text[index] != text[opening]:
        index += 2 if text[index] == "\\" else 1
    return min(index, len(text))


def _separators(text: str) -> Iterator[int]:
    """Yield where the `;` outside quotes are. A quote opens only where a value begins: names may hold one."""
    index, may_open = 0, True
    while index < len(text):
        character = text[index]
        if character in "\"'" and may_open:
            index = closing_quote(text, index)
        elif character == ";":
            yield index
        may_open = character in ";=" or (may_open and character.isspace())
        index += 1


def read_options(given: Iterable[tuple[int, str]], schema: Schema) -> Options:
    """Return what `given`, the parts after the name, say.

    A mistake is a part that is no `name=value`, a value of another type than its setting's, and an option that is given
    twice.
    """
    written_parts = list(given)
    options: dict[str, Any] = {}
    unclear: dict[str, None] = {}
    errors: list[UriError] = []
    places: dict[str, tuple[int, int]] = {}
    value_places: dict[str, tuple[int, int]] = {}
    for number, (offset, part) in enumerate(written_parts, start=1):
        if not part:
            if number < len(written_parts):
                errors.append(UriError("there is nothing between two `;`", offset, 1))
            continue
        written, equals, value = part.partition("=")
        setting = schema.find(written.strip())
        name = written.strip().replace("-", "_") if setting is None else setting.name
        start = offset + len(written) + 1 + len(value) - len(value.lstrip())
        try:
            if not equals or not written.strip():
                raise UriError(f"`{part}` is not of the form `name=value`", offset, len(part))
            if name in options or name in unclear:
                raise UriError(f"`{name}` is given twice", offset, len(part))
            options[name] = value.strip() if setting is None else _value(setting, value.strip(), start)
        except UriError as error:
            errors.append(error)
            if setting is not None:
                unclear[name] = None
        places[name] = offset, len(part)
        value_places[name] = (start, max(1, len(value.strip()))) if equals else places[name]
    sure = {name: value for name, value in options.items() if name not in unclear}
    return Options(sure, tuple(unclear), tuple(errors), places, value_places)


def text_of(setting: Setting, value: Any) -> str:
    """Return `value` as a URI has it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    match setting.type:
        case "names":
            names = [value] if isinstance(value, str) else list(value)
            plain = names and all(name and name == name.strip() and not set(name) & set(",;[\"'") for name in names)
            return ",".join(names) if plain and names != ["none"] else _json(names)
        case "map":
            return _json(value)
        case "str" if set(text := str(value)) & set(";\"'") or text != text.strip() or text == "none":
            return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case _:
            return str(value)


def _value(setting: Setting, text: str, offset: int) -> Any:
    if text == "none":
        return None
    if text[:1] in ("'", '"'):
        text, offset = unquoted(text, offset), offset + 1
    try:
        match setting.type:
            case "bool":
                return {"true": True, "false": False}[text]
            case "int":
                return int(text)
            case "float":
                return float(text)
            case "names":
                return json.loads(text) if text.startswith("[") else [item.strip() for item in text.split(",") if item]
            case "map":
                return json.loads(text)
            case "str" | "quantizer" | "any":
                return text
    except (ValueError, KeyError):
        message = setting.problem(text) or f"`{setting.name}` can't be `{text}`"
        raise UriError(message, offset, max(1, len(text)), code="wrong-type") from None


def _json(value: Any) -> str:
    # `;` separates options, so it may not stand in a value.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace(";", "\\u003b")
