"""What can be said of a script without evaluating it, in the parts that evaluation may not reach too.

Unknown names in branches that are not taken.
"""

from __future__ import annotations

from typing import Any

from aquatint.diagnostics import Diagnostics, Label
from aquatint.language.expressions import Expressions
from aquatint.language.foreseen import check_types
from aquatint.language.includes import DEPTH_LIMIT, Includes
from aquatint.language.names import inside, report_reserved_name, report_unknown_name
from aquatint.language.scope import UNKNOWN, Scope
from aquatint.language.templates import Templates
from aquatint.language.views import TemplateProblem
from aquatint.source import Source, Span
from aquatint.syntax import nodes as n

_ITSELF = object()
"""What a function's or task's name stands for inside of it."""


def check(
    script: n.Script,
    scope: Scope,
    diagnostics: Diagnostics,
    includes: Includes,
    prelude: Scope,
    expressions: Expressions,
) -> None:
    """Report what is wrong with `script` and what it includes.

    Its outermost block begins with the names of `scope`, an included file's with those of `prelude`. Templates are read
    for `expressions`, which will render them. Raises `TooManySteps` if that takes too long.
    """
    _Check(diagnostics, includes, prelude, expressions).script(script, Scope(scope))


def report_too_deep(statement: n.Statement, diagnostics: Diagnostics) -> None:
    """Report that something in `statement` is nested so deep that it can't be gone through."""
    diagnostics.error("too-deep", "an expression in this statement is nested too deep", statement.span,
                      help="name its parts with `let`")  # fmt: skip


class _Check:
    """Walks a script with the names that each block binds; their values don't matter."""

    def __init__(self, diagnostics: Diagnostics, includes: Includes, prelude: Scope, expressions: Expressions) -> None:
        self.diagnostics = diagnostics
        self.includes = includes
        self.prelude = prelude
        self.expressions = expressions
        # Where each block around binds its names, the innermost last.
        self.below: list[dict[str, Span]] = []
        self._open: list[n.Script] = []
        self._names: dict[Source, Scope] = {}

    def script(self, script: n.Script, scope: Scope) -> Scope:
        """Check a whole script, once, and return its scope with the names that it binds."""
        if script.source not in self._names:
            outer, self.below = self.below, []
            self._open.append(script)
            self.statements(script.statements, scope)
            check_types(script, self.prelude, self.diagnostics)
            self._open.pop()
            self.below = outer
            self._names[script.source] = scope
        return self._names[script.source]

    def statements(self, statements: tuple[n.Statement, ...], scope: Scope) -> None:
        here: dict[str, Span] = {}
        for statement in reversed(statements):
            match statement:
                case n.Let():
                    here |= {name.text: name.span for name in statement.names}
                case n.Param() | n.Declare() | n.Derive() | n.Function() | n.Procedure():
                    here[statement.name.text] = statement.name.span
        self.below.append(here)
        for statement in statements:
            try:
                self.statement(statement, scope)
            except RecursionError:
                report_too_deep(statement, self.diagnostics)
        self.below.pop()

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
                self.expression(node.block, scope)
                self._bind((node.name,), scope)
            case n.Derive():
                self.expression(node.value, scope)
                self._bind((node.name,), scope)
            case n.Override():
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
                self.expression(node.value, self._parameters(node, scope))
                self._bind((node.name,), scope)
            case n.Procedure():
                self._body(node.body, self._parameters(node, scope))
                self._bind((node.name,), scope)
            case n.Include():
                self._include(node, scope)
            case n.Value():
                self.expression(node.value, scope)
            case _:
                self.expression(node, scope)

    def _body(self, body: n.Body, scope: Scope) -> None:
        self.statements(body.statements, Scope(scope))

    def _parameters(self, node: n.Function | n.Procedure, scope: Scope) -> Scope:
        """Return the scope inside of a function or task, where its own name stands for nothing that can be called."""
        for parameter in node.parameters:
            if parameter.default is not None:
                self.expression(parameter.default, scope)
        itself = Scope(scope)
        itself.bind(node.name.text, _ITSELF, node.name.span)
        inner = Scope(itself)
        for parameter in node.parameters:
            report_reserved_name(parameter.name, scope, self.diagnostics)
            if (twice := inner.names.get(parameter.name.text)) is not None and twice.span is not None:
                self.diagnostics.error("duplicate-name", f"`{parameter.name.text}` is a parameter already",
                                       parameter.name.span, labels=(Label(twice.span, "here"),))  # fmt: skip
            self._bind((parameter.name,), inner)
        return inner

    def _include(self, node: n.Include, scope: Scope) -> None:
        script = self.includes.script(node)
        names: Scope | None = None
        if script is not None and script in self._open:
            self.diagnostics.error(
                "include-cycle", f"`{script.source.name}` would include itself", node.path.span,
                help="put what both need into a third file",
            )  # fmt: skip
        elif script is not None and len(self._open) > DEPTH_LIMIT:
            self.diagnostics.error("too-deep", f"more than {DEPTH_LIMIT} files include each other", node.path.span)
        elif script is not None:
            with self.diagnostics.through(Label(node.path.span, "included here")):
                begun = Scope(self.prelude)
                for name in script.lost:
                    begun.bind(name.text, UNKNOWN, name.span)
                names = self.script(script, Scope(begun))
        if node.alias is not None:
            self._bind((node.alias,), scope)
        elif names is None:
            scope.is_open = True
        else:
            scope.names |= {name: found for name, found in names.names.items() if not found.overridden}
            scope.is_open = scope.is_open or names.is_open

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
                self._name(node.name, node.span, scope)
            case n.String():
                self._template(node, scope)
            case n.Comprehension():
                inner = self._clauses(node.clauses, scope)
                self.expression(node.element, inner)
                if node.condition is not None:
                    self.expression(node.condition, inner)
            case _:
                for child in n.children(node):
                    if not isinstance(child, n.Literal):
                        self.expression(child, scope)

    def _template(self, node: n.String, scope: Scope) -> None:
        if node.raw or not Templates.is_template(node.text):
            return
        try:
            names = self.expressions.templates.names(node.text)
        except TemplateProblem as problem:
            self.diagnostics.error("bad-template", problem.message, inside(node.span, problem.word), help=problem.help)
            return
        finally:
            self.expressions.spend(self.expressions.templates.take_reading(), node.span)
        for name in sorted(names):
            self._name(name, inside(node.span, name), scope)

    def _name(self, name: str, span: Span, scope: Scope) -> None:
        found = scope.find(name)
        if found is None:
            below = next((here[name] for here in reversed(self.below) if name in here), None)
            report_unknown_name(name, span, scope, self.diagnostics, below)
        elif found.value is _ITSELF:
            self.diagnostics.error("recursion", f"`{name}` would call itself", span,
                                   help="go through a list with `for` or a comprehension")  # fmt: skip
