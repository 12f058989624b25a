"""The grammar file, found and built once.

Holds no tree and no text; `layout` reads the lexer's tokens, `parser` feeds the parser.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import lark
from lark.lexer import Token

from aquatint.syntax.build import Build


class _KeepAll:
    """Tells Lark to keep the terminals that only the layout pass reads."""

    always_accept = (
        "NEWLINE", "SEMICOLON", "COMMENT", "OPEN_LONG_STRING", "OPEN_STRING", "OPEN_RAW_STRING", "STRAY",
    )  # fmt: skip

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        return stream


def grammar_text() -> str:
    """Return the grammar: in an installed package it lies inside, in a checkout at the top of the tree."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "grammar" / "aquatint.lark"
    file = inside if inside.is_file() else package.parent.parent / "grammar" / "aquatint.lark"
    return file.read_text(encoding="utf-8")


@cache
def language() -> lark.Lark:
    """Return the lexer and parser, whose rules make nodes."""
    # `basic`, because the contextual lexer reads `letx = 3` as `let x = 3`, even with strict=True.
    return lark.Lark(
        grammar_text(), parser="lalr", lexer="basic", start="statement", postlex=_KeepAll(), transformer=Build(),
        maybe_placeholders=True,
    )  # fmt: skip
