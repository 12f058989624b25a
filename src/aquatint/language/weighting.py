"""Whether what `generate` is given can be weighted: its pipeline, its text encoders, and prompts that are known.

The syntaxes are the catalog's; prompts that are known only when the plan runs are read by the engine.
"""

from __future__ import annotations

from collections.abc import Mapping

from aquatint.catalog.arguments import is_prompt
from aquatint.catalog.pipelines import PipelineInfo, is_text_encoder
from aquatint.catalog.tasks import Roles
from aquatint.diagnostics import Diagnostics
from aquatint.language.names import within
from aquatint.language.prompting import CANT_RUN
from aquatint.language.values import Prompter, Setting


class Weighting:
    """Looks statements with a weighter over."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics

    def fits(self, settings: Mapping[str, Setting], info: PipelineInfo, roles: Roles, running: bool) -> bool:
        """Return whether the weighter among `settings`, if any, can do its work there, after reporting why not.

        `roles` has the classes of the submodules. With `running` it has to be one that something carries out.
        """
        setting = settings.get("weighter")
        if setting is None or not isinstance(setting.value, Prompter):
            return True
        plugin = setting.value.plugin
        if running and plugin.engine is None:
            self.diagnostics.error("not-supported-yet", CANT_RUN, setting.span, help="leave `weighter` out")
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
        return self._can_be_read(settings, setting.value)

    def _can_be_read(self, settings: Mapping[str, Setting], weighter: Prompter) -> bool:
        sound = True
        for name, setting in settings.items():
            if not is_prompt(name) or not isinstance(setting.value, str):
                continue
            for mistake in weighter.plugin.mistakes(setting.value):
                at = within(setting.span, setting.value, mistake.offset, mistake.length)
                message = mistake.message if at != setting.span else f"`{name}`: {mistake.message}"
                code = "not-supported-yet" if mistake.is_lack else "malformed-prompt"
                self.diagnostics.error(code, message, at, help=mistake.help)
                sound = False
        return sound
