"""What a quantizer may say: its mistakes, its one canonical form, and its short label.

Pure functions over the backends' records. The URI form is in `quantizer_uri`; carrying a quantizer out is the
engine's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from aquatint.catalog.backend import Backend, Constraint, Problem
from aquatint.catalog.quantizer_backends import backend, backend_names, backends, unknown_backend
from aquatint.catalog.quantizer_uri import UriReading, format_uri, parse_uri, read_uri
from aquatint.diagnostics import did_you_mean

__all__ = [
    "Backend", "Constraint", "Problem", "UriReading", "backend", "backend_names", "backends", "canonical",
    "format_uri", "label", "parse_uri", "problems", "read_uri", "unknown_backend",
]  # fmt: skip


def problems(backend_name: str, options: Mapping[str, Any], unknown: Collection[str] = ()) -> list[Problem]:
    """Return what is wrong with `options` of the backend called `backend_name`, in the order of `options`.

    An option that says its default never contradicts another one, so that an inherited setting can be undone. `unknown`
    are the settings that are given, and not known what they are: what depends on them is left out.
    """
    found = backend(backend_name)
    return [unknown_backend(backend_name)] if found is None else list(_problems_of_options(found, options, unknown))


def canonical(backend_name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return every option of the backend after defaults: one name each, one form for equal values, sorted by name.

    `options` must have no `problems`. Equal quantizers give equal maps, so keys can be made of them. Raises `KeyError`
    for a backend that there is none of.
    """
    return _known(backend_name).canonical(options)


def label(backend_name: str, options: Mapping[str, Any]) -> str:
    """Return a few characters that tell this quantizer from its neighbours in a table: `sdnq uint4 g64+svd32`."""
    found = _known(backend_name)
    return f"{found.name} {found.label(found.canonical(options))}"


def _known(name: str) -> Backend:
    found = backend(name)
    if found is None:
        raise KeyError(name)
    return found


def _problems_of_options(found: Backend, options: Mapping[str, Any], unknown: Collection[str]) -> Iterator[Problem]:
    written: dict[str, str] = {}
    sound: dict[str, Any] = {}
    unclear = {*unknown}
    for name, value in options.items():
        setting = found.schema.find(name)
        if setting is None:
            yield Problem(
                name, "unknown-setting", f"quantizer backend `{found.name}` has no setting `{name}`",
                did_you_mean(name, found.schema.all_names(), "settings"),
            )  # fmt: skip
        elif setting.name in written:
            yield Problem(
                name, "contradicting-settings", f"`{written[setting.name]}` and `{name}` are the same setting",
                f"leave one of them out; its name is `{setting.name}`",
            )  # fmt: skip
        else:
            written[setting.name] = name
            wrong = [*found.problems_of_value(setting, name, value)]
            yield from wrong
            if wrong:
                unclear.add(setting.name)  # what was meant isn't known, and its default surely wasn't
            else:
                sound[setting.name] = value
    values = found.canonical(sound)
    for constraint in found.constraints:
        if unclear.isdisjoint(constraint.depends_on()):
            yield from _problems_of_constraint(found, constraint, values, written)


def _problems_of_constraint(
    found: Backend, constraint: Constraint, values: Mapping[str, Any], written: Mapping[str, str]
) -> Iterator[Problem]:
    met = (values[need] in allowed for need, allowed in constraint.needs)
    if any(met) or any(values[name] is not None for name in constraint.unless):
        return
    need, allowed = constraint.needs[0]
    for name in constraint.settings:
        setting = found.schema.find(name)
        assert setting is not None
        if name in written and values[name] != found.settled(setting, setting.default):
            yield Problem(
                written[name], "contradicting-settings",
                f"`{name}` {constraint.consequence}: `{need}` is {_shown(values[need])}",
                constraint.help or f"add `{need}: {_shown(allowed[0], bare=True)}`, or leave `{name}` out",
            )  # fmt: skip


def _shown(value: Any, bare: bool = False) -> str:
    text = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if bare else f"`{text}`"
