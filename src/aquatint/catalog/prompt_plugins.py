"""What works on prompts before a pipeline sees them: upscalers, which rewrite them, and weighters, which encode them.

Both are plugins that may run a language model, and so may take a quantizer. A record is data: the checker, the help and
the plan read it. Packages add theirs by the entry point groups in `GROUPS`, and so does this program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aquatint.catalog.extensions import Extensions
from aquatint.catalog.language_models import Wanted
from aquatint.catalog.settings import Schema
from aquatint.catalog.uris import Options, UriError, parts, read_options
from aquatint.catalog.weighting import Mistake
from aquatint.catalog.working import TOKENS

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


def _one_by_one(options: Mapping[str, Any], lengths: Sequence[int], variations: int) -> tuple[int, int, int]:
    return 1, TOKENS, 2 * TOKENS


@dataclass(frozen=True, slots=True)
class PromptPlugin:
    """A plugin. Of its settings at most one is a quantizer, that of its language model.

    `engine` is the dotted name of the module that carries it out, which only an engine imports (see `upscalers` and
    `weighters` of `aquatint.runtime.torch_engine`); without one it can be planned with, and not run.

    `language_model` is the setting that says where its language model is, if it has one that is a component of plans;
    `LANGUAGE_MODEL` has the others. `extent` estimates, for the memory that is planned, how many strings the language
    model writes at once, how many tokens each begins with, and how many it has at most: of canonical options, the
    prompts' lengths in characters, and how many variations of each are asked for.

    `needs` has the settings that do nothing unless another one is on: is true, or has a value at all.

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
    extent: Callable[[Mapping[str, Any], Sequence[int], int], tuple[int, int, int]] = _one_by_one
    mistakes: Callable[[str], Iterable[Mistake]] = _no_mistakes
    needs: Mapping[str, str] = field(default_factory=dict)
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

    def idle(self, options: Mapping[str, Any]) -> dict[str, str]:
        """Return those of the given `options` that do nothing, each with the setting that isn't on."""
        values = {setting.name: setting.default for setting in self.schema.settings} | dict(options)
        return {
            name: needed for name, needed in self.needs.items()
            if options.get(name) is not None and values[needed] in (None, False)
        }  # fmt: skip

    def canonical(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return every option but the quantizer after defaults, sorted by name. `options` have no problems."""
        settings = [setting for setting in self.schema.settings if setting.type != "quantizer"]
        return {s.name: s.normal(options.get(s.name, s.default)) for s in sorted(settings, key=lambda s: s.name)}


_FOUND: dict[Kind, Extensions[PromptPlugin]] = {
    kind: Extensions(group, PromptPlugin, f"{kind} plugin", "plugins") for kind, group in GROUPS.items()
}


def prompt_plugin(kind: Kind, name: str) -> PromptPlugin | None:
    """Return the plugin of `kind` called `name`, or None."""
    return _FOUND[kind].find(name)


def prompt_plugins(kind: Kind) -> tuple[PromptPlugin, ...]:
    """Return every plugin of `kind`: this program's own, then those of other packages by name."""
    return _FOUND[kind].all()


def unusable_prompt_plugins(kind: Kind) -> dict[str, str]:
    """Return the plugins that can't be used, by the entry point's name, and why."""
    return _FOUND[kind].unusable()


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
    return _FOUND[kind].lack(name)
