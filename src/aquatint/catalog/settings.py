"""Schemas as data: which settings a block takes, of which type, within which limits.

The checker, the help, the completion, the docs and the URI form all read these. What the settings of one kind of
block are is in the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal

from aquatint.catalog.hardware import DEVICES_HELP, is_device
from aquatint.diagnostics import did_you_mean

Type = Literal["int", "float", "bool", "str", "names", "map", "quantizer", "any"]
"""`names` is a list of strings, for which a single string stands too; `map` has strings for keys. What a quantizer is
says the language: none of a schema's limits is for one."""

REQUIRED: Any = object()
"""The default of a setting that has none."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `choices` limits strings and ints; `minimum` and `maximum` are inclusive, `above` is not.

    A default of None means that leaving the setting out, or writing `none`, leaves the choice to the library.
    """

    name: str
    type: Type
    help: str
    default: Any = None
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    aliases: tuple[str, ...] = ()
    pattern: bool = False  # whether its strings are regular expressions, of the package `regex`
    device: bool = False  # whether its strings name devices
    deferred: bool = False  # whether its strings may be such that are known only when the plan runs

    def problem(self, value: Any) -> str | None:
        """Return why `value` (a plain Python value) can't be this setting's, or None if it can."""
        if value is None:
            return None if self.default is None else f"`{self.name}` can't be none"
        if self.type == "names" and _is_list(value) and (wrong := [i for i in value if not isinstance(i, str)]):
            return f"`{self.name}` takes a list of strings, not of {_described_value(wrong[0])}"
        if not _has_type(value, self.type):
            return f"`{self.name}` takes {_described(self.type)}, not {_described_value(value)}"
        chosen = value if self.type == "names" and _is_list(value) else [value]
        if self.choices and (wrong := [item for item in chosen if item not in self.choices]):
            return f"`{self.name}` can't be {_described_value(wrong[0])}"
        if self.type == "float" and not is_finite(value):
            return f"`{self.name}` can't be `{value}`"
        if self.device and not is_device(value):
            return f"`{self.name}` can't be {_described_value(value)}"
        if self.pattern and (faults := [found for item in chosen if (found := _fault(item)) is not None]):
            return f"`{self.name}` has no regular expression: {faults[0]}"
        if self.minimum is not None and value < self.minimum:
            return f"`{self.name}` must be at least {_bound(self.minimum)}, not {value}"
        if self.above is not None and value <= self.above:
            return f"`{self.name}` must be more than {_bound(self.above)}, not {value}"
        if self.maximum is not None and value > self.maximum:
            return f"`{self.name}` must be at most {_bound(self.maximum)}, not {value}"
        return None

    def help_for(self, value: Any) -> str | None:
        """Return what may be written for `value`, for which `problem` found something, if that can be listed."""
        if self.device:
            return DEVICES_HELP
        return did_you_mean(str(value), map(str, self.choices), "choices") if self.choices else None

    def normal(self, value: Any) -> Any:
        """Return `value`, for which `problem` found nothing, in the one form that keys are made of."""
        if value is None:
            return None
        if self.type == "float":
            return float(value)
        if self.type == "names":
            return [value] if isinstance(value, str) else list(value)
        return value


@dataclass(frozen=True, slots=True)
class Schema:
    """The settings that a kind of block takes; names are found with `-` for `_` and by alias."""

    name: str
    settings: tuple[Setting, ...]
    _by_name: dict[str, Setting] = field(default_factory=dict, repr=False, compare=False)

    def find(self, name: str) -> Setting | None:
        """Return the setting called `name`, or None."""
        if not self._by_name:
            for setting in self.settings:
                for known in (setting.name, *setting.aliases):
                    self._by_name[known.replace("-", "_")] = setting
        return self._by_name.get(name.replace("-", "_"))

    def names(self) -> list[str]:
        """Return the names of all settings, without aliases, in the schema's order."""
        return [setting.name for setting in self.settings]

    def all_names(self) -> list[str]:
        """Return every name that `find` knows, for suggestions."""
        return [name for setting in self.settings for name in (setting.name, *setting.aliases)]


def _fault(pattern: str) -> str | None:
    """Return what is wrong with a regular expression, or None."""
    # Imported here: few scripts have one.
    import regex

    try:
        regex.compile(pattern)
    except regex.error as error:
        return f"in {_described_value(pattern)}, {error}"
    return None


def is_finite(value: float) -> bool:
    """Return whether a float holds `value`, and it is neither infinite nor no number."""
    try:
        return isfinite(value)
    except OverflowError:  # an int that no float holds
        return False


def _bound(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def _has_type(value: Any, type: Type) -> bool:
    match type:
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "bool":
            return isinstance(value, bool)
        case "str":
            return isinstance(value, str)
        case "names":
            return isinstance(value, str) or (_is_list(value) and all(isinstance(item, str) for item in value))
        case "map":
            return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
        case "quantizer" | "any":
            return True


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | Mapping)


def _described(type: Type) -> str:
    return {
        "int": "a whole number", "float": "a number", "bool": "`true` or `false`", "str": "a string",
        "names": "a list of names", "map": "a map", "quantizer": "a quantizer", "any": "any value",
    }[type]  # fmt: skip


def _described_value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"`{value}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    return "a map" if isinstance(value, Mapping) else "a list" if _is_list(value) else f"`{value}`"
