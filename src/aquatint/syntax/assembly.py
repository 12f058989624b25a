"""Tokens without a mistake become a statement: how is found out once for each shape that statements have.

Which rules of the grammar apply depends on the kinds of the tokens alone. A script of ten thousand lines has few
shapes, and to follow the parser's tables anew for each line took most of the time of reading it. What is wrong with
tokens that no rule fits is `parser`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import cache
from typing import Any

from lark.exceptions import UnexpectedToken

from aquatint.source import Span
from aquatint.syntax import nodes as n
from aquatint.syntax.grammar import language
from aquatint.syntax.tokens import Tok

SHAPES = 4096
"""How many shapes are remembered."""

LONGEST = 500
"""Tokens of a statement up to which its shape is: longer ones are seldom alike."""

Apply = Callable[[list[Any]], Any]
Program = list[list[tuple[Apply, int]]]
"""For each token, which rules are applied before it, each to how many of the last values."""


def assembled(tokens: Sequence[Tok]) -> n.Statement | None:
    """Return the statement that `tokens` are, or None if they are none."""
    known = _Programs.of_grammar()
    shape = tuple(token.type for token in tokens)
    program = known.programs.get(shape)
    if program is None:
        return known.learn(shape, tokens)
    values: list[Any] = []
    for token, applied in zip((*tokens, None), program, strict=True):
        for apply, count in applied:
            if count:
                values[-count:] = [apply(values[-count:])]
            else:
                values.append(apply([]))
        if token is not None:
            values.append(token)
    statement: n.Statement = values[-1]
    return statement


def end_of(tokens: Sequence[Tok]) -> Tok:
    """Return the token that says that `tokens` are all there are."""
    end = tokens[-1].span.end
    return Tok("$END", "", Span(tokens[-1].span.source, end, end))


class _Programs:
    """The programs of the shapes that were met; Lark's own parser makes them while it is at work."""

    def __init__(self) -> None:
        self.programs: dict[tuple[str, ...], Program] = {}
        self._applied: list[tuple[Apply, int]] = []
        # Lark leaves its interactive parser untyped.
        parser: Any = language().parse_interactive(start="statement")
        self._conf = copy(parser.parser_state.parse_conf)
        self._conf.callbacks = {rule: self._noting(rule, apply) for rule, apply in self._conf.callbacks.items()}

    @staticmethod
    @cache
    def of_grammar() -> _Programs:
        return _Programs()

    def learn(self, shape: tuple[str, ...], tokens: Sequence[Tok]) -> n.Statement | None:
        """Return the statement that `tokens` are, remembering how, or None if they are none."""
        parser: Any = language().parse_interactive(start="statement")
        remembered = len(tokens) <= LONGEST and len(self.programs) < SHAPES
        if remembered:
            parser.parser_state.parse_conf = self._conf
        program: Program = []
        made: Any = None
        try:
            for token in (*tokens, end_of(tokens)):
                self._applied = []
                made = parser.feed_token(token)
                program.append(self._applied)
        except UnexpectedToken:
            return None
        if remembered:
            self.programs[shape] = program
        statement: n.Statement = made
        return statement

    def _noting(self, rule: Any, apply: Apply) -> Apply:
        # A rule such as `?sum: product` hands on its one value as it is.
        hands_on = rule.options.expand1 and rule.alias is None and [s.is_term for s in rule.expansion] == [False]

        def note(values: list[Any]) -> Any:
            if not hands_on:
                self._applied.append((apply, len(values)))
            return apply(values)

        return note
