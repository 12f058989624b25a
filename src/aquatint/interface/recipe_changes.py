"""What `--set NAME=VALUE` changes in a picture's recipe: the command line wins over the record.

NAME is a setting of `generate` or an argument of its call (`seed`), of the model (`dtype`), a submodule's
(`unet.quantizer`), or an adapter's (`lora.weight`, of the second one `lora_2.weight`). What a value may be is checked
where the script is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from math import isfinite
from typing import Any

from aquatint.catalog import media, networks, pipelines
from aquatint.catalog.arguments import scriptable
from aquatint.catalog.models import ADAPTERS, GENERATE, MODEL, PART
from aquatint.catalog.pipelines import PipelineInfo
from aquatint.diagnostics import Diagnostics, did_you_mean
from aquatint.interface.recipe import Recipe, Settings, Written
from aquatint.source import Source, Span

OPTION = "--set"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SIZE = re.compile(r"(\d{1,5})(?:[xX](\d{1,5}))?")
_DIGITS = 40  # as in `generate_request`: more than that is no number that anything here takes
_WORDS = {"none": None, "true": True, "false": False}
# Of a model's settings these are kept with each submodule where they differ, and so a new one is for all of them.
_SHARED = ("dtype", "variant", "quantizer")


def change(recipe: Recipe, given: Iterable[str], diagnostics: Diagnostics) -> None:
    """Put what `given` says, each of the form NAME=VALUE, into `recipe`; report what is no name of anything there."""
    for text in given:
        name, equals, value = text.partition("=")
        source = Source(OPTION, text)
        span = Span(source, 0, max(1, len(name.rstrip())))
        if not equals or not name.strip():
            diagnostics.error("bad-command-line", f"`{OPTION} {text}` is not of the form NAME=VALUE", span)
            continue
        role, dot, setting = name.strip().replace("-", "_").rpartition(".")
        if dot:
            _change_part(recipe, role, setting, value, span, diagnostics)
        else:
            _change(recipe, setting, value, span, diagnostics)


def _change(recipe: Recipe, name: str, value: str, span: Span, diagnostics: Diagnostics) -> None:
    info = pipelines.pipeline(recipe.pipeline)
    arguments = {} if info is None else scriptable(info)
    own, of_model = GENERATE.find(name), MODEL.find(name)
    if name == "size":
        _change_size(recipe, value, span, diagnostics)
    elif own is not None:
        recipe.arguments[own.name] = _value(value, is_text=own.type == "str")
    elif name in arguments:
        is_text = "str" in re.split(r" *\| *", arguments[name].type)
        # A prompt may be the word `none`.
        recipe.arguments[name] = value if name == "prompt" else _value(value, is_text)
    elif of_model is not None:
        for role, settings in recipe.parts.items():
            if settings is not None and name in _SHARED and (name != "quantizer" or role in recipe.quantized):
                settings.pop(name, None)
        recipe.settings[name] = _setting(recipe, name, value, is_text=of_model.type == "str")
    elif name in recipe.roles and value.strip() == "none":
        recipe.parts[name] = None
    elif name in recipe.roles:
        help = (
            f"set what it has: {', '.join(f'`{name}.{each}`' for each in _settings_of(name, info))}, or `{name}=none`"
        )
        diagnostics.error("wrong-type", f"`{name}` is a submodule, and takes `none` only", span, help=help)
    else:
        own_names = GENERATE.names() if info is None else media.settings_of(info)
        known = [*own_names, *arguments, *MODEL.names(), *recipe.roles]
        message = f"neither `generate` nor the model has a setting `{name}`"
        diagnostics.error("unknown-setting", message, span, help=did_you_mean(name, known, "settings"))


def _settings_of(role: str, info: PipelineInfo | None) -> list[str]:
    """Return the settings of a submodule; of one of which nothing is known, all."""
    part = None if info is None else info.components.get(role)
    return list(PART.names()) if part is None else networks.settings_of(part.classes)


def _change_part(recipe: Recipe, role: str, name: str, value: str, span: Span, diagnostics: Diagnostics) -> None:
    known = PART.find(name)
    beside = {
        kind if number == 1 else f"{kind}_{number}": (kind, settings)
        for kind, own in recipe.adapters.items()
        for number, settings in enumerate(own, 1)
    }
    if role in beside:
        _change_adapter(*beside[role], name, value, span, diagnostics)
    elif role not in recipe.roles:
        there = [*recipe.roles, *beside]
        message = f"the picture's model has no submodule `{role}`"
        diagnostics.error("unknown-submodule", message, span, help=did_you_mean(role, there, "it has"))
    elif known is None:
        message = f"submodule `{role}` has no setting `{name}`"
        names = _settings_of(role, pipelines.pipeline(recipe.pipeline))
        diagnostics.error("unknown-setting", message, span, help=did_you_mean(name, names, "settings"))
    else:
        settings: Settings = recipe.parts.get(role) or {}
        settings[known.name] = _setting(recipe, known.name, value, is_text=known.type == "str")
        recipe.parts[role] = settings


def _change_adapter(kind: str, settings: Settings, name: str, value: str, span: Span, diagnostics: Diagnostics) -> None:
    known = ADAPTERS[kind].find(name)
    if known is None:
        message = f"`{kind}` has no setting `{name}`"
        diagnostics.error("unknown-setting", message, span, help=did_you_mean(name, ADAPTERS[kind].names(), "settings"))
    else:
        settings[known.name] = _value(value, is_text=known.type == "str")


def _change_size(recipe: Recipe, text: str, span: Span, diagnostics: Diagnostics) -> None:
    found = _SIZE.fullmatch(text.strip())
    if found is None and text.strip() != "none":
        behind = Span(span.source, span.end + 1, max(len(span.source.text), span.end + 2))
        diagnostics.error("wrong-type", f"`size` takes a size, not `{text}`", behind, help="such as 512x768, or 512")
        return
    for side in ("width", "height"):
        recipe.arguments.pop(side, None)
    if found is not None:
        recipe.arguments |= {"width": int(found[1]), "height": int(found[2] or found[1])}


def _setting(recipe: Recipe, name: str, text: str, is_text: bool) -> Any:
    """Return the value of a model's or submodule's setting; a quantizer may be one of the recipe's."""
    if name == "quantizer":
        return Written(text.strip()) if text.strip() in recipe.quantizers else None if text.strip() == "none" else text
    if name == "quantizer_map" and not text.strip().startswith("["):
        return [part.strip() for part in text.split(",")]
    return _value(text, is_text)


def _value(text: str, is_text: bool) -> Any:
    """Return the value that `text` stands for; one that is a text anyway is that of its letters, but for `none`."""
    plain = text.strip()
    if is_text:
        return None if plain == "none" else text
    if plain in _WORDS:
        return _WORDS[plain]
    if _NUMBER.fullmatch(plain) and len(plain) <= _DIGITS and isfinite(float(plain)):
        return float(plain) if re.search(r"[.eE]", plain) else int(plain)
    if plain.startswith(("[", "{")):
        try:
            return json.loads(plain, parse_constant=str)
        except (ValueError, RecursionError):
            return text
    return text
