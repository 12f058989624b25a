"""What works on prompts before a pipeline sees them: upscalers, which rewrite them, and weighters, which encode them.

Both are plugins that may run a language model, and so may take a quantizer. A record here is data: the checker, the
help and the plan read it. Other packages add theirs by the entry point groups in `GROUPS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from aquatint.catalog import a1111, compel, llm4gen
from aquatint.catalog.extensions import extensions
from aquatint.catalog.language_models import Wanted
from aquatint.catalog.magicprompt import MAGICPROMPT_SCHEMA
from aquatint.catalog.settings import Schema
from aquatint.catalog.uris import Options, UriError, parts, read_options
from aquatint.catalog.weighting import CLIP_ENCODERS, ENCODERS, PIPELINES, Mistake, unweighted
from aquatint.diagnostics import did_you_mean

Kind = Literal["upscaler", "weighter"]

KINDS: tuple[Kind, ...] = ("upscaler", "weighter")

LANGUAGE_MODEL = ("revision", "subfolder", "variant", "dtype", "device")
"""Settings of a plugin's language model that its schema may have, beside its source and the quantizer."""

GROUPS: dict[Kind, str] = {"upscaler": "aquatint.upscalers", "weighter": "aquatint.weighters"}
"""The entry point groups; an entry point's name is the plugin's."""


def _no_mistakes(prompt: str) -> Iterable[Mistake]:
    return ()


def _as_it_is(prompt: str) -> str:
    return prompt


def _no_parts(options: Mapping[str, Any]) -> tuple[Wanted, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class PromptPlugin:
    """A plugin. Of its settings at most one is a quantizer, that of its language model.

    `engine` is the dotted name of the module that carries it out, which only an engine imports (see `upscalers` and
    `weighters` of `aquatint.runtime.torch_engine`); without one it can be planned with, and not run.

    `language_model` is the setting that says where its language model is, if it has one that is a component of plans;
    `LANGUAGE_MODEL` has the others.

    Of weighters: `mistakes` returns what is wrong in a prompt, `plain` a prompt without the syntax of weights.
    `pipelines` are the classes whose prompts it weights and `encoders` those of the text encoders that it knows; None
    is for any. `parts` returns what canonical options ask to be loaded beside a pipeline's own parts.
    """

    kind: Kind
    name: str
    help: str
    schema: Schema
    aliases: tuple[str, ...] = ()
    engine: str | None = None
    language_model: str | None = None
    mistakes: Callable[[str], Iterable[Mistake]] = _no_mistakes
    pipelines: frozenset[str] | None = None
    encoders: frozenset[str] | None = None
    plain: Callable[[str], str] = _as_it_is
    parts: Callable[[Mapping[str, Any]], tuple[Wanted, ...]] = _no_parts

    def problems(self, options: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with canonical `options`, which a stranger may have written."""
        wrong = [f"there is no option `{name}`" for name in options if self.schema.find(name) is None]
        for setting in self.schema.settings:
            if setting.type == "quantizer":
                continue
            if setting.name not in options:
                wrong.append(f"there is no `{setting.name}`")
            elif (found := setting.problem(options[setting.name])) is not None:
                wrong.append(found)
        return wrong

    def canonical(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return every option but the quantizer after defaults, sorted by name. `options` have no problems."""
        settings = [setting for setting in self.schema.settings if setting.type != "quantizer"]
        return {s.name: s.normal(options.get(s.name, s.default)) for s in sorted(settings, key=lambda s: s.name)}


_OWN = (
    PromptPlugin("upscaler", "magicprompt", "Lets a language model of transformers write on from a prompt, or rewrite "
                 "it.", MAGICPROMPT_SCHEMA, engine="aquatint.runtime.torch_engine.magicprompt", language_model="model"),
    PromptPlugin("weighter", "a1111", "Weights words as the web UI of AUTOMATIC1111 does: `(word:1.2)`, `[word]`, "
                 "`BREAK`. CLIP reads prompts of any length, 75 tokens at a time.", a1111.A1111_SCHEMA,
                 engine="aquatint.runtime.torch_engine.a1111_weighter", mistakes=a1111.mistakes, pipelines=PIPELINES,
                 encoders=ENCODERS, plain=lambda prompt: unweighted(a1111.read(prompt))),
    PromptPlugin("weighter", "compel", "Weights words as InvokeAI and compel do: `word++`, `(two words)1.3`. CLIP "
                 "reads prompts of any length, 75 tokens at a time.", compel.COMPEL_SCHEMA,
                 engine="aquatint.runtime.torch_engine.compel_weighter", mistakes=compel.mistakes, pipelines=PIPELINES,
                 encoders=ENCODERS, plain=lambda prompt: unweighted(compel.read(prompt))),
    PromptPlugin("weighter", "llm4gen", "Adds what a language model makes of the prompt to the embeddings of Stable "
                 "Diffusion 1.5 (LLM4GEN, arXiv:2407.00737).", llm4gen.LLM4GEN_SCHEMA,
                 engine="aquatint.runtime.torch_engine.llm4gen_weighter", pipelines=llm4gen.PIPELINES,
                 encoders=CLIP_ENCODERS, parts=llm4gen.parts),
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


def read_prompt_uri(kind: Kind, text: str) -> tuple[PromptPlugin | None, Options]:
    """Return the plugin and the options that `text` gives: `PLUGIN;option=value`, with every mistake in it.

    An option that the plugin lacks keeps its name and its text; a quantizer is the text that stands for it.
    """
    (offset, head), *given = parts(text)
    plugin = prompt_plugin(kind, head)
    if not head:
        article = "an upscaler" if kind == "upscaler" else "a weighter"
        help = f"such as `{prompt_plugins(kind)[0].name}`"
        error = UriError(f"{article}'s URI starts with a plugin's name", offset, max(1, len(text)), help)
        return None, Options(errors=(error,))
    if plugin is None:
        message, help = no_prompt_plugin(kind, head)
        return None, Options(errors=(UriError(message, offset, max(1, len(head)), help, "unknown-plugin"),))
    return plugin, read_options(given, plugin.schema)


def no_prompt_plugin(kind: Kind, name: str) -> tuple[str, str]:
    """Return what to say of `name`, which is no plugin of `kind` that could be used, and a way out."""
    reason = unusable_prompt_plugins(kind).get(name)
    message = f"there is no {kind} plugin `{name}`"
    if reason is not None:
        message = f"the {kind} plugin `{name}` can't be used: {reason}"
    return message, did_you_mean(name, [each.name for each in prompt_plugins(kind)], "plugins")


def _own(kind: Kind) -> tuple[PromptPlugin, ...]:
    return tuple(each for each in _OWN if each.kind == kind)


@cache
def _others(kind: Kind) -> tuple[tuple[PromptPlugin, ...], tuple[tuple[str, str], ...]]:
    return extensions(GROUPS[kind], PromptPlugin, _own(kind), kind)
