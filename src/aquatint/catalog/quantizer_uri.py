"""The one-line form of a quantizer: `bnb;bits=4;bits4-quant-type=nf4`.

A backend's name, then `;name=value` for each option. `-` and `_` are the same in names. A value is read by its
setting's type: `true` or `false`, a number, a word, `none`; a list is `a,b` and a map is JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aquatint.catalog.backend import Backend
from aquatint.catalog.quantizer_backends import backend, backend_names, unknown_backend
from aquatint.catalog.settings import Setting


class UriError(Exception):
    """A text is not a quantizer's URI; `offset` and `length` point at the part of it that is wrong."""

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
class UriReading:
    """What a text gives as a quantizer's URI, and every mistake in that.

    `backend` is its own name, None if there is none of the name given; `options` are those that could be read, by the
    settings' own names, and `unclear` the names of those that couldn't.
    """

    backend: str | None
    options: Mapping[str, Any]
    unclear: tuple[str, ...]
    errors: tuple[UriError, ...]


def parse_uri(text: str) -> tuple[str, dict[str, Any]]:
    """Return the backend's own name and the options that `text` gives, by the settings' own names.

    Raise the first `UriError` of what `read_uri` finds.
    """
    read = read_uri(text)
    if read.errors:
        raise read.errors[0]
    assert read.backend is not None
    return read.backend, dict(read.options)


def read_uri(text: str) -> UriReading:
    """Return what `text` gives as a quantizer's URI.

    An option that the backend lacks keeps its name and its text, for `problems` to report. A mistake is a backend that
    does not exist, a part that is no `name=value`, a value of another type than its setting's, and an option that is
    given twice.
    """
    parts = _parts(text)
    offset, head = parts[0]
    found = backend(head)
    if found is None:
        return UriReading(None, {}, (), (_no_backend(text, offset, head),))
    options: dict[str, Any] = {}
    unclear: dict[str, None] = {}
    errors: list[UriError] = []
    for number, (offset, part) in enumerate(parts[1:], start=1):
        if not part:
            if number < len(parts) - 1:
                errors.append(UriError("there is nothing between two `;`", offset, 1))
            continue
        written, equals, value = part.partition("=")
        setting = found.schema.find(written.strip())
        name = written.strip().replace("-", "_") if setting is None else setting.name
        try:
            if not equals or not written.strip():
                raise UriError(f"`{part}` is not of the form `name=value`", offset, len(part))
            if name in options or name in unclear:
                raise UriError(f"`{name}` is given twice", offset, len(part))
            start = offset + len(written) + 1 + len(value) - len(value.lstrip())
            options[name] = value.strip() if setting is None else _value(setting, value.strip(), start)
        except UriError as error:
            errors.append(error)
            if setting is not None:
                unclear[name] = None
    sure = {name: value for name, value in options.items() if name not in unclear}
    return UriReading(found.name, sure, tuple(unclear), tuple(errors))


def _no_backend(text: str, offset: int, head: str) -> UriError:
    if not head:
        return UriError("a quantizer's URI starts with a backend", offset, max(1, len(text)), _backends())
    wrong = unknown_backend(head)
    return UriError(wrong.message, offset, len(head), wrong.help, wrong.code)


def places(text: str) -> dict[str, tuple[int, int]]:
    """Return where each option of a URI stands in `text`: its name as `read_uri` gives it -> offset, length."""
    (_, head), *parts = _parts(text)
    found = backend(head)
    where: dict[str, tuple[int, int]] = {}
    for offset, part in parts:
        written = part.partition("=")[0].strip()
        setting = None if found is None else found.schema.find(written)
        where[written.replace("-", "_") if setting is None else setting.name] = offset, len(part)
    return where


def format_uri(backend_name: str, options: Mapping[str, Any]) -> str:
    """Return the shortest URI for `options`, which must have no problems: those that differ from their defaults."""
    found = backend(backend_name)
    if found is None:
        raise KeyError(backend_name)
    given = {setting.name: value for name, value in options.items() if (setting := found.schema.find(name)) is not None}
    parts = [found.name]
    for setting in found.schema.settings:
        if setting.name in given and not _is_default(found, setting, given[setting.name]):
            parts.append(f"{setting.name.replace('_', '-')}={_text(setting, given[setting.name])}")
    return ";".join(parts)


def _parts(text: str) -> list[tuple[int, str]]:
    parts, offset = [], 0
    for part in text.split(";"):
        parts.append((offset + len(part) - len(part.lstrip()), part.strip()))
        offset += len(part) + 1
    return parts


def _backends() -> str:
    return "backends: " + ", ".join(f"`{name}`" for name in backend_names())


def _value(setting: Setting, text: str, offset: int) -> Any:
    if text == "none":
        return None
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


def _is_default(found: Backend, setting: Setting, value: Any) -> bool:
    unset = found.empty_is_unset and setting.default is None and value in ([], (), {})
    return bool(value == setting.default or unset)


def _text(setting: Setting, value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    match setting.type:
        case "names":
            names = [value] if isinstance(value, str) else list(value)
            plain = names and all(name and name == name.strip() and not set(name) & set(",;[") for name in names)
            return ",".join(names) if plain and names != ["none"] else _json(names)
        case "map":
            return _json(value)
        case _:
            return str(value)


def _json(value: Any) -> str:
    # `;` separates options, so it may not stand in a value.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace(";", "\\u003b")
