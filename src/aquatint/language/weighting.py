"""Whether what `generate` is given can be weighted: its pipeline, its text encoders, and prompts that are known.

The syntaxes are the catalog's; prompts that are known only when the plan runs are read by the engine. What a weighter
loads beside the pipeline's own parts becomes parts of a pipeline here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from aquatint.catalog import checkpoints
from aquatint.catalog.arguments import is_prompt
from aquatint.catalog.pipelines import PipelineInfo, is_text_encoder
from aquatint.catalog.prompt_plugins import PromptPlugin, read_prompt_uri
from aquatint.catalog.tasks import Roles
from aquatint.diagnostics import Diagnostics
from aquatint.language.names import within
from aquatint.language.prompting import plugin_of
from aquatint.language.resolution import Resolved, Resolver
from aquatint.language.values import Prompter, Setting
from aquatint.plan.keys import keyed
from aquatint.plan.steps import Component, Pipeline
from aquatint.source import Span


@dataclass(frozen=True, slots=True)
class Weighted:
    """A pipeline with the parts of a weighter among its own, and all of its components by key."""

    pipeline: Pipeline
    components: Mapping[str, Component]


class Weighting:
    """Looks statements with a weighter over."""

    def __init__(self, diagnostics: Diagnostics, resolver: Resolver) -> None:
        self.diagnostics = diagnostics
        self.resolver = resolver

    def fits(self, settings: Mapping[str, Setting], info: PipelineInfo, roles: Roles, running: bool) -> bool:
        """Return whether the weighter among `settings`, if any, can do its work there, after reporting why not.

        `roles` has the classes of the submodules. With `running` it has to be one that something carries out.
        """
        setting = settings.get("weighter")
        if setting is None or not isinstance(setting.value, Prompter):
            return True
        plugin = setting.value.plugin
        if running and plugin.engine is None:
            message = f"the weighter plugin `{plugin.name}` can be planned with, and not run"
            self.diagnostics.error("not-supported-yet", message, setting.span, help="leave `weighter` out")
            return False
        if plugin.pipelines is not None and info.name not in plugin.pipelines:
            message = f"the weighter plugin `{plugin.name}` can't weight the prompts of a `{info.name}`"
            self.diagnostics.error("wrong-value", message, setting.span, help="leave `weighter` out")
            return False
        encoders = {role: name for role, name in roles.items() if is_text_encoder(role)}
        for role, name in encoders.items():
            if plugin.encoders is not None and name not in plugin.encoders:
                message = f"the weighter plugin `{plugin.name}` can't weight what a `{name}` makes, which `{role}` is"
                self.diagnostics.error("wrong-value", message, setting.span, help="leave `weighter` out")
                return False
        inner = self._inner(setting.value, setting.span)
        return inner is not None and self._can_be_read(settings, inner)

    def weighted(self, settings: Mapping[str, Setting], resolved: Resolved) -> Weighted | None:
        """Return the pipeline of `resolved` with the parts of the weighter among `settings`, if there is one.

        Returns None after reporting why a part can't be had, or isn't for this pipeline.
        """
        setting = settings.get("weighter")
        plain = Weighted(resolved.pipeline, resolved.components)
        if setting is None or not isinstance(setting.value, Prompter):
            return plain
        weighter = setting.value
        wanted = weighter.plugin.parts(plugin_of(weighter).options)
        if not wanted:
            return plain
        given = {name: each for name, each in weighter.settings.items() if each.value is not None}
        added = self.resolver.companions.weighter(weighter.name, wanted, given, setting.span)
        if added is None or not self._has_width(added.width, weighter, resolved, setting.span):
            return None
        own = resolved.pipeline
        parts = {**own.parts, **{role: component.key for role, component in added.components.items()}}
        components = {component.key: component for component in added.components.values()}
        return Weighted(keyed(replace(own, parts=parts)), {**resolved.components, **components})

    def _has_width(self, width: int, weighter: Prompter, resolved: Resolved, at: Span) -> bool:
        """Return whether the pipeline's text encoders make embeddings that are `width` wide, or report that not."""
        for role, key in resolved.pipeline.parts.items():
            if key is None or not is_text_encoder(role):
                continue
            encoder = resolved.components[key]
            folder = checkpoints.locate(encoder.source, encoder.revision)
            own = checkpoints.read_config(folder, encoder.subfolder).get("hidden_size", width)
            if own != width:
                message = f"`{weighter.name}` makes embeddings {width} wide, and those of `{role}` are {own}"
                self.diagnostics.error("wrong-component", message, at,
                                       help="take a model with the text encoder of Stable Diffusion 1.5")  # fmt: skip
                return False
        return True

    def _inner(self, weighter: Prompter, at: Span) -> PromptPlugin | None:
        """Return the plugin whose syntax prompts are in: that of `weighter`, or of the one that it leaves CLIP to.

        None after reporting that it can't be left to that one.
        """
        setting = weighter.settings.get("weighter")
        if setting is None or not isinstance(setting.value, str):
            return weighter.plugin
        plugin, read = read_prompt_uri("weighter", setting.value)
        for error in read.errors:
            place = within(setting.span, setting.value, error.offset, error.length)
            self.diagnostics.error(error.code, error.message, place, help=error.help)
        if plugin is None or read.errors:
            return None
        wrong = plugin.problems({**plugin.canonical(read.values), **read.values})
        if wrong:
            self.diagnostics.error("wrong-value", f"`{setting.value}`: {wrong[0]}", setting.span)
            return None
        if plugin.parts(plugin.canonical(read.values)):
            self.diagnostics.error("wrong-value", f"`{plugin.name}` can't be the weighter of `{weighter.name}`",
                                   setting.span, help="take one without a language model, such as `a1111`")  # fmt: skip
            return None
        return plugin

    def _can_be_read(self, settings: Mapping[str, Setting], plugin: PromptPlugin) -> bool:
        sound = True
        for name, setting in settings.items():
            if not is_prompt(name) or not isinstance(setting.value, str):
                continue
            for mistake in plugin.mistakes(setting.value):
                at = within(setting.span, setting.value, mistake.offset, mistake.length)
                message = mistake.message if at != setting.span else f"`{name}`: {mistake.message}"
                code = "not-supported-yet" if mistake.is_lack else "malformed-prompt"
                self.diagnostics.error(code, message, at, help=mistake.help)
                sound = False
        return sound
