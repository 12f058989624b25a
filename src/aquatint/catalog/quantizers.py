"""What a quantizer may say: its mistakes, its one canonical form, and its short label.

Pure functions over the data in `quantizer_backends`. The URI form is in `quantizer_uri`; carrying a quantizer out is
the engine's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from aquatint.catalog import sdnq_settings, sdnq_types
from aquatint.catalog.quantizer_backends import Backend, Constraint, backend, backend_names, backends
from aquatint.catalog.quantizer_uri import UriError, format_uri, parse_uri
from aquatint.catalog.settings import Setting
from aquatint.diagnostics import did_you_mean

__all__ = [
    "Backend", "Constraint", "Problem", "UriError", "backend", "backend_names", "backends", "canonical", "format_uri",
    "label", "parse_uri", "problems",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a quantizer; `setting` is the option's name as it was written, or None if it is about none."""

    setting: str | None
    code: str
    message: str
    help: str | None = None


def problems(backend_name: str, options: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with `options` of the backend called `backend_name`, in the order of `options`.

    An option that says its default never contradicts another one, so that an inherited setting can be undone.
    """
    found = backend(backend_name)
    if found is None:
        message = f"there is no quantization backend `{backend_name}`"
        return [Problem(None, "unknown-backend", message, did_you_mean(backend_name, backend_names(), "backends"))]
    return [*_problems_of_options(found, options, "")]


def canonical(backend_name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return every option of the backend after defaults: one name each, one form for equal values, sorted by name.

    `options` must have no `problems`. Equal quantizers give equal maps, so keys can be made of them.
    """
    found = backend(backend_name)
    if found is None:
        raise KeyError(backend_name)
    given = _by_setting(found, options)
    settled = {s.name: _settled(found, s, given.get(s.name, s.default)) for s in found.schema.settings}
    return dict(sorted(settled.items()))


def label(backend_name: str, options: Mapping[str, Any]) -> str:
    """Return a few characters that tell this quantizer from its neighbours in a table: `sdnq uint4 g64+svd32`."""
    found = backend(backend_name)
    if found is None:
        raise KeyError(backend_name)
    values = canonical(backend_name, options)
    if found.name == "bnb":
        kind = "int8" if values["bits"] == 8 else values["bits4_quant_type"]
        marks = ["dq"] if values["bits4_use_double_quant"] else []
        if values["bits4_compute_dtype"] != "float32":
            marks.append(values["bits4_compute_dtype"])
    else:
        kind = values["weights_dtype"]
        if values["group_size"]:
            kind += f" g{values['group_size']}"
        marks = [mark for name, mark in _SDNQ_MARKS if values[name]]
        if values["use_svd"]:
            marks.append(f"svd{values['svd_rank']}")
    return f"{found.name} {'+'.join([kind, *marks])}"


_SDNQ_MARKS = (
    ("quant_conv", "conv"), ("quant_embedding", "embedding"), ("use_quantized_matmul", "matmul"),
    ("use_quantized_matmul_conv", "matmulconv"), ("use_hadamard", "hadamard"), ("use_codebook", "codebook"),
    ("use_dynamic_quantization", "dynamic"), ("scale_dtype", "scales"), ("modules_dtype_dict", "mixed"),
    ("modules_quant_config", "mixed"),
)  # fmt: skip


def _problems_of_options(found: Backend, options: Mapping[str, Any], where: str) -> Iterator[Problem]:
    written: dict[str, str] = {}
    sound: dict[str, Any] = {}
    for name, value in options.items():
        setting = found.schema.find(name)
        if setting is None:
            yield Problem(
                name, "unknown-setting", f"quantizer backend `{found.name}` has no setting `{name}`{where}",
                did_you_mean(name, found.schema.all_names(), "settings"),
            )  # fmt: skip
        elif setting.name in written:
            yield Problem(
                name, "contradicting-settings", f"`{written[setting.name]}` and `{name}` are the same setting{where}",
                f"leave one of them out; its name is `{setting.name}`",
            )  # fmt: skip
        else:
            written[setting.name] = name
            wrong = [*_problems_of_value(found, setting, name, value, where)]
            yield from wrong
            if not wrong:
                sound[setting.name] = value
    values = {s.name: _settled(found, s, sound.get(s.name, s.default)) for s in found.schema.settings}
    for constraint in found.constraints:
        yield from _problems_of_constraint(found, constraint, values, written, where)


def _problems_of_value(found: Backend, setting: Setting, name: str, value: Any, where: str) -> Iterator[Problem]:
    message = setting.problem(value)
    if message is not None:
        unlimited = replace(setting, choices=(), minimum=None, maximum=None)
        code = "wrong-value" if value is None or unlimited.problem(value) is None else "wrong-type"
        help = did_you_mean(str(value), map(str, setting.choices), "choices") if setting.choices else None
        yield Problem(name, code, message + where, help)
    elif setting.type == "float" and value is not None and not _is_finite(value):
        yield Problem(name, "wrong-value", f"`{name}` can't be `{value}`{where}")
    elif setting.choices == sdnq_types.NAMES and value is not None:
        yield from _problems_of_type(name, value, where)
    elif setting.name == "modules_dtype_dict" and value is not None:
        yield from _problems_of_types_by_module(name, value, where)
    elif setting.name == "modules_quant_config" and value is not None:
        yield from _problems_of_settings_by_module(found, name, value)


def _problems_of_type(name: str, value: str, where: str) -> Iterator[Problem]:
    refusal = sdnq_types.REFUSED.get(sdnq_types.one_name(value))
    if refusal is not None:
        measured = f"{refusal.error:.2g}, where `{refusal.instead}` has {refusal.instead_error:.1e}"
        yield Problem(
            name, "refused-type",
            f"`{name}` can't be `{value}`{where}: sdnq stores it wrongly, since {refusal.reason} "
            f"(error of a UNet's output: {measured})",
            f"use `{refusal.instead}`",
        )  # fmt: skip


def _problems_of_types_by_module(name: str, value: Mapping[str, Any], where: str) -> Iterator[Problem]:
    owner: dict[str, str] = {}
    for key, modules in value.items():
        stored_as = sdnq_types.minimum_width(key) or sdnq_types.one_name(key)
        if stored_as not in sdnq_types.BITS:
            yield Problem(
                name, "wrong-value", f"`{name}` names no number type by `{key}`{where}",
                did_you_mean(key, sdnq_types.NAMES, "types") + '; a least width is written "minimum_6bit"',
            )  # fmt: skip
            continue
        for problem in _problems_of_type(name, stored_as, where):
            yield replace(problem, help=f"write another type than `{key}`: {problem.help}")
        if not isinstance(modules, str) and not _is_names(modules):
            yield Problem(name, "wrong-type", f"`{name}` takes a list of modules for `{key}`{where}")
            continue
        for module in [modules] if isinstance(modules, str) else modules:
            if module in owner:
                yield Problem(
                    name, "contradicting-settings",
                    f"`{name}` puts `{module}` under both `{owner[module]}` and `{key}`{where}",
                )  # fmt: skip
            owner[module] = key


def _problems_of_settings_by_module(found: Backend, name: str, value: Mapping[str, Any]) -> Iterator[Problem]:
    for module, options in value.items():
        where = f" (in `{name}` for `{module}`)"
        if not isinstance(options, Mapping):
            yield Problem(name, "wrong-type", f"`{name}` takes a map of settings for `{module}`")
            continue
        # Only what is written for the module is known here, not what it inherits: no constraints between settings.
        for option, given in options.items():
            setting = found.schema.find(option)
            if setting is None or setting.name not in sdnq_settings.PER_MODULE:
                yield Problem(
                    name, "unknown-setting", f"`{option}` can't be set for one module{where}",
                    did_you_mean(option, sdnq_settings.PER_MODULE, "settings of a module"),
                )  # fmt: skip
            else:
                for problem in _problems_of_value(found, setting, option, given, where):
                    yield replace(problem, setting=name)


def _problems_of_constraint(
    found: Backend, constraint: Constraint, values: Mapping[str, Any], written: Mapping[str, str], where: str
) -> Iterator[Problem]:
    if any(values[need] in allowed for need, allowed in constraint.needs):
        return
    need, allowed = constraint.needs[0]
    for name in constraint.settings:
        setting = found.schema.find(name)
        assert setting is not None
        if name in written and values[name] != _settled(found, setting, setting.default):
            yield Problem(
                written[name], "contradicting-settings",
                f"`{name}` {constraint.consequence}{where}: `{need}` is {_shown(values[need])}",
                constraint.help or f"add `{need}: {_shown(allowed[0], bare=True)}`, or leave `{name}` out",
            )  # fmt: skip


def _by_setting(found: Backend, options: Mapping[str, Any]) -> dict[str, Any]:
    named = ((found.schema.find(name), value) for name, value in options.items())
    return {setting.name: value for setting, value in named if setting is not None}


def _settled(found: Backend, setting: Setting, value: Any) -> Any:
    value = setting.normal(value)
    if found.empty_is_unset and setting.type in ("names", "map") and not value:
        return None
    if setting.type == "names" and value is not None:
        return sorted(set(value))
    if found.name != "sdnq" or value is None:
        return value
    if setting.name in sdnq_settings.TYPE_SETTINGS:
        return sdnq_types.one_name(value)
    if setting.name == "modules_dtype_dict":
        return _types_by_module(value)
    if setting.name == "modules_quant_config":
        return {module: _settings_of_module(found, options) for module, options in sorted(value.items())}
    return value


def _types_by_module(value: Mapping[str, Any]) -> dict[str, list[str]]:
    merged: dict[str, set[str]] = {}
    for key, modules in value.items():
        # A least width stays under its own key, in one spelling: it depends on the type that it is compared with.
        least = sdnq_types.minimum_width(key)
        one = f"minimum_{least}bit" if least is not None else sdnq_types.one_name(key)
        merged.setdefault(one, set()).update([modules] if isinstance(modules, str) else modules)
    return {key: sorted(merged[key]) for key in sorted(merged)}


def _settings_of_module(found: Backend, options: Mapping[str, Any]) -> dict[str, Any]:
    given = _by_setting(found, options)
    return {s.name: _settled(found, s, given[s.name]) for s in _by_name(found) if s.name in given}


def _by_name(found: Backend) -> list[Setting]:
    return sorted(found.schema.settings, key=lambda setting: setting.name)


def _is_finite(value: float) -> bool:
    try:
        return isfinite(value)
    except OverflowError:  # an int that no float holds
        return False


def _is_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _shown(value: Any, bare: bool = False) -> str:
    text = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if bare else f"`{text}`"
