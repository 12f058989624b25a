"""The codes that the program can report, found in its source.

Whatever has a parameter or a field called `code` carries one: a function, or a class. What each call gives for it is
followed to where it is written: a literal, a choice between literals, a variable of the same function, a string with
gaps, which stands for those keys of the module's own tables that it can come to. A code that is passed on, another
carrier's `.code` or the function's own parameter, was found where it was written. Anything else could hide one, and is
an error that names the line.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Functions = tuple[Function, ...]
Positions = dict[str, int]
"""Of each carrier by name, where `code` stands among its arguments."""


def used_codes(package: Path) -> dict[str, list[str]]:
    """Return the places, `file:line`, at which each code is written. Raises ValueError for one that can't be told."""
    modules = {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(package.rglob("*.py"))}
    everywhere: Positions = {}
    for module in modules.values():
        own = _carriers(module.body)
        everywhere |= {name: position for name, position in own.items() if not name.startswith("_")}
    found: dict[str, list[str]] = defaultdict(list)
    for file, module in modules.items():
        # A module's own names come first: two modules may each have a function of one name.
        carriers = everywhere | {name: -1 for name in _defined(module)} | _carriers(ast.walk(module))
        carriers |= _aliases(module, carriers)
        for code, line in _written(module, carriers):
            found[code].append(f"{file.relative_to(package).as_posix()}:{line}")
            if not code:
                raise ValueError(f"{file}:{line}: write the code as a literal, so that it can be found")
    return dict(found)


def _defined(module: ast.Module) -> Iterator[str]:
    """Yield the names of functions and classes that are no methods: those that a bare name may mean."""
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


def _carriers(nodes: Iterable[ast.AST]) -> Positions:
    """Return what is defined by `nodes` that takes a `code`."""
    carriers: Positions = {}
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
            names = [ast.unparse(each.target) if ast.unparse(each.annotation) == "str" else "" for each in fields]
            if "code" in names:
                carriers[node.name] = names.index("code")
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    names = _texts(method.args)[1:]
                    if "code" in names:
                        carriers[node.name if method.name == "__init__" else method.name] = names.index("code")
        elif isinstance(node, ast.FunctionDef):
            names = _texts(node.args)
            if "code" in names and node.args.args[0].arg != "self":
                carriers[node.name] = names.index("code")
    return carriers


def _aliases(module: ast.Module, carriers: Positions) -> Positions:
    """Return the variables that stand for a carrier, as in `report = diagnostics.error if ... else ...`."""
    return {
        target.id: carriers[option.attr]
        for node in ast.walk(module)
        if isinstance(node, ast.Assign)
        for option in ([node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [node.value])
        if isinstance(option, ast.Attribute) and option.attr in carriers
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _texts(parameters: ast.arguments) -> list[str]:
    """Return the names of parameters, in order; those that are no strings are left blank."""
    return [
        each.arg if each.annotation is not None and ast.unparse(each.annotation) == "str" else ""
        for each in parameters.args
    ]


def _written(module: ast.Module, carriers: Positions) -> Iterator[tuple[str, int]]:
    """Yield each code that `module` writes, with its line; an empty one where it can't be told."""
    tables = list(_keys(module))
    for node, functions in _calls(module, ()):
        if isinstance(node, ast.arguments):
            yield from _default(node)
            continue
        called = node.func
        name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
        position = carriers.get(name, -1)
        given = next((each.value for each in node.keywords if each.arg == "code"), None)
        if given is None and 0 <= position < len(node.args):
            given = node.args[position]
        # `parser.error(message)` of argparse, and whatever else takes one argument, carries no code.
        if given is not None and len(node.args) + len(node.keywords) > 1:
            for code in _values(given, functions, tables):
                yield code, node.lineno


def _calls(
    node: ast.AST, around: tuple[Function, ...]
) -> Iterator[tuple[ast.Call | ast.arguments, tuple[Function, ...]]]:
    """Yield each call below `node` and each function's parameters, with the functions around it, innermost first."""
    if isinstance(node, Function):
        around = (node, *around)
        yield node.args, around
    elif isinstance(node, ast.Call):
        yield node, around
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, around)


def _default(parameters: ast.arguments) -> Iterator[tuple[str, int]]:
    """Yield the code that a function uses unless it is given one."""
    names = [each.arg for each in parameters.args][len(parameters.args) - len(parameters.defaults) :]
    for name, default in zip(names, parameters.defaults, strict=True):
        if name == "code" and isinstance(default, ast.Constant):
            yield str(default.value), default.lineno


def _keys(module: ast.Module) -> Iterator[str]:
    """Yield the keys of the tables that are constants of `module`."""
    for node in module.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            for key in node.value.keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value


def _values(node: ast.expr, functions: Functions, tables: list[str]) -> Iterator[str]:
    """Yield the codes that an expression can be; an empty one if it can't be told, none if it only passes one on."""
    match node:
        case ast.Constant(value=str(code)):
            yield code
        case ast.IfExp():
            yield from _values(node.body, functions, tables)
            yield from _values(node.orelse, functions, tables)
        case ast.JoinedStr():
            parts = (re.escape(str(each.value)) if isinstance(each, ast.Constant) else ".+" for each in node.values)
            made = re.compile("".join(parts))
            yield from [key for key in tables if made.fullmatch(key)] or [""]
        case ast.Attribute(attr="code"):
            return
        case ast.Name(id=name):
            if any(name == each.arg == "code" for function in functions for each in function.args.args):
                return
            assigned = [
                each.value
                for function in functions
                for each in ast.walk(function)
                if isinstance(each, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in each.targets)
            ]
            for value in assigned:
                yield from _values(value, functions, tables)
            if not assigned:
                yield ""
        case _:
            yield ""
