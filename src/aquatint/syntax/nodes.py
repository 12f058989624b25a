"""The syntax tree: what a script says, with the place of every part of it.

Immutable; knows nothing of what names stand for. `build` makes these from the parser's rules.
"""

from __future__ import annotations

from dataclasses import dataclass

from aquatint.source import Source, Span


@dataclass(frozen=True, slots=True)
class Node:
    """Base of all nodes."""

    span: Span


@dataclass(frozen=True, slots=True)
class Word(Node):
    """A name where it is written."""

    text: str


# Expressions


@dataclass(frozen=True, slots=True)
class Size(Node):
    """`1024x768`."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Bytes(Node):
    """`8GiB`, as a number of bytes."""

    count: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A number, `true`, `false` or `none`."""

    value: int | float | bool | None


@dataclass(frozen=True, slots=True)
class String(Node):
    """A string after its escapes; `raw` ones aren't templates. `span` includes the quotes."""

    text: str
    raw: bool


@dataclass(frozen=True, slots=True)
class Reference(Node):
    """A name used as a value."""

    name: str


@dataclass(frozen=True, slots=True)
class List(Node):
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Map(Node):
    entries: tuple[tuple[Expression, Expression], ...]


@dataclass(frozen=True, slots=True)
class Range(Node):
    """`first..last step step`, both ends included."""

    first: Expression
    last: Expression
    step: Expression | None


@dataclass(frozen=True, slots=True)
class Unary(Node):
    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary(Node):
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """`then if condition else otherwise`."""

    then: Expression
    condition: Expression
    otherwise: Expression


@dataclass(frozen=True, slots=True)
class Index(Node):
    base: Expression
    index: Expression


@dataclass(frozen=True, slots=True)
class Slice(Node):
    base: Expression
    start: Expression | None
    stop: Expression | None


@dataclass(frozen=True, slots=True)
class Member(Node):
    base: Expression
    name: Word


@dataclass(frozen=True, slots=True)
class Argument(Node):
    name: Word | None
    value: Expression


@dataclass(frozen=True, slots=True)
class Call(Node):
    function: Expression
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Derived(Node):
    """`base with { ... }`."""

    base: Expression
    block: Block


@dataclass(frozen=True, slots=True)
class Clause(Node):
    """`x in xs` of a loop or comprehension; several names unpack."""

    names: tuple[Word, ...]
    values: Expression


@dataclass(frozen=True, slots=True)
class Comprehension(Node):
    element: Expression
    clauses: tuple[Clause, ...]
    condition: Expression | None


@dataclass(frozen=True, slots=True)
class Action(Node):
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


@dataclass(frozen=True, slots=True)
class Attribute(Node):
    name: Word
    value: Expression


@dataclass(frozen=True, slots=True)
class Part(Node):
    """A named block inside a block, such as `text_encoder_2 { ... }`."""

    name: Word
    block: Block


@dataclass(frozen=True, slots=True)
class Block(Node):
    items: tuple[Attribute | Part, ...]


# Statements


@dataclass(frozen=True, slots=True)
class Let(Node):
    names: tuple[Word, ...]
    value: Expression


@dataclass(frozen=True, slots=True)
class TypeName(Node):
    name: str
    of: TypeName | None


@dataclass(frozen=True, slots=True)
class Param(Node):
    name: Word
    type: TypeName | None
    default: Expression | None


@dataclass(frozen=True, slots=True)
class Declare(Node):
    """`quantizer q8 extends base { ... }`; `noun` is the keyword."""

    noun: Word
    name: Word
    base: Word | None
    block: Block


@dataclass(frozen=True, slots=True)
class Derive(Node):
    """`quantizer q8 = ...`, from a URI or another value."""

    noun: Word
    name: Word
    value: Expression


@dataclass(frozen=True, slots=True)
class Override(Node):
    """`override sdxl { ... }`; `name` is None for `*`."""

    name: Word | None
    block: Block


@dataclass(frozen=True, slots=True)
class Body(Node):
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Loop(Node):
    clauses: tuple[Clause, ...]
    body: Body


@dataclass(frozen=True, slots=True)
class Branch(Node):
    """`if`: the first case whose condition holds, or `otherwise`."""

    cases: tuple[tuple[Expression, Body], ...]
    otherwise: Body | None


@dataclass(frozen=True, slots=True)
class Show(Node):
    """`print`."""

    values: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Claim(Node):
    """`assert`."""

    condition: Expression
    message: Expression | None


@dataclass(frozen=True, slots=True)
class Parameter(Node):
    name: Word
    default: Expression | None


@dataclass(frozen=True, slots=True)
class Function(Node):
    """`def f(x) = ...`."""

    name: Word
    parameters: tuple[Parameter, ...]
    value: Expression


@dataclass(frozen=True, slots=True)
class Procedure(Node):
    """`task f(x) { ... }`."""

    name: Word
    parameters: tuple[Parameter, ...]
    body: Body


@dataclass(frozen=True, slots=True)
class Include(Node):
    path: Expression
    alias: Word | None


@dataclass(frozen=True, slots=True)
class Value(Node):
    """An expression that stands alone as a statement, such as `generate m { ... }`."""

    value: Expression


Statement = (
    Let | Param | Declare | Derive | Override | Loop | Branch | Show | Claim | Function | Procedure | Include | Value
)


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment, with its `#`."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Script:
    """A whole source: its statements in order, and its comments, which the statements leave out."""

    source: Source
    statements: tuple[Statement, ...]
    comments: tuple[Comment, ...]
