"""Why a setting of a plan is what it is: the layers that set it, the one that won last.

Tells only what evaluation and resolution decided; which layer wins is for `values.layered` and `resolution` to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aquatint.catalog.arguments import scriptable
from aquatint.catalog.models import ADAPTERS, GENERATE, MODEL, PART, SAVE
from aquatint.catalog.networks import ABILITIES, can
from aquatint.catalog.pipelines import is_denoiser
from aquatint.catalog.quantizers import canonical
from aquatint.diagnostics import did_you_mean
from aquatint.language.adapters import block_of
from aquatint.language.components import default_dtype
from aquatint.language.prequantized import chosen_for
from aquatint.language.resolution import Resolved, quantized_roles
from aquatint.language.values import Model, Quantizer, Setting, frozen, quoted
from aquatint.plan.steps import Component
from aquatint.plan.uses import adapters
from aquatint.source import Span

# What a submodule takes from its model unless it says otherwise; `quantizer` only reaches some of them.
_FROM_MODEL = ("source", "dtype", "variant", "revision", "device")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that became a step: what it works with, and its own settings on top of the model's defaults.

    `turn` is what the variables of the loops around it stood for.
    """

    step: str
    verb: str
    span: Span
    paths: tuple[str, ...]
    model: Model
    settings: Mapping[str, Setting]
    resolved: Resolved
    device: str
    turn: Mapping[str, Any] = field(default_factory=dict)


class UnknownPlace(Exception):
    """What is asked for isn't in the plan; `help` says what is."""

    def __init__(self, message: str, help: str) -> None:
        super().__init__(message)
        self.help = help


@dataclass(frozen=True, slots=True)
class _Layer:
    name: str
    value: Any
    span: Span | None = None


_Chain = tuple[_Layer, ...]
"""The layers that set a setting, the one that wins last; without any it isn't set at all."""

_TURNS = 20
"""Turns of loops that are told each by itself."""

_FEW = 3
"""Turns that are named of those that are told together."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is told of one statement: of `place`, a setting, or a list of the settings that may be set there."""

    statement: Statement
    place: str  # behind the step's id: `.unet.dtype`
    chains: Mapping[str, _Chain]
    is_list: bool

    def alike(self, other: _Answer) -> bool:
        """Return whether the same is to be told of both."""
        return self.chains == other.chains


def why(asked: str, statements: Sequence[Statement]) -> str:
    """Return what set that which `asked` names, as STATEMENT.COMPONENT.SETTING, of a plan's `statements`.

    The statement is a step's id, a path or a line. Without a component it is the statement's own setting; without a
    setting all are listed. Turns of a loop of which the same is to be told are told together. Raises `UnknownPlace`.
    """
    found, rest = _statements(asked, statements)
    groups: list[list[_Answer]] = []
    for statement in found:
        answer = _answer(statement, rest)
        group = next((group for group in groups if group[0].alike(answer)), None)
        if group is not None:
            group.append(answer)
        elif len(groups) < _TURNS:
            groups.append([answer])
        else:
            left = len(found) - sum(map(len, groups))
            ending = f"and {left:,} other statements: name the one that is meant, as in `{statement.step}`\n"
            return "\n".join([*_told_in_turn(groups), ending])
    return "\n".join(_told_in_turn(groups))


def _told_in_turn(groups: Sequence[Sequence[_Answer]]) -> Iterator[str]:
    """Yield what is told of each group of statements alike; lists after the first tell what is different there."""
    many = len(groups) > 1 or len(groups[0]) > 1
    for group in groups:
        first, *others = group
        place = first.statement.step + first.place
        turn = _turn(first.statement) if many else ""
        text = _listed(place, turn, first.chains, groups[0][0]) if first.is_list else _chain(place, turn, first.chains)
        if others:
            few = ", ".join(other.statement.step + _turn(other.statement) for other in others[:_FEW])
            more = ", ..." if len(others) > _FEW else ""
            text += f"\n  the same in {len(others):,} other turn{'s' * (len(others) > 1)}: {few}{more}\n"
        yield text


def _turn(statement: Statement) -> str:
    values = ", ".join(f"{name} {_short(value)}" for name, value in statement.turn.items() if not name.startswith("_"))
    return f" ({values})" if values else ""


def _statements(asked: str, statements: Sequence[Statement]) -> tuple[list[Statement], str]:
    """Return the statements that the beginning of `asked` names, and the rest of it."""
    named: dict[str, list[Statement]] = {}
    lines: dict[str, list[Statement]] = {}
    for statement in statements:
        for name in (statement.step, *statement.paths):
            named.setdefault(name, []).append(statement)
        last = statement.span.source.position(statement.span.end)[0]
        for line in range(statement.span.line, last + 1):
            for name in (str(line), f"{statement.span.source.name}:{line}"):
                lines.setdefault(name, []).append(statement)
    for known in (named, lines):
        # Paths have dots of their own: the longest name is meant.
        for name in sorted(known, key=len, reverse=True):
            if asked == name or asked.startswith(f"{name}."):
                return known[name], asked[len(name) + 1 :]
    first = asked if "/" in asked else asked.partition(".")[0]
    what = f"line {first} has no `generate` or `save`" if first.isdecimal() else f"the plan has no statement `{first}`"
    raise UnknownPlace(what, did_you_mean(first, named, "statements"))


def _answer(statement: Statement, rest: str) -> _Answer:
    first, _, second = rest.partition(".")
    roles = [role for role, key in statement.resolved.pipeline.parts.items() if key is not None]
    own = dict(_own(statement))
    name = first.replace("-", "_")
    if not first:
        return _Answer(statement, "", own, True)
    if not second and name in own:
        return _Answer(statement, f".{name}", {name: own[name]}, False)
    if first not in roles:
        what = f"component `{first}`" if second else f"component or setting `{first}`"
        candidates = roles if second else [*roles, *own]
        raise UnknownPlace(f"`{statement.step}` has no {what}", did_you_mean(first, candidates, "it has"))
    of_role = dict(_of_component(statement, first))
    if not second:
        return _Answer(statement, f".{first}", of_role, True)
    name = second.replace("-", "_")
    if name not in of_role:
        message = f"`{first}` of `{statement.step}` has no setting `{second}`"
        raise UnknownPlace(message, did_you_mean(second, of_role, "settings"))
    return _Answer(statement, f".{first}.{name}", {name: of_role[name]}, False)


def _own(statement: Statement) -> Iterator[tuple[str, _Chain]]:
    """Yield what may be set of the statement itself, and then of its model as a whole."""
    schema = GENERATE if statement.verb == "generate" else SAVE
    known: dict[str, Any] = {setting.name: setting.default for setting in schema.settings}
    if statement.verb == "generate":
        known |= {name: each.default for name, each in scriptable(statement.resolved.info).items()}
    for name, default in known.items():
        if name in ("width", "height"):
            yield name, _side(name, statement.settings, default)
        else:
            yield name, _layers(statement.settings.get(name), default)
    for name in MODEL.names():
        if name not in known:
            default = _default(statement, name)
            yield name, _layers(statement.model.settings.get(name), default)


def _default(statement: Statement, name: str) -> str | None:
    """Return what a setting of models and submodules is where nobody sets it, if that is the program's to say."""
    match name:
        case "device":
            return statement.device
        case "dtype":
            own = statement.model.settings.get("device")
            return default_dtype(statement.device if own is None or own.value is None else own.value)
        case _:
            return None


def _side(name: str, settings: Mapping[str, Setting], default: Any) -> _Chain:
    """Return the layers of `width` or `height`, which `size` sets too: it yields to a statement's side only."""
    side, size = settings.get(name), settings.get("size")
    by_size = tuple(replace(layer, value=getattr(layer.value, name, None)) for layer in _layers(size, None))
    by_side = _layers(side, None)
    size_wins = side is None or side.layer != "statement" or (size is not None and size.layer == "statement")
    return _layers(None, default) + (by_side + by_size if size_wins else by_size + by_side)


def _of_component(statement: Statement, role: str) -> Iterator[tuple[str, _Chain]]:
    """Yield what may be set of the submodule `role`: its place and form, then its quantizer's options."""
    model, resolved = statement.model, statement.resolved
    component = resolved.components[resolved.pipeline.parts[role] or ""]
    if role in adapters(resolved.pipeline):
        # Further ones have a number behind the word.
        kind = next(each for word, each in ADAPTERS.items() if role == word or role.startswith(f"{word}_"))
        settings = block_of(component, model.adapters[kind.name]).settings
        yield from ((each.name, _layers(settings.get(each.name), each.default)) for each in kind.settings)
        return
    is_quantized = role in quantized_roles(model, resolved.pipeline.parts, resolved.info)
    own = model.parts.get(role, {})
    for name in PART.names():
        reaches = is_quantized if name == "quantizer" else name in _FROM_MODEL
        reaches = is_denoiser(role) if name in ABILITIES else reaches
        if name == "revision" and "source" in own:
            reaches = False  # it is one of the model's repository
        if component.dtype is None and name in ("dtype", "variant", "quantizer", "device"):
            continue  # without weights
        if name in ABILITIES and not can(component.class_name, name):
            continue
        default = _default(statement, name)
        chain = _layers(model.settings.get(name) if reaches else None, default) + _layers(own.get(name), None)
        if name == "variant" and chain and chain[-1].value != component.variant:
            chain += (_Layer("checkpoint", component.variant),)  # which has these weights without it
        yield name, chain
    yield from _options(component, chosen_for(model, role, is_quantized))


def _options(component: Component, chosen: Setting | None) -> Iterator[tuple[str, _Chain]]:
    """Yield the options of the quantizer that `component` is quantized with."""
    if component.quantization is None or chosen is None or not isinstance(chosen.value, Quantizer):
        return
    settings = chosen.value.settings
    unset = canonical(chosen.value.backend, {})
    for name, value in canonical(chosen.value.backend, chosen.value.options).items():
        # A default may hang on other options.
        default = unset.get(name) if name in settings else value
        yield name, _layers(settings.get(name), None if default is None else frozen(default))


def _layers(setting: Setting | None, default: Any) -> _Chain:
    layers: list[_Layer] = []
    while setting is not None:
        layers.append(_Layer(setting.layer, setting.value, setting.span))
        setting = setting.before
    if default is not None:
        layers.append(_Layer("default", default))
    return tuple(reversed(layers))


def _chain(name: str, turn: str, chains: Mapping[str, _Chain]) -> str:
    (chain,) = chains.values()
    if not chain:
        return f"{name} is not set{turn}\n"
    rows = [(layer.name, _value(layer), "" if layer.span is None else str(layer.span)) for layer in chain]
    sources = [None if layer.span is None else layer.span.source.line(layer.span.line).strip() for layer in chain]
    lines = [f"{name} is {_value(chain[-1])}{turn}, set by: {chain[-1].name}", ""]
    for row, source in zip(_aligned(rows), sources, strict=True):
        lines += [f"  {row}"] if source is None else [f"  {row}", f"    | {source}"]
    return "".join(f"{line}\n" for line in lines)


def _listed(name: str, turn: str, chains: Mapping[str, _Chain], before: _Answer) -> str:
    is_first = chains is before.chains
    chains = {key: chain for key, chain in chains.items() if is_first or before.chains.get(key) != chain}
    rows = [
        (setting, _value(chain[-1]), chain[-1].name, "" if chain[-1].span is None else str(chain[-1].span))
        for setting, chain in chains.items()
        if chain
    ]
    unset = [setting for setting, chain in chains.items() if not chain]
    lines = [name + turn if is_first else f"{name}{turn}: as {before.statement.step}{before.place}, but for", ""]
    lines += (f"  {row}" for row in _aligned(rows))
    lines += ([""] if rows else []) + [f"  not set: {', '.join(unset)}"] if unset else []
    return "".join(f"{line}\n" for line in lines)


def _value(layer: _Layer) -> str:
    return _short(layer.value)


def _short(value: Any) -> str:
    text = quoted(value)
    return text.replace("\n", "\\n") if len(text) <= 60 else text[:57].replace("\n", "\\n") + "..."


def _aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    table = list(rows)
    if not table:
        return []
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in table]
