"""How the models of diffusers can be told to compute: in tiles, with which attention, leaving out steps' work.

Such settings change no weights. Which class can do what is in `data/pipelines.json`, which `make catalog` writes; what
a way of computing attention needs of device and packages is here. Doing it is the engine's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from aquatint.catalog import pipelines
from aquatint.catalog.arguments import problem
from aquatint.catalog.models import PART
from aquatint.catalog.pipelines import Argument
from aquatint.diagnostics import did_you_mean

ABILITIES = {
    "tiling": "work on a picture in tiles",
    "slicing": "work on the pictures of a batch one by one",
    "attention": "take another attention",
    "cache": "leave out what a cache has",
    "compile": "have its repeated blocks compiled",
}
"""The settings of how a submodule computes, and what a class that has no such setting can't do."""

IN_TILES_ONLY = ("AutoencoderKLAllegro",)
"""Those that diffusers has written for tiles alone: they raise an error without."""

ON_CPU = ("native", "flex", "_native_flash", "_native_math")
"""Ways to compute attention that a CPU has, as tried with diffusers 0.42 and torch 2.13."""

_PACKAGES = {"flash": "flash_attn", "_flash": "flash_attn_3", "sage": "sageattention", "_sage": "sageattention",
             "xformers": "xformers"}  # fmt: skip
_OTHER_DEVICES = {"_native_npu": "torch_npu", "_native_xla": "torch_xla"}

CONFIG = "config"
"""The setting of a `cache` block that names diffusers' configuration; the others are that one's fields."""

DTYPES = ("float32", "float16", "bfloat16")


def can(class_name: str, ability: str) -> bool:
    """Return whether models of that class have the setting `ability`, one of `ABILITIES`."""
    return ability in pipelines.networks().get(class_name, ())


def settings_of(classes: Iterable[str]) -> list[str]:
    """Return the settings of a submodule's block that mean something for models of one of these classes."""
    known = list(classes)
    return [name for name in PART.names() if name not in ABILITIES or any(can(each, name) for each in known)]


def brings_code(attention: str) -> bool:
    """Return whether a way to compute attention would fetch code from the hub."""
    return attention.endswith("_hub")


def is_on(attention: str, device: str) -> bool:
    """Return whether `device` has a way to compute attention, if its package is there."""
    return attention in ON_CPU if device.partition(":")[0] == "cpu" else attention not in _OTHER_DEVICES


def package_of(attention: str) -> str | None:
    """Return the package, by the name that it is imported by, that a way to compute attention needs."""
    first = attention.split("_")[0] or "_" + attention.split("_")[1]
    return _PACKAGES.get(first)


@cache
def cache_options(config: str) -> Mapping[str, Argument]:
    """Return the fields of one of diffusers' configurations of caches that a script can write, by name."""
    return {
        name: Argument(name, given[0].replace("torch.dtype", "str"), given[1] if len(given) > 1 else None, False)
        for name, given in pipelines.caches()[config].items()
        # What it measures is only logged.
        if not name.startswith("_") and "Callable" not in given[0] and name != "calibrate"
    }


def needs_of_cache(config: str) -> str:
    """Return what a pipeline has to tell a cache of that configuration, one of `PipelineInfo.caching`."""
    return "current_timestep" if "current_timestep_callback" in pipelines.caches()[config] else "cache_context"


def cache_problem(config: str, name: str, value: Any) -> str | None:
    """Return why `value`, a plain Python value, can't be the field `name` of a cache's configuration, or None."""
    known = cache_options(config).get(name)
    if known is None:
        return f"`{config}` has no option `{name}`"
    if name.endswith("_dtype") and value is not None and value not in DTYPES:
        return f"`{name}` can't be `{value}`"
    if "tuple[int, int]" in known.type and isinstance(value, list) and len(value) != 2:
        return f"`{name}` takes two numbers"
    return problem(known, value)


def cache_option_help(config: str, name: str) -> str | None:
    """Return what to do about the field `name` of a cache's configuration that `cache_problem` found wrong."""
    if name not in cache_options(config):
        return did_you_mean(name, cache_options(config), "options")
    return "choices: " + ", ".join(f"`{each}`" for each in DTYPES) if name.endswith("_dtype") else None


def missing_option(config: str, given: Mapping[str, Any]) -> str | None:
    """Return the field that a cache's configuration can't do without, and `given` lacks."""
    # The magnitudes are a checkpoint's own.
    return "mag_ratios" if config == "MagCacheConfig" and given.get("mag_ratios") is None else None


def canonical_cache(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a `cache` block with every option after defaults, sorted; what is None is the library's own default."""
    config = given[CONFIG]
    options = {name: given.get(name, known.default) for name, known in cache_options(config).items()}
    return {CONFIG: config, **{name: _normal(known, options[name]) for name, known in cache_options(config).items()}}


def _normal(known: Argument, value: Any) -> Any:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_whole and known.type.startswith("float") else value


def cache_problems(given: Any) -> list[str]:
    """Return what is wrong with a `cache` as a plan or a record has it."""
    if not isinstance(given, Mapping) or given.get(CONFIG) not in list(pipelines.caches()):
        return ["there is no such cache"]
    config = str(given[CONFIG])
    found = [cache_problem(config, name, value) for name, value in given.items() if name != CONFIG]
    missing = missing_option(config, given)
    return [each for each in found if each is not None] + ([f"`{missing}` is missing"] if missing else [])


def problems(settings: Mapping[str, Any], class_name: str) -> list[str]:
    """Return what is wrong with `settings` of how a model of a class computes, as a plan or a record has them."""
    found = [f"a `{class_name}` can't do `{name}`" for name in settings if not can(class_name, name)]
    for name, value in settings.items():
        if name in ("tiling", "slicing", "compile") and value is not True:
            found.append(f"`{name}` is not true")
        elif name == "attention" and (value not in pipelines.attention_backends() or brings_code(value)):
            found.append(f"there is no attention `{value}`")
        elif name == "cache":
            found += cache_problems(value)
    return found
