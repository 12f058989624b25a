"""From an expression and the names around it to a value.

A mistake is reported once and makes the value `UNKNOWN`, of which nothing more is said. Blocks that declare or do
something (`with`, `generate`) are carried out by `evaluate`, through the `Doer` that comes in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, assert_never

from aquatint.diagnostics import Diagnostics, did_you_mean
from aquatint.language.builtins import ITEM_LIMIT, inclusive_range
from aquatint.language.names import inside, report_unknown_name
from aquatint.language.scope import Scope
from aquatint.language.templates import TemplateProblem, Templates
from aquatint.language.values import UNKNOWN, Builtin, Size, Unknown, frozen, members, type_name
from aquatint.source import Span
from aquatint.syntax import nodes as n


class Doer(Protocol):
    """Carries out the expressions that are blocks."""

    def act(self, node: n.Action, scope: Scope) -> Any: ...

    def derive(self, node: n.Derived, scope: Scope) -> Any: ...


class Expressions:
    """Evaluates expressions for one plan; `turn` tells apart the times that one place is evaluated."""

    def __init__(self, diagnostics: Diagnostics, templates: Templates, doer: Doer) -> None:
        self.diagnostics = diagnostics
        self.templates = templates
        self.doer = doer
        self.turn: tuple[int, ...] = ()

    def value(self, node: n.Expression, scope: Scope) -> Any:
        """Return what `node` stands for, or `UNKNOWN` after a report."""
        match node:
            case n.Literal():
                return self._number(node)
            case n.Size():
                return self._size(node)
            case n.Bytes():
                return node.count
            case n.String():
                return node.text if node.raw else self._template(node, scope)
            case n.Reference():
                return self._reference(node, scope)
            case n.List():
                return self._all(self.value(item, scope) for item in node.items)
            case n.Map():
                return self._map(node, scope)
            case n.Range():
                return self._range(node, scope)
            case n.Unary():
                return self._unary(node, scope)
            case n.Binary():
                return self._binary(node, scope)
            case n.Conditional():
                condition = self.truth(node.condition, scope)
                if condition is None:
                    return UNKNOWN
                return self.value(node.then if condition else node.otherwise, scope)
            case n.Index():
                return self._index(node, scope)
            case n.Slice():
                return self._slice(node, scope)
            case n.Member():
                return self._member(node, scope)
            case n.Call():
                return self._call(node, scope)
            case n.Comprehension():
                return self._comprehension(node, scope)
            case n.Derived():
                return self.doer.derive(node, scope)
            case n.Action():
                return self.doer.act(node, scope)
            case _:
                assert_never(node)

    def truth(self, node: n.Expression, scope: Scope) -> bool | None:
        """Return whether `node` holds, or None if that is unknown. Empty, zero and `none` do not hold."""
        value = self.value(node, scope)
        return None if value is UNKNOWN else bool(value)

    def iterate(self, clauses: tuple[n.Clause, ...], scope: Scope) -> Iterator[Scope]:
        """Yield a scope for each turn of the nested loops `clauses`, the leftmost outermost."""
        outer = self.turn
        for number, inner in enumerate(self._iterate(clauses, scope)):
            self.turn = (*outer, number)
            yield inner
        self.turn = outer

    def _iterate(self, clauses: tuple[n.Clause, ...], scope: Scope) -> Iterator[Scope]:
        if not clauses:
            yield scope
            return
        clause = clauses[0]
        values = self.value(clause.values, scope)
        if values is UNKNOWN:
            # One turn with unknown names: the body's own mistakes are still found.
            inner = Scope(scope)
            for name in clause.names:
                inner.bind(name.text, UNKNOWN, name.span)
            yield from self._iterate(clauses[1:], inner)
            return
        if isinstance(values, Mapping):
            values = tuple(values)
        if not isinstance(values, tuple):
            self.error("not-a-list", f"`for` goes through a list, not {type_name(values)}", clause.values.span,
                       help="put it in brackets: `[...]`")  # fmt: skip
            return
        for item in values:
            inner = Scope(scope)
            if not self.unpack(clause.names, item, inner, clause.span):
                return
            yield from self._iterate(clauses[1:], inner)

    def unpack(self, names: tuple[n.Word, ...], value: Any, scope: Scope, span: Span) -> bool:
        """Bind `names` to `value`, or to its items if they are several; return whether that could be done."""
        if len(names) == 1:
            scope.bind(names[0].text, value, names[0].span)
            return True
        if value is not UNKNOWN and not (isinstance(value, tuple) and len(value) == len(names)):
            has = f"{len(value)} items" if isinstance(value, tuple) else type_name(value)
            self.error("cannot-unpack", f"{len(names)} names for {has}", span)
            value = UNKNOWN
        for index, name in enumerate(names):
            scope.bind(name.text, UNKNOWN if value is UNKNOWN else value[index], name.span)
        return True

    def error(self, code: str, message: str, span: Span, *, help: str | None = None) -> Unknown:
        """Report an error and return `UNKNOWN`."""
        self.diagnostics.error(code, message, span, help=help)
        return UNKNOWN

    def _number(self, node: n.Literal) -> Any:
        if isinstance(node.value, float) and not math.isfinite(node.value):
            return self.error("bad-number", "this number is too large", node.span)
        return node.value

    def _size(self, node: n.Size) -> Any:
        if not (0 < node.width <= 65536 and 0 < node.height <= 65536):
            return self.error("bad-number", "a size has sides from 1 to 65536 pixels", node.span)
        return Size(node.width, node.height)

    def _all(self, values: Iterator[Any]) -> Any:
        items = tuple(values)
        return UNKNOWN if any(item is UNKNOWN for item in items) else items

    def _template(self, node: n.String, scope: Scope) -> Any:
        if not Templates.is_template(node.text):
            return node.text
        try:
            wanted = self.templates.names(node.text)
        except TemplateProblem as problem:
            return self.error("bad-template", problem.message, node.span, help=problem.help)
        names: dict[str, Any] = {}
        for name in sorted(wanted):
            binding = scope.find(name)
            if binding is None:
                self._unknown_name(name, inside(node, name), scope)
            elif binding.value is not UNKNOWN:
                names[name] = binding.value
        if len(names) < len(wanted):
            return UNKNOWN
        try:
            return self.templates.render(node.text, names, f"{node.span.start}|{self.turn}")
        except TemplateProblem as problem:
            return self.error("bad-template", problem.message, inside(node, problem.word), help=problem.help)

    def _reference(self, node: n.Reference, scope: Scope) -> Any:
        binding = scope.find(node.name)
        return binding.value if binding is not None else self._unknown_name(node.name, node.span, scope)

    def _unknown_name(self, name: str, span: Span, scope: Scope) -> Unknown:
        report_unknown_name(name, span, scope, self.diagnostics)
        return UNKNOWN

    def _map(self, node: n.Map, scope: Scope) -> Any:
        made: dict[Any, Any] = {}
        for key_node, value_node in node.entries:
            key, value = self.value(key_node, scope), self.value(value_node, scope)
            if key is not UNKNOWN and not isinstance(key, str | int | float):
                self.error("wrong-type", f"a map's keys are strings or numbers, not {type_name(key)}", key_node.span)
                key = UNKNOWN
            if key in made:
                self.error("duplicate-key", "this key is in the map already", key_node.span)
            made[key] = value
        return UNKNOWN if UNKNOWN in made or any(v is UNKNOWN for v in made.values()) else frozen(made)

    def _range(self, node: n.Range, scope: Scope) -> Any:
        parts = [None if part is None else self.value(part, scope) for part in (node.first, node.last, node.step)]
        if any(part is UNKNOWN for part in parts):
            return UNKNOWN
        try:
            return inclusive_range(*parts)
        except ValueError as problem:
            return self.error("bad-range", str(problem), node.span)

    def _unary(self, node: n.Unary, scope: Scope) -> Any:
        value = self.value(node.operand, scope)
        if value is UNKNOWN:
            return UNKNOWN
        if node.operator == "not":
            return not value
        if not _is_number(value):
            return self.error(
                "wrong-type", f"`{node.operator}` takes a number, not {type_name(value)}", node.operand.span
            )
        return -value if node.operator == "-" else value

    def _binary(self, node: n.Binary, scope: Scope) -> Any:
        left = self.value(node.left, scope)
        if node.operator in ("and", "or") and left is not UNKNOWN:
            if bool(left) == (node.operator == "or"):
                return left
            return self.value(node.right, scope)
        right = self.value(node.right, scope)
        if left is UNKNOWN or right is UNKNOWN:
            return UNKNOWN
        try:
            return _OPERATORS[node.operator](left, right)
        except ValueError as problem:
            return self.error("wrong-type", str(problem), node.span)
        except ZeroDivisionError:
            return self.error("division-by-zero", "division by zero", node.right.span)
        except OverflowError:
            return self.error("bad-number", "the result is too large", node.span)

    def _index(self, node: n.Index, scope: Scope) -> Any:
        base, index = self.value(node.base, scope), self.value(node.index, scope)
        if base is UNKNOWN or index is UNKNOWN:
            return UNKNOWN
        if isinstance(base, Mapping):
            if _hashable(index) and index in base:
                return base[index]
            return self.error("no-such-item", f"the map has no key {_shown(index)}", node.index.span,
                              help=did_you_mean(str(index), map(str, base), "its keys"))  # fmt: skip
        if not isinstance(base, tuple | str):
            return self.error("wrong-type", f"{type_name(base)} has no items", node.base.span)
        if not isinstance(index, int) or isinstance(index, bool):
            return self.error("wrong-type", f"an index is a whole number, not {type_name(index)}", node.index.span)
        if not -len(base) <= index < len(base):
            return self.error("no-such-item", f"there is no item {index} among {len(base)}", node.index.span,
                              help=f"items are numbered from 0 to {len(base) - 1}" if base else None)  # fmt: skip
        return base[index]

    def _slice(self, node: n.Slice, scope: Scope) -> Any:
        base = self.value(node.base, scope)
        bounds = [None if bound is None else self.value(bound, scope) for bound in (node.start, node.stop)]
        if base is UNKNOWN or any(bound is UNKNOWN for bound in bounds):
            return UNKNOWN
        if not isinstance(base, tuple | str):
            return self.error("wrong-type", f"{type_name(base)} has no items", node.base.span)
        for bound in bounds:
            if bound is not None and (not isinstance(bound, int) or isinstance(bound, bool)):
                return self.error("wrong-type", f"an index is a whole number, not {type_name(bound)}", node.span)
        return base[bounds[0] : bounds[1]]

    def _member(self, node: n.Member, scope: Scope) -> Any:
        base = self.value(node.base, scope)
        if base is UNKNOWN:
            return UNKNOWN
        known = members(base)
        if known is None:
            return self.error("no-such-member", f"{type_name(base)} has no members", node.name.span)
        if node.name.text not in known:
            return self.error("no-such-member", f"{type_name(base)} has no member `{node.name.text}`", node.name.span,
                              help=did_you_mean(node.name.text, map(str, known), "its members"))  # fmt: skip
        return known[node.name.text]

    def _call(self, node: n.Call, scope: Scope) -> Any:
        function = self.value(node.function, scope)
        given = [(argument, self.value(argument.value, scope)) for argument in node.arguments]
        if function is UNKNOWN or any(value is UNKNOWN for _, value in given):
            return UNKNOWN
        if not isinstance(function, Builtin):
            return self.error("wrong-type", f"{type_name(function)} can't be called", node.function.span)
        arguments = [value for argument, value in given if argument.name is None]
        named = {argument.name.text: value for argument, value in given if argument.name is not None}
        try:
            return function.call(*arguments, **named)
        except ValueError as problem:
            return self.error("bad-call", f"`{function.name}` {problem}", node.span)
        except TypeError:
            return self.error("bad-call", f"`{function.name}` can't be called like this", node.span,
                              help=f"its form is `{function.name}{function.signature}`")  # fmt: skip

    def _comprehension(self, node: n.Comprehension, scope: Scope) -> Any:
        made: list[Any] = []
        for inner in self.iterate(node.clauses, scope):
            if node.condition is not None and not self.truth(node.condition, inner):
                continue
            made.append(self.value(node.element, inner))
            if len(made) > ITEM_LIMIT:
                return self.error("too-large", f"this makes more than {ITEM_LIMIT:,} items", node.span)
        return self._all(iter(made))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _hashable(value: Any) -> bool:
    return isinstance(value, str | int | float | bool | None)


def _shown(value: Any) -> str:
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _numbers(operator: str, left: Any, right: Any) -> None:
    if not (_is_number(left) and _is_number(right)):
        raise ValueError(f"`{operator}` takes two numbers, not {type_name(left)} and {type_name(right)}")


def _add(left: Any, right: Any) -> Any:
    for kind in (str, tuple):
        if isinstance(left, kind) and isinstance(right, kind):
            if len(left) + len(right) > ITEM_LIMIT:
                raise OverflowError
            return left + right  # type: ignore[operator]
    if not (_is_number(left) and _is_number(right)):
        help = "; write `str(...)` around the other" if isinstance(left, str) or isinstance(right, str) else ""
        raise ValueError(f"`+` adds two numbers, strings or lists, not {type_name(left)} and {type_name(right)}{help}")
    return left + right


def _multiply(left: Any, right: Any) -> Any:
    for many, times in ((left, right), (right, left)):
        if isinstance(many, str | tuple) and isinstance(times, int) and not isinstance(times, bool):
            if len(many) * max(times, 0) > ITEM_LIMIT:
                raise OverflowError
            return many * times
    _numbers("*", left, right)
    return left * right


def _power(left: Any, right: Any) -> Any:
    _numbers("**", left, right)
    # 2 ** 10 ** 9 would take the machine's memory.
    if isinstance(left, int) and isinstance(right, int) and abs(left) > 1 and abs(right) * left.bit_length() > 256:
        raise OverflowError
    result = left**right
    if isinstance(result, complex):
        raise ValueError("a negative number has no such root")
    return result


def _arithmetic(operator: str, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def apply(left: Any, right: Any) -> Any:
        _numbers(operator, left, right)
        return function(left, right)

    return apply


def _ordering(operator: str, function: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    def apply(left: Any, right: Any) -> Any:
        if not (_is_number(left) and _is_number(right)) and not (isinstance(left, str) and isinstance(right, str)):
            raise ValueError(
                f"`{operator}` compares two numbers or two strings, not {type_name(left)} and {type_name(right)}"
            )
        return function(left, right)

    return apply


def _equal(left: Any, right: Any) -> bool:
    # To Python `1 == true`.
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _contains(item: Any, values: Any) -> bool:
    if isinstance(values, str):
        if not isinstance(item, str):
            raise ValueError(f"`in` looks for a string in a string, not for {type_name(item)}")
        return item in values
    if isinstance(values, Mapping):
        return _hashable(item) and item in values
    if isinstance(values, tuple):
        return any(_equal(item, other) for other in values)
    raise ValueError(f"`in` looks into a list, a map or a string, not {type_name(values)}")


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": _add,
    "-": _arithmetic("-", lambda a, b: a - b),
    "*": _multiply,
    "/": _arithmetic("/", lambda a, b: a / b),
    "//": _arithmetic("//", lambda a, b: a // b),
    "%": _arithmetic("%", lambda a, b: a % b),
    "**": _power,
    "==": _equal,
    "!=": lambda a, b: not _equal(a, b),
    "<": _ordering("<", lambda a, b: a < b),
    "<=": _ordering("<=", lambda a, b: a <= b),
    ">": _ordering(">", lambda a, b: a > b),
    ">=": _ordering(">=", lambda a, b: a >= b),
    "in": _contains,
    "not in": lambda a, b: not _contains(a, b),
}
