"""The tokens and the syntax tree of a script as text and as data, for people who work on the language.

Writes what is there and judges nothing; the same script gives the same lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from aquatint.source import Span
from aquatint.syntax import nodes as n
from aquatint.syntax.tokens import Tok


def tokens_text(tokens: Iterable[Tok]) -> str:
    """Return a line for each token as the parser is fed it: its place, its type, and its text in quotes."""
    rows = [(_places(token.span), token.type, _quoted(token.text)) for token in tokens]
    places = max((len(place) for place, _, _ in rows), default=0)
    types = max((len(kind) for _, kind, _ in rows), default=0)
    return "".join(f"{place:<{places}}  {kind:<{types}}  {text}\n" for place, kind, text in rows)


def tokens_data(tokens: Iterable[Tok]) -> list[dict[str, Any]]:
    """Return the tokens as JSON would hold them."""
    return [{"type": token.type, "text": token.text, **_span_data(token.span)} for token in tokens]


def tree_text(statements: tuple[n.Statement, ...]) -> str:
    """Return the tree as indented text: a node's class, place and plain fields on a line, its nodes below it."""
    lines: list[str] = []
    # Not by recursion: a long chain of operators is a deep tree.
    waiting: list[tuple[int, Any]] = [(0, statements)]
    while waiting:
        depth, item = waiting.pop()
        if isinstance(item, str):
            lines.append("  " * depth + item)
        elif isinstance(item, tuple):
            waiting += [(depth, inner) for inner in reversed(item)]
        else:
            words, below = _fields(item)
            lines.append("  " * depth + " ".join([type(item).__name__, _places(item.span), *words]))
            for name, value in reversed(below):
                waiting += [(depth + 2, value), (depth + 1, f"{name}:")]
    return "".join(line + "\n" for line in lines)


def tree_data(value: Any) -> Any:
    """Return a node, or a tuple of them, as JSON would hold it; lines and columns count from 1."""
    if isinstance(value, tuple):
        return [tree_data(item) for item in value]
    if not isinstance(value, n.Node):
        return value
    fields = {name: tree_data(getattr(value, name)) for name in value.__struct_fields__ if name != "span"}
    return {"node": type(value).__name__, **_span_data(value.span), **fields}


def _fields(node: n.Node) -> tuple[list[str], list[tuple[str, Any]]]:
    """Return the fields of `node` that go on its own line, and those that are nodes."""
    words: list[str] = []
    below: list[tuple[str, Any]] = []
    for name in node.__struct_fields__:
        value = getattr(node, name)
        if name == "span" or (value is None and not isinstance(node, n.Literal)) or value == ():
            continue
        items = value if isinstance(value, tuple) else (value,)
        if all(isinstance(item, n.Word) for item in items):
            words.append(f"{name}={','.join(item.text for item in items)}")
        elif isinstance(value, n.Node | tuple):
            below.append((name, value))
        else:
            words.append(f"{name}={'none' if value is None else _quoted(value)}")
    return words, below


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _places(span: Span) -> str:
    return "-".join(f"{line}:{column}" for line, column in map(span.source.position, (span.start, span.end)))


def _span_data(span: Span) -> dict[str, list[int]]:
    return {"start": list(span.source.position(span.start)), "end": list(span.source.position(span.end))}
