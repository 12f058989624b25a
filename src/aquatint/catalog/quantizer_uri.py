"""The one-line form of a quantizer: `bnb;bits=4;bits4-quant-type=nf4`.

A backend's name, then `;name=value` for each option, as `uris` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aquatint.catalog.backend import Backend
from aquatint.catalog.quantizer_backends import backend, backend_names, unknown_backend
from aquatint.catalog.settings import Setting
from aquatint.catalog.uris import UriError, parts, read_options, text_of


@dataclass(frozen=True, slots=True)
class UriReading:
    """What a text gives as a quantizer's URI, and every mistake in that.

    `backend` is its own name, None if there is none of the name given; `options` are those that could be read, by the
    settings' own names, and `unclear` the names of those that couldn't. `places` has offset and
    length of each.
    """

    backend: str | None
    options: Mapping[str, Any]
    unclear: tuple[str, ...]
    errors: tuple[UriError, ...]
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)


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
    (offset, head), *given = parts(text)
    found = backend(head)
    if found is None:
        return UriReading(None, {}, (), (_no_backend(text, offset, head),))
    read = read_options(given, found.schema)
    return UriReading(found.name, read.values, read.unclear, read.errors, read.places)


def _no_backend(text: str, offset: int, head: str) -> UriError:
    if not head:
        return UriError("a quantizer's URI starts with a backend", offset, max(1, len(text)), _backends())
    wrong = unknown_backend(head)
    return UriError(wrong.message, offset, len(head), wrong.help, wrong.code)


def format_uri(backend_name: str, options: Mapping[str, Any]) -> str:
    """Return the shortest URI for `options`, which must have no problems: those that differ from their defaults."""
    found = backend(backend_name)
    if found is None:
        raise KeyError(backend_name)
    given = {setting.name: value for name, value in options.items() if (setting := found.schema.find(name)) is not None}
    told = [found.name]
    for setting in found.schema.settings:
        if setting.name in given and not _is_default(found, setting, given[setting.name]):
            told.append(f"{setting.name.replace('_', '-')}={text_of(setting, given[setting.name])}")
    return ";".join(told)


def _backends() -> str:
    return "backends: " + ", ".join(f"`{name}`" for name in backend_names())


def _is_default(found: Backend, setting: Setting, value: Any) -> bool:
    unset = found.empty_is_unset and setting.default is None and value in ([], (), {})
    return bool(value == setting.default or unset)
