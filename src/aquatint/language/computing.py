"""How a model's submodules are to compute: the settings that change no weights, held against what the classes can do.

A submodule's own block wins over the model's settings, which are for its denoisers. What there is, is the catalog's
knowledge (`networks`); that the pipeline of a task tells a cache what it needs is asked once that is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aquatint.catalog import compatibility, networks, pipelines
from aquatint.catalog.networks import ABILITIES, CONFIG
from aquatint.catalog.pipelines import PipelineInfo, is_denoiser
from aquatint.diagnostics import Diagnostics, Label, did_you_mean
from aquatint.language import suitability
from aquatint.language.values import UNKNOWN, Model, Setting, plain
from aquatint.language.world import World
from aquatint.plan.steps import Component, Json


def chosen_for(model: Model, role: str, name: str) -> Setting | None:
    """Return what sets how the submodule `role` computes in one respect: its own block, or the model for denoisers."""
    own = model.parts.get(role, {}).get(name)
    return own if own is not None or not is_denoiser(role) else model.settings.get(name)


def settings(
    model: Model, components: Mapping[str, Component], offload: str | None, world: World, diagnostics: Diagnostics
) -> dict[str, dict[str, Json]] | None:
    """Return how the submodules of `model` compute, by role, None after reporting what one of them can't do.

    What is set as it is anyway, as `tiling: false`, is left out. `offload` is how the model is offloaded.
    """
    found: dict[str, dict[str, Json]] = {}
    sound = True
    met: set[str] = set()
    for role, component in components.items():
        for name in ABILITIES:
            setting = chosen_for(model, role, name)
            if setting is None or setting.value is None or setting.value is False:
                continue
            if not networks.can(component.class_name, name):
                # The model's is for those denoisers that have it.
                if setting is model.settings.get(name):
                    continue
                _unfit(role, component, name, setting, components, diagnostics)
                sound = False
                continue
            met.add(name)
            if name == "compile" and offload == "sequential":
                diagnostics.error(
                    "unfit-setting", f'`compile` can\'t be had with `offload: "{offload}"`: accelerate brings each '
                    "layer by itself, and between them nothing is left to compile", setting.name_span,
                    labels=(Label(model.settings["offload"].span, "offloaded here"),),
                    help='take `offload: "group"` or `"model"`, or leave `compile` out',
                )  # fmt: skip
                sound = False
            elif name == "compile" and not _may_be_compiled(role, component, setting, diagnostics):
                sound = False
            elif (value := _value(name, setting, component, world, diagnostics)) is not None:
                found.setdefault(role, {})[name] = value
            else:
                sound = False
    for name in ABILITIES:
        setting = model.settings.get(name)
        meant = [role for role in components if chosen_for(model, role, name) is setting]
        if setting is not None and setting.value and meant and name not in met:
            _unfit(meant[0], components[meant[0]], name, setting, components, diagnostics)
            sound = False
    for role, component in components.items():
        if component.class_name in networks.IN_TILES_ONLY and "tiling" not in found.get(role, {}):
            diagnostics.error(
                "missing-setting", f"`{role}` is a `{component.class_name}`, which works in tiles alone",
                model.settings["source"].span, help=f"write `{role} {{ tiling: true }}` in the model",
            )  # fmt: skip
            sound = False
    return found if sound else None


def _value(name: str, setting: Setting, component: Component, world: World, diagnostics: Diagnostics) -> Any:
    """Return a setting as a plan has it, None after reporting that it can't be had."""
    match name:
        case "attention":
            return setting.value if _has_attention(setting, component.device, world, diagnostics) else None
        case "cache":
            return networks.canonical_cache(plain(setting.value))
        case _:
            return True


def _may_be_compiled(role: str, component: Component, setting: Setting, diagnostics: Diagnostics) -> bool:
    quantized = component.quantization or component.stored
    if quantized is None or quantized.backend is None:
        return True
    refused = compatibility.refusal("compile-regional", quantized.backend, quantized.options)
    if refused is None:
        return True
    suitability.refuse_quantized(f"`compile` of `{role}`", quantized.backend, quantized.options, refused,
                                 setting.span, diagnostics)  # fmt: skip
    return False


def _has_attention(setting: Setting, device: str, world: World, diagnostics: Diagnostics) -> bool:
    asked = f'`attention: "{setting.value}"`'
    kind = device.partition(":")[0]
    package = networks.package_of(setting.value)
    if networks.brings_code(setting.value):
        diagnostics.error(
            "unfit-setting", f"{asked} would fetch code from the hub and run it, which this program never does",
            setting.span, help=_others(device),
        )  # fmt: skip
    elif not networks.is_on(setting.value, kind):
        diagnostics.error("unfit-setting", f"{asked} can't be had on `{kind}`", setting.span,
                          help=_others(device))  # fmt: skip
    elif package is not None and not world.is_installed(package):
        diagnostics.error("package-not-installed", f"{asked} needs the package `{package}`, which is not installed",
                          setting.span, help=f"install it, or take another: {_others(device)}")  # fmt: skip
    else:
        return True
    return False


def _others(device: str) -> str:
    names = [name for name in pipelines.attention_backends()
             if networks.is_on(name, device) and not networks.brings_code(name)
             and networks.package_of(name) is None]  # fmt: skip
    return f"on `{device.partition(':')[0]}` there are " + ", ".join(f"`{name}`" for name in names)


def _unfit(
    role: str, component: Component, name: str, setting: Setting, components: Mapping[str, Component],
    diagnostics: Diagnostics,
) -> None:  # fmt: skip
    """Report that a submodule's class has nothing for a setting, and which of the others' classes have."""
    able = [each for each, part in components.items() if networks.can(part.class_name, name)]
    help = f"of this model {' and '.join(f'`{each}`' for each in able)} can" if able else f"leave `{name}` out"
    diagnostics.error(
        "unfit-setting", f"`{role}` is a `{component.class_name}`, which can't {ABILITIES[name]}", setting.name_span,
        help=help,
    )  # fmt: skip


def fits_task(
    model: Model, computing: Mapping[str, Mapping[str, Json]], info: PipelineInfo, diagnostics: Diagnostics
) -> bool:
    """Return whether the pipeline that `info` is about tells the caches of its parts what they need, or report it."""
    for role, own in computing.items():
        if "cache" not in own:
            continue
        config = own["cache"][CONFIG]
        if (need := networks.needs_of_cache(config)) not in info.caching and role in info.components:
            setting = chosen_for(model, role, "cache")
            assert setting is not None
            what = "which pass of a step it is at" if need == "cache_context" else "at which time step it is"
            diagnostics.error(
                "unfit-setting", f"a `{info.name}` doesn't tell its `{role}` {what}, and a `{config}` needs that",
                setting.name_span, help="leave it out here: `(... with { cache: none })`",
            )  # fmt: skip
            return False
    return True


def check_cache(given: Mapping[str, Setting], name: Setting, diagnostics: Diagnostics) -> Any:
    """Return the value of a `cache` block with the settings `given`, unknown after reporting what is wrong in it."""
    if any(setting.value is UNKNOWN for setting in given.values()):
        return UNKNOWN
    known = list(pipelines.caches())
    config = given.get(CONFIG)
    if config is None:
        diagnostics.error("missing-setting", "this `cache` has no `config`", name.name_span,
                          help="write one of " + ", ".join(f'`config: "{each}"`' for each in known))  # fmt: skip
        return UNKNOWN
    if config.value not in known:
        diagnostics.error("wrong-value", f"diffusers has no cache `{plain(config.value)}`", config.span,
                          help=did_you_mean(str(config.value), known, "caches"))  # fmt: skip
        return UNKNOWN
    sound = True
    for option, setting in given.items():
        wrong = None if option == CONFIG else networks.cache_problem(config.value, option, plain(setting.value))
        if wrong is not None:
            is_known = option in networks.cache_options(config.value)
            code = "unknown-setting" if not is_known else "wrong-type" if " takes " in wrong else "wrong-value"
            diagnostics.error(code, wrong, setting.span if is_known else setting.name_span,
                              help=networks.cache_option_help(config.value, option))  # fmt: skip
            sound = False
    values = {option: setting.value for option, setting in given.items()}
    if (missing := networks.missing_option(config.value, values)) is not None and sound:
        diagnostics.error("missing-setting", f"a `{config.value}` needs `{missing}`, which are a checkpoint's own",
                          config.span, help=f"write `{missing}: [...]`, or take another cache")  # fmt: skip
        return UNKNOWN
    return values if sound else UNKNOWN
