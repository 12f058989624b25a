"""From an expression and the names around it to a value.

A mistake is reported once and makes the value `UNKNOWN`, of which nothing more is said. Blocks that declare or do
something (`with`, `generate`) are carried out by `evaluate`, through the `Doer` that comes in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol, assert_never

from aquatint.diagnostics import Diagnostics, Label, did_you_mean
from aquatint.language import operators
from aquatint.language.builtins import DEVICE, inclusive_range
from aquatint.language.conversions import conversion
from aquatint.language.deferred import HELP, NotYet, deferred_in
from aquatint.language.draws import Draws, Turn
from aquatint.language.expanding import ExpansionMistake, ExpansionMistakes
from aquatint.language.foreign_members import instead
from aquatint.language.names import inside, report_reserved_name, report_unknown_name, within
from aquatint.language.operators import is_key, is_number, is_whole
from aquatint.language.outside import Outside, OutsideProblem
from aquatint.language.scope import Scope
from aquatint.language.templates import Templates
from aquatint.language.values import (
    ITEM_LIMIT,
    UNKNOWN,
    Builtin,
    Deferred,
    Result,
    Routine,
    Size,
    Unavailable,
    Unknown,
    called_exactly,
    members,
    shown,
    type_name,
    weight,
)
from aquatint.language.views import TemplateProblem
from aquatint.source import Span
from aquatint.syntax import nodes as n

STEP_LIMIT = 5_000_000
"""Steps of a script's evaluation: one for each expression, and more for what takes longer or makes much at once.

A step takes up to a microsecond, so that a script that comes to too many is stopped within seconds.
"""

BLOCK_STEPS = 60
"""Steps of a block that declares, changes or does something."""

TEMPLATE_STEPS = 30
"""Steps of the rendering of a template, beside those that it takes itself."""

CALL_STEPS = 10
"""Steps of the call of a script's function or task, beside those of what is in it."""

TURN_STEPS = 2
"""Steps of a turn of a loop."""

PRINT_STEPS = 8
"""Steps of a `print`, beside those of what it prints."""


# What they make of a text is their business.
_OF_TEXTS = ("int", "float", "str")


class TooManySteps(Exception):
    """A script's evaluation has taken all the steps that it may, the last of them at `span`."""

    def __init__(self, span: Span) -> None:
        super().__init__()
        self.span = span


class Doer(Protocol):
    """Carries out the expressions that are blocks, and the statements of tasks."""

    def act(self, node: n.Action, scope: Scope) -> Any: ...

    def perform(self, body: n.Body, scope: Scope) -> None: ...

    def derive(self, node: n.Derived, scope: Scope) -> Any: ...


class Expressions:
    """Evaluates expressions for one plan; `turn` tells apart the times that one place is evaluated."""

    def __init__(self, diagnostics: Diagnostics, draws: Draws, doer: Doer, outside: Outside, limit: float = 1) -> None:
        self.diagnostics = diagnostics
        self.outside = outside
        self.templates = Templates(self._invoked)
        self.draws = draws
        self.doer = doer
        self.turn: Turn = ()
        # The loops around, the outermost first, each with the names of its turn.
        self.loops: tuple[tuple[tuple[n.Clause, ...], Scope], ...] = ()
        self.steps = 0
        self.step_limit = int(STEP_LIMIT * limit)
        self._active: list[Routine] = []
        # For each list that a loop was to go over, whether it ever held anything.
        self.held: dict[Span, bool] = {}

    def spend(self, steps: int, span: Span) -> None:
        """Count `steps`; raise `TooManySteps` if that makes too many: no script may keep a planner busy for ever."""
        self.steps += steps
        if self.steps > self.step_limit:
            raise TooManySteps(span)

    def value(self, node: n.Expression, scope: Scope) -> Any:
        """Return what `node` stands for, or `UNKNOWN` after a report."""
        self.steps += 1
        if self.steps > self.step_limit:
            raise TooManySteps(node.span)
        # The frequent ones first: each case that isn't the one takes its time.
        match node:
            case n.Reference():
                return self._reference(node, scope)
            case n.Literal():
                return self._number(node)
            case n.Binary():
                return self._binary(node, scope)
            case n.String():
                return node.text if node.raw else self._template(node, scope)
            case n.Call():
                return self._call(node, scope)
            case n.Member():
                return self._member(node, scope)
            case n.Size():
                return self._size(node)
            case n.Bytes():
                return node.count
            case n.List():
                return self._made(self._all([self.value(item, scope) for item in node.items]), node)
            case n.Map():
                return self._map(node, scope)
            case n.Range():
                return self._range(node, scope)
            case n.Unary():
                return self._unary(node, scope)
            case n.Conditional():
                condition = self.truth(node.condition, scope)
                if condition is None:
                    return UNKNOWN
                return self.value(node.then if condition else node.otherwise, scope)
            case n.Index():
                return self._index(node, scope)
            case n.Slice():
                return self._slice(node, scope)
            case n.Comprehension():
                return self._comprehension(node, scope)
            case n.Derived():
                self.spend(BLOCK_STEPS, node.span)
                return self.doer.derive(node, scope)
            case n.Action():
                self.spend(BLOCK_STEPS, node.verb.span)
                return self.doer.act(node, scope)
            case _:
                assert_never(node)

    def alone(self, node: n.Expression, scope: Scope) -> Any:
        """Return the value of an expression that is a statement: the one place for the call of a task."""
        if not isinstance(node, n.Call):
            return self.value(node, scope)
        self.spend(1, node.span)
        return self._call(node, scope, alone=True)

    def truth(self, node: n.Expression, scope: Scope) -> bool | None:
        """Return whether `node` holds, or None if that is unknown. Empty, zero and `none` do not hold."""
        value = self.value(node, scope)
        if isinstance(value, Deferred):
            self.not_yet(NotYet(value), node.span)
            return None
        return None if value is UNKNOWN else bool(value)

    def iterate(self, clauses: tuple[n.Clause, ...], scope: Scope) -> Iterator[Scope]:
        """Yield a scope for each turn of the nested loops `clauses`, the leftmost outermost."""
        outer, around = self.turn, self.loops
        for number, inner in enumerate(self._iterate(clauses, scope)):
            self.turn = (*outer, number)
            self.loops = (*around, (clauses, inner))
            self.spend(TURN_STEPS, clauses[0].span)
            yield inner
        self.turn, self.loops = outer, around

    def names_of_turn(self) -> dict[str, Any]:
        """Return what the variables of the loops around stand for, the outermost loop's first."""
        found: dict[str, Any] = {}
        for clauses, scope in self.loops:
            for name in (name.text for clause in clauses for name in clause.names):
                if (binding := scope.find(name)) is not None:
                    found[name] = binding.value
        return found

    def _iterate(self, clauses: tuple[n.Clause, ...], scope: Scope) -> Iterator[Scope]:
        if not clauses:
            yield scope
            return
        clause = clauses[0]
        for name in clause.names:
            report_reserved_name(name, scope, self.diagnostics)
        values = self.value(clause.values, scope)
        if values is UNKNOWN:
            # One turn with unknown names: the body's own mistakes are still found.
            inner = Scope(scope)
            for name in clause.names:
                inner.bind(name.text, UNKNOWN, name.span)
            yield from self._iterate(clauses[1:], inner)
            return
        help = "go through its keys, and take the values by them: `m[key]`" if isinstance(values, Mapping) else None
        values = _items(values)
        if not isinstance(values, tuple):
            self.error("not-a-list", f"`for` goes through a list, not {type_name(values)}", clause.values.span,
                       help="put it in brackets: `[...]`")  # fmt: skip
            return
        self.held[clause.values.span] = bool(values) or self.held.get(clause.values.span, False)
        for item in values:
            inner = Scope(scope)
            if len(clauses) > 1:
                self.spend(TURN_STEPS, clause.values.span)
            if not self.unpack(clause.names, item, inner, clause.values.span, help):
                return
            yield from self._iterate(clauses[1:], inner)

    def unpack(self, names: tuple[n.Word, ...], value: Any, scope: Scope, span: Span, help: str | None = None) -> bool:
        """Bind `names` to `value`, or to its items if they are several; return whether that could be done.

        That it can't is reported with `help`.
        """
        if len(names) == 1:
            scope.bind(names[0].text, value, names[0].span)
            return True
        value = value.images if isinstance(value, Result) else value
        if value is not UNKNOWN and not (isinstance(value, tuple) and len(value) == len(names)):
            has = f"{len(value)} item{'s' * (len(value) != 1)}" if isinstance(value, tuple) else type_name(value)
            self.error("cannot-unpack", f"{len(names)} names for {has}", span, help=help)
            value = UNKNOWN
        for index, name in enumerate(names):
            scope.bind(name.text, UNKNOWN if value is UNKNOWN else value[index], name.span)
        return True

    def error(self, code: str, message: str, span: Span, *, help: str | None = None) -> Unknown:
        """Report an error and return `UNKNOWN`."""
        self.diagnostics.error(code, message, span, help=help)
        return UNKNOWN

    def not_yet(self, problem: NotYet, span: Span) -> Unknown:
        """Report that what stands at `span` needs a value that is known only when the plan runs."""
        self.diagnostics.error("deferred-value", problem.message, span, help=HELP,
                               labels=(Label(problem.deferred.span, "made here"),))  # fmt: skip
        return UNKNOWN

    def template_problem(self, problem: TemplateProblem, span: Span) -> Unknown:
        """Report what is wrong with the template at `span`."""
        if problem.deferred is not None:
            return self.not_yet(NotYet(problem.deferred), inside(span, problem.word))
        return self.error("bad-template", problem.message, inside(span, problem.word), help=problem.help)

    def _number(self, node: n.Literal) -> Any:
        if isinstance(node.value, float) and not math.isfinite(node.value):
            return self.error("bad-number", "this number is too large", node.span)
        return node.value

    def _size(self, node: n.Size) -> Any:
        if not (0 < node.width <= 65536 and 0 < node.height <= 65536):
            return self.error("bad-number", "a size has sides from 1 to 65536 pixels", node.span)
        return Size(node.width, node.height)

    def _all(self, items: list[Any]) -> Any:
        return UNKNOWN if any(item is UNKNOWN for item in items) else tuple(items)

    def _made(self, value: Any, node: n.Expression) -> Any:
        """Return `value`, a new one, unless it is too large with all that is in it."""
        size = weight(value)
        self.spend(size, node.span)
        if size > ITEM_LIMIT:
            return self.error("too-large", f"this makes more than {ITEM_LIMIT:,} items", node.span)
        return value

    def _template(self, node: n.String, scope: Scope) -> Any:
        if node.unclear:
            return UNKNOWN
        if not Templates.is_template(node.text):
            return node.text
        try:
            wanted = self.templates.names(node.text)
        except TemplateProblem as problem:
            return self.error("bad-template", problem.message, inside(node.span, problem.word), help=problem.help)
        names: dict[str, Any] = {}
        for name in sorted(wanted):
            binding = scope.find(name)
            if binding is None:
                self._unknown_name(name, inside(node.span, name), scope)
            elif binding.value is not UNKNOWN:
                names[name] = self._bound(binding.value)
        if len(names) < len(wanted):
            return UNKNOWN
        try:
            seed = self.draws.seed(node, self.turn) if Templates.is_drawn(node.text) else 0
            return self.templates.render(node.text, names, seed)
        except _Reported:
            return UNKNOWN
        except TemplateProblem as problem:
            return self.template_problem(problem, node.span)
        finally:
            self.spend(TEMPLATE_STEPS + self.templates.spent + self.templates.take_reading(), node.span)

    def _reference(self, node: n.Reference, scope: Scope) -> Any:
        binding = scope.find(node.name)
        return self._bound(binding.value) if binding is not None else self._unknown_name(node.name, node.span, scope)

    def _bound(self, value: Any) -> Any:
        # Looked for only where a script depends on it.
        return self.outside.device() if value is DEVICE else value

    def _unknown_name(self, name: str, span: Span, scope: Scope) -> Unknown:
        report_unknown_name(name, span, scope, self.diagnostics)
        return UNKNOWN

    def _map(self, node: n.Map, scope: Scope) -> Any:
        made: dict[Any, Any] = {}
        for key_node, value_node in node.entries:
            key, value = self.value(key_node, scope), self.value(value_node, scope)
            if key is not UNKNOWN and (not isinstance(key, str | int | float) or isinstance(key, bool)):
                self.error("wrong-type", f"a map's keys are strings or numbers, not {type_name(key)}", key_node.span)
                key = UNKNOWN
            if key in made:
                self.error("duplicate-key", "this key is in the map already", key_node.span)
            made[key] = value
        if UNKNOWN in made or any(value is UNKNOWN for value in made.values()):
            return UNKNOWN
        return self._made(MappingProxyType(made), node)

    def _range(self, node: n.Range, scope: Scope) -> Any:
        bounds: list[Any] = []
        for part in (node.first, node.last, node.step):
            bound = 1 if part is None else self.value(part, scope)
            if part is not None and bound is not UNKNOWN and not is_whole(bound):
                what = called_exactly(bound)
                bound = self.error(
                    "bad-range", f"a range has whole numbers for its ends and step, not {what}", part.span,
                    help=conversion(bound, is_whole, part.span),
                )  # fmt: skip
            bounds.append(bound)
        if any(bound is UNKNOWN for bound in bounds):
            return UNKNOWN
        try:
            return self._made(inclusive_range(*bounds), node)
        except ValueError as problem:
            return self.error("bad-range", f"a range {problem}", node.span)

    def _unary(self, node: n.Unary, scope: Scope) -> Any:
        value = self.value(node.operand, scope)
        if value is UNKNOWN:
            return UNKNOWN
        if isinstance(value, Deferred):
            return self.not_yet(NotYet(value), node.operand.span)
        if node.operator == "not":
            return not value
        if not is_number(value):
            return self.error(
                "wrong-type", f"`{node.operator}` takes a number, not {type_name(value)}", node.operand.span,
                help=conversion(value, is_number, node.operand.span),
            )  # fmt: skip
        return -value if node.operator == "-" else value

    def _binary(self, node: n.Binary, scope: Scope) -> Any:
        left = self.value(node.left, scope)
        if node.operator in ("and", "or") and left is not UNKNOWN:
            if isinstance(left, Deferred):
                return self.not_yet(NotYet(left), node.left.span)
            if bool(left) == (node.operator == "or"):
                return left
            return self.value(node.right, scope)
        right = self.value(node.right, scope)
        if left is UNKNOWN or right is UNKNOWN:
            return UNKNOWN
        try:
            # `in` and `==` may look at all of it.
            self.spend(weight(left) + weight(right), node.span)
            return self._made(operators.apply(node.operator, left, right), node)
        except NotYet as problem:
            return self.not_yet(problem, node.span)
        except ValueError as problem:
            sides = ((left, right, node.left), (right, left, node.right))
            helps = (conversion(text, is_number, side.span) for text, other, side in sides if is_number(other))
            help = next(filter(None, helps), None)
            if node.operator == "+" and isinstance(left, str) != isinstance(right, str):
                help = help or "write `str(...)` around what is no string"
            return self.error("wrong-type", str(problem), node.span, help=help)
        except ZeroDivisionError:
            return self.error("division-by-zero", "division by zero", node.right.span)
        except OverflowError:
            return self.error("bad-number", "the result is too large", node.span)

    def _index(self, node: n.Index, scope: Scope) -> Any:
        base, index = self.value(node.base, scope), self.value(node.index, scope)
        if base is UNKNOWN or index is UNKNOWN:
            return UNKNOWN
        base = base.images if isinstance(base, Result) else base
        for part, value in ((node.base, base), (node.index, index)):
            if isinstance(value, Deferred):
                return self.not_yet(NotYet(value), part.span)
        if isinstance(base, Mapping):
            if is_key(index) and not isinstance(index, bool) and index in base:
                return base[index]
            if self.diagnostics.is_full:
                return UNKNOWN
            return self.error("no-such-item", f"the map has no key {_shown(index)}", node.index.span,
                              help=did_you_mean(str(index), map(str, base), "its keys"))  # fmt: skip
        if not isinstance(base, tuple | str):
            return self.error("wrong-type", f"{type_name(base)} has no items", node.base.span)
        if not is_whole(index):
            return self.error("wrong-type", f"an index is a whole number, not {called_exactly(index)}", node.index.span,
                              help=conversion(index, is_whole, node.index.span))  # fmt: skip
        if not -len(base) <= index < len(base):
            return self.error("no-such-item", f"there is no item {index} among {len(base)}", node.index.span,
                              help=f"items are numbered from 0 to {len(base) - 1}" if base else None)  # fmt: skip
        return base[index]

    def _slice(self, node: n.Slice, scope: Scope) -> Any:
        base = self.value(node.base, scope)
        bounds = [None if bound is None else self.value(bound, scope) for bound in (node.start, node.stop)]
        if base is UNKNOWN or any(bound is UNKNOWN for bound in bounds):
            return UNKNOWN
        base = base.images if isinstance(base, Result) else base
        if isinstance(base, Deferred):
            return self.not_yet(NotYet(base), node.base.span)
        if not isinstance(base, tuple | str):
            return self.error("wrong-type", f"{type_name(base)} has no items", node.base.span)
        for part, bound in zip((node.start, node.stop), bounds, strict=True):
            if part is not None and not is_whole(bound):
                return self.error("wrong-type", f"an index is a whole number, not {called_exactly(bound)}", part.span,
                                  help=conversion(bound, is_whole, part.span))  # fmt: skip
        return self._made(base[bounds[0] : bounds[1]], node)

    def _member(self, node: n.Member, scope: Scope) -> Any:
        base = self.value(node.base, scope)
        if base is UNKNOWN:
            return UNKNOWN
        known = members(base)
        if known is None:
            return self.error("no-such-member", f"{type_name(base)} has no members", node.name.span,
                              help=instead(base, node.name.text, node.base.span))  # fmt: skip
        if node.name.text not in known:
            if self.diagnostics.is_full:
                return UNKNOWN
            help = instead(base, node.name.text, node.base.span) or (
                did_you_mean(node.name.text, map(str, known), "its members") if known else "it is empty"
            )
            return self.error("no-such-member", f"{type_name(base)} has no member `{node.name.text}`", node.name.span,
                              help=help)  # fmt: skip
        found = known[node.name.text]
        if isinstance(found, Unavailable):
            return self.error("unavailable", found.message, node.name.span, help=found.help)
        return found

    def _call(self, node: n.Call, scope: Scope, *, alone: bool = False) -> Any:
        function = self.value(node.function, scope)
        given = [(argument, self.value(argument.value, scope)) for argument in node.arguments]
        if function is UNKNOWN or any(value is UNKNOWN for _, value in given):
            return UNKNOWN
        if not isinstance(function, Builtin | Routine):
            return self.error("wrong-type", f"{type_name(function)} can't be called", node.function.span)
        arguments = [value for argument, value in given if argument.name is None]
        named = {argument.name.text: value for argument, value in given if argument.name is not None}
        self.spend(sum(map(weight, arguments)), node.span)
        if isinstance(function, Routine):
            if function.is_task and not alone:
                return self.error("wrong-type", f"`{function.name}` is a task and makes no value", node.span,
                                  help="call it in a line of its own; `def` makes functions")  # fmt: skip
            return self._carried_out(function, arguments, named, node)
        if not function.lazy and (found := deferred_in([*arguments, *named.values()])) is not None:
            return self.not_yet(NotYet(found), node.span)
        before: list[Any] = [self.outside, node.span.source.folder] if function.outside else []
        if function.drawn:
            before.append(lambda: self.draws.seed(node, self.turn))
        try:
            return self._made(function.call(*before, *arguments, **named), node)
        except OutsideProblem as problem:
            at = node.arguments[0].value.span if node.arguments else node.span
            self.diagnostics.error(problem.code, problem.message, at, help=problem.help, labels=problem.labels)
            return UNKNOWN
        except ExpansionMistakes as several:
            text, at = next((value, argument.value.span) for argument, value in given
                            if argument.name is None or argument.name.text == "text")  # fmt: skip
            for mistake in several.mistakes:
                self._mistake_in(text, at, mistake)
            return UNKNOWN
        except ValueError as problem:
            helps = [] if function.name in _OF_TEXTS else [
                conversion(value, is_number, argument.value.span) for argument, value in given
            ]  # fmt: skip
            return self.error("bad-call", f"`{function.name}` {problem}", node.span,
                              help=next(filter(None, helps), None))  # fmt: skip
        except TypeError:
            return self.error("bad-call", f"`{function.name}` can't be called like this", node.span,
                              help=f"its form is `{function.name}{function.signature}`")  # fmt: skip
        finally:
            self.steps, self.outside.work = self.steps + self.outside.work, 0

    def _mistake_in(self, text: str, at: Span, mistake: ExpansionMistake) -> None:
        """Report what is wrong with `text`, the value of what stands at `at`, or with a file that it names."""
        place = within(at, text, mistake.offset, mistake.length)
        labels = () if mistake.span is None else (Label(place, "named here"),)
        self.diagnostics.error(mistake.code, mistake.message, mistake.span or place, help=mistake.help, labels=labels)

    def _carried_out(self, routine: Routine, arguments: list[Any], named: dict[str, Any], node: n.Call) -> Any:
        """Return what `routine` makes of its arguments, called by `node`."""
        self.spend(CALL_STEPS, node.span)
        outer, self.turn = self.turn, (*self.turn, self.draws.way(node))
        try:
            with self.diagnostics.through(Label(node.span, "called here")):
                return self._inside(routine, routine_scope(routine, arguments, named))
        except ValueError as problem:
            return self.error("bad-call", f"`{routine.name}` {problem}", node.span,
                              help=f"its form is `{routine.name}{routine.signature}`")  # fmt: skip
        except _Again:
            return self.error("recursion", f"`{routine.name}` would call itself", node.span,
                              help="go through a list with `for` or a comprehension")  # fmt: skip
        finally:
            self.turn = outer

    def _invoked(self, routine: Routine, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Return what `routine` makes of its arguments, called by a template."""
        if routine.is_task:
            raise TemplateProblem(f"`{routine.name}` is a task and makes no value", word=routine.name)
        try:
            value = self._inside(routine, routine_scope(routine, arguments, named))
        except ValueError as problem:
            form = f"its form is `{routine.name}{routine.signature}`"
            raise TemplateProblem(f"`{routine.name}` {problem}", form, routine.name) from None
        except _Again:
            raise TemplateProblem(f"`{routine.name}` would call itself", word=routine.name) from None
        if value is UNKNOWN:
            raise _Reported
        return value

    def _inside(self, routine: Routine, scope: Scope) -> Any:
        if routine in self._active:
            raise _Again
        self._active.append(routine)
        try:
            if not isinstance(routine.body, n.Body):
                return self.value(routine.body, scope)
            self.doer.perform(routine.body, scope)
            return None
        finally:
            self._active.pop()

    def _comprehension(self, node: n.Comprehension, scope: Scope) -> Any:
        made: list[Any] = []
        for inner in self.iterate(node.clauses, scope):
            if node.condition is not None and not self.truth(node.condition, inner):
                continue
            made.append(self.value(node.element, inner))
            if len(made) > ITEM_LIMIT:
                return self.error("too-large", f"this makes more than {ITEM_LIMIT:,} items", node.span)
        return self._made(self._all(made), node)


class _Reported(Exception):
    """What went wrong in a function that a template calls has been reported where it is."""


class _Again(Exception):
    """A function is called in the middle of itself."""


def routine_scope(routine: Routine, arguments: list[Any], named: Mapping[str, Any]) -> Scope:
    """Return a scope with the parameters of `routine` bound. Raises `ValueError` if they don't fit."""
    if len(arguments) > len(routine.parameters):
        takes = f"{len(routine.parameters)} value{'s' * (len(routine.parameters) != 1)}"
        raise ValueError(f"takes {takes}, not {len(arguments)}")
    given = dict(zip(routine.parameters, arguments, strict=False))
    for name, value in named.items():
        if name not in routine.parameters:
            raise ValueError(f"has no parameter `{name}`")
        if name in given:
            raise ValueError(f"gets `{name}` twice")
        given[name] = value
    missing = [name for name in routine.parameters if name not in given and name not in routine.defaults]
    if missing:
        raise ValueError("gets no " + " and no ".join(f"`{name}`" for name in missing))
    scope = Scope(routine.scope)
    for name in routine.parameters:
        scope.bind(name, given[name] if name in given else routine.defaults[name], routine.span)
    return scope


def _items(value: Any) -> Any:
    """Return what a loop goes through of `value`: a map's keys, a result's images, or the list that it is."""
    return tuple(value) if isinstance(value, Mapping) else value.images if isinstance(value, Result) else value


def _shown(value: Any) -> str:
    return f'`"{value}"`' if isinstance(value, str) else f"`{shown(value)}`" if is_key(value) else type_name(value)
