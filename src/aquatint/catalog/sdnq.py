"""The `sdnq` backend as data; its settings are in `sdnq_settings`, the number types that it stores in `sdnq_types`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from aquatint.catalog import sdnq_bytes, sdnq_settings, sdnq_types
from aquatint.catalog.backend import Backend, Constraint, Problem
from aquatint.catalog.hardware import DEVICES_HELP, is_device
from aquatint.catalog.settings import Setting
from aquatint.diagnostics import did_you_mean


def _label(options: Mapping[str, Any]) -> str:
    kind = options["weights_dtype"]
    if options["group_size"]:
        kind += f" g{options['group_size']}"
    marks = [mark for name, mark in _MARKS if options[name]]
    if options["use_svd"]:
        marks.append(f"svd{options['svd_rank']}")
    return "+".join([kind, *marks])


_MARKS = (
    ("quant_conv", "conv"), ("quant_embedding", "embedding"), ("use_quantized_matmul", "matmul"),
    ("use_quantized_matmul_conv", "matmulconv"), ("use_hadamard", "hadamard"), ("use_codebook", "codebook"),
    ("use_dynamic_quantization", "dynamic"), ("scale_dtype", "scales"), ("modules_dtype_dict", "mixed"),
    ("modules_quant_config", "mixed"), ("use_stochastic_rounding", "stochastic"),
)  # fmt: skip


def _check(setting: Setting, name: str, value: Any, where: str) -> Iterator[Problem]:
    if setting.choices == sdnq_types.NAMES:
        yield from _problems_of_type(name, value, where)
    elif setting.name in ("quantization_device", "return_device"):
        yield from _problems_of_device(name, value, where)
    elif setting.name == "modules_dtype_dict":
        yield from _problems_of_types_by_module(name, value, where)
    elif setting.name == "modules_quant_config":
        yield from _problems_of_settings_by_module(name, value)


def _problems_of_device(name: str, value: str, where: str) -> Iterator[Problem]:
    if not is_device(value):
        yield Problem(name, "wrong-value", f"`{name}` can't be `{value}`{where}", DEVICES_HELP)


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


def _problems_of_settings_by_module(name: str, value: Mapping[str, Any]) -> Iterator[Problem]:
    for module, options in value.items():
        where = f" (in `{name}` for `{module}`)"
        if not isinstance(options, Mapping):
            yield Problem(name, "wrong-type", f"`{name}` takes a map of settings for `{module}`")
            continue
        # Only what is written for the module is known here, not what it inherits: no constraints between settings.
        for option, given in options.items():
            setting = SDNQ.schema.find(option)
            if setting is None or setting.name not in sdnq_settings.PER_MODULE:
                yield Problem(
                    name, "unknown-setting", f"`{option}` can't be set for one module{where}",
                    did_you_mean(option, sdnq_settings.PER_MODULE, "settings of a module"),
                )  # fmt: skip
            else:
                for problem in SDNQ.problems_of_value(setting, option, given, where):
                    yield replace(problem, setting=name)


def _settle(setting: Setting, value: Any) -> Any:
    if setting.name in sdnq_settings.TYPE_SETTINGS:
        return sdnq_types.one_name(value)
    if setting.name == "modules_dtype_dict":
        return _types_by_module(value)
    if setting.name == "modules_quant_config":
        return {module: _settings_of_module(options) for module, options in sorted(value.items())}
    return value


def _types_by_module(value: Mapping[str, Any]) -> dict[str, list[str]]:
    merged: dict[str, set[str]] = {}
    for key, modules in value.items():
        # A least width stays under its own key, in one spelling: it depends on the type that it is compared with.
        least = sdnq_types.minimum_width(key)
        one = f"minimum_{least}bit" if least is not None else sdnq_types.one_name(key)
        merged.setdefault(one, set()).update([modules] if isinstance(modules, str) else modules)
    return {key: sorted(merged[key]) for key in sorted(merged)}


def _settings_of_module(options: Mapping[str, Any]) -> dict[str, Any]:
    given = SDNQ.by_setting(options)
    by_name = sorted(SDNQ.schema.settings, key=lambda setting: setting.name)
    return {s.name: SDNQ.settled(s, given[s.name]) for s in by_name if s.name in given}


def _is_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _stored_options(configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    options = dict(configuration)
    if options.get("use_dynamic_quantization") is True:
        # The library's choices, which it writes there; what a script wrote can't be told from them.
        options.pop("modules_dtype_dict", None)
    return options


def _unreadable(options: Mapping[str, Any], library: str) -> tuple[str, ...]:
    # sdnq 0.2.8 drops them on loading, takes the stored scales for plain ones, and says nothing.
    return tuple(name for name in ("scale_dtype", "zero_point_dtype") if options[name] is not None)


def _rounded(options: Mapping[str, Any], library: str, dtype: str) -> Mapping[str, Any]:
    # diffusers reads every float tensor of a file as the component's type, scales in float32 too.
    is_rounded = library != "transformers" and dtype != "float32" and options["dequantize_fp32"]
    return {"dequantize_fp32": False} if is_rounded else {}


SDNQ = Backend(
    name="sdnq",
    aliases=(),
    help="SDNQ: any width from 1 to 16 bits, integers and floats, of Linear layers and with `quant_conv` of "
    "convolutions. The package is under GPL-3.0-only and is installed as an extra.",
    schema=sdnq_settings.SCHEMA,
    package="sdnq",
    distribution="sdnq",
    install='pip install "aquatint[sdnq]"',
    engine="aquatint.runtime.torch_engine.sdnq_backend",
    label=_label,
    held=sdnq_bytes.held,
    constraints=(
        Constraint(
            ("zero_point_dtype",),
            (("weights_dtype", sdnq_types.UNSIGNED), ("use_dynamic_quantization", (True,))),
            help="take an unsigned type, such as `uint4`, or leave `zero_point_dtype` out: signed ones have no offsets",
            unless=("modules_dtype_dict", "modules_quant_config"),
        ),
        Constraint(("svd_rank", "svd_steps"), (("use_svd", (True,)),), unless=("modules_quant_config",)),
        Constraint(("hadamard_group_size",), (("use_hadamard", (True,)),), unless=("modules_quant_config",)),
        Constraint(
            ("codebook_steps",), (("use_codebook", (True,)), ("use_codebook_scale", (True,))),
            unless=("modules_quant_config",),
        ),
        Constraint(
            ("use_codebook",), (("weights_dtype", sdnq_types.CODEBOOK_TYPES),), "can't be used",
            "a codebook needs an unsigned integer type of up to 8 bits, such as `uint4`",
        ),
        Constraint(
            ("zero_point_dtype", "use_stochastic_rounding"), (("use_codebook", (False,)),),
            help="leave it out: a codebook has no offsets, and its values are the nearest ones",
            unless=("modules_quant_config",),
        ),
        Constraint(
            ("use_codebook_scale",), (("scale_dtype", sdnq_types.CODEBOOK_TYPES),), "can't be used",
            "a codebook for the scales needs an unsigned integer type for them, such as `scale_dtype: uint8`",
        ),
        Constraint(
            ("use_codebook_scale",), (("zero_point_dtype", (None, *sdnq_types.CODEBOOK_TYPES)),), "can't be used",
            "leave `zero_point_dtype` out, or give it an unsigned integer type of up to 8 bits, such as `uint8`",
        ),
        Constraint(
            ("dynamic_loss_threshold",), (("use_dynamic_quantization", (True,)),), unless=("modules_quant_config",),
        ),
        Constraint(
            ("use_dynamic_quantization",),
            (("weights_dtype", tuple(n for n in sdnq_types.BITS if n not in sdnq_types.NOT_ORDERED)),),
            "can't be used", "start from a type such as `uint4` or `int8`",
        ),
        Constraint(("use_quantized_matmul_conv",), (("quant_conv", (True,)),)),
        Constraint(
            ("quantized_matmul_dtype", "modules_to_not_use_matmul"),
            (("use_quantized_matmul", (True,)), ("use_quantized_matmul_conv", (True,))),
            unless=("modules_quant_config",),
        ),
        Constraint(
            ("use_quantized_matmul", "use_quantized_matmul_conv"),
            (
                ("weights_dtype", tuple(n for n in sdnq_types.BITS if n != "bfloat16")),
                ("quantized_matmul_dtype", ("int8", "uint8", "float8_e4m3fn")),
            ),
            "can't be used",
            "float16, in which the product would be computed, has no room for numbers of that range: add "
            "`quantized_matmul_dtype: int8`, or store the weights as `float16`",
        ),
    ),
    empty_is_unset=True,
    check=_check,
    settle=_settle,
    method="sdnq",
    stored_options=_stored_options,
    # What `add_skip_keys` added is in the stored list of modules, and the setting itself is false once that was read.
    untraced=("add_skip_keys", "quantization_device", "return_device", "non_blocking"),
    unreadable=_unreadable,
    rounded=_rounded,
)  # fmt: skip
