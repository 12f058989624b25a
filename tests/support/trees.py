"""Scripts for property tests, made as trees first: random trees, and their printing in many layouts.

A tree's places are of no text. Printed with `Plain` a tree has the least of everything; `Noisy` adds what a text may
have beside its tree: white space, line ends, comments, brackets, and both kinds of separators.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import strategies as st

from aquatint.source import Source, Span
from aquatint.syntax import nodes as n

NOWHERE = Span(Source("made", ""), 0, 0)
_NAMES = ("x", "y", "q8", "model_a", "step", "letter")
# Any word may be a key or a member.
_WORDS = (
    *_NAMES,
    "model",
    "let",
    "in",
    "not",
    "none",
    "true",
    "for",
    "if",
    "compare",
    "with",
    "print",
    "bits4-quant-type",
)
# Behind other words the layout takes a part's `{` for a map's, in which no key has a `-`.
_PARTS = (*_NAMES, "model", "let", "none", "true", "compare", "print")
_NOUNS = ("quantizer", "model", "upscaler", "weighter")
_BINARY = ("or", "and", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "+", "-", "*", "/", "//", "%", "**")
_TEXTS = (
    "",
    "a cat",
    "{{ x }}",
    "# no comment",
    "a # b",
    "}",
    "two\nlines",
    "  indented\n    more\n",
    "\t",
    '"',
    "\\",
    "ä\u2028",
)
COMMENT = "a remark"
_REMARKS = ("", "{", '"', "}  ")
_VALUES = (0, 1, 42, 1000, 0.5, 7.25, 1e-07, 1e30, True, False, None)

# How tight an expression binds; operands stand in brackets where they bind less than their place asks for.
_WITH, _IF, _OR, _AND, _NOT, _COMPARE, _RANGE, _SUM, _PRODUCT, _SIGN, _POWER, _POSTFIX = range(12)
_LEVELS = {"or": _OR, "and": _AND, "+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "//": _PRODUCT, "%": _PRODUCT,
           "**": _POWER}  # fmt: skip


def shape(node: object) -> object:
    """Return a tree, or a part of one, without its places: equal for trees that say the same."""
    if isinstance(node, tuple):
        return tuple(shape(item) for item in node)
    if isinstance(node, n.Node):
        return (type(node).__name__, *(shape(getattr(node, name)) for name in node.__struct_fields__ if name != "span"))
    # Of Python's numbers, 1, 1.0 and True are equal.
    return type(node), node


class Trees:
    """Makes random trees of at most some depth."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw

    def script(self) -> tuple[n.Statement, ...]:
        return tuple(self.statement(3) for _ in range(self.draw.randrange(1, 5)))

    def statement(self, depth: int) -> n.Statement:
        kind = self.draw.randrange(14 if depth > 0 else 10)
        match kind:
            case 0:
                return n.Let(NOWHERE, self.names(), self.expression(depth))
            case 1:
                of = n.TypeName(NOWHERE, "int", None) if self.draw.random() < 0.5 else None
                type = n.TypeName(NOWHERE, self.draw.choice(("list", "string", "in")), of)
                default = self.draw.choice((None, self.expression(depth)))
                return n.Param(NOWHERE, self.name(), self.draw.choice((None, type)), default)
            case 2:
                base = self.draw.choice((None, self.name()))
                return n.Declare(NOWHERE, self.word(_NOUNS), self.name(), base, self.block(depth))
            case 3:
                return n.Derive(NOWHERE, self.word(_NOUNS), self.name(), self.expression(depth))
            case 4:
                return n.Override(NOWHERE, self.draw.choice((None, self.name())), self.block(depth))
            case 5:
                return n.Show(NOWHERE, self.several(depth, 1))
            case 6:
                return n.Claim(NOWHERE, self.expression(depth), self.draw.choice((None, self.expression(depth))))
            case 7:
                return n.Function(NOWHERE, self.name(), self.parameters(depth), self.expression(depth))
            case 8:
                return n.Include(NOWHERE, self.expression(depth), self.draw.choice((None, self.name())))
            case 9:
                return n.Value(NOWHERE, self.expression(depth))
            case 10:
                return n.Procedure(NOWHERE, self.name(), self.parameters(depth), self.body(depth - 1))
            case 11:
                return n.Loop(NOWHERE, self.clauses(depth), self.body(depth - 1))
            case _:
                count = self.draw.randrange(1, 4)
                cases = tuple((self.expression(depth - 1), self.body(depth - 1)) for _ in range(count))
                return n.Branch(NOWHERE, cases, self.draw.choice((None, self.body(depth - 1))))

    def expression(self, depth: int) -> n.Expression:
        if depth <= 0 or self.draw.random() < 0.3:
            return self.leaf()
        less = depth - 1
        match self.draw.randrange(14):
            case 0:
                return n.List(NOWHERE, self.several(less, 0))
            case 1:
                return n.Map(
                    NOWHERE, tuple((self.key(less), self.expression(less)) for _ in range(self.draw.randrange(3)))
                )
            case 2:
                step = self.draw.choice((None, self.expression(less)))
                return n.Range(NOWHERE, self.expression(less), self.expression(less), step)
            case 3:
                return n.Unary(NOWHERE, self.draw.choice(("-", "+", "not")), self.expression(less))
            case 4 | 5:
                return n.Binary(NOWHERE, self.draw.choice(_BINARY), self.expression(less), self.expression(less))
            case 6:
                return n.Conditional(NOWHERE, self.expression(less), self.expression(less), self.expression(less))
            case 7:
                return n.Index(NOWHERE, self.expression(less), self.expression(less))
            case 8:
                ends = [self.draw.choice((None, self.expression(less))) for _ in range(2)]
                return n.Slice(NOWHERE, self.expression(less), *ends)
            case 9:
                return n.Member(NOWHERE, self.expression(less), self.word(_WORDS[:-1]))
            case 10:
                names = [self.draw.choice((None, self.name())) for _ in range(self.draw.randrange(3))]
                arguments = tuple(n.Argument(NOWHERE, name, self.expression(less)) for name in names)
                return n.Call(NOWHERE, self.expression(less), arguments)
            case 11:
                return n.Derived(NOWHERE, self.expression(less), self.block(less))
            case 12:
                condition = self.draw.choice((None, self.expression(less)))
                return n.Comprehension(NOWHERE, self.expression(less), self.clauses(less), condition)
            case _:
                verb = self.word(("generate", "upscale", "save", "compare", "grid"))
                targets = {"compare": self.several(less, 1), "grid": ()}.get(verb.text, (self.expression(less),))
                return n.Action(NOWHERE, verb, targets, self.block(less))

    def leaf(self) -> n.Expression:
        match self.draw.randrange(5):
            case 0:
                return n.Literal(NOWHERE, self.draw.choice(_VALUES))
            case 1:
                return n.Size(NOWHERE, self.draw.randrange(2000), self.draw.randrange(2000))
            case 2:
                return n.Bytes(NOWHERE, self.draw.randrange(1 << 40))
            case 3:
                return n.String(NOWHERE, self.draw.choice(_TEXTS), False)
            case _:
                return n.Reference(NOWHERE, self.draw.choice(_NAMES))

    def key(self, depth: int) -> n.Expression:
        keys = [n.String(NOWHERE, self.draw.choice(_WORDS[:-1]), True), n.Literal(NOWHERE, 3), self.expression(depth)]
        return self.draw.choice(keys)

    def block(self, depth: int) -> n.Block:
        items: list[n.Attribute | n.Part] = []
        for _ in range(self.draw.randrange(4)):
            if depth > 0 and self.draw.random() < 0.3:
                items.append(n.Part(NOWHERE, self.word(_PARTS), self.block(depth - 1)))
            else:
                items.append(n.Attribute(NOWHERE, self.word(_WORDS), self.expression(depth - 1)))
        return n.Block(NOWHERE, tuple(items))

    def body(self, depth: int) -> n.Body:
        return n.Body(NOWHERE, tuple(self.statement(depth) for _ in range(self.draw.randrange(3))))

    def clauses(self, depth: int) -> tuple[n.Clause, ...]:
        made = (n.Clause(NOWHERE, self.names(), self.expression(depth)) for _ in range(self.draw.randrange(1, 3)))
        return tuple(made)

    def parameters(self, depth: int) -> tuple[n.Parameter, ...]:
        defaults = [self.draw.choice((None, self.expression(depth))) for _ in range(self.draw.randrange(3))]
        return tuple(n.Parameter(NOWHERE, self.name(), default) for default in defaults)

    def several(self, depth: int, least: int) -> tuple[n.Expression, ...]:
        return tuple(self.expression(depth) for _ in range(self.draw.randrange(least, least + 3)))

    def name(self) -> n.Word:
        return self.word(_NAMES)

    def names(self) -> tuple[n.Word, ...]:
        return tuple(self.name() for _ in range(self.draw.randrange(1, 3)))

    def word(self, words: Sequence[str]) -> n.Word:
        return n.Word(NOWHERE, self.draw.choice(words))


class Plain:
    """Prints trees with one blank where two words meet, and brackets where they are needed."""

    def script(self, statements: tuple[n.Statement, ...]) -> str:
        return self.edge("\n") + self.separator("\n").join(map(self.statement, statements)) + self.edge("\n")

    # What a noisy printer does otherwise

    def blank(self) -> str:
        """Return what stands between two tokens that must not touch."""
        return " "

    def loose(self) -> str:
        """Return what stands between two tokens in ( ) and [ ], where lines may end."""
        return " "

    def edge(self, kind: str) -> str:
        """Return what stands at an end of something in braces, or of the script."""
        return " " if kind == " " else ""

    def separator(self, kind: str) -> str:
        """Return what separates statements (`kind` is a line end) or settings (a comma)."""
        return "\n" if kind == "\n" else ", "

    def comma(self) -> str:
        """Return a comma of a statement, behind which a line may end."""
        return ", "

    def trailing(self) -> str:
        """Return what stands behind the last of some items."""
        return ""

    def may_bracket(self) -> bool:
        """Return whether to put brackets where none are needed."""
        return False

    def text(self, value: str) -> str:
        """Return a string token for `value`."""
        escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}
        return '"' + "".join(escapes.get(character, character) for character in value) + '"'

    # Statements

    def statement(self, node: n.Statement) -> str:
        e, b = self.expression, self.blank()
        match node:
            case n.Let():
                return f"let{b}{self.words(node.names)}{b}={b}{e(node.value)}"
            case n.Param():
                type = f":{b}{self.type(node.type)}" if node.type else ""
                return f"param{b}{node.name.text}{type}" + (f"{b}={b}{e(node.default)}" if node.default else "")
            case n.Declare():
                base = f"{b}extends{b}{node.base.text}" if node.base else ""
                return f"{node.noun.text}{b}{node.name.text}{base}{b}{self.block(node.block)}"
            case n.Derive():
                return f"{node.noun.text}{b}{node.name.text}{b}={b}{e(node.value)}"
            case n.Override():
                return f"override{b}{node.name.text if node.name else '*'}{b}{self.block(node.block)}"
            case n.Loop():
                clauses = self.comma().join(f"{self.words(c.names)}{b}in{b}{e(c.values)}" for c in node.clauses)
                return f"for{b}{clauses}{b}{self.body(node.body)}"
            case n.Branch():
                cases = [f"if{b}{e(condition)}{b}{self.body(body)}" for condition, body in node.cases]
                cases += [self.body(node.otherwise)] if node.otherwise else []
                return f"{self.edge(' ')}else{b}".join(cases)
            case n.Show():
                return f"print{b}{self.comma().join(map(e, node.values))}"
            case n.Claim():
                return f"assert{b}{e(node.condition)}" + (self.comma() + e(node.message) if node.message else "")
            case n.Function():
                return f"def{b}{node.name.text}{self.parameters(node.parameters)}{b}={b}{e(node.value)}"
            case n.Procedure():
                return f"task{b}{node.name.text}{self.parameters(node.parameters)}{b}{self.body(node.body)}"
            case n.Include():
                return f"include{b}{e(node.path)}" + (f"{b}as{b}{node.alias.text}" if node.alias else "")
            case n.Value():
                return e(node.value)

    def type(self, node: n.TypeName) -> str:
        return node.name + (f"[{self.loose()}{self.type(node.of)}]" if node.of else "")

    def words(self, words: tuple[n.Word, ...]) -> str:
        return self.comma().join(word.text for word in words)

    def parameters(self, nodes: tuple[n.Parameter, ...]) -> str:
        shown = (node.name.text + (f"={self.expression(node.default)}" if node.default else "") for node in nodes)
        return self.bracketed("(", list(shown), ")")

    def body(self, node: n.Body) -> str:
        return self.braced([self.statement(item) for item in node.statements], "\n")

    def block(self, node: n.Block) -> str:
        items = []
        for item in node.items:
            if isinstance(item, n.Part):
                items.append(f"{item.name.text}{self.blank()}{self.block(item.block)}")
            else:
                items.append(f"{item.name.text}:{self.blank()}{self.expression(item.value)}")
        return self.braced(items, ",")

    def braced(self, items: list[str], kind: str) -> str:
        inside = "".join(item + (self.separator(kind) if i + 1 < len(items) else "") for i, item in enumerate(items))
        return "{" + self.edge("\n") + inside + self.edge("\n") + "}"

    def bracketed(self, opener: str, items: list[str], closer: str) -> str:
        last = self.trailing() if items else ""
        return opener + self.loose() + f"{self.loose()},{self.loose()}".join(items) + last + self.loose() + closer

    # Expressions

    def expression(self, node: n.Expression, level: int = _WITH) -> str:
        """Return the text of `node`, in brackets if it binds less tight than `level`."""
        own, text = self.shown(node)
        return f"({self.loose()}{text}{self.loose()})" if own < level or self.may_bracket() else text

    def shown(self, node: n.Expression) -> tuple[int, str]:
        """Return how tight `node` binds, and its text."""
        e, b = self.expression, self.blank()
        match node:
            case n.Literal():
                return _POSTFIX, str(node.value).lower()
            case n.Size():
                return _POSTFIX, f"{node.width}x{node.height}"
            case n.Bytes():
                return _POSTFIX, f"{node.count}B"
            case n.String():
                return _POSTFIX, self.text(node.text)
            case n.Reference():
                return _POSTFIX, node.name
            case n.List():
                return _POSTFIX, self.bracketed("[", [e(item) for item in node.items], "]")
            case n.Map():
                entries = [f"{self.key(key)}:{b}{e(value)}" for key, value in node.entries]
                return _POSTFIX, self.braced(entries, ",")
            case n.Range():
                step = f"{b}step{b}{e(node.step, _SUM)}" if node.step else ""
                return _RANGE, f"{e(node.first, _SUM)}{b}..{b}{e(node.last, _SUM)}{step}"
            case n.Unary():
                level = _NOT if node.operator == "not" else _SIGN
                return level, f"{node.operator}{b}{e(node.operand, level)}"
            case n.Binary():
                level = _LEVELS.get(node.operator, _COMPARE)
                left, right = (_POSTFIX, _SIGN) if node.operator == "**" else (level, level + 1)
                return level, f"{e(node.left, left)}{b}{node.operator}{b}{e(node.right, right)}"
            case n.Conditional():
                middle = f"{e(node.then, _OR)}{b}if{b}{e(node.condition, _OR)}"
                return _IF, f"{middle}{b}else{b}{e(node.otherwise, _IF)}"
            case n.Index():
                return _POSTFIX, f"{e(node.base, _POSTFIX)}[{self.loose()}{e(node.index)}{self.loose()}]"
            case n.Slice():
                start, stop = (e(end) if end else "" for end in (node.start, node.stop))
                return _POSTFIX, f"{e(node.base, _POSTFIX)}[{self.loose()}{start}:{self.loose()}{stop}]"
            case n.Member():
                return _POSTFIX, f"{e(node.base, _POSTFIX)}{b}.{node.name.text}"
            case n.Call():
                given = [(f"{a.name.text}{b}={b}" if a.name else "") + e(a.value) for a in node.arguments]
                return _POSTFIX, e(node.function, _POSTFIX) + self.bracketed("(", given, ")")
            case n.Derived():
                return _WITH, f"{e(node.base, _WITH)}{b}with{b}{self.block(node.block)}"
            case n.Comprehension():
                clauses = (f"for{b}{self.words(c.names)}{b}in{b}{e(c.values, _OR)}" for c in node.clauses)
                condition = f"{self.loose()}if{b}{e(node.condition, _OR)}" if node.condition else ""
                inside = self.loose().join((e(node.element), *clauses))
                return _POSTFIX, f"[{self.loose()}{inside}{condition}{self.loose()}]"
            case n.Action():
                targets = self.comma().join(e(target, _POSTFIX) for target in node.targets)
                return _POSTFIX, f"{node.verb.text}{b}{targets}{b}{self.block(node.block)}"

    def key(self, node: n.Expression) -> str:
        match node:
            case n.String(raw=True):
                return node.text
            case n.String() | n.Literal(value=3):
                return self.shown(node)[1]
        return f"({self.loose()}{self.expression(node)})"


class Noisy(Plain):
    """Prints trees with all that a text may have beside its tree; each comment holds `COMMENT`."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw

    def blank(self) -> str:
        return self.draw.choices((" ", "  ", "\t", " \\\n  "), (20, 3, 1, 1))[0]

    def loose(self) -> str:
        return self.draw.choices(("", " ", self.lines()), (16, 4, 3))[0] or " "

    def edge(self, kind: str) -> str:
        return self.draw.choices((" ", self.lines()), (3, 1))[0]

    def separator(self, kind: str) -> str:
        return self.draw.choices((f"{kind} ".replace("\n ", ";"), self.lines(), kind + self.lines()), (2, 2, 1))[0]

    def comma(self) -> str:
        return "," + self.draw.choices((" ", "", self.lines()), (6, 2, 1))[0]

    def trailing(self) -> str:
        return self.draw.choice(("", f"{self.loose()},"))

    def may_bracket(self) -> bool:
        return self.draw.random() < 0.03

    def text(self, value: str) -> str:
        if self.draw.random() < 0.3 and "\\" not in value and '"' not in value and value == value.lstrip():
            return f'"""{value}"""'
        return super().text(value)

    def lines(self) -> str:
        """Return at least one line end, with comments."""
        out = ""
        for _ in range(self.draw.randrange(1, 4)):
            if self.draw.random() < 0.3:
                out += f" # {COMMENT} {self.draw.choice(_REMARKS)}"
            out += self.draw.choice(("\n", "\n  ", "\r\n"))
        return out


def trees() -> st.SearchStrategy[tuple[tuple[n.Statement, ...], random.Random]]:
    """Trees of whole scripts, each with a source of chance for its layout."""
    return st.randoms(use_true_random=False).map(lambda draw: (Trees(draw).script(), draw))
