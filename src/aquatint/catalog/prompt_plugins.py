"""What works on prompts before a pipeline sees them: upscalers, which rewrite them, and weighters, which encode them.

Both are plugins that may run a language model, and so may take a quantizer. A record here is data: the checker, the
help and the plan read it. Other packages add theirs by the entry point groups in `GROUPS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from aquatint.catalog.extensions import extensions
from aquatint.catalog.llm4gen import LLM4GEN_SCHEMA
from aquatint.catalog.magicprompt import MAGICPROMPT_SCHEMA
from aquatint.catalog.settings import Schema

Kind = Literal["upscaler", "weighter"]

KINDS: tuple[Kind, ...] = ("upscaler", "weighter")

LANGUAGE_MODEL = ("revision", "subfolder", "variant", "dtype", "device")
"""Settings of a plugin's language model that its schema may have, beside its source and the quantizer."""

GROUPS: dict[Kind, str] = {"upscaler": "aquatint.upscalers", "weighter": "aquatint.weighters"}
"""The entry point groups; an entry point's name is the plugin's."""


@dataclass(frozen=True, slots=True)
class PromptPlugin:
    """A plugin. Of its settings at most one is a quantizer, that of its language model."""

    kind: Kind
    name: str
    help: str
    schema: Schema
    aliases: tuple[str, ...] = ()
    engine: str | None = None
    """The module that carries it out, a `runtime.torch_engine.upscalers.Upscaler`; None: it can be planned only."""
    language_model: str | None = None
    """The setting that says where its language model is; None: it has none. `LANGUAGE_MODEL` has the others."""

    def canonical(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return every option but the quantizer after defaults, sorted by name. `options` have no problems."""
        settings = [setting for setting in self.schema.settings if setting.type != "quantizer"]
        return {s.name: s.normal(options.get(s.name, s.default)) for s in sorted(settings, key=lambda s: s.name)}


_OWN = (
    PromptPlugin("upscaler", "magicprompt", "Lets a language model of transformers write on from a prompt, or rewrite "
                 "it.", MAGICPROMPT_SCHEMA, engine="aquatint.runtime.torch_engine.magicprompt", language_model="model"),
    PromptPlugin("weighter", "llm4gen", "Adds what a language model makes of the prompt to the embeddings of Stable "
                 "Diffusion 1.5 (LLM4GEN, arXiv:2407.00737).", LLM4GEN_SCHEMA),
)  # fmt: skip


def prompt_plugin(kind: Kind, name: str) -> PromptPlugin | None:
    """Return the plugin of `kind` called `name`, or None."""
    own = next((each for each in _OWN if each.kind == kind and name in (each.name, *each.aliases)), None)
    return own or next((each for each in _others(kind)[0] if name in (each.name, *each.aliases)), None)


def prompt_plugins(kind: Kind) -> tuple[PromptPlugin, ...]:
    """Return every plugin of `kind`: this program's own, then those of other packages by name."""
    return (*_own(kind), *_others(kind)[0])


def unusable_prompt_plugins(kind: Kind) -> dict[str, str]:
    """Return the plugins of other packages that can't be used, by the entry point's name, and why."""
    return dict(_others(kind)[1])


def _own(kind: Kind) -> tuple[PromptPlugin, ...]:
    return tuple(each for each in _OWN if each.kind == kind)


@cache
def _others(kind: Kind) -> tuple[tuple[PromptPlugin, ...], tuple[tuple[str, str], ...]]:
    return extensions(GROUPS[kind], PromptPlugin, _own(kind), kind)
