"""Nodes from grammar rules: one method per rule of the grammar file, called as the parser reduces it.

Each method takes the rule's children, nodes or `Tok`s, with None for an optional one that isn't there.
"""

from __future__ import annotations

from typing import Any

import lark

from aquatint.source import Span
from aquatint.syntax import nodes as n
from aquatint.syntax.tokens import Tok, bad_escapes, byte_count, string_value

Children = list[Any]


class Build(lark.Transformer[Tok, Any]):
    """The rules' callbacks. Stateless: places come with the tokens."""

    # Statements

    def statement(self, c: Children) -> Any:
        return c[0]

    def let(self, c: Children) -> n.Let:
        return n.Let(_span(c), tuple(c[1:-1]), c[-1])

    def param(self, c: Children) -> n.Param:
        _, name, type, default = c
        return n.Param(_span(c), name, type, default)

    def type(self, c: Children) -> n.TypeName:
        return n.TypeName(_span(c), c[0].text, c[1])

    def declare(self, c: Children) -> n.Declare:
        noun, name, _extends, base, block = c if len(c) == 5 else (c[0], c[1], None, None, c[-1])
        return n.Declare(_span(c), noun, name, base, block)

    def derive(self, c: Children) -> n.Derive:
        return n.Derive(_span(c), *c)

    def noun(self, c: Children) -> n.Word:
        return n.Word(c[0].span, c[0].text)

    def override(self, c: Children) -> n.Override:
        return n.Override(_span(c), c[1] if isinstance(c[1], n.Word) else None, c[2])

    def loop(self, c: Children) -> n.Loop:
        return n.Loop(_span(c), tuple(c[1:-1]), c[-1])

    def clause(self, c: Children) -> n.Clause:
        return n.Clause(_span(c), tuple(x for x in c[:-1] if isinstance(x, n.Word)), c[-1])

    member_of = clause

    def branch(self, c: Children) -> n.Branch:
        parts = [x for x in c if x is not None and not isinstance(x, Tok)]
        cases = tuple((parts[i], parts[i + 1]) for i in range(0, len(parts) - 1, 2))
        return n.Branch(_span(c), cases, parts[-1] if len(parts) % 2 else None)

    def show(self, c: Children) -> n.Show:
        return n.Show(_span(c), tuple(c[1:]))

    def claim(self, c: Children) -> n.Claim:
        return n.Claim(_span(c), c[1], c[2])

    def function(self, c: Children) -> n.Function:
        return n.Function(_span(c), c[1], c[2] or (), c[3])

    def procedure(self, c: Children) -> n.Procedure:
        return n.Procedure(_span(c), c[1], c[2] or (), c[3])

    def parameters(self, c: Children) -> tuple[n.Parameter, ...]:
        return tuple(x for x in c if x is not None)

    def parameter(self, c: Children) -> n.Parameter:
        return n.Parameter(_span(c), c[0], c[1])

    def include(self, c: Children) -> n.Include:
        return n.Include(_span(c), c[1], c[-1] if isinstance(c[-1], n.Word) else None)

    def value(self, c: Children) -> n.Value:
        return n.Value(_span(c), c[0])

    # Blocks

    def body(self, c: Children) -> n.Body:
        return n.Body(_span(c), tuple(x for x in c if isinstance(x, n.Statement)))

    def block(self, c: Children) -> n.Block:
        return n.Block(_span(c), tuple(x for x in c if isinstance(x, n.Attribute | n.Part)))

    def attribute(self, c: Children) -> n.Attribute:
        return n.Attribute(_span(c), *c)

    def part(self, c: Children) -> n.Part:
        return n.Part(_span(c), *c)

    # Expressions

    def derived(self, c: Children) -> n.Derived:
        return n.Derived(_span(c), c[0], c[-1])

    def conditional(self, c: Children) -> n.Conditional:
        return n.Conditional(_span(c), c[0], c[2], c[4])

    def binary(self, c: Children) -> n.Binary:
        return n.Binary(_span(c), c[1].text, c[0], c[2])

    def comparator(self, c: Children) -> Tok:
        return c[0] if len(c) == 1 else Tok("NOT_IN", "not in", _span(c))

    def unary(self, c: Children) -> n.Unary:
        return n.Unary(_span(c), c[0].text, c[1])

    def range(self, c: Children) -> n.Range:
        return n.Range(_span(c), c[0], c[1], c[-1] if len(c) == 4 else None)

    def call(self, c: Children) -> n.Call:
        return n.Call(_span(c), c[0], c[1] or ())

    def arguments(self, c: Children) -> tuple[n.Argument, ...]:
        return tuple(x for x in c if x is not None)

    def argument(self, c: Children) -> n.Argument:
        name, value = c
        return n.Argument(value.span if name is None else name.span.to(value.span), name, value)

    def index(self, c: Children) -> n.Index:
        return n.Index(_span(c), c[0], c[1])

    def slice(self, c: Children) -> n.Slice:
        return n.Slice(_span(c), c[0], c[1], c[2])

    def member(self, c: Children) -> n.Member:
        return n.Member(_span(c), *c)

    def reference(self, c: Children) -> n.Reference:
        return n.Reference(c[0].span, c[0].text)

    def group(self, c: Children) -> Any:
        return c[1]

    def list(self, c: Children) -> n.List:
        return n.List(_span(c), tuple(x for x in c[1:-1] if x is not None))

    def comprehension(self, c: Children) -> n.Comprehension:
        clauses = tuple(x for x in c if isinstance(x, n.Clause))
        has_condition = isinstance(c[-2], n.Node) and not isinstance(c[-2], n.Clause)
        return n.Comprehension(_span(c), c[1], clauses, c[-2] if has_condition else None)

    def map(self, c: Children) -> n.Map:
        return n.Map(_span(c), tuple(x for x in c if isinstance(x, tuple)))

    def entry(self, c: Children) -> tuple[Any, Any]:
        key, value = c
        return (n.String(key.span, key.text, True) if isinstance(key, n.Word) else key), value

    def action(self, c: Children) -> n.Action:
        return n.Action(_span(c), n.Word(c[0].span, c[0].text), tuple(c[1:-1]), c[-1])

    def literal(self, c: Children) -> n.Expression:
        token: Tok = c[0]
        match token.type:
            case "INT":
                return n.Literal(token.span, int(token.text.replace("_", "")))
            case "FLOAT":
                return n.Literal(token.span, float(token.text.replace("_", "")))
            case "SIZE":
                width, _, height = token.text.partition("x")
                return n.Size(token.span, int(width), int(height))
            case "BYTES":
                return n.Bytes(token.span, byte_count(token.text))
            case _:
                return n.Literal(token.span, {"TRUE": True, "FALSE": False, "NONE": None}[token.type])

    number = literal

    def string(self, c: Children) -> n.String:
        token = c[0]
        is_raw = token.type == "RAW_STRING"
        unclear = (not is_raw and "\\" in token.text and any(bad_escapes(token))) or None
        return n.String(token.span, string_value(token), is_raw, unclear)

    def name(self, c: Children) -> n.Word:
        return n.Word(c[0].span, c[0].text)

    word = name


_PLACED = (n.Node, Tok)


def _span(children: Children) -> Span:
    # From both ends: a list may have half a million items.
    first, last = children[0], children[-1]
    if not isinstance(first, _PLACED):
        first = next(child for child in children if isinstance(child, _PLACED))
    if not isinstance(last, _PLACED):
        last = next(child for child in reversed(children) if isinstance(child, _PLACED))
    span: Span = first.span.to(last.span)
    return span
