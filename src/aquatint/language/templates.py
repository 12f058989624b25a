"""Strings that are Jinja2 templates, rendered in a sandbox.

A template sees the script's names and nothing of Python. Its `random` and `shuffle` draw from a generator that is
seeded by the plan's seed and the template's place, so that a plan stays the same.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from aquatint.language.builtins import ITEM_LIMIT
from aquatint.language.values import Builtin, members, shown

_MARKS = ("{{", "{%", "{#")
# What could make a template never end, or reach beyond itself, has no place in a string.
_REFUSED = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Macro, nodes.CallBlock)


class TemplateProblem(Exception):
    """A template can't be rendered; `word` is the part of its text that is to blame, if that is known."""

    def __init__(self, message: str, help: str | None = None, word: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        self.word = word


class _View:
    """A value of the language as a template sees it: its members, and the text that `print` would write."""

    __slots__ = ("_members", "_text")

    def __init__(self, value: Any) -> None:
        self._members = members(value) or {}
        self._text = shown(value)

    def __getattr__(self, name: str) -> Any:
        if name in self._members:
            return view(self._members[name])
        raise AttributeError(name)

    def __str__(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _View) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


def view(value: Any) -> Any:
    """Return `value` as templates see it."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, tuple):
        return [view(item) for item in value]
    if isinstance(value, Builtin):
        return lambda *args, **named: view(value.call(*(_unview(a) for a in args), **named))
    if isinstance(value, Mapping):
        return {key: view(item) for key, item in value.items()}
    return _View(value)


def _unview(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_unview(item) for item in value)
    return str(value) if isinstance(value, _View) else value


class _Undefined(StrictUndefined):
    """An undefined name that knows which one it is, for the report."""

    def name(self) -> str | None:
        return self._undefined_name


class Templates:
    """Renders strings; one for each plan."""

    def __init__(self, plan_seed: int) -> None:
        self.plan_seed = plan_seed
        self._environment = ImmutableSandboxedEnvironment(
            undefined=_Undefined, autoescape=False, keep_trailing_newline=True, finalize=_written
        )
        self._environment.globals.clear()
        self._parsed: dict[str, tuple[Any, frozenset[str]]] = {}
        self._random = random.Random()
        self._environment.filters["random"] = lambda values: self._random.choice(_items(values, "random"))
        self._environment.filters["shuffle"] = self._shuffled
        self._environment.filters["slug"] = _slug_filter

    def _shuffled(self, values: Any) -> list[Any]:
        items = list(_items(values, "shuffle"))
        self._random.shuffle(items)
        return items

    @staticmethod
    def is_template(text: str) -> bool:
        """Return whether rendering would change anything."""
        return any(mark in text for mark in _MARKS)

    def names(self, text: str) -> frozenset[str]:
        """Return the names that the template needs. Raises `TemplateProblem` if it is none."""
        return self._compiled(text)[1]

    def render(self, text: str, names: Mapping[str, Any], place: str) -> str:
        """Return `text` with its expressions replaced; `place` tells this drawing of `random` from every other."""
        template, _ = self._compiled(text)
        self._random.seed(f"{self.plan_seed}|{place}")
        try:
            pieces, length = [], 0
            for piece in template.generate({name: view(value) for name, value in names.items()}):
                pieces.append(piece)
                length += len(piece)
                if length > ITEM_LIMIT:
                    raise TemplateProblem(f"this template makes more than {ITEM_LIMIT:,} characters")
            return "".join(pieces)
        except UndefinedError as error:
            raise TemplateProblem(_reason(error), word=_named_in(error)) from None
        except SecurityError:
            raise TemplateProblem("this template reaches for something that scripts may not touch") from None
        except TemplateError as error:
            raise TemplateProblem(_reason(error)) from None
        except RecursionError:
            raise TemplateProblem("this template is nested too deep") from None
        except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, MemoryError) as error:
            raise TemplateProblem(f"this template can't be rendered: {_reason(error)}") from None

    def _compiled(self, text: str) -> tuple[Any, frozenset[str]]:
        if text not in self._parsed:
            try:
                tree = self._environment.parse(text)
                for refused in tree.find_all(_REFUSED):
                    kind = type(refused).__name__.lower()
                    raise TemplateProblem(
                        f"a template here can't hold `{{% {kind} %}}`", "use `let` and `for` of the script"
                    )
                names = frozenset(meta.find_undeclared_variables(tree))
                self._parsed[text] = self._environment.from_string(text), names
            except TemplateSyntaxError as error:
                raise TemplateProblem(
                    f"not a template: {_reason(error)}", "close each `{{` with `}}` and each `{%` with `%}`"
                ) from None
            except RecursionError:
                raise TemplateProblem("this template is nested too deep") from None
        return self._parsed[text]


def _written(value: Any) -> Any:
    return value if isinstance(value, str | _Undefined) else shown(_unview(value))


def _items(values: Any, name: str) -> list[Any]:
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise ValueError(f"`{name}` takes a list")
    items = list(values)
    if not items and name == "random":
        raise ValueError("`random` takes a list that is not empty")
    return items


def _slug_filter(text: Any, length: int = 40) -> str:
    from aquatint.language.builtins import slug

    return slug(str(text), length)


def _reason(error: Exception) -> str:
    message = str(error).strip().rstrip(".") or type(error).__name__
    message = re.sub(r"'([^']*)'", r"`\1`", message)
    # Names of this program's own classes mean nothing to a script's author.
    message = re.sub(r"`?aquatint\.[\w.]+?\.?(\w+)(?: object)?`?", "the value", message)
    return message[:1].lower() + message[1:]


def _named_in(error: UndefinedError) -> str | None:
    found = re.search(r"'(\w+)' is undefined|has no attribute '(\w+)'", str(error))
    return (found[1] or found[2]) if found else None
