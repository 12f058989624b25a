"""From text to nodes and diagnostics; never raises, whatever the text.

One mistake gives one report: after it, reading goes on behind the smallest statement or attribute that holds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

from lark.exceptions import UnexpectedToken
from lark.lexer import Token

from aquatint.diagnostics import Diagnostics
from aquatint.source import Source
from aquatint.syntax import nodes as n
from aquatint.syntax.assembly import assembled, end_of
from aquatint.syntax.expectations import Context, report_unexpected
from aquatint.syntax.grammar import language
from aquatint.syntax.layout import lay_out
from aquatint.syntax.tokens import Tok


@dataclass(frozen=True, slots=True)
class Parse:
    """What was read. `incomplete` says that more text could make it right: an open bracket or a trailing comma."""

    script: n.Script
    diagnostics: Diagnostics
    incomplete: bool


@dataclass(slots=True)
class _Mark:
    """A place inside braces from which reading can go on: the parser's state where an item begins."""

    state: Any
    index: int


def parse(source: Source) -> Parse:
    """Return the script that `source` holds, as far as it can be read, and what is wrong with it."""
    diagnostics = Diagnostics()
    layout = lay_out(source, diagnostics)
    statements: list[n.Statement] = []
    incomplete = layout.incomplete
    lost: list[n.Word] = []
    for tokens in _split(layout.tokens):
        sound = assembled(tokens)
        if sound is not None:
            statements.append(sound)
            continue
        # Where the layout had to put a bracket in or leave one out, it has said so; what follows from that is no news.
        reading = _Reading(tokens, None if layout.mended(tokens) else diagnostics)
        statement = reading.statement()
        # After all else that a line ends too early with, the next one begins a statement.
        incomplete = incomplete or (reading.cut and tokens[-1].type == "COMMA")
        lost += reading.lost
        if reading.given_up is not None:
            break  # the diagnostics say that there are too many
        if statement is not None:
            statements.append(statement)
    script = n.Script(source, tuple(statements), tuple(layout.comments), tuple(lost))
    return Parse(script, diagnostics, incomplete)


def _split(tokens: list[Tok]) -> Iterator[list[Tok]]:
    """Yield the tokens of each outermost statement."""
    start = depth = 0
    for index, token in enumerate(tokens):
        kind = token.type
        if kind in _STEPS:
            depth += _STEPS[kind]
        elif kind == "SEP" and depth == 0:
            if index > start:
                yield tokens[start:index]
            start = index + 1
    if start < len(tokens):
        yield tokens[start:]


_STEPS = {"LPAR": 1, "LSQB": 1, "LBRACE": 1, "RPAR": -1, "RSQB": -1, "RBRACE": -1}


class _Reading:
    """The reading of one outermost statement.

    `cut` says afterwards whether it ended before something was whole, `lost` which names its unread parts seem to bind,
    and `given_up` where there were too many mistakes to go on. Without `diagnostics` nothing is reported.
    """

    def __init__(self, tokens: list[Tok], diagnostics: Diagnostics | None) -> None:
        self.tokens = tokens
        self.diagnostics = diagnostics
        self.cut = False
        self.lost: list[n.Word] = []
        self.recovered = False
        self.given_up: Tok | None = None
        # Lark leaves its interactive parser untyped.
        self.parser: Any = language().parse_interactive(start="statement")
        # One for each open bracket; None for `(` and `[`, inside which nothing can be skipped.
        self.marks: list[_Mark | None] = []
        self.index = 0

    def statement(self) -> n.Statement | None:
        eof = end_of(self.tokens)
        while True:
            token = self.tokens[self.index] if self.index < len(self.tokens) else eof
            try:
                result: n.Statement | None = self.parser.feed_token(token)
            except UnexpectedToken:
                if not self._recover(token):
                    return None
                continue
            if token is eof:
                return result
            self.index += 1
            self._mark(token)

    def _mark(self, token: Tok) -> None:
        match token.type:
            case "LBRACE":
                self.marks.append(_Mark(self.parser.copy(deepcopy_values=False), self.index))
            case "LPAR" | "LSQB":
                self.marks.append(None)
            case "RPAR" | "RSQB" | "RBRACE":
                self.marks.pop()
            case "SEP" | "COMMA" if (mark := self.marks[-1] if self.marks else None) and _separates(token, mark):
                # Where the braces can't end, nothing has ended: the comma is one of `compare a, b`.
                if "RBRACE" in self.parser.choices():
                    self.marks[-1] = _Mark(self.parser.copy(deepcopy_values=False), self.index)

    def _recover(self, token: Tok) -> bool:
        """Report `token`; return whether reading can go on, behind the innermost item that it stands in."""
        while self.marks and self.marks[-1] is None:
            self.marks.pop()
        mark = self.marks[-1] if self.marks else None
        first = mark.index if mark else 0
        item = self.tokens[first : self.index]
        # The layout has said what a stray character is, and an end after a mistake is mostly a consequence of it.
        if self.diagnostics is not None:
            if token.type != "STRAY" and (token.type != "$END" or not self.recovered):
                report_unexpected(token, item, _accepted(self.parser), _context(mark), self.diagnostics)
            if self.diagnostics.is_full:
                self.given_up = token
                return False
        self.recovered = True
        self.lost += _bound(self.tokens, first)
        self.cut = token.type == "$END"
        if mark is None or self.cut:
            return False
        self.parser = mark.state.copy(deepcopy_values=False)
        self.index = _end_of_item(self.tokens, mark)
        if self.tokens[self.index].type != "RBRACE":
            self.index += 1
            mark.index = self.index
        return True


def _bound(tokens: list[Tok], first: int) -> Iterator[n.Word]:
    """Yield the names that the item from token `first` on seems to bind, whatever is wrong with it."""
    for index in range(first, len(tokens)):
        token = tokens[index]
        if token.type == "NAME" and (index > first or _type_at(tokens, index + 1) == "ASSIGN"):
            # `letx = 3` has lost a space.
            yield n.Word(token.span, token.text.removeprefix("let") or token.text)
        elif index > first and token.type != "COMMA":
            return


def _type_at(tokens: list[Tok], index: int) -> str:
    return tokens[index].type if index < len(tokens) else ""


def _context(mark: _Mark | None) -> Context:
    # Where a statement may begin, an expression may, and so a minus.
    return "statements" if mark is None or "MINUS" in mark.state.choices() else "settings"


def _accepted(parser: Any) -> set[str]:
    """Return the kinds of token that may come next."""
    # The state's own list is too long: it has what may follow after reductions that this place does not allow.
    accepted = set()
    conf = copy(parser.parser_state.parse_conf)
    conf.callbacks = {}
    for kind in parser.choices():
        if kind.isupper() or kind == "$END":
            trial = parser.parser_state.copy(deepcopy_values=False)
            trial.parse_conf = conf
            try:
                trial.feed_token(Token(kind, ""), kind == "$END")
            except UnexpectedToken:
                continue
            accepted.add(kind)
    return accepted


def _separates(token: Tok, mark: _Mark) -> bool:
    """Return whether `token`, between items of the braces that `mark` stands in, separates them."""
    # Statements have commas of their own.
    return token.type == "SEP" or (token.type == "COMMA" and _context(mark) == "settings")


def _end_of_item(tokens: list[Tok], mark: _Mark) -> int:
    """Return the index of the separator or `}` that ends the item which begins at `mark`."""
    depth = 0
    for index in range(mark.index, len(tokens)):
        step = _STEPS.get(tokens[index].type, 0)
        if depth == 0 and (step < 0 or _separates(tokens[index], mark)):
            return index
        depth += step
    raise AssertionError("the layout pairs all brackets")
