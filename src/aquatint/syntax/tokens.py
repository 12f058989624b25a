"""A token with its place, as the parser is fed it, and the reading of what is inside string tokens."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

import msgspec

from aquatint.source import Span

ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\", "\n": ""}
BYTE_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
               "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}  # fmt: skip
_ESCAPE = re.compile(r"\\(u\{(?P<code>[0-9A-Fa-f]{1,6})\}|[\s\S])")


class Tok(msgspec.Struct, frozen=True, gc=False):
    """A token; `type` is the terminal's name in the grammar."""

    type: str
    text: str
    span: Span


def byte_count(text: str) -> int:
    """Return the bytes that `text` says, such as `1.5GiB`. Raises `ValueError` if it says none."""
    number = text.rstrip("KMGTkiB")
    unit = text[len(number) :]
    if unit not in BYTE_UNITS or not re.fullmatch(r"\d{1,39}(\.\d{1,39})?", number):
        raise ValueError(f"`{text}` is no number of bytes")
    return int(float(number) * BYTE_UNITS[unit])


def string_value(token: Tok) -> str:
    """Return what a string token stands for: without quotes, with its escapes replaced."""
    match token.type:
        case "RAW_STRING":
            return token.text[1:-1]
        case "LONG_STRING":
            return _unescaped(_dedented(token.text[3:-3]))
        case _:
            return _unescaped(token.text[1:-1])


def bad_escapes(token: Tok) -> Iterator[tuple[Span, str]]:
    """Yield the place and text of each escape in a string token that stands for nothing."""
    for found in _ESCAPE.finditer(token.text):
        if _replacement(found) is None:
            start = token.span.start + found.start()
            yield Span(token.span.source, start, start + len(found[0])), found[0]


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: _replacement(found) or "", text) if "\\" in text else text


def _replacement(found: re.Match[str]) -> str | None:
    code = found["code"]
    if code is None:
        return ESCAPES.get(found[1])
    number = int(code, 16)
    # Surrogates can't be written to any file.
    return chr(number) if number < 0xD800 or 0xE000 <= number < 0x110000 else None


def _dedented(text: str) -> str:
    # The line of the opening quotes, if it is otherwise empty, and the closing quotes' indentation aren't content.
    if text.startswith("\n"):
        text = text[1:]
    elif text.startswith("\r\n"):
        text = text[2:]
    lines = text.split("\n")
    if len(lines) > 1 and not lines[-1].strip():
        indent = lines[-1]
        text = "\n".join(lines[:-1]) + "\n"
        # Short of any other common indentation, the closing quotes set it.
        return textwrap.dedent(text + indent + "|")[:-1]
    return textwrap.dedent(text)
