"""The schedulers of diffusers: which can stand in for which, their options, and how a script asks for one.

The facts are in `data/pipelines.json`. A script's text is `CLASS;option=value`, as `uris` reads it, and `+` for a class
is the checkpoint's own. Options that a script can't write, such as a list of betas, are no options here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from aquatint.catalog import pipelines
from aquatint.catalog.settings import Schema, Setting, Type
from aquatint.catalog.uris import UriError, parts, read_options, text_of
from aquatint.diagnostics import did_you_mean, nearest

OWN = "+"

_TYPES: Mapping[str, Type] = {"int": "int", "float": "float", "bool": "bool", "str": "str"}


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A scheduler that is asked for: its class, None for the checkpoint's own, and the options that differ from that's.

    `errors` are the mistakes in the text that it was read from.
    """

    class_name: str | None
    options: Mapping[str, Any]
    errors: tuple[UriError, ...] = ()

    @property
    def text(self) -> str:
        """The shortest text that asks for it; its options in the order in which the class has them."""
        known = [setting for setting in schema(self.class_name or "").settings if setting.name in self.options]
        told = [f"{each.name.replace('_', '-')}={text_of(each, self.options[each.name])}" for each in known]
        return ";".join([self.class_name or OWN, *told])


def spaced_by(class_name: str) -> tuple[str, ...]:
    """Return those of `timesteps` and `sigmas` by which a scheduler can be told its steps one by one."""
    known = pipelines.schedulers().get(class_name)
    return () if known is None else tuple(known.spaced)


def read(text: str, own: str | None = None) -> Scheduler:
    """Return what `text` asks for of a checkpoint whose scheduler is of the class `own`, None where that isn't known.

    Whether the class can stand in for that one isn't asked here.
    """
    (offset, head), *given = parts(text)
    class_name = own if head == OWN else head
    if class_name is None:
        # What there is to set is known when the checkpoint is.
        return Scheduler(None, {}, read_options(given, _every_option()).errors)
    if class_name not in names():
        if head:
            message, help = f"diffusers has no scheduler `{head}`", _proposed(head, own)
        else:
            message, help = "a scheduler starts with a class", f"`{OWN}` is the checkpoint's own"
        wrong = UriError(message, offset, max(1, len(head)), help, "wrong-value")
        return Scheduler(class_name, {}, (wrong,))
    known = schema(class_name)
    options = read_options(given, known)
    errors = [*options.errors]
    for name, value in options.values.items():
        setting = known.find(name)
        if setting is None:
            help = did_you_mean(name, known.names(), "options")
            errors.append(UriError(f"`{class_name}` has no option `{name}`", *options.places[name], help,
                                   "unknown-setting"))  # fmt: skip
        elif (problem := setting.problem(value)) is not None:
            choices = ", ".join(f"`{each}`" for each in setting.choices)
            errors.append(UriError(problem, *options.places[name], f"choices: {choices}" if choices else None,
                                   "wrong-value"))  # fmt: skip
    spacings = [name for name, value in options.values.items() if value is True and _is_of_sigmas(name)]
    if len(spacings) > 1:
        message = f"`{spacings[1]}` contradicts `{spacings[0]}`: noise levels are spaced in one way"
        errors.append(UriError(message, *options.places[spacings[1]], code="contradicting-settings"))
    values = {name: value for name, value in options.values.items() if known.find(name) is not None}
    return Scheduler(class_name, values, tuple(sorted(errors, key=lambda error: error.offset)))


def _proposed(head: str, own: str | None) -> str:
    """Return the help for `head`, which is no scheduler: one that is spelt like it, or those that have it in them."""
    known = substitutes(own) if own is not None else names()
    words = re.findall(r"[a-z]+", head.lower())
    holding = [name for name in known if words and all(word in name.lower() for word in words)]
    if nearest(head, names()) is None and holding:
        return f"did you mean {', '.join(f'`{name}`' for name in holding[:4])}?"
    return did_you_mean(head, names(), "schedulers")


def names() -> list[str]:
    """Return the class names of diffusers' schedulers, sorted."""
    return sorted(pipelines.schedulers())


def substitutes(name: str) -> list[str]:
    """Return the schedulers that can be made from the settings of the one called `name`, itself among them.

    That is what diffusers lists as compatible; the flow-matching ones, which it doesn't list, go by their name.
    """
    found = pipelines.schedulers()
    flow = [other for other in found if name.startswith("FlowMatch") and other.startswith("FlowMatch")]
    return sorted({name, *(found[name].alike if name in found else ()), *flow})


@cache
def schema(name: str) -> Schema:
    """Return the options of the scheduler called `name`; none of one that isn't known."""
    found = pipelines.schedulers().get(name)
    return Schema(name, tuple(_settings(found.options) if found is not None else ()))


def _every_option() -> Schema:
    every = {setting.name: setting for name in names() for setting in schema(name).settings}
    return Schema("scheduler", tuple(every.values()))


def _settings(options: Mapping[str, list[Any]]) -> Iterator[Setting]:
    for name, (type, *default) in options.items():
        *_, wanted = (part for part in type.split(" | ") if part != "None")
        if wanted.startswith("Literal["):
            choices = ast.literal_eval(wanted.removeprefix("Literal"))
            yield Setting(name, "str", "", default[0] if default else None, choices=tuple(choices))
        elif wanted in _TYPES:
            yield Setting(name, _TYPES[wanted], "", default[0] if default else None)


def _is_of_sigmas(name: str) -> bool:
    return name.startswith("use_") and name.endswith("_sigmas") and name != "use_flow_sigmas"
