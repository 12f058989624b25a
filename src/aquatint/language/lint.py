"""Warnings: what a whole script says to no effect, found without evaluating it, but for loops that had no turn.

Doubt is settled for the script: nothing is reported that may have a use. What is wrong in a script is an error, and the
business of `check` and of evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from aquatint.diagnostics import Diagnostics, Label
from aquatint.language.choices import Choices
from aquatint.language.expressions import TooManySteps
from aquatint.language.foreseen import Foreseen
from aquatint.language.operators import is_whole
from aquatint.language.scope import Scope
from aquatint.language.templates import Templates
from aquatint.language.values import UNKNOWN
from aquatint.language.views import TemplateProblem
from aquatint.source import Span
from aquatint.syntax import nodes as n

# These are so whatever else is wrong; of the others a mistake elsewhere may be the cause.
_LOCAL = ("empty-loop", "constant-condition", "repeated-condition")

_TURNS_ONLY = "call it `_{name}` if only the number of turns matters"
_OUT = "take it out, or call it `_{name}`"

_WORD = re.compile(r"[A-Za-z_]\w*")


def lint(script: n.Script, diagnostics: Diagnostics, idle: Set[Span]) -> None:
    """Add the warnings about `script`, a whole one, to its `diagnostics`, except those that its errors may cause.

    `idle` are the places of lists that its loops went over and that were empty every time.
    """
    if any(item.code == "too-large" for item in diagnostics.items):
        return  # to look over what takes too long to evaluate takes long, too
    found = Diagnostics()
    try:
        _Lint(script, found, idle).script()
    except RecursionError:
        return  # evaluation says that it is nested too deep
    errors = [item.span for item in diagnostics if item.severity == "error" and item.span is not None]
    for item in found:
        if not diagnostics.has_errors or (item.code in _LOCAL and item.span not in errors):
            diagnostics.add(item)


@dataclass(slots=True)
class _Name:
    """What is known of a bound name; `value` is `UNKNOWN` unless it is a constant.

    What `meaning` comes to in `scope` is its value once somebody asks: most constants are prompts, which nobody does.
    """

    word: n.Word
    code: str
    what: str
    help: str
    scope: Scope
    meaning: n.Expression | None = None
    value: Any = UNKNOWN
    is_used: bool = False


class _Constants(Foreseen):
    """Evaluates with the names that `let` binds to constants."""

    def _reference(self, node: n.Reference, scope: Scope) -> Any:
        binding = scope.find(node.name)
        if binding is None:
            return UNKNOWN
        name: _Name = binding.value
        if name.meaning is not None:
            meaning, name.meaning = name.meaning, None
            name.value = self.value(meaning, name.scope)
        return name.value


class _Lint:
    """Walks a script with the names that each block binds."""

    def __init__(self, script: n.Script, diagnostics: Diagnostics, idle: Set[Span]) -> None:
        self.statements_of_script = script.statements
        self.diagnostics = diagnostics
        self.idle = idle
        self._choices: Choices | None = None
        self.templates = Templates()
        self.constants = _Constants(Diagnostics())

    def script(self) -> None:
        outermost = Scope()
        self._walk(self.statements_of_script, outermost)
        # A script that does nothing is there to be included: what it binds is for others.
        if any(map(_does_something, self.statements_of_script)):
            self._report_unused(outermost)
            self._overrides(self.statements_of_script)

    def _block(self, statements: tuple[n.Statement, ...], outer: Scope) -> None:
        scope = Scope(outer)
        self._walk(statements, scope)
        self._report_unused(scope)
        self._overrides(statements)

    def _walk(self, statements: tuple[n.Statement, ...], scope: Scope) -> None:
        for statement in statements:
            self._statement(statement, scope)

    def _statement(self, node: n.Statement, scope: Scope) -> None:
        match node:
            case n.Let():
                self._expression(node.value, scope)
                for name in node.names:
                    meaning = node.value if len(node.names) == 1 else None
                    self._bind(name, scope, "unused-name", "name", _OUT, meaning)
            case n.Param():
                self._children(node, scope)
                self._bind(node.name, scope, "unused-name", "parameter", _OUT)
            case n.Declare() | n.Derive():
                if isinstance(node, n.Declare) and node.base is not None:
                    self._use(node.base.text, scope)
                self._children(node, scope)
                noun = node.noun.text
                code = (
                    "unused-quantizer" if noun == "quantizer" else "unused-model" if noun == "model" else "unused-name"
                )
                self._bind(node.name, scope, code, noun, _OUT)
            case n.Override():
                if node.name is not None:
                    self._use(node.name.text, scope)
                self._children(node, scope)
            case n.Loop():
                inner = self._clauses(node.clauses, scope, node.body.statements)
                for clause in node.clauses:
                    if clause.values.span in self.idle and not self._is_chosen(clause.values):
                        self._empty_loop(clause.values, inner, next(iter(node.body.statements), None))
                self._block(node.body.statements, inner)
                self._report_unused(inner)
            case n.Branch():
                self._branch(node, scope)
            case n.Claim():
                if self._truth(node.condition) is True:
                    self._constant_condition(node.condition, True, (), "take it out")
                self._children(node, scope)
            case n.Function() | n.Procedure():
                self._function(node, scope)
                what = "function" if isinstance(node, n.Function) else "task"
                self._bind(node.name, scope, "unused-name", what, _OUT)
            case n.Include():
                self._children(node, scope)
                if node.alias is not None:
                    self._bind(node.alias, scope, "unused-name", "name", "leave `as {name}` out")
            case _:
                self._children(node, scope)

    def _function(self, node: n.Function | n.Procedure, outer: Scope) -> None:
        scope = Scope(outer)
        for parameter in node.parameters:
            if parameter.default is not None:
                self._expression(parameter.default, outer)
            self._bind(parameter.name, scope, "unused-name", "parameter", _OUT)
        if isinstance(node, n.Function):
            self._expression(node.value, scope)
        else:
            self._block(node.body.statements, scope)
        self._report_unused(scope)

    def _branch(self, node: n.Branch, scope: Scope) -> None:
        tested: dict[str, Span] = {}
        bodies = [body for _, body in node.cases] + ([node.otherwise] if node.otherwise is not None else [])
        for number, (condition, body) in enumerate(node.cases):
            holds = self._truth(condition)
            if holds is not None:
                self._constant_condition(condition, holds, bodies[number + 1 :] if holds else [body])
            elif condition.span.text in tested:
                self.diagnostics.warning(
                    "repeated-condition", "this condition was tested already: it never holds here", condition.span,
                    labels=(Label(tested[condition.span.text], "here"),), help="take it out, or test something else",
                )  # fmt: skip
            tested.setdefault(condition.span.text, condition.span)
            self._expression(condition, scope)
            self._block(body.statements, scope)
        if node.otherwise is not None:
            self._block(node.otherwise.statements, scope)

    def _clauses(self, clauses: tuple[n.Clause, ...], scope: Scope, body: Iterable[n.Node]) -> Scope:
        """Return the scope inside the loop of `clauses`, where a name may take the place of an earlier one."""
        inner = Scope(scope)
        for clause in clauses:
            self._expression(clause.values, inner)
            if self._constant(clause.values, inner) in ((), {}):
                self._empty_loop(clause.values, inner, next(iter(body), None))
            for name in clause.names:
                if (shadowed := inner.names.get(name.text)) is not None:
                    self._report_if_unused(shadowed.value)
                self._bind(name, inner, "unused-name", "name", _TURNS_ONLY)
        return inner

    def _children(self, node: n.Node, scope: Scope) -> None:
        for child in n.children(node):
            if not isinstance(child, n.Literal):
                self._expression(child, scope)

    def _expression(self, node: n.Node, scope: Scope) -> None:
        """Look into an expression, or any node that holds only expressions."""
        match node:
            case n.Reference():
                self._use(node.name, scope)
            case n.String():
                # Reading a template takes longer than all else here.
                if any(self._is_unused(word, scope) for word in _WORD.findall(node.text)):
                    for name in self._in_template(node):
                        self._use(name, scope)
            case n.Comprehension():
                inner = self._clauses(node.clauses, scope, [node.element])
                if node.condition is not None:
                    self._test(node.condition, [node.element], ())
                    self._expression(node.condition, inner)
                self._expression(node.element, inner)
                self._report_unused(inner)
            case n.Conditional():
                self._test(node.condition, [node.then], [node.otherwise])
                self._children(node, scope)
            case n.Derived(base=n.Derived() as below):
                self._overwritten(_settings(below.block), _settings(node.block))
                self._children(node, scope)
            case _:
                self._children(node, scope)

    # Names

    def _bind(
        self, word: n.Word, scope: Scope, code: str, what: str, help: str, meaning: n.Expression | None = None
    ) -> None:
        scope.bind(word.text, _Name(word, code, what, help, scope, meaning), word.span)

    def _use(self, name: str, scope: Scope) -> None:
        if (binding := scope.find(name)) is not None:
            binding.value.is_used = True

    def _is_unused(self, name: str, scope: Scope) -> bool:
        binding = scope.find(name)
        return binding is not None and not binding.value.is_used

    def _report_unused(self, scope: Scope) -> None:
        for binding in scope.names.values():
            self._report_if_unused(binding.value)

    def _report_if_unused(self, name: _Name) -> None:
        if not name.is_used and not name.word.text.startswith("_"):
            help = name.help.format(name=name.word.text)
            what = "" if name.what == "name" else f"{name.what} "
            self.diagnostics.warning(name.code, f"{what}`{name.word.text}` is never used", name.word.span, help=help)

    def _in_template(self, node: n.String) -> Iterable[str]:
        if node.raw or not Templates.is_template(node.text):
            return ()
        try:
            return self.templates.names(node.text)
        except TemplateProblem:
            return ()  # an error, which `check` reports

    def _mentions(self, node: n.Node) -> set[str]:
        """Return every name that `node` uses, whatever it stands for there."""
        names: set[str] = set()
        waiting = [node]
        while waiting:
            item = waiting.pop()
            match item:
                case n.Reference():
                    names.add(item.name)
                case n.String():
                    names.update(self._in_template(item))
                case n.Declare(base=n.Word() as base):
                    names.add(base.text)
                case n.Override(name=n.Word() as name):
                    names.add(name.text)
            waiting += n.children(item)
        return names

    def _is_chosen(self, node: n.Node) -> bool:
        """Return whether a parameter or the like may decide what `node` comes to."""
        if self._choices is None:
            self._choices = Choices(self.statements_of_script, self._mentions)
        return self._choices.decide(node)

    # Overrides

    def _overrides(self, statements: tuple[n.Statement, ...]) -> None:
        """Report the overrides of a block that nothing sees, and settings that are set again before a use."""
        if not any(isinstance(statement, n.Override) for statement in statements):
            return
        unseen: dict[str, n.Word] = {}
        unread: dict[str, dict[tuple[str, ...], Span]] = {}
        everywhere: Span | None = None  # the `*` of the last `override *`, unless it is seen
        newer: set[str] = set()  # declared behind it
        for statement in statements:
            if isinstance(statement, n.Include):
                unseen, unread, everywhere = {}, {}, None  # it may use any name
                continue
            # To override is no use that sees an override before it.
            user = statement.block if isinstance(statement, n.Override) else statement
            mentioned = self._mentions(user)
            for name in mentioned:
                unseen.pop(name, None)
                unread.pop(name, None)
            if mentioned - newer:
                everywhere = None  # any of them may be a model
            match statement:
                case n.Declare():
                    unread[statement.name.text] = _settings(statement.block)
                    newer.add(statement.name.text)
                case n.Override(name=None):
                    start = statement.span.start + statement.span.text.index("*")
                    everywhere, unread, newer = Span(statement.span.source, start, start + 1), {}, set()
                case n.Override(name=n.Word() as word):
                    unseen[word.text] = word
                    before, now = unread.get(word.text, {}), _settings(statement.block)
                    self._overwritten(before, now)
                    unread[word.text] = before | now
        last = [(f"`{name}`", word.span) for name, word in unseen.items()]
        if everywhere is not None:
            last.append(("a model that it changes", everywhere))
        for what, span in last:
            self.diagnostics.warning(
                "unused-override", f"nothing after this in its block uses {what}", span,
                help="put it before what it is for, or take it out",
            )  # fmt: skip

    def _overwritten(self, before: Mapping[tuple[str, ...], Span], now: Mapping[tuple[str, ...], Span]) -> None:
        for path in before.keys() & now.keys():
            self.diagnostics.warning(
                "overwritten-setting", f"`{path[-1]}` is set again before anything uses it", before[path],
                labels=(Label(now[path], "set again here"),), help="take one of them out",
            )  # fmt: skip

    # Constants

    def _constant(self, node: n.Expression, scope: Scope) -> Any:
        try:
            return self.constants.value(node, scope)
        except (TooManySteps, RecursionError):
            return UNKNOWN  # perhaps the names that it is made of go back to one another for thousands of lines

    def _truth(self, node: n.Expression) -> bool | None:
        """Return whether `node` holds if that can be read from itself, without any name."""
        value = self._constant(node, Scope())
        return None if value is UNKNOWN else bool(value)

    def _test(self, condition: n.Expression, then: Iterable[n.Node], otherwise: Iterable[n.Node]) -> None:
        holds = self._truth(condition)
        if holds is not None:
            self._constant_condition(condition, holds, otherwise if holds else then)

    def _constant_condition(
        self,
        condition: n.Expression,
        holds: bool,
        unreached: Iterable[n.Node],
        help: str = "a `param` makes it a choice",
    ) -> None:
        self.diagnostics.warning(
            "constant-condition", f"this condition {'always' if holds else 'never'} holds", condition.span,
            labels=tuple(_never_reached(unreached)), help=help,
        )  # fmt: skip

    def _empty_loop(self, values: n.Expression, scope: Scope, body: n.Node | None) -> None:
        help = None
        if isinstance(values, n.Range) and values.step is None:
            first, last = (self._constant(bound, scope) for bound in (values.first, values.last))
            if is_whole(first) and is_whole(last):
                help = f"to count down, write `{first}..{last} step -1`"
        self.diagnostics.warning("empty-loop", "this loop goes over nothing", values.span, help=help,
                                 labels=tuple(_never_reached([body] if body is not None else [])))  # fmt: skip


def _never_reached(nodes: Iterable[n.Node]) -> Iterator[Label]:
    """Yield a label for the first of `nodes` that does something; of a body, for its first statement."""
    for node in nodes:
        first = next(iter(node.statements), None) if isinstance(node, n.Body) else node
        if first is not None:
            yield Label(first.span, "never reached")
            return


def _settings(block: n.Block) -> dict[tuple[str, ...], Span]:
    """Return where each setting of `block` is named, by its path."""
    found: dict[tuple[str, ...], Span] = {}
    for item in block.items:
        name = item.name.text.replace("-", "_")
        if isinstance(item, n.Attribute):
            found[(name,)] = item.name.span
        else:
            found |= {(name, *path): span for path, span in _settings(item.block).items()}
    return found


_DOING = (n.Action, n.Show, n.Claim, n.Value)
_ROUTINES = (n.Function, n.Procedure)


def _does_something(node: n.Node) -> bool:
    """Return whether evaluating `node` does more than to bind names."""
    waiting = [node]
    while waiting:
        item = waiting.pop()
        if isinstance(item, _DOING):
            return True
        if not isinstance(item, _ROUTINES):
            waiting += n.children(item)
    return False
