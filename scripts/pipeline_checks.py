"""What the class of a pipeline refuses of the arguments of its call, read in its own source.

`catalog.call_checks` says what becomes of it.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from diffusers_source import Module, alternatives, method, parameters

# What a script has no say in.
_NO_SAY = re.compile(r"generator|output_type|return_dict|num_\w+_per_prompt|num_images|callback\w*|batch_size")

_COMPARED = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_UNMET = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


class Checks:
    """What a class's `check_inputs`, and its call itself, refuse of arguments, as far as that is a plain condition.

    `needs` are arguments of which one must be given, `together` those that need another beside them, `excludes` those
    that don't go together, `limits` comparisons that are refused, `choices` the values that there are, and `sides`
    what an argument has to be a multiple of: `of` are factors, in which `vae.block_out_channels` is a setting of a
    component's configuration, a number or a list that halves the sides between each two of its items. With `rest` it
    has to be that much more than a multiple; with `rounds` it is brought to one, which the call tells in a warning.
    """

    def __init__(self, ancestry: list[tuple[Module, ast.ClassDef]], call: ast.FunctionDef) -> None:
        self.ancestry = ancestry
        self.given = {each.name: each.default for each in parameters(call) if not _NO_SAY.fullmatch(each.name)}
        self.found: dict[str, Any] = {}
        check = method(ancestry, "check_inputs")
        asked = next((node for node in ast.walk(call) if isinstance(node, ast.Call)
                      and ast.unparse(node.func) == "self.check_inputs"), None)  # fmt: skip
        # What a call has filled in before it is looked at needs not be given.
        line = call.lineno if asked is None else asked.lineno
        self.filled = {
            node.id for node in ast.walk(call)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.lineno < line
        }  # fmt: skip
        self._read(call, {name: name for name in self.given})
        if check is not None and asked is not None:
            names = [each.name for each in parameters(check[1])]
            pairs = [*zip(names, asked.args, strict=False), *((each.arg, each.value) for each in asked.keywords)]
            self._read(check[1], {str(own): node.id for own, node in pairs if isinstance(node, ast.Name)})
        self._read_others(call)
        # Of those that are never said to be None, a call uses all that it doesn't take for one another.
        unset = {each.name for each in parameters(call) if "None" in alternatives(each.annotation)}
        one_of = {name for pair in self.found.get("excludes", []) for name in pair}
        for names in self.found.pop("needs", []):
            for group in [names] if (unset | one_of).intersection(names) else [[name] for name in names]:
                self._add("needs", group)

    def _read(self, function: ast.FunctionDef, names: dict[str, str]) -> None:
        self.names = names
        self.locals = {
            node.targets[0].id: node.value for node in function.body
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        }  # fmt: skip
        for node in function.body:
            match node:
                case ast.For(target=ast.Tuple(elts=targets), iter=ast.Call(func=ast.Name(id="zip"), args=lists)):
                    pairs = zip(targets, lists, strict=False)
                    self.names = names | {
                        one.id: names[of.id] for one, of in pairs
                        if isinstance(one, ast.Name) and isinstance(of, ast.Name) and of.id in names
                    }  # fmt: skip
                    self._read_branches(node.body)
                    self.names = names
                case _:
                    self._read_branches([node])

    def _read_branches(self, body: list[ast.stmt]) -> None:
        for node in body:
            branch: ast.stmt | None = node
            while isinstance(branch, ast.If):
                raises, warns = isinstance(branch.body[0], ast.Raise), "logger.warning" in ast.unparse(branch.body[0])
                if raises or warns:
                    self._refused(branch.test, rounds=not raises)
                # The next condition is one by itself only where what fulfils this one has been refused.
                branch = branch.orelse[0] if raises and len(branch.orelse) == 1 else None

    def _read_others(self, call: ast.FunctionDef) -> None:
        """Read what functions refuse that calls hand their arguments to, and what there is no more to use."""
        asked = (ast.unparse(node) for node in ast.walk(call) if isinstance(node, ast.Call))
        spacing = next((text for text in asked if text.startswith("retrieve_timesteps(")), "")
        if spaced := [
            name for name in ("timesteps", "sigmas") if name in self.given and re.search(rf"\b{name}\b", spacing)
        ]:
            self.found["spaced"] = spaced
        encode = method(self.ancestry, "encode_prompt")
        # transformers has no text model inside of a CLIP's any more.
        gone = "self.text_encoder.text_model" in ("" if encode is None else ast.unparse(encode[1]))
        if gone and "clip_skip" in self.given:
            self.found["gone"] = ["clip_skip"]

    def _refused(self, test: ast.expr, *, rounds: bool) -> None:
        match test:
            case ast.BoolOp(op=ast.Or(), values=parts):
                for part in parts:
                    self._refused(part, rounds=rounds)
                return
            case ast.BoolOp(op=ast.And(), values=parts):
                pass
            case _:
                parts = [test]
        without, beside, compared = [], [], []
        for part in parts:
            match part:
                case ast.Compare(left=ast.Name(id=name), ops=[ast.Is()], comparators=[ast.Constant(value=None)]):
                    without.append(self.names.get(name))
                case ast.Compare(left=ast.Name(id=name), ops=[ast.IsNot()], comparators=[ast.Constant(value=None)]):
                    beside.append(self.names.get(name))
                case _:
                    compared.append(part)
        named = [*without, *beside]
        if any(name not in self.given for name in named):
            return
        if len(compared) == 1:
            if not without:
                self._compared(compared[0], rounds=rounds)
            return
        # A default other than None is there whatever a script says.
        if compared or rounds or any(not _is_none(self.given[str(name)]) for name in named):
            return
        if any(name in self.filled for name in without):
            return
        kind = {(0, 1): "together", (0, 2): "excludes"}.get((max(0, len(without) - 1), len(beside)))
        if kind == "together" and len(without) == 1:
            self._add("together", [beside[0], without[0]])
        elif kind == "excludes" and not without:
            self._add("excludes", beside)
        elif not beside and without and "prompt" not in without:
            self._add("needs", without)

    def _compared(self, test: ast.expr, *, rounds: bool) -> None:
        match test:
            case ast.Compare(left=ast.BinOp(left=left, op=ast.Mod(), right=by), ops=[ast.NotEq()],
                             comparators=[ast.Constant(value=int(rest))]):  # fmt: skip
                name, factors = self._argument(left), self._factors(by)
                if isinstance(left, ast.BinOp) and ast.unparse(left.op) == "-":
                    return
                if name is not None and factors:
                    side = {"of": factors} | ({"rest": rest} if rest else {}) | ({"rounds": True} if rounds else {})
                    self.found.setdefault("sides", {}).setdefault(name, side)
            case ast.Compare(left=left, ops=[ast.NotIn()], comparators=[choices]) if not rounds:
                name = self._argument(left)
                try:
                    values = sorted(ast.literal_eval(choices))
                except (ValueError, TypeError):
                    return
                if name is not None and all(isinstance(each, str) for each in values):
                    self.found.setdefault("choices", {})[name] = values
            case ast.UnaryOp(op=ast.Not(), operand=ast.Compare() as within) if not rounds:
                for limit in self._limits(within):
                    self._limit(limit[0], _UNMET[limit[1]], limit[2])
            case ast.Compare(left=ast.Name(id=one), ops=[sign], comparators=[ast.Name(id=other)]) if not rounds:
                names = [self.names.get(each) for each in (one, other)]
                if type(sign) in _COMPARED and all(name in self.given for name in names):
                    self._add("orders", [names[0], _COMPARED[type(sign)], names[1]])
            case ast.Compare(ops=[_]) if not rounds:
                for limit in self._limits(test):
                    self._limit(*limit)

    def _limits(self, node: ast.Compare) -> list[tuple[str, str, float]]:
        """Return the comparisons of arguments with numbers that `node` is a chain of, none if one is of others."""
        sides = [node.left, *node.comparators]
        found = []
        for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
            sign = _COMPARED.get(type(operator))
            name, number = self._argument(left), right
            if name is None:
                name, number, sign = self._argument(right), left, _TURNED.get(sign or "")
            try:
                value = ast.literal_eval(number)
            except ValueError:
                return []
            if name is None or sign is None or isinstance(value, bool) or not isinstance(value, int | float):
                return []
            found.append((name, sign, value))
        return found

    def _limit(self, name: str, sign: str, value: float) -> None:
        limits = self.found.setdefault("limits", {}).setdefault(name, [])
        if [sign, value] not in limits:
            limits.append([sign, value])

    def _argument(self, node: ast.expr) -> str | None:
        name = self.names.get(node.id) if isinstance(node, ast.Name) else None
        return name if name in self.given else None

    def _factors(self, node: ast.expr | None) -> list[int | str] | None:
        """Return the numbers and settings whose product `node` is, None if it isn't one."""
        match node:
            case ast.Constant(value=int(number)):
                return [number]
            case ast.Name(id=name):
                return self._factors(self.locals.get(name))
            case ast.IfExp(body=body):
                return self._factors(body)
            case ast.Call(func=ast.Name(id="int"), args=[inner]):
                return self._factors(inner)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                one, other = self._factors(left), self._factors(right)
                return None if one is None or other is None else [*one, *other]
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                return self._factors(self._attribute(name))
        setting = r"self\.(\w+)\.config\.(\w+)"
        text = "" if node is None else ast.unparse(node)
        for pattern, factors in (
            (setting, []),
            (rf"2 \*\* \(len\({setting}\) - 1\)", []),
            (rf"2 \*\* len\({setting}\)", [2]),
            (r"2 \*\* len\(self\.(\w+)\.(\w+)\)", [2]),
        ):
            if found := re.fullmatch(pattern, text):
                return [*factors, f"{found[1]}.{found[2]}"]
        return None

    def _attribute(self, name: str) -> ast.expr | None:
        for _, node in self.ancestry:
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                    for each in ast.walk(item):
                        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == f"self.{name}":
                            return each.value
        return None

    def _add(self, kind: str, names: list[Any]) -> None:
        known = self.found.setdefault(kind, [])
        if names not in known:
            known.append(names)


def _is_none(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def goes_before(ancestry: list[tuple[Module, ast.ClassDef]]) -> str | None:
    """Return the method that must have been called before the call: what the call reads of itself, only that sets."""
    methods: dict[str, ast.FunctionDef] = {}
    for _, node in reversed(ancestry):
        methods |= {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
    there = {
        target.id for _, node in ancestry for item in node.body if isinstance(item, ast.Assign)
        for target in item.targets if isinstance(target, ast.Name)
    } | methods.keys()  # fmt: skip
    used: set[str] = set()
    open_ = ["__init__", "__call__"]
    while open_:
        name = open_.pop()
        if name in methods and name not in used:
            used.add(name)
            open_ += [name for name, _ in _own(methods[name])]
    read = {name for each in used for name, context in _own(methods[each]) if isinstance(context, ast.Load)}
    set_ = {name for each in used for name, context in _own(methods[each]) if isinstance(context, ast.Store)}
    for name, function in methods.items():
        own = {attribute for attribute, context in _own(function) if isinstance(context, ast.Store)}
        # A feature that can be switched on is asked for before it is used.
        if name not in used and not re.match(r"(?:en|dis)able_|remove_|_", name) and own & read - set_ - there:
            return name
    return None


def _own(function: ast.FunctionDef) -> list[tuple[str, ast.expr_context]]:
    return [
        (node.attr, node.ctx) for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    ]  # fmt: skip
