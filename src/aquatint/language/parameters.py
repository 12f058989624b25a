"""The values of `param`: a script's own default, or what comes from outside, read as the parameter's type.

Outside are the texts of `--set` and the values of `--params`. `described` tells of a script's parameters without
evaluating it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aquatint.diagnostics import Label, did_you_mean
from aquatint.language.conversions import conversion
from aquatint.language.formats import FormatProblem, read_yaml
from aquatint.language.operators import is_number, is_whole
from aquatint.language.values import UNKNOWN, PathText, Size, quoted, shown, type_name
from aquatint.language.world import Given
from aquatint.source import Source, Span
from aquatint.syntax import nodes as n
from aquatint.syntax.tokens import byte_count


class ParameterError(Exception):
    """A parameter has no value; `span` is None where the mistake is in what was given."""

    def __init__(
        self, code: str, message: str, span: Span | None, help: str | None = None, labels: tuple[Label, ...] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.span = span
        self.help = help
        self.labels = labels


_LITERAL = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,18})?|[0-9]{1,5}x[0-9]{1,5}|true|false|none")
"""What of a command line is no string."""


@dataclass(frozen=True, slots=True)
class _Type:
    """A type: what messages call one and several of it, which values fit, and what a text is as one of it.

    `parse` raises `ValueError`. A file's string is taken as a text where the type `is_written` as one.
    """

    called: str
    plural: str
    fits: Callable[[Any], bool]
    parse: Callable[[str], Any]
    is_written: bool = False


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,18}", text.strip()):
        raise ValueError
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


def _size(text: str) -> Size:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip())
    if found is None or not all(0 < int(side) <= 65536 for side in found.groups()):
        raise ValueError
    return Size(int(found[1]), int(found[2]))


def _bytes(text: str) -> int:
    return _whole(text) if re.fullmatch(r"\s*\d+\s*", text) else byte_count(text.strip())


def _yaml(text: str) -> Any:
    try:
        return read_yaml(Source("--set", text))
    except FormatProblem:
        raise ValueError from None


def _list(text: str) -> tuple[str, ...]:
    items = [item.strip() for item in text.removeprefix("[").removesuffix("]").split(",")]
    return tuple(item for item in items if item)


_TYPES = {
    "string": _Type("a string", "strings", lambda value: isinstance(value, str), lambda text: text),
    "int": _Type("a whole number", "whole numbers", is_whole, _whole),
    "float": _Type("a number", "numbers", is_number, _float),
    "bool": _Type("a boolean", "booleans", lambda value: isinstance(value, bool), _bool),
    "size": _Type("a size", "sizes", lambda value: isinstance(value, Size), _size, is_written=True),
    "bytes": _Type("a number of bytes", "numbers of bytes", lambda value: is_whole(value) and value >= 0, _bytes,
                   is_written=True),
    "path": _Type("a path", "paths", lambda value: isinstance(value, str), PathText, is_written=True),
    "list": _Type("a list", "lists", lambda value: isinstance(value, tuple), _list),
    "map": _Type("a map", "maps", lambda value: isinstance(value, Mapping), _yaml),
    "any": _Type("a value", "values", lambda value: True, _yaml),
}  # fmt: skip


def read_parameter(node: n.Param, default: Any, given: str | Given | None, folder: str) -> Any:
    """Return the parameter's value: of what is `given`, else `default`. Raises `ParameterError`.

    Paths of the command line are relative to `folder`.
    """
    name = node.name.text
    type = _type(node, default)
    if given is not None:
        return _of_file(name, given, type) if isinstance(given, Given) else _of_text(name, given, type, folder)
    if node.default is None:
        raise ParameterError("missing-parameter", f"parameter `{name}` has no value", None,
                             f"give it one: `--set {name}=...`, or `param {name} = ...` here")  # fmt: skip
    if default is not UNKNOWN and not _fits(default, type):
        raise ParameterError(
            "wrong-type",
            f"parameter `{name}` is {_called(type)}; its default is {_shown(default, type)}",
            node.default.span,
            conversion(default, lambda meant: _fits(meant, type), node.default.span),
        )
    return default if default is UNKNOWN else _settled(default, type)


def _type(param: n.Param, default: Any) -> str:
    node = param.type
    if node is None and param.default is None:
        raise ParameterError("unknown-type", "a parameter without a value needs a type", None,
                             "write `param name: string`, or give it a default")  # fmt: skip
    if node is None and isinstance(param.default, n.Bytes):
        return "bytes"
    if node is None:
        return next(kind for kind in _TYPES if kind not in ("bytes", "path") and _fits(default, kind))
    for part in (node, node.of):
        if part is not None and part.name not in _TYPES:
            raise ParameterError(
                "unknown-type", f"there is no type `{part.name}`", part.span, did_you_mean(part.name, _TYPES, "types")
            )
    if node.of is not None and (node.name != "list" or node.of.of is not None):
        raise ParameterError("unknown-type", f"there is no type `{node.span.text}`", node.span,
                             "only `list` takes a type in brackets, as in `list[int]`")  # fmt: skip
    return f"list[{node.of.name}]" if node.of else node.name


def _item_type(type: str) -> str | None:
    """Return the type of a list's items, None if `type` is no list with one."""
    return type[5:-1] if type.startswith("list[") else None


def _fits(value: Any, type: str) -> bool:
    inner = _item_type(type)
    if inner is None:
        return _TYPES[type].fits(value)
    return isinstance(value, tuple) and all(_fits(item, inner) for item in value)


def _settled(value: Any, type: str) -> Any:
    """Return `value`, which fits `type`, as what the script sees."""
    if inner := _item_type(type):
        return tuple(_settled(item, inner) for item in value)
    return float(value) if type == "float" else PathText(value) if type == "path" else value


def _called(type: str) -> str:
    inner = _item_type(type)
    return _TYPES[type].called if inner is None else f"a list of {_TYPES[inner].plural}"


def _of_text(name: str, text: str, type: str, folder: str) -> Any:
    try:
        text.encode()  # the bytes of a command line need not be text
        return _parsed(text, type, folder)
    except ValueError:
        message = f"parameter `{name}` is {_called(type)}; `--set` gave it `{_as_literal(text)}`"
        raise ParameterError("wrong-type", message, None) from None


def _as_literal(text: str) -> str:
    """Return what somebody meant by the `text` of a command line: a number or so as it is, anything else in quotes."""
    return text if _LITERAL.fullmatch(text) else quoted(text[:60])


def _parsed(text: str, type: str, folder: str) -> Any:
    """Return the value that `text` is as one of `type`. Raises `ValueError`."""
    if type.startswith("list"):
        return tuple(_parsed(item, _item_type(type) or "string", folder) for item in _list(text))
    value = _TYPES[type].parse(text)
    if not _fits(value, type):
        raise ValueError
    return _located(value, folder) if type == "path" else value


def _located(path: str, folder: str) -> PathText:
    # A script's own paths are relative to its folder, and these are not.
    return PathText(os.path.normpath(os.path.join(folder, os.path.expanduser(path))))


def _of_file(name: str, given: Given, type: str) -> Any:
    try:
        return _taken(given.value, type, given.folder)
    except ValueError:
        value = _shown(given.value, type)
        message = f"parameter `{name}` is {_called(type)}; `{given.span.source.name}` gives it {value}"
        raise ParameterError("wrong-type", message, None, labels=(Label(given.span, "here"),)) from None


def _shown(value: Any, type: str) -> str:
    """Return what a message calls a `value` that isn't of `type`: scalars as they are written, a list by its item."""
    inner = _item_type(type)
    if inner is not None and isinstance(value, tuple):
        return f"a list with {_shown(next(item for item in value if not _fits(item, inner)), inner)} in it"
    if isinstance(value, str):
        return f"`{quoted(value[:60])}`"
    return f"`{shown(value)}`" if isinstance(value, bool | int | float | Size) else type_name(value)


def _taken(value: Any, type: str, folder: str) -> Any:
    """Return a file's `value` as one of `type`. Raises `ValueError`."""
    inner = _item_type(type)
    if inner is not None and isinstance(value, tuple):
        return tuple(_taken(item, inner, folder) for item in value)
    if inner is None and isinstance(value, str) and _TYPES[type].is_written:
        return _parsed(value, type, folder)
    if not _fits(value, type):
        raise ValueError
    return _settled(value, type)


@dataclass(frozen=True, slots=True)
class Described:
    """What a script says of a parameter: the text of its default is None if it must be given."""

    name: str
    type: str
    default: str | None
    help: str


def _written(type: n.TypeName) -> str:
    """Return a type as it is written, without blanks."""
    return f"{type.name}[{_written(type.of)}]" if type.of else type.name


def described(script: n.Script) -> list[Described]:
    """Return a script's parameters in order; the help is the comment above each, or else the one behind it."""
    comments = {comment.span.line: comment.text.lstrip("#").strip() for comment in script.comments}
    alone = {line for line, comment in ((c.span.line, c) for c in script.comments) if _is_alone(comment)}
    return [
        Described(
            node.name.text,
            _written(node.type) if node.type else _kind(node.default),
            None if node.default is None else node.default.span.text,
            _help(node, comments, alone),
        )
        for node in script.statements
        if isinstance(node, n.Param)
    ]


def _is_alone(comment: n.Comment) -> bool:
    span = comment.span
    return not span.source.line(span.line)[: span.column - 1].strip()


def _help(node: n.Param, comments: Mapping[int, str], alone: set[int]) -> str:
    lines = list(_lines_above(node.span.line, comments, alone))[::-1]
    return " ".join(lines) or comments.get(node.span.source.position(node.span.end)[0], "")


def _lines_above(line: int, comments: Mapping[int, str], alone: set[int]) -> Iterator[str]:
    # The first line of an executable script is no help.
    while (line := line - 1) in alone and not (line == 1 and comments[line].startswith("!")):
        yield comments[line]


def _kind(default: n.Expression | None) -> str:
    """Return the type that a parameter has of its default, as far as that shows."""
    match default:
        case n.String():
            return "string"
        case n.Size():
            return "size"
        case n.List() | n.Range() | n.Comprehension():
            return "list"
        case n.Map():
            return "map"
        case n.Bytes():
            return "bytes"
        case n.Literal(value=bool()):
            return "bool"
        case n.Literal(value=int()):
            return "int"
        case n.Literal(value=float()):
            return "float"
    return "any"
