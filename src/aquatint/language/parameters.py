"""The values of `param`: a script's own default, or the text that `--set` gives, read as the parameter's type."""

from __future__ import annotations

import math
import re
from typing import Any

from aquatint.diagnostics import did_you_mean
from aquatint.language.values import UNKNOWN, Size, type_name
from aquatint.source import Span
from aquatint.syntax import nodes as n

TYPES = ("string", "int", "float", "bool", "size", "list")


class ParameterError(Exception):
    """A parameter has no value; `span` is None where the mistake is in the text that was given."""

    def __init__(self, code: str, message: str, span: Span | None, help: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.span = span
        self.help = help


def read_parameter(node: n.Param, default: Any, text: str | None) -> Any:
    """Return the parameter's value: of `text` if it isn't None, else `default`. Raises `ParameterError`."""
    name = node.name.text
    type = _type(node.type, default)
    if text is not None:
        return _read(name, text, type)
    if node.default is None:
        raise ParameterError("missing-parameter", f"parameter `{name}` has no value", None,
                             f"give it one: `--set {name}=...`, or `param {name} = ...` here")  # fmt: skip
    if default is not UNKNOWN and not _fits(default, type):
        raise ParameterError(
            "wrong-type",
            f"parameter `{name}` is {_called(type)}; its default is {type_name(default)}",
            node.default.span,
        )
    return float(default) if type == "float" and default is not UNKNOWN else default


def _type(node: n.TypeName | None, default: Any) -> str:
    if node is None and default is None:
        raise ParameterError("unknown-type", "a parameter without a value needs a type", None,
                             "write `param name: string`, or give it a default")  # fmt: skip
    if node is None:
        return next((kind for kind in TYPES if default is not None and _fits(default, kind)), "string")
    for part in (node, node.of):
        if part is not None and part.name not in TYPES:
            raise ParameterError(
                "unknown-type", f"there is no type `{part.name}`", part.span, did_you_mean(part.name, TYPES, "types")
            )
    if node.of is not None and (node.name != "list" or node.of.of is not None):
        raise ParameterError("unknown-type", f"there is no type `{node.span.text}`", node.span,
                             "only `list` takes a type in brackets, as in `list[int]`")  # fmt: skip
    return f"list[{node.of.name}]" if node.of else node.name


def _fits(value: Any, type: str) -> bool:
    if type.startswith("list"):
        inner = type[5:-1]
        return isinstance(value, tuple) and (not inner or all(_fits(item, inner) for item in value))
    match type:
        case "string":
            return isinstance(value, str)
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, Size)


def _called(type: str) -> str:
    if type.startswith("list"):
        plural = {"string": "strings", "int": "whole numbers", "float": "numbers", "bool": "booleans", "size": "sizes"}
        return "a list" + (f" of {plural[type[5:-1]]}" if type[5:-1] in plural else "")
    return {
        "string": "a string",
        "int": "a whole number",
        "float": "a number",
        "bool": "a boolean",
        "size": "a size",
    }[type]


def _read(name: str, text: str, type: str) -> Any:
    try:
        return _read_as(text, type)
    except ValueError:
        message = f"parameter `{name}` is {_called(type)}; `--set` gave it `{text[:60]}`"
        raise ParameterError("wrong-type", message, None) from None


def _read_as(text: str, type: str) -> Any:
    """Return the value that `text` is as one of `type`. Raises `ValueError`."""
    text.encode()  # the bytes of a command line need not be text
    if type.startswith("list"):
        inner = type[5:-1] or "string"
        items = [item.strip() for item in text.removeprefix("[").removesuffix("]").split(",")]
        return tuple(_read_as(item, inner) for item in items if item)
    match type:
        case "string":
            return text
        case "bool" if text.lower() in ("true", "false"):
            return text.lower() == "true"
        case "int" if re.fullmatch(r"[+-]?\d{1,18}", text.strip()):
            return int(text)
        case "float":
            number = float(text)
            if math.isfinite(number):
                return number
        case "size" if found := re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip()):
            return Size(int(found[1]), int(found[2]))
    raise ValueError
