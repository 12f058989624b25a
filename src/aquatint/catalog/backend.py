"""What a quantization backend is to the rest of the program: one record of data and a few pure functions.

The checker, the help, completion, the docs, the URI form and the estimates read it; the engine finds its own half by
the name in `engine`. bitsandbytes' and sdnq's records are in `bnb` and `sdnq`, and other packages may add theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aquatint.catalog.layers import Holding, Layer
from aquatint.catalog.settings import Schema, Setting, is_finite
from aquatint.diagnostics import did_you_mean


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a quantizer; `setting` is the option's name as it was written, or None if it is about none."""

    setting: str | None
    code: str
    message: str
    help: str | None = None


@dataclass(frozen=True, slots=True)
class Constraint:
    """`settings` may differ from their defaults only where a setting in `needs` has one of its values.

    It is lifted where a setting in `unless` is given at all: one that may bring the need for some layers.
    """

    settings: tuple[str, ...]
    needs: tuple[tuple[str, tuple[Any, ...]], ...]
    consequence: str = "has no effect"
    help: str | None = None
    unless: tuple[str, ...] = ()

    def depends_on(self) -> tuple[str, ...]:
        """Return the settings that decide whether this holds."""
        return (*(name for name, _ in self.needs), *self.unless)


def _no_problems(setting: Setting, name: str, value: Any, where: str) -> Iterator[Problem]:
    return iter(())


def _as_it_is(setting: Setting, value: Any) -> Any:
    return value


def _nothing_lost(options: Mapping[str, Any], library: str) -> tuple[str, ...]:
    return ()


def _nothing_rounded(options: Mapping[str, Any], library: str, dtype: str) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Backend:
    """A library that quantizes.

    `package` is the module that must be there to import, `distribution` what it is called where packages are installed
    from, and `install` the line that does it. `engine` is the dotted name of the module that carries quantizers out;
    only an engine imports it (see `aquatint.runtime.torch_engine.backend`).

    `label` gives the few words that tell a quantizer with these canonical options from its neighbours: `uint4 g64`.
    `check` yields what is wrong with a value that its setting allows; it is given the setting, the name that was
    written, the value, and words for where it stands. `settle` returns the one form of a value that `check` let pass:
    equal quantizers must come out equal, since keys are made of it.

    `held` returns what a layer comes to with canonical options: the bytes that it is held in once quantized, or why the
    library leaves it alone, or fails with it. None: estimates of what this backend quantizes give the most only.

    `method` is the `quant_method` that components have in their configuration when they are stored quantized by this
    library, and `stored_options` returns such a configuration's options under the settings' names or aliases, among
    whatever else; without it they are not known. `untraced` are settings of the quantizing itself, which stored weights
    don't tell. `unreadable` returns the settings among canonical options with which stored weights can't be read back,
    for components of "diffusers" or "transformers". `rounded` returns those that would have to change for the library
    to read weights back to the last bit as the torch dtype that comes third, and to what.
    """

    name: str
    aliases: tuple[str, ...]
    help: str
    schema: Schema
    package: str
    distribution: str
    install: str
    engine: str
    label: Callable[[Mapping[str, Any]], str]
    constraints: tuple[Constraint, ...] = ()
    empty_is_unset: bool = False  # whether an empty list or map says the same as leaving the setting out
    held: Callable[[Mapping[str, Any], Layer], Holding] | None = None
    check: Callable[[Setting, str, Any, str], Iterator[Problem]] = _no_problems
    settle: Callable[[Setting, Any], Any] = _as_it_is
    method: str | None = None
    stored_options: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    untraced: tuple[str, ...] = ()
    unreadable: Callable[[Mapping[str, Any], str], tuple[str, ...]] = _nothing_lost
    rounded: Callable[[Mapping[str, Any], str, str], Mapping[str, Any]] = _nothing_rounded

    def problems_of_value(self, setting: Setting, name: str, value: Any, where: str = "") -> Iterator[Problem]:
        """Yield what is wrong with `value` of `setting`, which was written as `name`; `where` ends each message."""
        message = setting.problem(value)
        if message is not None:
            unlimited = replace(setting, choices=(), minimum=None, maximum=None, above=None)
            is_number = setting.type == "float" and isinstance(value, int | float) and not is_finite(value)
            code = "wrong-value" if value is None or is_number or unlimited.problem(value) is None else "wrong-type"
            yield Problem(name, code, message + where, _choices(setting, value))
        elif value is not None:
            yield from self.check(setting, name, value, where)

    def settled(self, setting: Setting, value: Any) -> Any:
        """Return the one form of `value`, which has no problems."""
        value = setting.normal(value)
        if self.empty_is_unset and setting.type in ("names", "map") and not value:
            return None
        if setting.type == "names" and value is not None:
            return sorted(set(value))
        return value if value is None else self.settle(setting, value)

    def by_setting(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return `options` by the settings' own names, without those that the backend lacks."""
        named = ((self.schema.find(name), value) for name, value in options.items())
        return {setting.name: value for setting, value in named if setting is not None}

    def canonical(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return every option after defaults: one name each, one form for equal values, sorted by name."""
        given = self.by_setting(options)
        settled = {s.name: self.settled(s, given.get(s.name, s.default)) for s in self.schema.settings}
        return dict(sorted(settled.items()))


def _choices(setting: Setting, value: Any) -> str | None:
    if not setting.choices:
        return None
    if setting.type == "int":
        # The number that is spelt most like it is not the nearest.
        return "choices: " + ", ".join(f"`{choice}`" for choice in sorted(setting.choices))
    return did_you_mean(str(value), map(str, setting.choices), "choices")
