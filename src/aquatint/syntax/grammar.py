"""The grammar file, found, and its lexer and parser, made once.

Holds no tree and no text; `layout` reads the lexer's tokens, `parser` feeds the parser.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import lark
from lark.lexer import Token

from aquatint.syntax.build import Build

TABLE = Path(__file__).with_name("grammar.table")
"""What Lark makes of the grammar, ready to be read: that takes a tenth of a second less than making it."""


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
def keywords() -> tuple[str, ...]:
    """Return the words that are keywords, in the grammar's order."""
    return tuple(re.findall(r'^[A-Z]+: "([a-z]+)"$', grammar_text(), re.MULTILINE))


@cache
def language() -> lark.Lark:
    """Return the lexer and parser, whose rules make nodes."""
    text = grammar_text()
    mark = _mark(text)
    body = TABLE.read_bytes() if TABLE.is_file() else b""
    if body.startswith(mark):
        made: lark.Lark = lark.Lark.__new__(lark.Lark)._load(
            io.BytesIO(body[len(mark) :]), transformer=Build(), postlex=_KeepAll()
        )
        return made
    return _made(text)


@cache
def _lexer() -> tuple[re.Pattern[str], dict[str, str], frozenset[str]]:
    """Return the expression that matches any terminal, the kinds of the texts that it has no kind for, and what is
    left out.
    """
    made = language()
    patterns = {terminal.name: terminal.pattern.to_regexp() for terminal in made.terminals}
    texts = {terminal.pattern.value: terminal.name for terminal in made.terminals if terminal.pattern.type == "str"}
    marks = [text for text in texts if len(text) == 1 and not any(o.startswith(text) for o in texts.keys() - {text})]
    # The expression is tried from left to right, so what is frequent comes first, if nothing else begins as it does.
    first = {"NAME": patterns["NAME"], "MARK": "[" + re.escape("".join(marks)) + "]"}
    first |= {name: patterns[name] for name in made.lexer_conf.ignore}
    others = {}
    # As Lark orders them: it has the grammar say what comes first where two could match.
    for terminal in sorted(made.terminals, key=lambda t: (-t.priority, -t.pattern.max_width, -len(t.pattern.value))):
        is_word = terminal.pattern.type == "str" and re.fullmatch(patterns["NAME"], terminal.pattern.value)
        if terminal.name not in first and not is_word:
            others[terminal.name] = patterns[terminal.name]
    expression = "|".join(f"(?P<{name}>{pattern})" for name, pattern in (first | others).items())
    return re.compile(expression), texts, frozenset(made.lexer_conf.ignore)


def lex(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the kind, start and end of each token of `text`: those of Lark's own lexer, in a fraction of its time."""
    expression, texts, ignored = _lexer()
    for found in expression.finditer(text):
        kind = found.lastgroup or ""
        if kind in ignored:
            continue
        start, end = found.span()
        yield (texts.get(found[0], kind) if kind in ("NAME", "MARK") else kind), start, end


def table() -> bytes:
    """Return what belongs into `TABLE`: a mark of the grammar and of Lark's version, and Lark's own serialization."""
    text = grammar_text()
    body = io.BytesIO()
    _made(text).save(body)
    return _mark(text) + body.getvalue()


def _made(text: str) -> lark.Lark:
    # `basic`, because the contextual lexer reads `letx = 3` as `let x = 3`, even with strict=True.
    return lark.Lark(
        text, parser="lalr", lexer="basic", start="statement", postlex=_KeepAll(), transformer=Build(),
        maybe_placeholders=True,
    )  # fmt: skip


def _mark(text: str) -> bytes:
    return hashlib.sha256(f"{lark.__version__}\n{text}".encode()).digest()
