"""What can be said of a script without evaluating it, in the parts that evaluation may not reach too.

Unknown names in branches that are not taken, and constructs that this version of the language lacks.
"""

from __future__ import annotations

from typing import Any

from aquatint.diagnostics import Diagnostics
from aquatint.language.names import inside, report_unknown_name
from aquatint.language.scope import Scope
from aquatint.language.templates import Templates
from aquatint.language.views import TemplateProblem
from aquatint.source import Span
from aquatint.syntax import nodes as n

_LATER_VERBS = {"upscale", "compare"}
_LATER_NOUNS = {"upscaler", "weighter"}


def check(script: n.Script, scope: Scope, diagnostics: Diagnostics) -> None:
    """Report what is wrong with `script`, whose outermost block begins with the names of `scope`."""
    _Check(diagnostics).statements(script.statements, Scope(scope))


class _Check:
    """Walks a script with the names that each block binds; their values don't matter."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.templates = Templates()
        self.below: dict[str, Span] = {}

    def statements(self, statements: tuple[n.Statement, ...], scope: Scope) -> None:
        outer, self.below = self.below, dict(self.below)
        for statement in reversed(statements):
            match statement:
                case n.Let():
                    self.below |= {name.text: name.span for name in statement.names}
                case n.Param() | n.Declare() | n.Derive():
                    self.below[statement.name.text] = statement.name.span
        for statement in statements:
            self.statement(statement, scope)
        self.below = outer

    def statement(self, node: n.Statement, scope: Scope) -> None:
        match node:
            case n.Let():
                self.expression(node.value, scope)
                self._bind(node.names, scope)
            case n.Param():
                if node.default is not None:
                    self.expression(node.default, scope)
                self._bind((node.name,), scope)
            case n.Declare():
                if node.noun.text in _LATER_NOUNS:
                    self._later(node.noun)
                self.expression(node.block, scope)
                self._bind((node.name,), scope)
            case n.Derive():
                if node.noun.text in _LATER_NOUNS:
                    self._later(node.noun)
                self.expression(node.value, scope)
                self._bind((node.name,), scope)
            case n.Override():
                if node.name is None:
                    self.diagnostics.error(
                        "not-supported-yet",
                        "`override *` is not in this version of the language",
                        node.span,
                        help="override each model by its name",
                    )
                self.expression(node.block, scope)
            case n.Loop():
                self._body(node.body, self._clauses(node.clauses, scope))
            case n.Branch():
                for condition, body in node.cases:
                    self.expression(condition, scope)
                    self._body(body, scope)
                if node.otherwise is not None:
                    self._body(node.otherwise, scope)
            case n.Function():
                self._not_yet("def", node)
                self._bind((node.name,), scope)
            case n.Procedure():
                self._not_yet("task", node)
                self._bind((node.name,), scope)
            case n.Include():
                self._not_yet("include", node)
                if node.alias:
                    self._bind((node.alias,), scope)
            case n.Value():
                self.expression(node.value, scope)
            case _:
                self.expression(node, scope)

    def _body(self, body: n.Body, scope: Scope) -> None:
        self.statements(body.statements, Scope(scope))

    def _clauses(self, clauses: tuple[n.Clause, ...], scope: Scope) -> Scope:
        inner = Scope(scope)
        for clause in clauses:
            self.expression(clause.values, inner)
            self._bind(clause.names, inner)
        return inner

    def _bind(self, names: tuple[n.Word, ...], scope: Scope) -> None:
        for name in names:
            scope.bind(name.text, None, name.span)

    def expression(self, node: Any, scope: Scope) -> None:
        """Check an expression, or any node that holds only expressions."""
        match node:
            case n.Reference():
                if scope.find(node.name) is None:
                    self._unknown(node.name, node.span, scope)
            case n.String():
                self._template(node, scope)
            case n.Comprehension():
                inner = self._clauses(node.clauses, scope)
                self.expression(node.element, inner)
                if node.condition is not None:
                    self.expression(node.condition, inner)
            case n.Action() if node.verb.text in _LATER_VERBS:
                self._later(node.verb)
            case _:
                for field in node.__struct_fields__:
                    for child in _nodes(getattr(node, field)):
                        self.expression(child, scope)

    def _template(self, node: n.String, scope: Scope) -> None:
        if node.raw or not Templates.is_template(node.text):
            return
        try:
            names = self.templates.names(node.text)
        except TemplateProblem as problem:
            self.diagnostics.error("bad-template", problem.message, inside(node.span, problem.word), help=problem.help)
            return
        for name in sorted(names):
            if scope.find(name) is None:
                self._unknown(name, inside(node.span, name), scope)

    def _unknown(self, name: str, span: Span, scope: Scope) -> None:
        report_unknown_name(name, span, scope, self.diagnostics, self.below.get(name))

    def _later(self, word: n.Word) -> None:
        self.diagnostics.error("not-supported-yet", f"`{word.text}` is not in this version of the language", word.span)

    def _not_yet(self, word: str, node: n.Node) -> None:
        self._later(n.Word(Span(node.span.source, node.span.start, node.span.start + len(word)), word))


def _nodes(value: Any) -> list[n.Node]:
    """Return the nodes in a node's field; words are names of settings and parts, and no expressions."""
    if isinstance(value, tuple):
        return [child for item in value for child in _nodes(item)]
    return [value] if isinstance(value, n.Node) and not isinstance(value, n.Word) else []
