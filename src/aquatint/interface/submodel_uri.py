"""The one-line form of a submodule, or of an adapter, on the command line: `SOURCE;subfolder=unet;dtype=float16`.

A source, then `;name=value` for each setting of its block. A value with a `;` in it stands in quotes, `'...'`
or `"..."`, as `catalog.uris` reads it. Whether the values fit is the language's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aquatint.catalog.models import PART
from aquatint.catalog.quantizer_backends import backend
from aquatint.catalog.settings import Schema
from aquatint.catalog.uris import UriError, parts, unquoted
from aquatint.diagnostics import Diagnostics, did_you_mean
from aquatint.source import Source, Span

OWN = "+"
"""The source that stands for the submodule that the model has anyway."""
ABSENT = ("none", "null")
"""What stands for nothing: a submodule that is left out, a setting that isn't made."""

AUTO = ("dtype", "auto")
"""The data type of a submodule that is the model's."""


def names(schema: Schema) -> tuple[str, ...]:
    """Return the names that a URI takes behind its source; a map has no form there."""
    return tuple(each.name for each in schema.settings if each.name != "source" and each.type != "map")


@dataclass(frozen=True, slots=True)
class Submodule:
    """A submodule, or an adapter, as the command line describes it. `source` is None for the model's own."""

    source: str | None
    settings: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class _Piece:
    """What stands between two `;`: its text as it is written, and where that begins in the URI."""

    text: str
    start: int


def parse_submodule(
    option: str, uri: str, diagnostics: Diagnostics, schema: Schema = PART
) -> Submodule | None:  # fmt: skip
    """Return what `uri`, given to `option`, describes, or None for `none` and `null`: the submodule is to be left out.

    `schema` has the settings that it can have.

    Reports every mistake, placed in the URI; what is wrong is not in the result.
    """
    given = Source(option, uri)
    first, *rest = (_Piece(text, start) for start, text in parts(uri))
    if not rest and first.text in ABSENT:
        return None
    source = _value(first, given, diagnostics)
    if source == "":
        help = f"write `{OWN}` for the one that the model has" if rest else "name a folder or a hub id"
        diagnostics.error("malformed-uri", f"`{option}` has no source", Span(given, 0, len(uri)), help=help)
    settings: dict[str, str | None] = {}
    last_quantizer = ""
    for piece in rest:
        written, equals, _ = piece.text.partition("=")
        known = schema.find(written.strip())
        name_span = Span(given, piece.start, piece.start + max(1, len(written.rstrip())))
        if not piece.text:
            if piece is not rest[-1]:
                diagnostics.error("malformed-uri", "there is nothing between two `;`", name_span, help="take one out")
        elif not equals or not written.strip():
            whole = Span(given, piece.start, piece.start + len(piece.text))
            diagnostics.error("malformed-uri", f"`{piece.text}` is not of the form `name=value`", whole)
        elif known is None or known.name not in names(schema):
            help = _instead(written.strip(), piece.text, last_quantizer, source, schema)
            diagnostics.error("unknown-setting", f"`{option}` has no setting `{written.strip()}`", name_span, help=help)
        elif known.name in settings:
            diagnostics.error("duplicate-setting", f"`{known.name}` is given twice", name_span, help="take one out")
        else:
            behind = piece.text[len(written) + 1 :]
            start = piece.start + len(piece.text) - len(behind.lstrip())
            value = _value(_Piece(behind.strip(), start), given, diagnostics)
            if value == "":
                help = f"write `{written.strip()}=...`, or leave it out"
                diagnostics.error("malformed-uri", f"`{known.name}` has no value", name_span, help=help)
            if value:
                settings[known.name] = None if value in ABSENT or (known.name, value) == AUTO else value
            last_quantizer = behind.strip() if known.name == "quantizer" and value else ""
    return Submodule(source if source and source != OWN else None, settings)


def _value(piece: _Piece, given: Source, diagnostics: Diagnostics) -> str | None:
    """Return what the text of a value stands for, or None after reporting its quotes."""
    if piece.text[:1] not in ("'", '"'):
        return piece.text
    try:
        return unquoted(piece.text, piece.start)
    except UriError as error:
        span = Span(given, error.offset, error.offset + error.length)
        diagnostics.error("malformed-uri", error.message, span, help=error.help)
        return None


def _instead(name: str, piece: str, last_quantizer: str, source: str | None, schema: Schema) -> str:
    """Return what to do about the unknown setting `name`."""
    found = backend(last_quantizer.partition(";")[0])
    if found is not None and found.schema.find(name) is not None:
        # A shell takes the outer quotes off; then the quantizer's own options look like the submodule's.
        return f'put the whole quantizer in quotes: `quantizer="{last_quantizer};{piece}"`'
    if name in ("model", "source"):
        return f"the source comes first and has no name: `{piece.partition('=')[2]};...`" + (
            f"; the class `{source}` is read from the checkpoint" if source else ""
        )
    return did_you_mean(name, names(schema), "settings")
