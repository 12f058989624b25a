"""Upscalers and weighters: what their blocks say, and `upscale`, which becomes a step that yields strings.

Which plugins there are and what they take is in the catalog; running a language model is the engine's.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from aquatint.catalog import prompt_plugins
from aquatint.catalog.models import UPSCALE
from aquatint.catalog.prompt_plugins import LANGUAGE_MODEL, Kind, PromptPlugin
from aquatint.catalog.quantizers import canonical
from aquatint.diagnostics import Diagnostics
from aquatint.language import devices
from aquatint.language.blocks import Blocks
from aquatint.language.companions import Spoken
from aquatint.language.deferred import line_of
from aquatint.language.places import place_of
from aquatint.language.resolution import Resolver
from aquatint.language.scope import Scope
from aquatint.language.values import (
    UNKNOWN,
    Deferred,
    Layer,
    Prompter,
    Quantizer,
    Setting,
    Unknown,
    layered,
    plain,
    type_name,
)
from aquatint.plan.builder import PlanBuilder
from aquatint.plan.keys import pipeline_key
from aquatint.plan.steps import Hole, Pipeline, Plugin, Quantization, TextRef
from aquatint.source import Span
from aquatint.syntax import nodes as n

STRING_LIMIT = 100_000
"""Strings that one `upscale` may yield."""


def plugin_of(prompter: Prompter) -> Plugin:
    """Return an upscaler or a weighter as the plan has it."""
    options = {name: plain(setting.value) for name, setting in prompter.settings.items()}
    quantizer = prompter.quantizer
    quantization = (
        None
        if quantizer is None
        else Quantization(quantizer.backend, canonical(quantizer.backend, quantizer.options), quantizer.name)
    )
    return Plugin(prompter.plugin.name, prompter.plugin.canonical(options), quantization, prompter.name)


class Prompting:
    """Reads the blocks of prompt plugins, and carries out `upscale`, for one plan."""

    def __init__(self, diagnostics: Diagnostics, blocks: Blocks, resolver: Resolver, builder: PlanBuilder) -> None:
        self.diagnostics = diagnostics
        self.blocks = blocks
        self.resolver = resolver
        self.builder = builder
        self.running = False

    def prompter(
        self, kind: Kind, name: str, block: n.Block, base: Prompter | None, scope: Scope, at: Span, layer: Layer
    ) -> Prompter | Unknown:
        """Return the upscaler or weighter that `block` describes on top of `base`."""
        given = self.blocks.given(block, scope, layer)
        chosen = given.pop("plugin", None)
        plugin = base.plugin if base is not None else None
        if chosen is not None:
            plugin = self._plugin(kind, chosen, base)
        elif plugin is None and not self.diagnostics.any_within(block.span):
            names = ", ".join(f"`{each.name}`" for each in prompt_plugins.prompt_plugins(kind))
            self.diagnostics.error("missing-setting", f"{kind} `{name}` has no `plugin`", at,
                                   help=f"write `plugin: ` and one of {names}")  # fmt: skip
        if plugin is None:
            return UNKNOWN
        own: dict[str, Setting] = {}
        for key, setting in given.items():
            known = plugin.schema.find(key)
            if known is None:
                self.blocks.unknown_of_plugin(plugin, key, setting.name_span)
                own[key] = Setting(UNKNOWN, setting.span, setting.name_span, layer)
            else:
                own[known.name] = self.blocks.fitting(known, setting)
        merged = layered(base.settings if base is not None else {}, own)
        if any(setting.value is UNKNOWN for setting in merged.values()):
            return UNKNOWN
        if not self.blocks.all_work(plugin, merged, own):
            return UNKNOWN
        return Prompter(name, plugin, MappingProxyType(merged))

    def _plugin(self, kind: Kind, chosen: Setting, base: Prompter | None) -> PromptPlugin | None:
        if not isinstance(chosen.value, str):
            if chosen.value is not UNKNOWN:
                self.diagnostics.error("wrong-type", f"`plugin` takes a plugin's name, not {type_name(chosen.value)}",
                                       chosen.span)  # fmt: skip
            return None
        found = prompt_plugins.prompt_plugin(kind, chosen.value)
        if found is None:
            message, help = prompt_plugins.no_prompt_plugin(kind, chosen.value)
            self.diagnostics.error("unknown-plugin", message, chosen.span, help=help)
        elif base is not None and found.name != base.plugin.name:
            self.diagnostics.error(
                "contradicting-settings", f"`{base.name}` is of the plugin `{base.plugin.name}`", chosen.span,
                help="leave `extends` out to begin anew",
            )  # fmt: skip
            return None
        return found

    def upscale(self, node: n.Action, target: Any, scope: Scope) -> Any:
        """Add the step of an `upscale` and return the strings that it will yield, those of one prompt together."""
        given = self.blocks.given(node.block, scope, "statement")
        settings = self.blocks.known(given, UPSCALE)
        target = self.blocks.prompter_value("upscaler", target, node.targets[0].span)
        if isinstance(target, Unknown):
            return UNKNOWN
        if not isinstance(target, Prompter) or target.plugin.kind != "upscaler":
            return self._error("wrong-type", f"`upscale` takes an upscaler, not {type_name(target)}",
                               node.targets[0].span)  # fmt: skip
        if settings is None:
            return UNKNOWN
        if "prompts" not in settings:
            if self.diagnostics.any_within(node.block.span):
                return UNKNOWN
            return self._error("missing-setting", "this `upscale` has no `prompts`", node.verb.span,
                               help="write `prompts: [...]` in its block")  # fmt: skip
        value = settings["prompts"].value
        prompts = value if isinstance(value, tuple) else (value,)
        if not prompts:
            return self._error("wrong-value", "`prompts` has no prompt", settings["prompts"].span)
        if self.running and target.plugin.engine is None:
            message = f"the upscaler plugin `{target.plugin.name}` can be planned with, and not run"
            return self._error("not-supported-yet", message, node.verb.span, help="write the prompts into the script")
        variations = _chosen(settings, target, "variations", 1)
        if len(prompts) * variations > STRING_LIMIT:
            return self._error("too-large", f"this makes more than {STRING_LIMIT:,} strings", node.verb.span)
        if not self._is_for(target, ("part" in settings and settings["part"].value) or "positive"):
            return tuple(prompt for prompt in prompts for _ in range(variations))
        pipeline = self._pipeline(target, node.targets[0].span)
        if pipeline is None:
            return UNKNOWN
        seed = _chosen(settings, target, "seed", None)
        if seed is None:
            seed = self.blocks.expressions.draws.seed(node, self.blocks.expressions.turn)
        step = self.builder.upscale(
            upscaler=plugin_of(target), pipeline=pipeline.key, prompts=[line_of(prompt) for prompt in prompts],
            variations=variations, seed=seed, place=place_of(node.span), statement=node.span.text, span=node.span,
        )  # fmt: skip
        of = f"what `{target.name}` writes"
        return tuple(
            Deferred("string", (Hole(TextRef(step, index)),), of, node.span, f"{target.name}-{index}")
            for index in range(len(prompts) * variations)
        )

    def _is_for(self, upscaler: Prompter, part: str) -> bool:
        """Return whether `upscaler` rewrites prompts that are the `part` of a pair."""
        return _chosen({}, upscaler, "part", "both") in ("both", part)

    def _pipeline(self, upscaler: Prompter, at: Span) -> Pipeline | None:
        """Return the language model that `upscaler` works with, made known to the plan; None after reporting a mistake.

        One without a language model has a pipeline of no parts. `at` is where it is used.
        """
        plugin, spoken = upscaler.plugin, None
        if plugin.language_model is not None:
            spoken = self._spoken(upscaler, plugin.language_model, at)
            if spoken is None:
                return None
        components = {} if spoken is None else spoken.components
        parts: dict[str, str | None] = {role: component.key for role, component in components.items()}
        made = Pipeline(
            key=pipeline_key(plugin.name, parts, {}), class_name=plugin.name,
            source="" if spoken is None else spoken.source, revision=None if spoken is None else spoken.revision,
            parts=parts, options={},
        )  # fmt: skip
        self.builder.add_pipeline(made, {component.key: component for component in components.values()})
        return made

    def _spoken(self, upscaler: Prompter, name: str, at: Span) -> Spoken | None:
        given = {key: setting for key, setting in upscaler.settings.items() if setting.value is not None}
        source = given.get(name)
        if source is None:
            known = upscaler.plugin.schema.find(name)
            source = Setting(None if known is None else known.default, at, at, "statement")
            if source.value is None:
                message = f"upscaler `{upscaler.name}` has no `{name}`, which says where its language model is"
                self.diagnostics.error("missing-setting", message, at)
                return None
        device = given.get("device")
        if device is not None and not devices.is_there(device, self.blocks.world, self.diagnostics):
            return None
        settings = {key: given[key] for key in LANGUAGE_MODEL if key in given}
        quantizer = next((each for each in given.values() if isinstance(each.value, Quantizer)), None)
        if quantizer is not None:
            settings["quantizer"] = quantizer
        spoken = self.resolver.companions.language_model(upscaler.name, {"source": source, **settings})
        if spoken is None:
            return None
        for key in ("system", "prepend_prompt"):
            if key not in given or not given[key].value:
                continue
            if not spoken.talks:
                message = f"`{key}` is for chat models, and `{spoken.source}` has no chat template"
                help = "leave it out, or use `preamble`"
            elif "preamble" in given:
                message = f"`{key}` is for what a chat model is asked, and with a `preamble` it isn't"
                help = f"leave one of the two out; `{key}: none` or `preamble: none` takes back what was set before"
            else:
                continue
            self.diagnostics.error("contradicting-settings", message, given[key].name_span, help=help)
            return None
        return spoken

    def _error(self, code: str, message: str, span: Span, *, help: str | None = None) -> Unknown:
        self.diagnostics.error(code, message, span, help=help)
        return UNKNOWN


def _chosen(settings: Mapping[str, Setting], upscaler: Prompter, name: str, otherwise: Any) -> Any:
    """Return what the statement says of `name`, else the upscaler, else its plugin's default."""
    for layer in (settings, upscaler.settings):
        if name in layer and layer[name].value is not None:
            return layer[name].value
    known = upscaler.plugin.schema.find(name)
    return otherwise if known is None or known.default is None else known.default
