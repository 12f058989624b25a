"""Reads Python source as diffusers has it, and runs none of it: modules, what functions take, what expressions say."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Parameter:
    """A parameter of a method: `default` is None for a required one, else the default's source."""

    name: str
    annotation: ast.expr | None
    default: ast.expr | None


class Module:
    """The parsed source of one module of diffusers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        """The classes that the module defines at its top level."""
        return {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}

    @cached_property
    def constants(self) -> dict[str, ast.expr]:
        """The names that the module assigns at its top level."""
        return {
            target.id: node.value
            for node in self.tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }

    @cached_property
    def aliases(self) -> dict[str, str]:
        """The names under which the module imports something, wherever, and what that is called at home."""
        return {
            alias.asname or alias.name: alias.name
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }


def parameters(function: ast.FunctionDef) -> list[Parameter]:
    """Return the parameters of a method that can be given by name, without `self`."""
    spec = function.args
    positional = [*spec.posonlyargs, *spec.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(spec.defaults))
    pairs = [*zip(positional, [*defaults, *spec.defaults], strict=True)][1:]
    pairs += zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
    return [Parameter(argument.arg, argument.annotation, default) for argument, default in pairs]


def method(ancestry: list[tuple[Module, ast.ClassDef]], name: str) -> tuple[Module, ast.FunctionDef] | None:
    """Return the nearest definition of a method."""
    for module, node in ancestry:
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == name:
                return module, item
    return None


def alternatives(annotation: ast.expr | None) -> list[str]:
    """Return the members of an annotation's union, `None` among them, in one spelling for the old and the new style."""
    match annotation:
        case None:
            return []
        case ast.Constant(value=str(text)):
            return alternatives(ast.parse(text, mode="eval").body)
        case ast.Constant(value=None):
            return ["None"]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return [*dict.fromkeys([*alternatives(left), *alternatives(right)])]
        case ast.Tuple(elts=members):
            return [*dict.fromkeys(text for member in members for text in alternatives(member))]
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return [*dict.fromkeys([*alternatives(inner), "None"])]
        case ast.Subscript(value=ast.Name(id="Union"), slice=inner):
            return alternatives(inner)
        case ast.Subscript(value=ast.Name(id="Literal")):
            return [ast.unparse(annotation)]
        case ast.Subscript(value=generic, slice=inner):
            members = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return [f"{_spelled(generic)}[{', '.join(' | '.join(alternatives(member)) for member in members)}]"]
        case _:
            return [_spelled(annotation)]


def _spelled(node: ast.expr) -> str:
    text = ast.unparse(node)
    return {"List": "list", "Dict": "dict", "Tuple": "tuple", "Type": "type"}.get(text, text)


def value(node: ast.expr, module: Module) -> Any:
    """Return a default as JSON holds it; None if it can't, or if another module computes it."""
    try:
        result = plain(_computed(node, module))
        return result if json.loads(json.dumps(result, allow_nan=False)) == result else None
    except (ValueError, TypeError):
        return None


def plain(content: Any) -> Any:
    """Return `content` with lists for tuples, as JSON has them."""
    return [plain(item) for item in content] if isinstance(content, list | tuple) else content


def _computed(node: ast.expr, module: Module) -> Any:
    match node:
        case ast.Name(id=name) if name in module.constants:
            return _computed(module.constants[name], module)
        case ast.BinOp(left=left, op=ast.Add() | ast.Mult() | ast.Pow() as operator, right=right):
            a, b = _computed(left, module), _computed(right, module)
            return a + b if isinstance(operator, ast.Add) else a * b if isinstance(operator, ast.Mult) else a**b
        case _:
            return ast.literal_eval(node)


def described(module: Module, function: ast.FunctionDef) -> dict[str, list[Any]]:
    """Return a method's parameters: [type] for one that has to be given, [type, default] for any other."""
    return {
        parameter.name: [
            " | ".join(alternatives(parameter.annotation)),
            *([] if parameter.default is None else [value(parameter.default, module)]),
        ]
        for parameter in parameters(function)
    }
