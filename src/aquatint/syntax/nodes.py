"""The syntax tree: what a script says, with the place of every part of it.

Immutable; knows nothing of what names stand for. `build` makes these from the parser's rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import msgspec

from aquatint.source import Source, Span


class Node(msgspec.Struct, frozen=True):
    """Base of all nodes."""

    span: Span


class Word(Node, frozen=True):
    """A name where it is written."""

    text: str


# Expressions


class Size(Node, frozen=True):
    """`1024x768`."""

    width: int
    height: int


class Bytes(Node, frozen=True):
    """`8GiB`, as a number of bytes."""

    count: int


class Literal(Node, frozen=True):
    """A number, `true`, `false` or `none`."""

    value: int | float | bool | None


class String(Node, frozen=True):
    """A string after its escapes; `raw` ones aren't templates. `span` includes the quotes.

    It is `unclear` where one of its escapes stands for nothing, which has been reported.
    """

    text: str
    raw: bool
    unclear: bool | None = None


class Reference(Node, frozen=True):
    """A name used as a value."""

    name: str


class List(Node, frozen=True):
    items: tuple[Expression, ...]


class Map(Node, frozen=True):
    entries: tuple[tuple[Expression, Expression], ...]


class Range(Node, frozen=True):
    """`first..last step step`, both ends included."""

    first: Expression
    last: Expression
    step: Expression | None


class Unary(Node, frozen=True):
    operator: str
    operand: Expression


class Binary(Node, frozen=True):
    operator: str
    left: Expression
    right: Expression


class Conditional(Node, frozen=True):
    """`then if condition else otherwise`."""

    then: Expression
    condition: Expression
    otherwise: Expression


class Index(Node, frozen=True):
    base: Expression
    index: Expression


class Slice(Node, frozen=True):
    base: Expression
    start: Expression | None
    stop: Expression | None


class Member(Node, frozen=True):
    base: Expression
    name: Word


class Argument(Node, frozen=True):
    name: Word | None
    value: Expression


class Call(Node, frozen=True):
    function: Expression
    arguments: tuple[Argument, ...]


class Derived(Node, frozen=True):
    """`base with { ... }`."""

    base: Expression
    block: Block


class Clause(Node, frozen=True):
    """`x in xs` of a loop or comprehension; several names unpack."""

    names: tuple[Word, ...]
    values: Expression


class Comprehension(Node, frozen=True):
    element: Expression
    clauses: tuple[Clause, ...]
    condition: Expression | None


class Action(Node, frozen=True):
    """A verb with its block: `generate sdxl { ... }`. `verb` is the keyword."""

    verb: Word
    targets: tuple[Expression, ...]
    block: Block


Expression = (
    Literal
    | Size
    | Bytes
    | String
    | Reference
    | List
    | Map
    | Range
    | Unary
    | Binary
    | Conditional
    | Index
    | Slice
    | Member
    | Call
    | Derived
    | Comprehension
    | Action
)


# Blocks


class Attribute(Node, frozen=True):
    name: Word
    value: Expression


class Part(Node, frozen=True):
    """A named block inside a block, such as `text_encoder_2 { ... }`."""

    name: Word
    block: Block


class Block(Node, frozen=True):
    items: tuple[Attribute | Part, ...]


# Statements


class Let(Node, frozen=True):
    names: tuple[Word, ...]
    value: Expression


class TypeName(Node, frozen=True):
    name: str
    of: TypeName | None


class Param(Node, frozen=True):
    name: Word
    type: TypeName | None
    default: Expression | None


class Declare(Node, frozen=True):
    """`quantizer q8 extends base { ... }`; `noun` is the keyword."""

    noun: Word
    name: Word
    base: Word | None
    block: Block


class Derive(Node, frozen=True):
    """`quantizer q8 = ...`, from a URI or another value."""

    noun: Word
    name: Word
    value: Expression


class Override(Node, frozen=True):
    """`override sdxl { ... }`; `name` is None for `*`."""

    name: Word | None
    block: Block


class Body(Node, frozen=True):
    statements: tuple[Statement, ...]


class Loop(Node, frozen=True):
    clauses: tuple[Clause, ...]
    body: Body


class Branch(Node, frozen=True):
    """`if`: the first case whose condition holds, or `otherwise`."""

    cases: tuple[tuple[Expression, Body], ...]
    otherwise: Body | None


class Show(Node, frozen=True):
    """`print`."""

    values: tuple[Expression, ...]


class Claim(Node, frozen=True):
    """`assert`."""

    condition: Expression
    message: Expression | None


class Parameter(Node, frozen=True):
    name: Word
    default: Expression | None


class Function(Node, frozen=True):
    """`def f(x) = ...`."""

    name: Word
    parameters: tuple[Parameter, ...]
    value: Expression


class Procedure(Node, frozen=True):
    """`task f(x) { ... }`."""

    name: Word
    parameters: tuple[Parameter, ...]
    body: Body


class Include(Node, frozen=True):
    path: Expression
    alias: Word | None


class Value(Node, frozen=True):
    """An expression that stands alone as a statement, such as `generate m { ... }`."""

    value: Expression


Statement = (
    Let | Param | Declare | Derive | Override | Loop | Branch | Show | Claim | Function | Procedure | Include | Value
)


def fields(kind: type[Node]) -> tuple[str, ...]:
    """Return the names of what nodes of this `kind` hold, without their place."""
    names = _FIELDS.get(kind)
    if names is None:
        names = _FIELDS[kind] = tuple(name for name in kind.__struct_fields__ if name != "span")
    return names


def walk(script: Script) -> Iterator[Node]:
    """Yield every node of `script`, words too, in no order."""
    # Not by recursion: a long chain of operators is a deep tree.
    waiting: list[object] = [script.statements]
    while waiting:
        item = waiting.pop()
        if isinstance(item, tuple):
            waiting += item
        elif isinstance(item, Node):
            yield item
            waiting += [getattr(item, name) for name in fields(type(item))]


def children(node: Node) -> list[Node]:
    """Return the nodes right below `node`, in order, without words: those are names of what is beside them."""
    found: list[Node] = []
    kind = type(node)
    names = _HOLDING.get(kind)
    if names is None:
        names = _HOLDING[kind] = _holding(kind)
    for name in names:
        value = getattr(node, name)
        if value.__class__ is tuple:
            _gather(value, found)
        elif isinstance(value, Node) and not isinstance(value, Word):
            found.append(value)
    return found


_FIELDS: dict[type[Node], tuple[str, ...]] = {}
_HOLDING: dict[type[Node], tuple[str, ...]] = {}


def _holding(kind: type[Node]) -> tuple[str, ...]:
    """Return the fields of such nodes that can hold nodes other than words."""
    hints = get_type_hints(kind)
    return tuple(name for name in fields(kind) if any(issubclass(each, Node) and each is not Word
                                                      for each in _classes(hints[name])))  # fmt: skip


def _classes(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and not get_args(hint):
        yield hint
    for inside in get_args(hint):
        yield from _classes(inside)


def _gather(values: tuple[object, ...], found: list[Node]) -> None:
    for value in values:
        if value.__class__ is tuple:
            _gather(value, found)
        elif isinstance(value, Node) and not isinstance(value, Word):
            found.append(value)


class Comment(msgspec.Struct, frozen=True):
    """A comment, with its `#`."""

    span: Span
    text: str


class Script(msgspec.Struct, frozen=True):
    """A whole source: its statements in order, and its comments, which the statements leave out.

    `lost` are names that statements seem to bind which could not be read.
    """

    source: Source
    statements: tuple[Statement, ...]
    comments: tuple[Comment, ...]
    lost: tuple[Word, ...] = ()
