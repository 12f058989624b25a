"""Tokens without a mistake become a statement: how is found out once for each shape that statements have.

Which rules of the grammar apply depends on the kinds of the tokens alone. A script of ten thousand lines has few
shapes, and to follow the parser's tables anew for each line took most of the time of reading it. What is wrong with
tokens that no rule fits is `parser`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from lark.parsers.lalr_analysis import Shift

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


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule of the parser's tables; `apply` is None for one that hands on its one value, as `?sum: product` does."""

    makes: str
    count: int
    apply: Apply | None


class _Programs:
    """The programs of the shapes that were met, and Lark's tables, which say how to make one."""

    def __init__(self) -> None:
        self.programs: dict[tuple[str, ...], Program] = {}
        # Lark leaves its interactive parser untyped.
        conf: Any = language().parse_interactive(start="statement").parser_state.parse_conf
        self._start: int = conf.start_state
        self._end: int = conf.end_state
        rules = {rule: _rule(rule, apply) for rule, apply in conf.callbacks.items()}
        # By state and kind of token: the next state, or the rule to apply first.
        self._actions: dict[int, dict[str, int | _Rule]] = {
            state: {kind: arg if action is Shift else rules[arg] for kind, (action, arg) in actions.items()}
            for state, actions in conf.states.items()
        }
        # By state and what a rule makes: the next state.
        self._gotos: dict[int, dict[str, int]] = {
            state: {made: arg for made, (action, arg) in actions.items() if action is Shift}
            for state, actions in conf.states.items()
        }
        self._ways: dict[tuple[int, int, str], int] = {}

    @staticmethod
    @cache
    def of_grammar() -> _Programs:
        return _Programs()

    def learn(self, shape: tuple[str, ...], tokens: Sequence[Tok]) -> n.Statement | None:
        """Return the statement that `tokens` are, remembering how, or None if they are none."""
        # Lark's own loop over its tables takes four times as long, which long lists show.
        remembered = len(tokens) <= LONGEST and len(self.programs) < SHAPES
        program: Program = []
        applied: list[tuple[Apply, int]] = []
        actions, gotos, ways, end = self._actions, self._gotos, self._ways, self._end
        states, values = [self._start], list[Any]()
        for token in (*tokens, end_of(tokens)):
            kind = token.type
            # Not `isinstance`, which takes as long as the rest of the step.
            while type(step := actions[states[-1]].get(kind)) is not int:
                if type(step) is not _Rule:
                    return None
                apply, count = step.apply, step.count
                if apply is None:
                    way = (states[-2], states[-1], kind)
                    known = ways.get(way)
                    states[-1] = self._handed_on(*way) if known is None else known
                    continue
                if remembered:
                    applied.append((apply, count))
                if count:
                    values[-count:] = [apply(values[-count:])]
                    del states[-count:]
                else:
                    values.append(apply([]))
                state = gotos[states[-1]][step.makes]
                states.append(state)
                if state == end:
                    break
            else:
                states.append(step)
                values.append(token)
            if remembered:
                program.append(applied)
                applied = []
        if remembered:
            self.programs[shape] = program
        statement: n.Statement = values[-1]
        return statement

    def _handed_on(self, before: int, state: int, kind: str) -> int:
        """Return the state after the rules that hand on the last value, in `state` after `before`, to a `kind`."""
        after = state
        while isinstance(step := self._actions[after].get(kind), _Rule) and step.apply is None:
            after = self._gotos[before][step.makes]
        self._ways[before, state, kind] = after
        return after


def _rule(rule: Any, apply: Apply) -> _Rule:
    hands_on = rule.options.expand1 and rule.alias is None and [s.is_term for s in rule.expansion] == [False]
    return _Rule(rule.origin.name, len(rule.expansion), None if hands_on else apply)
