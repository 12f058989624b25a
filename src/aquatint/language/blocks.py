"""Reads the blocks of quantizers and models: their settings against their schemas, layer upon layer.

What the settings come to for a checkpoint is in `resolution`; what `generate` and `grid` take is in `actions`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import msgspec

from aquatint.catalog import media, prompt_plugins, quantizers
from aquatint.catalog.arguments import (
    FAMILIAR,
    MANAGED,
    PICTURE,
    TENSOR,
    VIDEO,
    is_prompt,
    problem,
    scriptable,
    takes_pictures,
    takes_rows,
    takes_tensors,
)
from aquatint.catalog.models import ADAPTERS, GENERATE, MODEL, OF_TASKS, PART, RESERVED_PARTS
from aquatint.catalog.pipelines import Argument, PipelineInfo, component_roles
from aquatint.catalog.settings import Schema
from aquatint.catalog.settings import Setting as Described
from aquatint.catalog.tasks import STEERING, first_of
from aquatint.diagnostics import Diagnostics, Label, did_you_mean
from aquatint.language import computing
from aquatint.language.conversions import conversion
from aquatint.language.deferred import NotYet, deferred_in
from aquatint.language.expressions import Expressions
from aquatint.language.names import inside, within
from aquatint.language.scope import Scope
from aquatint.language.values import (
    ATOMS,
    UNKNOWN,
    Adapter,
    Deferred,
    ImageValue,
    Layer,
    Model,
    Prompter,
    Quantizer,
    Result,
    Setting,
    Size,
    TensorValue,
    Unknown,
    called_exactly,
    layered,
    plain,
    quoted,
    type_name,
    weight,
    without_paths,
)
from aquatint.language.world import World
from aquatint.plan.steps import PictureFile, TensorFile, VideoFile
from aquatint.source import Span
from aquatint.syntax import nodes as n

_CACHE = "cache"
_CALLED = {"lora": "a LoRA", "textual_inversion": "a textual inversion", "ip_adapter": "an IP-Adapter"}


class Blocks:
    """Reads blocks for one plan."""

    def __init__(self, world: World, diagnostics: Diagnostics, expressions: Expressions) -> None:
        self.world = world
        self.diagnostics = diagnostics
        self.expressions = expressions
        self._installed: dict[str, bool] = {}

    def quantizer(
        self, name: str, block: n.Block, base: Quantizer | None, scope: Scope, at: Span, layer: Layer
    ) -> Quantizer | Unknown:
        """Return the quantizer that `block` describes on top of `base`."""
        given = {name: self._now(setting) for name, setting in self._settings(block, scope, layer).items()}
        for item in block.items:
            if isinstance(item, n.Part):
                self.diagnostics.error("unknown-setting", f"a quantizer has no part `{item.name.text}`", item.name.span,
                                       help=f"write `{item.name.text}: ...`")  # fmt: skip
                return UNKNOWN
        backend_setting = given.pop("backend", None)
        backend = base.backend if base else None
        if backend_setting is not None:
            if not isinstance(backend_setting.value, str):
                if backend_setting.value is not UNKNOWN:
                    self._wrong("backend", "a backend's name", backend_setting)
                return UNKNOWN
            found = quantizers.backend(backend_setting.value)
            if found is None:
                wrong = quantizers.unknown_backend(backend_setting.value)
                return self._error(wrong.code, wrong.message, backend_setting.span, help=wrong.help)
            if base is not None and found.name != base.backend:
                self.diagnostics.error(
                    "contradicting-settings",
                    f"`{base.name}` is of the backend `{base.backend}`",
                    backend_setting.span,
                    help="leave `extends` out to begin anew",
                )
                return UNKNOWN
            backend = found.name
            self._check_installed(found, backend_setting.span)
        if backend is None and self.diagnostics.any_within(block.span):
            return UNKNOWN
        if backend is None:
            self.diagnostics.error(
                "missing-setting",
                f"quantizer `{name}` has no `backend`",
                at,
                help="write `backend: ` and one of " + ", ".join(f"`{b}`" for b in quantizers.backend_names()),
            )
            return UNKNOWN
        merged = layered(base.settings if base else {}, self._canonical_names(backend, given))
        return self._checked(name, backend, merged, at)

    def _canonical_names(self, backend: str, given: Mapping[str, Setting]) -> dict[str, Setting]:
        schema = quantizers.backend(backend)
        assert schema is not None
        named: dict[str, Setting] = {}
        for name, setting in given.items():
            known = schema.schema.find(name)
            key = known.name if known else name
            named[key] = self._once(key, setting, named)
        return named

    def _checked(self, name: str, backend: str, settings: Mapping[str, Setting], at: Span) -> Quantizer | Unknown:
        known = {key: plain(setting.value) for key, setting in settings.items() if setting.value is not UNKNOWN}
        unknown = settings.keys() - known.keys()
        # What contradicts the others may fit the one that isn't known.
        found = quantizers.problems(backend, known, unknown)
        for wrong in found:
            setting = settings.get(wrong.setting) if wrong.setting is not None else None
            span = at if setting is None else setting.name_span if wrong.code == "unknown-setting" else setting.span
            message = f"quantizer `{name}`: {wrong.message}" if wrong.code != "unknown-setting" else wrong.message
            self.diagnostics.error(wrong.code, message, span, help=wrong.help)
        return UNKNOWN if found or unknown else Quantizer.of(name, backend, settings)

    def quantizer_value(self, value: Any, span: Span) -> Any:
        """Return the quantizer that a value stands for: itself, `none`, or a URI."""
        if value is None or value is UNKNOWN or isinstance(value, Quantizer):
            return value
        if isinstance(value, Deferred):
            return self.expressions.not_yet(NotYet(value), span)
        if not isinstance(value, str):
            return self._error(
                "wrong-type", f"a quantizer is a quantizer's name, a URI or `none`, not {type_name(value)}", span
            )
        read = quantizers.read_uri(value)
        for error in read.errors:
            at = within(span, value, error.offset, error.length)
            self.diagnostics.error(error.code, error.message, at, help=error.help)
        if read.backend is None:
            return UNKNOWN
        settings: dict[str, Setting] = {}
        for key, option in {**read.options, **dict.fromkeys(read.unclear, UNKNOWN)}.items():
            at = within(span, value, *read.places[key])
            settings[key] = Setting(option, at, at, "quantizer")
        found = quantizers.backend(read.backend)
        if found is not None:
            self._check_installed(found, within(span, value, 0, len(value.partition(";")[0])))
        checked = self._checked(value, read.backend, settings, span)
        return UNKNOWN if read.errors else checked

    def prompter_value(self, kind: prompt_plugins.Kind, value: Any, span: Span) -> Any:
        """Return the upscaler or weighter that a value stands for: itself, or a URI, by which it goes."""
        if not isinstance(value, str):
            return value
        plugin, read = prompt_plugins.read_prompt_uri(kind, value)
        for error in read.errors:
            at = within(span, value, error.offset, error.length)
            self.diagnostics.error(error.code, error.message, at, help=error.help)
        if plugin is None:
            return UNKNOWN
        settings: dict[str, Setting] = {}
        quantizer: tuple[str, str] | None = None
        for name, option in {**read.values, **dict.fromkeys(read.unclear, UNKNOWN)}.items():
            at = within(span, value, read.places[name][0], len(name))
            setting = Setting(option, within(span, value, *read.value_places[name]), at, "statement")
            known = plugin.schema.find(name)
            if known is None:
                self.unknown_of_plugin(plugin, name, at, _quoted_whole(name, option, quantizer))
                settings[name] = replace(setting, value=UNKNOWN)
            else:
                settings[name] = self.fitting(known, setting)
                if known.type == "quantizer" and isinstance(option, str):
                    quantizer = known.name, option
        if read.errors or any(setting.value is UNKNOWN for setting in settings.values()):
            return UNKNOWN
        if not self.all_work(plugin, settings, settings):
            return UNKNOWN
        return Prompter(value, plugin, MappingProxyType(settings))

    def all_work(
        self, plugin: prompt_plugins.PromptPlugin, settings: Mapping[str, Setting], own: Collection[str]
    ) -> bool:
        """Return whether each of a plugin's `settings` that is among `own` does something, or report it."""
        idle = plugin.idle({name: setting.value for name, setting in settings.items()})
        found = {name: needed for name, needed in idle.items() if name in own}
        for name, needed in found.items():
            there = settings.get(needed)
            labels = () if there is None else (Label(there.span, "with this"),)
            on = f"set `{needed}`" if there is None or there.value is None else f"write `{needed}: true`"
            self.diagnostics.error(
                "contradicting-settings", f"`{name}` has no effect without `{needed}`", settings[name].name_span,
                labels=labels, help=f"{on}, or leave `{name}` out",
            )  # fmt: skip
        return not found

    def unknown_of_plugin(
        self, plugin: prompt_plugins.PromptPlugin, name: str, at: Span, help: str | None = None
    ) -> None:
        """Report that `plugin` has no setting called `name`."""
        self.diagnostics.error(
            "unknown-setting", f"{plugin.kind} plugin `{plugin.name}` has no setting `{name}`", at,
            help=help or did_you_mean(name, plugin.schema.all_names(), "settings"),
        )  # fmt: skip

    def _check_installed(self, backend: quantizers.Backend, span: Span) -> None:
        if backend.package not in self._installed:
            self._installed[backend.package] = self.world.is_installed(backend.package)
        if not self._installed[backend.package]:
            message = (
                f"the quantization backend `{backend.name}` needs `{backend.distribution}`, which is not installed"
            )
            self.diagnostics.error("backend-not-installed", message, span, help=f"install it: `{backend.install}`")

    def model(self, name: str, block: n.Block, base: Model | None, scope: Scope, at: Span, layer: Layer) -> Model:
        """Return the model that `block` describes on top of `base`; what is wrong in it is unknown in the model."""
        own = self._checked_settings(block, MODEL, scope, layer)
        # `lora: none` takes those of the layers below away; the block's own come after that.
        adapters = {kind: each for kind, each in (base.adapters if base else {}).items() if kind not in own}
        for kind in ADAPTERS:
            own.pop(kind, None)
        given: dict[tuple[Any, ...], Span] = {}
        settings = layered(base.settings if base else {}, own)
        parts = {role: dict(own) for role, own in (base.parts if base else {}).items()}
        spans = dict(base.part_spans if base else {})
        defaults = dict(base.defaults if base else {})
        for role in own.keys() - set(MODEL.names()):  # left out, whatever was said of it before
            parts.pop(role, None)
            spans.pop(role, None)
        for item in self._parts(block):
            role = item.name.text
            if role == _CACHE:
                continue  # it is among `own`
            if role in own:
                settings[role] = self._once(role, Setting(None, item.name.span, item.name.span, layer), own)
            elif role not in MODEL.names():
                settings.pop(role, None)
            if role in ADAPTERS:
                adapters[role] = self._with_adapter(adapters.get(role, ()), item, scope, layer, given)
            elif role in RESERVED_PARTS:
                defaults = layered(defaults, self.given(item.block, scope, layer))
            else:
                part_layer: Layer = "submodule" if layer == "model" else layer
                checked = self._checked_settings(item.block, PART, scope, part_layer, role)
                parts[role] = layered(parts.get(role, {}), checked)
                spans[role] = item.name.span
        frozen_parts = MappingProxyType({role: MappingProxyType(own) for role, own in parts.items()})
        return Model(
            name, at, MappingProxyType(settings), frozen_parts, MappingProxyType(spans), MappingProxyType(defaults),
            MappingProxyType(adapters),
        )  # fmt: skip

    def _with_adapter(
        self, others: tuple[Adapter, ...], item: n.Part, scope: Scope, layer: Layer, given: dict[tuple[Any, ...], Span]
    ) -> tuple[Adapter, ...]:
        """Return `others` with the adapter of a block: another, or one of them with other settings.

        `given` has the places of those that the model's block has had by then, by their names.
        """
        kind = item.name.text
        settings = self._checked_settings(item.block, ADAPTERS[kind], scope, layer, kind)
        at = item.name.span
        made = Adapter(MappingProxyType(settings), at)
        if "source" not in settings and not self.diagnostics.any_within(item.block.span):
            help = 'write `source: "file.safetensors"`, a folder, or a hub id'
            self.diagnostics.error("missing-setting", f"this `{kind}` has no `source`", at, help=help)
        if (first := given.setdefault((kind, *made.name), at)) is not at:
            what = _called_block(kind).partition(" ")[2]
            self.diagnostics.error("duplicate-setting", f"this {what} is given twice in this block", at,
                                   labels=(Label(first, "first here"),), help="take one of them out")  # fmt: skip
        for number, each in enumerate(others):
            if each.name != made.name:
                continue
            again = Adapter(MappingProxyType(layered(each.settings, settings)), at)
            return (*others[:number], again, *others[number + 1 :])
        return (*others, made)

    def _checked_settings(
        self,
        block: n.Block,
        schema: Schema,
        scope: Scope,
        layer: Layer,
        role: str | None = None,
    ) -> dict[str, Setting]:
        made: dict[str, Setting] = {}
        for name, setting in self._settings(block, scope, layer).items():
            known = schema.find(name)
            if known is None:
                if self.diagnostics.is_full:
                    continue  # to look for what was meant takes its time
                if role is None and (name in ADAPTERS or name in component_roles() or first_of(name)):
                    made[name] = self._omission(name, setting)
                else:
                    parts = [*schema.names(), "defaults"] if role is None else schema.names()
                    what = "a model" if role is None else _called_block(role)
                    if name == "defaults" and role is None:
                        self.diagnostics.error("wrong-type", "`defaults` takes a block, and no value", setting.span,
                                               help="write its settings in a block: `defaults { ... }`")  # fmt: skip
                        continue
                    self.diagnostics.error("unknown-setting", f"{what} has no setting `{name}`", setting.name_span,
                                           help=did_you_mean(name, parts, "settings"))  # fmt: skip
                continue
            fitting = self.fitting(known, self._once(known.name, setting, made))
            if known.name == _CACHE and isinstance(fitting.value, Mapping):
                span = fitting.span
                given = {key: Setting(v, span, inside(span, key), layer) for key, v in fitting.value.items()}
                fitting = self._cache(fitting, given)
            made[known.name] = fitting
        for item in block.items:
            if isinstance(item, n.Part) and item.name.text == _CACHE and schema.find(_CACHE) is not None:
                at = Setting(None, item.block.span, item.name.span, layer)
                given = {name: self._now(each) for name, each in self._settings(item.block, scope, layer).items()}
                made[_CACHE] = self._once(_CACHE, self._cache(at, given), made)
        if role is not None:
            for item in block.items:
                if isinstance(item, n.Part) and not (item.name.text == _CACHE and schema.find(_CACHE) is not None):
                    self.diagnostics.error(
                        "unknown-setting", f"{_called_block(role)} has no part `{item.name.text}`", item.name.span
                    )
        return made

    def _cache(self, at: Setting, given: Mapping[str, Setting]) -> Setting:
        """Return the setting of a `cache` block with the settings `given`, unknown after reporting what is wrong."""
        value = computing.check_cache(given, at, self.diagnostics)
        return replace(at, value=value if value is UNKNOWN else MappingProxyType(value))

    def fitting(self, known: Described, setting: Setting) -> Setting:
        """Return what `setting` comes to as the one described by `known`: unknown if it doesn't fit that."""
        value = setting.value
        if known.type == "quantizer":
            value = self.quantizer_value(value, setting.span)
        elif value is not UNKNOWN and not self._fits(known, setting):
            value = UNKNOWN
        return setting if value is setting.value else replace(setting, value=value)

    def _now(self, setting: Setting) -> Setting:
        """Return `setting`, unknown after reporting that it holds what is known only when the plan runs."""
        if (found := deferred_in(setting.value)) is None:
            return setting
        return replace(setting, value=self.expressions.not_yet(NotYet(found), setting.span))

    def _omission(self, role: str, setting: Setting) -> Setting:
        """Return the setting that leaves the submodule `role` out, unknown after reporting that it is another one."""
        if setting.value is None or setting.value is UNKNOWN:
            return setting
        help = f"write its settings in a block: `{role} {{ ... }}`"
        message = f"`{role}` takes `none` or a block, not {type_name(setting.value)}"
        self.diagnostics.error("wrong-type", message, setting.span, help=help)
        return Setting(UNKNOWN, setting.span, setting.name_span, setting.layer)

    def _fits(self, known: Described, setting: Setting) -> bool:
        if self._now(setting).value is UNKNOWN:
            return False
        value = plain(setting.value)
        wrong = known.problem(value)
        if wrong is None:
            return True
        help = known.help_for(value)
        if known.type == "str" and not isinstance(value, str):
            wrong = f"`{known.name}` takes a string, not {type_name(setting.value)}"
            help = help or (None if isinstance(value, list | dict) else "write it in quotes")
        help = help or conversion(value, partial(_is_good, known), setting.span)
        if isinstance(value, list) and known.type in ("int", "float"):
            help = help or "go through a list with `for`"
        self.diagnostics.error("wrong-type" if " takes " in wrong else "wrong-value", wrong, setting.span, help=help)
        return False

    def given(self, block: n.Block, scope: Scope, layer: Layer) -> dict[str, Setting]:
        """Return what the block of `generate` or of a model's `defaults` gives, unchecked."""
        made = self._settings(block, scope, layer)
        for item in block.items:
            if isinstance(item, n.Part):
                self.diagnostics.error(
                    "unknown-setting",
                    f"there is no part `{item.name.text}` here",
                    item.name.span,
                    help=f"write `{item.name.text}: ...`; submodules are set by `override` or `with`",
                )
        return made

    def known(self, given: Mapping[str, Setting], schema: Schema) -> dict[str, Setting] | None:
        """Return `given` by the names of `schema`, without what is `none`; None after reporting what doesn't fit it."""
        settings: dict[str, Setting] = {}
        sound = True
        for name, setting in given.items():
            known = schema.find(name)
            if known is None:
                self.diagnostics.error("unknown-setting", f"`{schema.name}` has no setting `{name}`", setting.name_span,
                                       help=did_you_mean(name, schema.names(), "settings"))  # fmt: skip
                sound = False
            elif isinstance(setting.value, Unknown) or (
                not known.deferred and known.type != "any" and self._now(setting).value is UNKNOWN
            ):
                sound = False
            elif known.type != "any" and (wrong := known.problem(_standing_in(setting.value))):
                code = "wrong-type" if " takes " in wrong else "wrong-value"
                help = did_you_mean(str(setting.value), map(str, known.choices), "choices") if known.choices else None
                help = help or conversion(setting.value, partial(_is_good, known), setting.span)
                self.diagnostics.error(code, wrong, setting.span, help=help)
                sound = False
            elif setting.value is not None:
                settings[known.name] = setting
        return settings if sound else None

    def arguments(self, settings: Mapping[str, Setting], info: PipelineInfo | None) -> tuple[dict[str, Setting], bool]:
        """Return those of `settings` that `generate` takes on such a pipeline, and whether that is all of them.

        On a pipeline of which nothing is known, it takes those that are the same on all of them.
        """
        what = "`generate`" if info is None else f"`generate` with a `{info.name}`"
        known = {} if info is None else scriptable(info)
        sound: dict[str, Setting] = {}
        failed = False
        for name, setting in settings.items():
            own = GENERATE.find(name)
            if setting.value is UNKNOWN:
                failed = True
                continue
            if own is not None and setting.value is None and own.default is None:
                continue  # as if it had been left out
            if own is not None:
                if own.name == "weighter" and isinstance(setting.value, str):
                    setting = replace(setting, value=self.prompter_value("weighter", setting.value, setting.span))
                    if setting.value is UNKNOWN:
                        failed = True
                        continue
                good = self._own_fits(own, setting)
                key = own.name
            else:
                key = name.replace("-", "_")
                good = self._argument(key, setting, known, info, what)
            if good:
                sound[key] = setting
            failed = failed or not good
        return sound, not failed

    def _argument(
        self, name: str, setting: Setting, known: Mapping[str, Any], info: PipelineInfo | None, what: str
    ) -> bool:
        if name in known:
            number = next((v for v in (deferred_in(setting.value),) if v is not None and v.kind == "number"), None)
            if number is not None:
                self.expressions.not_yet(NotYet(number), setting.span)
                return False
            wrong = problem(known[name], _standing_in(setting.value))
            if wrong is not None:
                is_type = " takes " in wrong
                actual = called_exactly(setting.value) if is_type else f"`{quoted(setting.value)}`"
                help = _which(setting.value) or (
                    "write a `for` for several prompts"
                    if is_prompt(name) and isinstance(setting.value, tuple)
                    else conversion(setting.value, lambda meant: problem(known[name], meant) is None, setting.span)
                )
                help = help or _shape_of(known[name], setting.value)
                at = setting.span
                if is_type and not is_prompt(name) and (item := _wrong_item(known[name], setting)) is not None:
                    at, actual = setting.place(item), f"a list with {called_exactly(setting.value[item])}"
                self.diagnostics.error(
                    "wrong-type" if is_type else "wrong-value", f"{wrong}, not {actual}", at, help=help
                )
            return wrong is None
        if name in MANAGED:
            self.diagnostics.error(
                "unknown-setting", f"`{name}` can't be set by a script", setting.name_span, help=MANAGED[name]
            )
        elif info is None:
            pass  # perhaps it is one of the pipeline's
        elif name in info.arguments:
            self.diagnostics.error(
                "not-supported-yet",
                f"`{name}` takes an adapter's images, or what no script has, which this version can't pass on",
                setting.name_span,
            )
        elif name in OF_TASKS:
            message = f"a `{info.name}` takes no `{name}`, and nor does any pipeline for the same weights"
            help = OF_TASKS[name] or "name a checkpoint whose own pipeline takes it"
            self.diagnostics.error("unknown-setting", message, setting.name_span, help=help)
        else:
            names = [*media.settings_of(info), *known]
            meant = FAMILIAR.get(name.lower())
            is_known = meant in names or meant in OF_TASKS
            help = f"did you mean `{meant}`?" if is_known else did_you_mean(name, names, "settings")
            if name in MODEL.names():
                help = f"it is the model's: write `generate (... with {{ {name}: ... }}) {{ ... }}`"
            elif name in ADAPTERS:
                help = f"it is the model's: write `generate (... with {{ {name} {{ source: ... }} }}) {{ ... }}`"
            self.diagnostics.error("unknown-setting", f"{what} has no setting `{name}`", setting.name_span, help=help)
        return False

    def _own_fits(self, own: Described, setting: Setting) -> bool:
        if own.name == "size":
            return self._size(setting)
        if own.name == "weighter":
            sound = isinstance(setting.value, Prompter) and setting.value.plugin.kind == "weighter"
            if not sound:
                self._wrong("weighter", "a weighter's name or a URI", setting)
            return sound
        return self._fits(own, setting)

    def _size(self, setting: Setting) -> bool:
        if isinstance(setting.value, Size):
            return True
        help = conversion(setting.value, lambda meant: isinstance(meant, Size), setting.span)
        self._wrong("size", "a size such as `512x512`", setting, help)
        return False

    def _settings(self, block: n.Block, scope: Scope, layer: Layer) -> dict[str, Setting]:
        """Return the attributes of `block`, evaluated, by their names as they are written, with `_` for `-`."""
        made: dict[str, Setting] = {}
        for item in block.items:
            if isinstance(item, n.Attribute):
                name = item.name.text.replace("-", "_")
                value = self.expressions.value(item.value, scope)
                self.expressions.spend(weight(value), item.value.span)
                value = without_paths(value)
                setting = Setting(value, item.value.span, item.name.span, layer, items=_items(item.value, value))
                made[name] = self._once(name, setting, made)
        return made

    def _once(self, name: str, setting: Setting, made: Mapping[str, Setting]) -> Setting:
        """Return `setting`, or an unknown one after reporting that `made` has it already."""
        if name not in made:
            return setting
        self._duplicate(name, setting.name_span, made[name].name_span)
        return Setting(UNKNOWN, setting.span, setting.name_span, setting.layer)

    def _parts(self, block: n.Block) -> list[n.Part]:
        """Return the parts of `block`, each name once but for adapters; what steers has numbers after the first."""
        first: dict[str, n.Part] = {}
        adapters: list[n.Part] = []
        steering = dict.fromkeys(STEERING, 0)
        for item in block.items:
            if isinstance(item, n.Part):
                if (kind := item.name.text) in steering:
                    steering[kind] += 1
                    if steering[kind] > 1:
                        numbered = msgspec.structs.replace(item.name, text=f"{kind}_{steering[kind]}")
                        item = msgspec.structs.replace(item, name=numbered)
                if item.name.text in ADAPTERS:
                    adapters.append(item)
                    continue
                if item.name.text in first:
                    self._duplicate(item.name.text, item.name.span, first[item.name.text].name.span)
                first.setdefault(item.name.text, item)
        return [*first.values(), *adapters]

    def _duplicate(self, name: str, at: Span, first: Span) -> None:
        self.diagnostics.error("duplicate-setting", f"`{name}` is set twice in this block", at,
                               labels=(Label(first, "first here"),), help="take one of them out")  # fmt: skip

    def _wrong(self, name: str, wanted: str, setting: Setting, help: str | None = None) -> None:
        message = f"`{name}` takes {wanted}, not {type_name(setting.value)}"
        self.diagnostics.error("wrong-type", message, setting.span, help=help)

    def _error(self, code: str, message: str, span: Span, *, help: str | None = None) -> Unknown:
        self.diagnostics.error(code, message, span, help=help)
        return UNKNOWN


def _items(node: n.Expression, value: Any) -> tuple[Span, ...]:
    """Return the place of each item of `value`, if it is written as a list there."""
    if isinstance(node, n.List) and isinstance(value, tuple) and len(node.items) == len(value):
        return tuple(item.span for item in node.items)
    return ()


def _wrong_item(argument: Argument, setting: Setting) -> int | None:
    """Return which item of a list, as it is written, an argument can't have; None if it is the list."""
    if not setting.items:
        return None
    items = enumerate(setting.value)
    wrong = [number for number, item in items if problem(argument, [_standing_in(item)]) is not None]
    return wrong[0] if wrong and len(wrong) < len(setting.items) else None


def _called_block(role: str) -> str:
    return _CALLED.get(role) or f"submodule `{role}`"


def _which(value: Any) -> str | None:
    """Return what to write for a result of several tensors, of which an argument takes one; None for any other."""
    image = value.images[0] if isinstance(value, Result) else value
    if not isinstance(image, ImageValue) or len(image.tensors) < 2:
        return None
    return "name one of them: " + ", ".join(f"`.{name}`" for name in image.tensors)


def _shape_of(argument: Argument, value: Any) -> str | None:
    """Return how to write what `argument` takes where that is no picture, or rows of them; None for what `value` is."""
    if isinstance(value, str) and takes_tensors(argument) and not takes_pictures(argument):
        return "name a `.safetensors` file, or give what another `generate` makes"
    if takes_rows(argument):
        return 'write rows of pictures, `none` for those to be made: `[["a.png", "b.png"], ["c.png", none]]`'
    return None


def _is_good(known: Described, value: Any) -> bool:
    return known.problem(value) is None


def _standing_in(value: Any) -> Any:
    """Return `value` as plain Python, with something of their type for what is known only when the plan runs."""
    if type(value) in ATOMS:
        return value
    match value:
        case Deferred():
            return "" if value.kind == "string" else 0.0
        case TensorValue() | TensorFile():
            return TENSOR
        case ImageValue(kind="tensors"):
            return TENSOR if len(value.tensors) == 1 else value
        case ImageValue(kind="video") | VideoFile():
            return VIDEO
        case ImageValue(kind="audio"):
            return value
        case ImageValue() | PictureFile():
            return PICTURE
        case Result():
            each = [_standing_in(image) for image in value.images]
            return each[0] if len(each) == 1 else each
        case tuple():
            return [_standing_in(item) for item in value]
    return plain(value)


def _quoted_whole(name: str, value: Any, quantizer: tuple[str, str] | None) -> str | None:
    """Return what to do about an unknown option if it is one of the `quantizer` before it, whose quotes got lost."""
    if quantizer is None:
        return None
    own, uri = quantizer
    found = quantizers.backend(uri.partition(";")[0])
    if found is None or found.schema.find(name) is None:
        return None
    spelt = name.replace("_", "-")
    return f'put the whole quantizer in quotes: `{own.replace("_", "-")}="{uri};{spelt}={value}"`'
