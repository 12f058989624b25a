"""Strings that are Jinja2 templates, rendered in a sandbox.

A template sees the script's names and nothing of Python; operators do in it what they do in a script. Its `random` and
`shuffle` draw from a generator that is seeded by whoever renders the template, so that a plan stays the same. All that
it does is counted: none runs for ever or fills the memory.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial, reduce, wraps
from itertools import islice
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError, meta, nodes, pass_context
from jinja2.exceptions import TemplateError
from jinja2.runtime import LoopContext
from jinja2.sandbox import SandboxedEnvironment
from jinja2.visitor import NodeTransformer

from aquatint.diagnostics import did_you_mean
from aquatint.language import filters, operators
from aquatint.language.builtins import FUNCTIONS
from aquatint.language.deferred import NotYet, deferred_in, operated, pieces
from aquatint.language.deferred import written as written_parts
from aquatint.language.template_mistakes import reason, syntax_problem
from aquatint.language.values import ITEM_LIMIT, PATH_MEMBERS, Deferred, PathText, Routine, members, shown, weight
from aquatint.language.views import (
    METHODS_OF_MAPS,
    DeferredView,
    FunctionView,
    ItemsView,
    MapView,
    TemplateProblem,
    View,
    kind_of,
    not_yet,
    unview,
    view,
    written,
)
from aquatint.plan.steps import Hole
from aquatint.plan.texts import OPERATIONS

STEP_LIMIT = 1_000_000
"""Steps of one rendering: turns of loops, and the weight of what its filters, functions and operators take and make."""
TEXT_LIMIT = 100_000
"""Characters of a template."""
READ_STEPS = 500
"""Steps of reading a template, and of compiling it, beside those of each character."""
READ_STEPS_OF_CHARACTER = 20

_MARK = re.compile("{[{%#]")
# A string is no place for what names other templates or defines things.
_STATEMENTS = (
    nodes.Output, nodes.For, nodes.If, nodes.Assign, nodes.AssignBlock, nodes.With, nodes.FilterBlock, nodes.Scope,
)  # fmt: skip
# Jinja's own filters that make about as much as they take. Those that the language has as functions are the language's.
_FILTERS = (
    "capitalize", "count", "d", "default", "first", "last", "length", "list", "lower", "map", "reject", "rejectattr",
    "reverse", "select", "selectattr", "sort", "title", "trim", "truncate", "unique", "upper", "wordcount",
)  # fmt: skip
_METHODS: dict[type, tuple[str, ...]] = {
    str: (
        "capitalize", "count", "endswith", "find", "lower", "lstrip", "removeprefix", "removesuffix", "replace",
        "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "title", "upper",
    ),
    PathText: PATH_MEMBERS,
    dict: METHODS_OF_MAPS,
    LoopContext: (
        "changed", "cycle", "depth", "depth0", "first", "index", "index0", "last", "length", "nextitem", "previtem",
        "revindex", "revindex0",
    ),
}  # fmt: skip
# These move items about and write them, without a look at what they are.
_LAZY = ("count", "first", "items", "join", "last", "length", "list", "reverse")
# Of these the answer depends on how a template is carried out.
_NO_TESTS = ("filter", "test", "sameas")
_COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "lteq": "<=", "gt": ">", "gteq": ">=", "in": "in", "notin": "not in"}


class _Undefined(StrictUndefined):
    """What a template asks for and isn't there; the report names it."""

    def problem(self) -> TemplateProblem:
        name = self._undefined_name
        if self._undefined_hint:
            return TemplateProblem(str(self._undefined_hint).rstrip("."))
        if isinstance(self._undefined_obj, _Undefined):
            return self._undefined_obj.problem()
        if not isinstance(name, str):
            return TemplateProblem(f"{kind_of(self._undefined_obj)} has no item {shown(name)}")
        if self._undefined_obj is not None and type(self._undefined_obj).__name__ == "MissingType":
            return TemplateProblem(f"there is no `{name}` here", word=name)
        known = members(unview(self._undefined_obj)) or {}
        return TemplateProblem(f"{kind_of(self._undefined_obj)} has no member `{name}`",
                               did_you_mean(name, map(str, known), "its members") if known else None, name)  # fmt: skip

    def _fail_with_undefined_error(self, *args: Any, **kwargs: Any) -> Any:
        raise self.problem()


Invoke = Callable[[Routine, list[Any], dict[str, Any]], Any]
"""Carries out a function that the script defines, which may render templates of its own."""


# Between these characters, which stand for none, a template writes the number of a hole of its text.
_HOLE = re.compile("\ufdd0([0-9]+)\ufdd1")


class _Environment(SandboxedEnvironment):
    """Jinja with the language's operators, and doors only for what `_FILTERS` and `_METHODS` name.

    `holes` are those that the rendering has written so far, and `deferred` the first value that made some.
    """

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, spend: Callable[..., None], invoke: Invoke) -> None:
        # Unoptimized, since the optimizer would draw from `random` before it is seeded.
        super().__init__(undefined=_Undefined, keep_trailing_newline=True, finalize=_finalized, optimized=False)
        self.globals.clear()
        self.spend = spend
        self.invoke = invoke
        self.holes: list[Hole] = []
        self.deferred: Deferred | None = None

    def write(self, value: Any) -> str:
        """Return what a template writes for `value`, with marks for what is known only when the plan runs."""
        made = unview(value)
        found = deferred_in(made)
        if found is None:
            return shown(made)
        self.deferred = self.deferred or found
        marked: list[str] = []
        for part in pieces(made):
            if isinstance(part, str):
                marked.append(part)
            else:
                marked.append(f"\ufdd0{len(self.holes)}\ufdd1")
                self.holes.append(part)
        return "".join(marked)

    def parts(self, text: str) -> Iterator[str | Hole]:
        """Yield what the rendered `text` is made of."""
        for number, part in enumerate(_HOLE.split(text)):
            if number % 2 and int(part) < len(self.holes):
                yield self.holes[int(part)]
            elif number % 2 == 0:
                yield part

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if attr.startswith("_"):
            return False
        return isinstance(obj, View) or any(isinstance(obj, kind) and attr in names for kind, names in _METHODS.items())

    def unsafe_undefined(self, obj: Any, attribute: str) -> Any:
        raise TemplateProblem(f"a template can't use `{attribute}` of {kind_of(obj)}", word=attribute)

    def wrap_str_format(self, value: Any) -> Any:
        return None

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, DeferredView):
            raise not_yet(NotYet(obj._value))
        self.spend(obj if isinstance(argument, slice) else argument, lazy=isinstance(argument, slice))
        return super().getitem(obj, argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        return self.operate(operator, left, right)

    def call_unop(self, context: Any, operator: str, arg: Any) -> Any:
        if not operators.is_number(arg):
            raise TemplateProblem(f"`{operator}` takes a number, not {kind_of(arg)}")
        return -arg if operator == "-" else arg

    def operate(self, operator: str, left: Any, right: Any) -> Any:
        """Return `left operator right` as a script would."""
        self.spend([left, right], lazy=True)
        try:
            result = view(operators.apply(operator, unview(left), unview(right)))
        except NotYet as problem:
            raise not_yet(problem) from None
        except ZeroDivisionError:
            raise TemplateProblem("division by zero") from None
        except OverflowError:
            raise TemplateProblem("the result is too large") from None
        except ValueError as problem:
            is_mixed = operator == "+" and isinstance(left, str) != isinstance(right, str)
            raise TemplateProblem(str(problem), "write `~` to join them as text" if is_mixed else None) from None
        self.spend(result, lazy=True)
        return result

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        for own in ("_loop_vars", "_block_vars"):
            kwargs.pop(own, None)  # Jinja's own, inside of loops and blocks
        name = getattr(__obj, "__name__", "")
        owner = getattr(__obj, "__self__", None)
        if isinstance(__obj, _Undefined):
            raise __obj.problem()
        if not isinstance(__obj, FunctionView) and not isinstance(owner, str | dict | LoopContext):
            raise TemplateProblem(f"{kind_of(__obj)} can't be called")
        is_view = isinstance(__obj, FunctionView)
        __self.spend([*args, *kwargs.values(), *([owner] if isinstance(owner, str) else [])], lazy=is_view)
        try:
            if isinstance(__obj, FunctionView) and isinstance(routine := __obj._function, Routine):
                given = {key: unview(value) for key, value in kwargs.items()}
                made = view(__self.invoke(routine, [unview(value) for value in args], given))
            else:
                made = filters.replace(owner, *args) if name == "replace" else __obj(*args, **kwargs)
        except (TypeError, ValueError, IndexError):
            raise TemplateProblem(f"`{name}` can't be called like this", word=name) from None
        made = list(islice(made, ITEM_LIMIT)) if isinstance(owner, dict) and name != "get" else made
        __self.spend(made, lazy=True)
        return made


# No names, so that no template can ask for them.
_TURNS, _WHOLE, _SIGN = " turns", " whole", " "


class _Counted(NodeTransformer):
    """Puts filters around what Jinja would do without asking the environment."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        self.generic_visit(node)
        node.iter = _filtered(node.iter, _TURNS)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Getitem:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _filtered(node.node, _WHOLE)
        return node

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.CondExpr:
        self.generic_visit(node)
        # `{{ a if b }}` writes nothing where `b` does not hold.
        node.expr2 = node.expr2 or nodes.Const("", lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "join")

    def visit_Compare(self, node: nodes.Compare) -> nodes.Expr:
        self.generic_visit(node)
        operands = [node.expr, *(operand.expr for operand in node.ops)]
        made: list[nodes.Expr] = [
            _filtered(left, _SIGN + _COMPARISONS[operand.op], operand.expr)
            for left, operand in zip(operands, node.ops, strict=False)
        ]
        return reduce(lambda both, one: nodes.And(both, one, lineno=node.lineno), made)


def _filtered(node: nodes.Node, name: str, *arguments: nodes.Node) -> nodes.Filter:
    return nodes.Filter(node, name, list(arguments), [], None, None, lineno=node.lineno)


# A hole of a template whose ends are plain to see: no braces, escapes or carriage returns in it, no trimming marks.
_HOLE_OF_TEXT = re.compile(r"""\{\{(?![-+])((?:[^{}'"\r\\]|'[^'{}\r\\]*'|"[^"{}\r\\]*")*)(?<![-+])\}\}""", re.ASCII)
# A name, and members of it: what most holes are.
_PATH = re.compile(r"[ \t\n]*([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)[ \t\n]*", re.ASCII)
# What is something else to Jinja than a name.
_NO_NAMES = frozenset({
    "true", "false", "none", "True", "False", "None", "and", "or", "not", "if", "else", "elif", "is", "in", "for",
    "recursive", "self", "super", "loop", "varargs", "kwargs", "caller",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a template that is carried out: one hole, or, where they hang together, all of it.

    `path` is a name and members of it, if the hole is nothing but that; anything else is Jinja's to read.
    """

    text: str
    names: frozenset[str]
    path: tuple[str, ...] = ()
    tree: nodes.Template | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    """A template: the texts and pieces that it is made of, one after the other, and the names that it needs."""

    parts: tuple[str | _Piece, ...]
    names: frozenset[str]


class Templates:
    """Renders strings; one for each plan. `spent` says how many steps the last rendering took.

    Jinja takes a millisecond to compile a template, and a script may have many that differ in their constant text. So
    each is taken apart into its holes, of which few differ: a name alone needs no Jinja, and another is compiled once.
    """

    def __init__(self, invoke: Invoke | None = None) -> None:
        self.spent = 0
        self._reading = 0
        self._invoke = invoke
        self._environment = environment = _Environment(self._spend, self._called)
        self._read: dict[str, _Read | TemplateProblem] = {}
        self._pieces: dict[str, _Piece] = {}
        self._compiled: dict[str, Any] = {}
        self._random = random.Random()
        self._turn_steps = 1
        known: dict[str, Any] = {name: environment.filters[name] for name in _FILTERS}
        for function in FUNCTIONS:
            if function.name not in known:
                known[function.name] = FunctionView(function)
        known |= {
            "join": filters.join, "replace": filters.replace, "round": filters.rounded, "abs": filters.absolute,
            "string": written, "items": filters.pairs, "random": self._chosen, "shuffle": self._shuffled,
            "slug": filters.slugged,
        }  # fmt: skip
        environment.filters = {name: self._counted(name, function) for name, function in known.items()}
        environment.filters[_TURNS] = self._turns
        environment.filters[_WHOLE] = self._whole
        for operator in _COMPARISONS.values():
            environment.filters[_SIGN + operator] = partial(environment.operate, operator)
        tests: dict[str, Any] = {name: test for name, test in environment.tests.items() if name not in _NO_TESTS}
        environment.tests = {name: self._counted(name, test, is_filter=False) for name, test in tests.items()}

    @staticmethod
    def is_template(text: str) -> bool:
        """Return whether rendering would change anything."""
        return _MARK.search(text) is not None

    def names(self, text: str) -> frozenset[str]:
        """Return the names that the template needs. Raises `TemplateProblem` if it is none."""
        return self._taken_apart(text).names

    def take_reading(self) -> int:
        """Return the steps that reading and compiling came to since this was last asked."""
        steps, self._reading = self._reading, 0
        return steps

    @staticmethod
    def is_drawn(text: str) -> bool:
        """Return whether rendering may draw by chance, and so needs a seed."""
        return "random" in text or "shuffle" in text

    def render(self, text: str, names: Mapping[str, Any], seed: int = 0) -> Any:
        """Return `text` with its expressions replaced; `random` and `shuffle` draw from a generator with `seed`.

        It is a `Deferred` where that wrote one.
        """
        self.spent = 0
        environment = self._environment
        environment.holes, environment.deferred = [], None
        self._turn_steps = 1 + len(text) // 100
        if self.is_drawn(text):
            self._random.seed(seed)
        template = self._taken_apart(text)
        for part in template.parts:
            if isinstance(part, _Piece) and not part.path:
                self._compile(part)
        try:
            for value in names.values():
                self._spend_steps(weight(value))
            made_of, length = [], 0
            for piece in self._filled(template, {name: view(value) for name, value in names.items()}):
                made_of.append(piece)
                length += len(piece)
                if length > ITEM_LIMIT:
                    raise TemplateProblem(f"this template makes more than {ITEM_LIMIT:,} characters")
            made = "".join(made_of)
            made.encode()
            return (
                made if environment.deferred is None else written_parts(environment.parts(made), environment.deferred)
            )
        except UnicodeEncodeError:
            raise TemplateProblem("this template makes a character that can't be written") from None
        except (UndefinedError, TemplateError) as error:
            raise TemplateProblem(_reason(error)) from None
        except RecursionError:
            raise TemplateProblem("this template is nested too deep") from None
        except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, MemoryError):
            raise TemplateProblem("a filter or function in this template gets a value that it can't take") from None

    def _called(self, routine: Routine, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Carry out `routine` in the middle of a rendering, which then goes on as if there had been no other."""
        assert self._invoke is not None
        environment = self._environment
        before = self.spent, self._turn_steps, self._random
        written_so_far = environment.holes, environment.deferred
        self._random = random.Random()
        try:
            return self._invoke(routine, arguments, named)
        finally:
            self.spent, self._turn_steps, self._random = before
            environment.holes, environment.deferred = written_so_far

    def _filled(self, template: _Read, names: Mapping[str, Any]) -> Iterator[str]:
        environment = self._environment
        for part in template.parts:
            if isinstance(part, str):
                yield part
            elif part.path:
                first, *others = part.path
                value = names[first] if first in names else environment.undefined(name=first)
                for member in others:
                    value = environment.getattr(value, member)
                self._spend(value, lazy=True)
                yield environment.write(value)
            else:
                yield from self._compiled[part.text].generate(names)

    def _taken_apart(self, text: str) -> _Read:
        found = self._read.get(text)
        if found is None:
            try:
                if len(text) > TEXT_LIMIT:
                    raise TemplateProblem(f"a template has at most {TEXT_LIMIT:,} characters")
                split = enumerate(_split(text))
                parts = tuple(self._piece(part) if number % 2 else part for number, part in split)
                names = frozenset[str]().union(*(part.names for part in parts if isinstance(part, _Piece)))
                found = _Read(tuple(part for part in parts if part), names)
            except TemplateProblem as problem:
                found = problem
            self._read[text] = found
        if isinstance(found, TemplateProblem):
            raise found.with_traceback(None)
        return found

    def _piece(self, text: str) -> _Piece:
        piece = self._pieces.get(text)
        if piece is None:
            is_hole = text.startswith("{{") and text.endswith("}}")
            path = _PATH.fullmatch(text, 2, len(text) - 2) if is_hole else None
            if path is not None and (names := path[1].split("."))[0] not in _NO_NAMES:
                piece = _Piece(text, frozenset(names[:1]), tuple(names))
            else:
                tree = self._parsed(text)
                piece = _Piece(text, self._undeclared(tree), tree=tree)
            self._pieces[text] = piece
        return piece

    def _parsed(self, text: str) -> nodes.Template:
        self._reading += READ_STEPS + READ_STEPS_OF_CHARACTER * len(text)
        try:
            tree = self._environment.parse(text)
            self._check(tree)
            return tree
        except TemplateSyntaxError as error:
            raise syntax_problem(str(error.message), text) from None
        except (RecursionError, MemoryError):
            raise TemplateProblem("this template is nested too deep") from None
        except ValueError:  # Python reads no number of more than 4300 digits
            raise TemplateProblem("a number in this template is too large") from None

    def _undeclared(self, tree: nodes.Template) -> frozenset[str]:
        # As `meta.find_undeclared_variables`, which draws from `random` while it optimizes the tree.
        generator = meta.TrackingCodeGenerator(self._environment)
        generator.optimizer = None
        generator.visit(tree)
        return frozenset(generator.undeclared_identifiers)

    def _check(self, tree: nodes.Template) -> None:
        """Raise `TemplateProblem` for what a template may not have, and for filters and tests that aren't there."""
        for node in tree.find_all(nodes.Node):
            kind = type(node).__name__.lower()
            if isinstance(node, nodes.Stmt) and not isinstance(node, _STATEMENTS):
                message = f"a template here can't hold `{{% {kind} %}}`"
                raise TemplateProblem(message, "use `let` and `for` of the script")
            if isinstance(node, nodes.For) and node.recursive:
                raise TemplateProblem("a loop in a template can't be recursive", word="recursive")
            if isinstance(node, nodes.NSRef) or (isinstance(node, nodes.Name) and node.name in ("self", "super")):
                raise TemplateProblem(f"`{node.name}` has no meaning in a template here", word=node.name)
            if isinstance(node, nodes.Const) and _is_too_large(node.value):
                raise TemplateProblem("a number in this template is too large")
            if isinstance(node, nodes.Filter | nodes.Test):
                there = self._environment.tests if isinstance(node, nodes.Test) else self._environment.filters
                if node.name not in there:
                    known = [name for name in there if name.isidentifier()]
                    raise TemplateProblem(
                        f"there is no {kind} `{node.name}`", did_you_mean(node.name, known, f"{kind}s"), node.name
                    )

    def _compile(self, piece: _Piece) -> None:
        if piece.text in self._compiled:
            return
        self._reading += READ_STEPS + READ_STEPS_OF_CHARACTER * len(piece.text)
        assert piece.tree is not None
        try:
            self._compiled[piece.text] = self._environment.from_string(_Counted().visit(piece.tree))
        except TemplateSyntaxError as error:
            raise syntax_problem(str(error.message), piece.text) from None
        except (RecursionError, MemoryError, SyntaxError):
            # Python's own compiler has limits, such as 20 loops in each other.
            raise TemplateProblem("this template is nested too deep") from None

    def _spend_steps(self, steps: int) -> None:
        self.spent += steps
        if self.spent > STEP_LIMIT:
            raise TemplateProblem(f"this template takes more than {STEP_LIMIT:,} steps")

    def _spend(self, value: Any, lazy: bool = False) -> None:
        """Count what `value` weighs; raise `TemplateProblem` if that is too much, or if it is no value at all.

        Unless what is done with it is `lazy`, it may not be, or hold, something that is known only when the plan runs.
        """
        environment = self._environment
        left = [value]
        while left:
            match left.pop():
                case str() as text:
                    if not lazy and environment.deferred is not None and _HOLE.search(text):
                        raise not_yet(NotYet(environment.deferred))
                    self._spend_steps(1 + len(text) // 16)
                case list() | tuple() as items:
                    self._spend_steps(1 + len(items))
                    left += items
                case dict() as items:
                    self._spend_steps(1 + len(items))
                    left += items.values()
                case View() as seen:
                    if not lazy and (found := deferred_in(seen._value)) is not None:
                        raise not_yet(NotYet(found))
                    self._spend_steps(weight(seen._value))
                case None | bool() | int() | float() | FunctionView() | _Undefined():
                    self._spend_steps(1)
                case method if callable(method) and isinstance(name := getattr(method, "__name__", None), str):
                    raise TemplateProblem(f"`{name}` is a method, and no value", f"write `{name}(...)`", name)
                case _:
                    raise TemplateProblem("this template uses something as a value that is none")

    def _counted(self, name: str, function: Callable[..., Any], is_filter: bool = True) -> Callable[..., Any]:
        """Return `function`, a filter or test, with what it takes and makes counted."""
        first = 1 if getattr(function, "jinja_pass_arg", None) is not None else 0

        def counted(*arguments: Any, **named: Any) -> Any:
            if is_filter and isinstance(arguments[first], DeferredView):
                return self._later(name, arguments[first]._value, [*arguments[first + 1 :], *named.values()])
            self._spend([*arguments[first:], *named.values()], lazy=is_filter and name in _LAZY)
            try:
                made = function(*arguments, **named)
                if isinstance(made, Iterator):
                    made = list(islice(made, ITEM_LIMIT))
            except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, AssertionError):
                raise TemplateProblem(f"`{name}` can't take this", word=name) from None
            self._spend(made, lazy=True)
            return made

        return wraps(function)(counted) if first else counted

    def _later(self, name: str, value: Deferred, arguments: list[Any]) -> Any:
        """Return what the filter `name` makes of a value that is known only when the plan runs."""
        if name not in OPERATIONS:
            raise not_yet(NotYet(value))
        self._spend(arguments)
        try:
            return view(operated(value, name, [unview(argument) for argument in arguments]))
        except ValueError as problem:
            raise TemplateProblem(str(problem), word=name) from None

    def _turns(self, values: Any) -> list[Any]:
        if not isinstance(values, list | tuple | dict | str | MapView | ItemsView):
            raise TemplateProblem(f"`for` goes through a list, not {kind_of(values)}", word="for")
        items = list(values)
        self._spend_steps(1 + len(items) * self._turn_steps)
        return items

    def _whole(self, value: Any) -> Any:
        if isinstance(value, DeferredView):
            raise not_yet(NotYet(value._value))
        self._spend(value, lazy=True)
        return value

    def _chosen(self, values: Any) -> Any:
        items = filters.items_of(values, "random")
        if not items:
            raise TemplateProblem("`random` takes a list that is not empty", word="random")
        return self._random.choice(items)

    def _shuffled(self, values: Any) -> list[Any]:
        items = filters.items_of(values, "shuffle")
        self._random.shuffle(items)
        return items


def _split(text: str) -> list[str]:
    """Return the texts and holes of the template `text`, alternately; all of it as one, if it isn't sure to be so."""
    if "{%" not in text and "{#" not in text and "\r" not in text:
        parts = _HOLE_OF_TEXT.split(text)
        # Jinja reads `{{{` from the left.
        if not any("{{" in constant or constant.endswith("{") for constant in parts[::2]):
            parts[1::2] = [f"{{{{{inside}}}}}" for inside in parts[1::2]]
            return parts
    return ["", text, ""]


def _is_too_large(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    return isinstance(value, int) and value.bit_length() > operators.INTEGER_BITS


@pass_context
def _finalized(context: Any, value: Any) -> str:
    # With the context, so that Jinja writes nothing before the template is rendered.
    context.environment.spend(value, lazy=True)
    return str(context.environment.write(value))


def _reason(error: Exception) -> str:
    return reason(str(getattr(error, "message", None) or error))
