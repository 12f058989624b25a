"""What `:help TOPIC` says of blocks, quantization backends, prompt plugins and codes, from schemas and registries."""

from __future__ import annotations

import io
import textwrap

from aquatint.catalog.models import COMPARE, GENERATE, GRID, MODEL, PART, SAVE, UPSCALE
from aquatint.catalog.prompt_plugins import KINDS, prompt_plugin, prompt_plugins
from aquatint.catalog.quantizer_backends import backend, backends
from aquatint.catalog.settings import Schema
from aquatint.codes import codes
from aquatint.interface import prompt_help
from aquatint.interface.commands.explain import explain
from aquatint.interface.quantizer_help import documentation

SCHEMAS = {schema.name: schema for schema in (MODEL, PART, GENERATE, GRID, UPSCALE, COMPARE, SAVE)}
"""The blocks whose settings are this language's own, by name."""

_WIDTH = 100


def topics() -> list[str]:
    """Return all that there is help on."""
    plugins = [plugin.name for kind in KINDS for plugin in prompt_plugins(kind)]
    return [*SCHEMAS, *(each.name for each in backends()), *plugins, *(code.name for code in codes())]


def about(topic: str) -> str | None:
    """Return what there is to say of `topic`, None if nothing is known by that name."""
    if topic in SCHEMAS:
        return _settings(SCHEMAS[topic])
    if (found := backend(topic)) is not None:
        return documentation(found, _WIDTH)
    for kind in KINDS:
        if (plugin := prompt_plugin(kind, topic)) is not None:
            return prompt_help.documentation(plugin, _WIDTH)
    if topic in {code.name for code in codes()}:
        stream = io.StringIO()
        explain([topic], stream)
        return stream.getvalue()
    return None


def _settings(schema: Schema) -> str:
    lines = [f"settings of {schema.name}:"]
    for setting in schema.settings:
        choices = f" ({', '.join(map(str, setting.choices))})" if setting.choices else ""
        lines += ["", f"    {setting.name}{choices}"]
        lines += textwrap.wrap(setting.help, _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)
    return "\n".join(lines) + "\n"
