"""What expressions come to whatever the names of the script stand for, and what is wrong with them whichever way.

Looks into what evaluation may not reach: branches that aren't taken, loops without turns, operands that aren't needed.
Names that stand for nothing are the business of `check`.
"""

from __future__ import annotations

import inspect
from typing import Any

from aquatint.diagnostics import Diagnostics
from aquatint.language.builtins import DEVICE
from aquatint.language.draws import Draws
from aquatint.language.expressions import Expressions, TooManySteps
from aquatint.language.outside import Outside
from aquatint.language.scope import Scope
from aquatint.language.templates import Templates
from aquatint.language.values import UNKNOWN, Builtin
from aquatint.language.world import World
from aquatint.syntax import nodes as n

# Of what may go wrong, these don't depend on whether a condition around them guards against it.
_CERTAIN = ("wrong-type", "bad-call")

# What is evaluated of them depends on what isn't known here.
_UNDECIDED = (n.Conditional, n.Comprehension, n.Derived, n.Action)


def check_types(script: n.Script, prelude: Scope, diagnostics: Diagnostics) -> None:
    """Report values of wrong types and calls of wrong form in all of `script`, reached or not."""
    found = Diagnostics()
    foreseen = Foreseen(found)
    for statement in script.statements:
        try:
            foreseen.look_into(statement, prelude)
        except RecursionError:
            pass  # `check` says so
        except TooManySteps:
            break  # evaluation says so, if it comes to the same place
    diagnostics.extend(item for item in found.items if item.code in _CERTAIN)


class Foreseen(Expressions):
    """Evaluates expressions in a scope that holds what is known; what depends on other names is unknown."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        # Nothing here asks the outside.
        super().__init__(diagnostics, Draws(0, 0), self, Outside(World()))

    def look_into(self, node: n.Node, scope: Scope) -> None:
        """Evaluate every expression in `node`, which may be a statement or a block."""
        if isinstance(node, n.Expression):
            self.value(node, scope)
        else:
            for child in n.children(node):
                self.look_into(child, scope)

    def value(self, node: n.Expression, scope: Scope) -> Any:
        if node.__class__ is n.String:  # the most frequent, and nothing can be wrong with it
            return node.text if node.raw else self._template(node, scope)
        if isinstance(node, _UNDECIDED) or (isinstance(node, n.Binary) and node.operator in ("and", "or")):
            for child in n.children(node):
                self.look_into(child, scope)
            return UNKNOWN
        return super().value(node, scope)

    def act(self, node: n.Action, scope: Scope) -> Any:
        """Nothing is done ahead of time."""
        return UNKNOWN

    def perform(self, body: n.Body, scope: Scope) -> None:
        """Nothing is carried out ahead of time."""

    def derive(self, node: n.Derived, scope: Scope) -> Any:
        """Nothing is made ahead of time."""
        return UNKNOWN

    def _reference(self, node: n.Reference, scope: Scope) -> Any:
        binding = scope.find(node.name)
        return UNKNOWN if binding is None or binding.value is DEVICE else binding.value

    def _template(self, node: n.String, scope: Scope) -> Any:
        return UNKNOWN if node.unclear or Templates.is_template(node.text) else node.text

    def _call(self, node: n.Call, scope: Scope, *, alone: bool = False) -> Any:
        function = self.value(node.function, scope)
        for argument in node.arguments:
            self.value(argument.value, scope)
        # Not called, since functions may look at the world.
        if isinstance(function, Builtin):
            given = [argument.name for argument in node.arguments]
            named = {name.text: None for name in given if name is not None}
            try:
                positional = given.count(None) + 2 * function.outside + function.drawn
                inspect.signature(function.call).bind(*[None] * positional, **named)
            except TypeError:
                self.error("bad-call", f"`{function.name}` can't be called like this", node.span,
                           help=f"its form is `{function.name}{function.signature}`")  # fmt: skip
        elif function is not UNKNOWN:
            return super()._call(node, scope, alone=alone)
        return UNKNOWN
