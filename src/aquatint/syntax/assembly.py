"""Tokens without a mistake become a statement: how is found out once for each shape that statements have.

Which rules of the grammar apply depends on the kinds of the tokens alone. A script of ten thousand lines has few
shapes, and to follow the parser's tables anew for each line took most of the time of reading it. What is wrong with
tokens that no rule fits is `parser`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from lark.parsers.lalr_analysis import Shift

from aquatint.source import Span
from aquatint.syntax import nodes as n
from aquatint.syntax.build import Build
from aquatint.syntax.grammar import language
from aquatint.syntax.tokens import Tok

SHAPES = 4096
"""How many shapes are remembered."""

LONGEST = 500
"""Tokens of a statement up to which its shape is: longer ones are seldom alike."""

Apply = Callable[[list[Any]], Any]
Program = list[tuple[Apply, list[int]]]
"""Methods of `Build`, each with places in a list: None, the tokens, and then what the methods before have made."""


class _Recorder:
    """Stands in for `Build`, and records which methods are called, with what Lark's own functions leave of a rule."""

    def __init__(self) -> None:
        self._build = Build()
        self._program: Program = []
        self._made = 0

    def begin(self, tokens: int) -> list[int]:
        """Begin a program for so many tokens, and return what stands for them."""
        self._program, self._made = [], tokens
        return list(range(1, tokens + 1))

    def end(self) -> Program:
        """Return the program that was recorded."""
        return self._program

    def __getattr__(self, name: str) -> Callable[[list[int | None]], int]:
        if name.startswith("_"):
            raise AttributeError(name)
        method: Apply = getattr(self._build, name)

        def record(given: list[int | None]) -> int:
            self._program.append((method, [each or 0 for each in given]))
            self._made += 1
            return self._made

        return record


def assembled(tokens: Sequence[Tok]) -> n.Statement | None:
    """Return the statement that `tokens` are, or None if they are none."""
    known = _Programs.of_grammar()
    statement: n.Statement | None
    if len(tokens) > LONGEST:
        statement = known.follow(tokens, tokens, "apply")
        return statement
    shape = tuple([token.type for token in tokens])
    program = known.programs.get(shape)
    if program is None:
        program = known.learn(shape, tokens)
        if program is None:
            return None
    values: list[Any] = [None, *tokens]
    for method, given in program:
        values.append(method([values[place] for place in given]))
    statement = values[-1]
    return statement


def end_of(tokens: Sequence[Tok]) -> Tok:
    """Return the token that says that `tokens` are all there are."""
    end = tokens[-1].span.end
    return Tok("$END", "", Span(tokens[-1].span.source, end, end))


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule of the parser's tables; `apply` makes its node, and `record` records how.

    They are None for a rule that hands on its one value, as `?sum: product` does.
    """

    makes: str
    count: int
    apply: Apply | None
    record: Apply | None


class _Programs:
    """The programs of the shapes that were met, and Lark's tables, which say how to make one."""

    def __init__(self) -> None:
        self.programs: dict[tuple[str, ...], Program] = {}
        self._recorder = _Recorder()
        # Lark leaves its interactive parser untyped.
        made: Any = language()
        conf = made.parse_interactive(start="statement").parser_state.parse_conf
        self._start: int = conf.start_state
        self._end: int = conf.end_state
        recording = made._parse_tree_builder.create_callback(self._recorder)
        rules = {rule: _rule(rule, apply, recording[rule]) for rule, apply in conf.callbacks.items()
                 if rule in recording}  # fmt: skip
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

    def learn(self, shape: tuple[str, ...], tokens: Sequence[Tok]) -> Program | None:
        """Return the program of the shape that `tokens` have, remembering it, or None if they are no statement."""
        if self.follow(tokens, self._recorder.begin(len(tokens)), "record") is None:
            return None
        program = self._recorder.end()
        if len(self.programs) < SHAPES:
            self.programs[shape] = program
        return program

    def follow(self, tokens: Sequence[Tok], given: Sequence[Any], what: Literal["apply", "record"]) -> Any:
        """Return what the rules come to that fit `tokens`, applied or recorded, with what is `given` for each token.

        None if no rules fit.
        """
        # Lark's own loop over its tables takes four times as long, which long lists show.
        actions, gotos, ways, end = self._actions, self._gotos, self._ways, self._end
        states, values = [self._start], list[Any]()
        for token, value in zip((*tokens, end_of(tokens)), (*given, None), strict=True):
            kind = token.type
            while not isinstance(step := actions[states[-1]].get(kind), int):
                if step is None:
                    return None
                apply, count = step.apply if what == "apply" else step.record, step.count
                if apply is None:
                    way = (states[-2], states[-1], kind)
                    states[-1] = ways[way] if way in ways else self._handed_on(*way)
                    continue
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
                values.append(value)
        return values[-1]

    def _handed_on(self, before: int, state: int, kind: str) -> int:
        """Return the state after the rules that hand on the last value, in `state` after `before`, to a `kind`."""
        after = state
        while isinstance(step := self._actions[after].get(kind), _Rule) and step.apply is None:
            after = self._gotos[before][step.makes]
        self._ways[before, state, kind] = after
        return after


def _rule(rule: Any, apply: Apply, record: Apply) -> _Rule:
    if rule.options.expand1 and rule.alias is None and [s.is_term for s in rule.expansion] == [False]:
        return _Rule(rule.origin.name, len(rule.expansion), None, None)
    return _Rule(rule.origin.name, len(rule.expansion), apply, record)
