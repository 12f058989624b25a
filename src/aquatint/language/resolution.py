"""From a model as a script describes it to the pipeline and components that it comes to.

Holds the rules of which setting wins: a submodule's own block over `quantizer` with `quantizer_map`, and, among equals,
the later layer. What a checkpoint holds is read through `World`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from aquatint.catalog import checkpoints, pipelines
from aquatint.catalog.checkpoints import Checkpoint, CheckpointError
from aquatint.catalog.pipelines import PipelineInfo
from aquatint.catalog.tasks import Roles, first_of
from aquatint.diagnostics import Diagnostics, Label, did_you_mean
from aquatint.language import (
    adapting,
    alike,
    claims,
    computing,
    devices,
    inverting,
    ip_adapting,
    neighbours,
    prequantized,
    sources,
    suitability,
)
from aquatint.language.companions import Companions
from aquatint.language.components import Components
from aquatint.language.names import inside
from aquatint.language.revisions import takes_revision
from aquatint.language.sources import Sources
from aquatint.language.values import UNKNOWN, Model, Setting, known
from aquatint.language.world import World
from aquatint.plan.keys import keyed
from aquatint.plan.steps import Component, Pipeline


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a model comes to: its pipeline, its components by key, the quantizers' names by role, its class's facts.

    `roles` has the classes of all its submodules, of which a pipeline for another task may be made.
    """

    pipeline: Pipeline
    components: Mapping[str, Component]
    quantizers: Mapping[str, str | None]
    info: PipelineInfo
    roles: Roles
    scheduler: str | None  # the class name of the checkpoint's own
    train_timesteps: int | None  # the scheduler's: more steps than that can't be made


@dataclass(frozen=True, slots=True)
class Sketch:
    """What there is to a model with mistakes: its class's facts.

    `is_whole` says that each of its blocks is for a submodule of the checkpoint: none is misspelt `defaults`.
    """

    info: PipelineInfo
    is_whole: bool
    roles: Roles


class Resolver:
    """Resolves models, each distinct one once."""

    def __init__(self, world: World, diagnostics: Diagnostics) -> None:
        self.world = world
        self.diagnostics = diagnostics
        self._known: dict[int, tuple[Model, Resolved | None]] = {}
        self._alike: dict[Any, Resolved | None] = {}
        self._sound: dict[Any, Resolved] = {}
        self._checkpoints: dict[tuple[str, str | None, str, str | None], Checkpoint] = {}
        self.sources = Sources(diagnostics)
        self.components = Components(world, self.sources, diagnostics)
        self.companions = Companions(self.components)
        self.tokens = inverting.Tokens()

    def resolve(self, model: Model) -> Resolved | None:
        """Return what `model` comes to, or None after reporting why it comes to nothing."""
        if not model.is_sound:
            return None
        # By identity: models are never changed, and the pair keeps the object, so that its id isn't given again.
        found = self._known.get(id(model))
        if found is None:
            # A loop makes the same model anew in each turn, of settings from the same places.
            content = alike.by_place(model)
            if content not in self._alike:
                self._alike[content] = self._resolve_once(model)
            found = self._known[id(model)] = model, self._alike[content]
        if found[1] is not None:
            self.tokens.add(model, found[1].pipeline, found[1].components)
        return found[1]

    def _resolve_once(self, model: Model) -> Resolved | None:
        """Return what `model` comes to, which is known where another of the same settings came to it without a word."""
        settings = alike.by_settings(model)
        if settings not in self._sound:
            told = self.diagnostics.told
            resolved = self._resolve(model)
            if resolved is None or self.diagnostics.told != told:
                return resolved  # what there is to say names a place, and the next model has others
            self._sound[settings] = resolved
        return self._sound[settings]

    def sketch(self, model: Model) -> Sketch | None:
        """Return what is known of `model`, which comes to nothing, or None if its checkpoint can't be read.

        Reports its blocks for what the checkpoint lacks.
        """
        source = model.settings.get("source")
        if source is None or source.value is None or source.value is UNKNOWN:
            return None
        checkpoint = self._checkpoint(model, source)
        info = None if checkpoint is None else pipelines.pipeline(checkpoint.pipeline)
        if checkpoint is None or info is None:
            return None
        encoding = ip_adapting.with_image_encoder(model, checkpoint, info, self.diagnostics)
        if encoding is None:
            return None
        model = encoding
        checkpoint, info = claims.with_added(model, checkpoint, info)
        self._check_parts(model, checkpoint)
        return Sketch(info, model.parts.keys() <= checkpoint.parts.keys(), claims.classes(checkpoint))

    def _resolve(self, model: Model) -> Resolved | None:
        source = model.settings.get("source")
        if source is None or source.value is None:
            self.diagnostics.error("missing-setting", f"model `{model.name}` has no `source`", model.span,
                                   help="write `source: \"builtin:shapes\"`, a folder, or a hub id")  # fmt: skip
            return None
        if source.value is UNKNOWN:
            return None
        checkpoint = self._checkpoint(model, source)
        if checkpoint is None:
            self.sources.look_for_parts(model)
            return None
        info = pipelines.pipeline(checkpoint.pipeline)
        if info is None:
            self.diagnostics.error(
                "unknown-pipeline", f"`{source.value}` is a `{checkpoint.pipeline}`, which this version does not know",
                source.span, help=did_you_mean(checkpoint.pipeline, pipelines.pipeline_names(), "pipelines"),
            )  # fmt: skip
            return None
        # What is unknown has been reported; the rest is still checked.
        sound = claims.check_type(model, checkpoint, self.diagnostics)
        encoding = ip_adapting.with_image_encoder(model, checkpoint, info, self.diagnostics)
        if encoding is None:
            return None
        model = encoding
        checkpoint, info = claims.with_added(model, checkpoint, info)
        rest = claims.without_omitted(model, checkpoint, info, self.diagnostics)
        sound, whole, checkpoint = sound and rest is not None, checkpoint, rest or checkpoint
        sound = self._check_parts(model, checkpoint) and sound
        sound = sound and all(s.value is not UNKNOWN for s in model.settings.values())
        quantized = quantized_roles(model, checkpoint.parts, info)
        offload = suitability.offload(model, devices.of_model(model, self.world), self.diagnostics)
        self.components.begin(offload)
        keys: dict[str, str | None] = {}
        components: dict[str, Component] = {}
        names: dict[str, str | None] = {}
        places: dict[str, neighbours.Place] = {}
        for role, part in checkpoint.parts.items():
            if part is None:
                keys[role] = None
                continue
            if any(setting.value is UNKNOWN for setting in model.parts.get(role, {}).values()):
                continue  # `_check_parts` has found that
            place = self.components.place(model, role, part, checkpoint, source.span)
            if place is not None:
                places[role] = neighbours.Place(place.part, place.folder, place.span)
            component = (
                None if place is None else self.components.component(model, role, place, checkpoint, role in quantized)
            )
            if component is None:
                sound = False
                continue
            keys[role] = component.key
            components[component.key] = component
            if place is not None and place.part.has_weights:
                setting = prequantized.chosen_for(model, role, role in quantized)
                names[role] = prequantized.quantizer_name(component, setting)
        by_role = {role: components[key] for role, key in keys.items() if key is not None}
        held = {role: part for role, part in checkpoint.parts.items() if part is not None}
        own = {role: neighbours.Place(part, checkpoint.folder, source.span) for role, part in held.items()}
        sound = neighbours.check(model, info, own, places, self.diagnostics) and sound
        sound = devices.check(model, held, offload, self.world, self.diagnostics) and sound
        if not self.components.are_sound(model, by_role) or not sound:
            return None
        # All of them: what they lack is fetched together.
        added = adapting.added(model, info, by_role, self.world, self.diagnostics, self.sources.report)
        learned = inverting.added(model, info, by_role, self.world, self.diagnostics, self.sources.report)
        pictured = ip_adapting.added(model, info, by_role, self.world, self.diagnostics, self.sources.report)
        if added is None or learned is None or pictured is None:
            return None
        how = computing.settings(model, by_role, offload, self.world, self.diagnostics)
        if how is None:
            return None
        for role, (component, _) in [*added.items(), *learned.items(), *pictured.items()]:
            keys[role] = component.key
            components[component.key] = component
        pipeline = keyed(Pipeline(
            key="", class_name=checkpoint.pipeline, source=checkpoint.source,
            revision=checkpoint.revision, parts=keys, options=checkpoint.options, offload=offload,
            subfolder=checkpoint.subfolder, omitted=_omitted(whole, checkpoint),
            loras={role: use for role, (_, use) in added.items()} or UNSET,
            file=checkpoint.file or UNSET, computing=how or UNSET,
            textual_inversions={role: use for role, (_, use) in learned.items()} or UNSET,
            ip_adapters={role: use for role, (_, use) in pictured.items()} or UNSET,
        ))  # fmt: skip
        try:
            steps = checkpoints.train_timesteps(checkpoint.folder / checkpoint.subfolder)
        except CheckpointError as error:
            self.sources.report(error, source.span)
            return None
        scheduler = checkpoint.parts.get("scheduler")
        roles = {role: component.class_name for role, component in by_role.items()}
        return Resolved(pipeline, components, names, info, roles, scheduler.class_name if scheduler else None, steps)

    def _checkpoint(self, model: Model, source: Setting) -> Checkpoint | None:
        subfolder = model.settings.get("subfolder")
        inside = subfolder.value if subfolder is not None else None
        if inside is UNKNOWN or self.diagnostics.is_full:
            return None
        config = model.settings.get("config")
        named = known(model.settings, "config")
        if config is not None and config.value is UNKNOWN:
            return None
        if not takes_revision(model.settings, source.value, self.diagnostics, has_config=True):
            return None
        key = source.value, known(model.settings, "revision"), inside or "", named
        span = source.span
        if key not in self._checkpoints:
            try:
                file, revision = checkpoints.find_file(source.value, known(model.settings, "revision"))
                if file is not None:
                    checkpoints.single_header(file)
                if file is not None and named is None:
                    named = checkpoints.default_config(file)
                elif file is None and config is not None and named is not None:
                    self.sources.refuse_config(source, config)
                    return None
                span = config.span if config is not None and named is not None else span
                where = (source.value if named is None else named), revision, key[2]
                if subfolder is not None and checkpoints.locate(*where[:2]):
                    span = subfolder.span  # the source is there
                found = self.world.checkpoint(*where)
                self._checkpoints[key] = found if file is None else checkpoints.over(found, file)
            except CheckpointError as error:
                error = sources.of_default(error, source, config, named)
                self.sources.report_source(named or source.value, error, span, sources.request(model))
                return None
            except (OSError, ValueError) as error:
                self.sources.report(sources.unreadable(source.value, error), span)
                return None
        return self._checkpoints[key]

    def _check_parts(self, model: Model, checkpoint: Checkpoint) -> bool:
        """Report blocks and `quantizer_map` entries for what the checkpoint lacks; return whether there were none."""
        roles = [role for role, part in checkpoint.parts.items() if part is not None]
        weighty = [role for role, part in checkpoint.parts.items() if part is not None and part.has_weights]
        sound = True
        for role, settings in model.parts.items():
            if role not in roles:
                help = did_you_mean(role, roles, "it has")
                if claims.is_added(role):
                    help = f"say where it is: `{role} {{ source: ... }}`"
                    if "source" in settings:
                        several = " beside a first one" if first_of(role) else ""
                        help = f"no pipeline for the weights of a `{checkpoint.pipeline}` has one{several}"
                self.diagnostics.error("unknown-submodule", f"model `{model.name}` has no submodule `{role}`",
                                       model.part_spans[role], labels=_newer_source(model), help=help)  # fmt: skip
                sound = False
            elif role not in weighty and (setting := settings.get("quantizer")) and setting.value is not None:
                self.diagnostics.error(
                    "not-quantizable",
                    f"`{role}` has no weights to quantize",
                    setting.name_span,
                    help="submodules with weights: " + ", ".join(f"`{w}`" for w in weighty),
                )
                sound = False
            elif role not in weighty:
                for name in ("dtype", "variant"):
                    if (setting := settings.get(name)) is not None and setting.value is not None:
                        message = f"`{role}` has no weights, of which `{name}` could be"
                        self.diagnostics.error("unfit-setting", message, setting.name_span,
                                               help="leave it out, or set it for the whole model")  # fmt: skip
                        sound = False
            sound = sound and all(setting.value is not UNKNOWN for setting in settings.values())
        listed, quantizer = model.settings.get("quantizer_map"), model.settings.get("quantizer")
        if listed is not None and listed.value == () and quantizer is not None and quantizer.value is not None:
            self.diagnostics.error(
                "contradicting-settings", "`quantizer_map` names no submodule, and a quantizer is set", listed.span,
                labels=(Label(quantizer.span, "for none"),),
                help=f"name some of {', '.join(f'`{role}`' for role in weighty)}, or write `quantizer: none`",
            )  # fmt: skip
            sound = False
        for role in _names(listed):
            if role not in weighty and listed is not None:
                why = "has no weights to quantize" if role in roles else f"is no submodule of model `{model.name}`"
                why = f"is left out of model `{model.name}`" if role in model.settings else why
                message = f"`{role}` in `quantizer_map` {why}"
                self.diagnostics.error("unknown-submodule", message, inside(listed.span, role),
                                       help=did_you_mean(role, weighty, "submodules with weights"))  # fmt: skip
                sound = False
        return sound


def quantized_roles(model: Model, parts: Iterable[str], info: PipelineInfo) -> set[str]:
    """Return those of the roles `parts` that the model's own quantizer is for."""
    listed = model.settings.get("quantizer_map")
    if listed is not None and listed.value is not None:
        return set(_names(listed))
    return {*info.denoisers, *info.text_encoders} & set(parts)


def quantizer_summary(quantizers: Mapping[str, str | None], info: PipelineInfo) -> str:
    """Return one short name for how a model is quantized: the denoiser's quantizer, and those that differ from it."""
    main = next((quantizers[role] for role in info.denoisers if role in quantizers), None)
    others = [
        f"{role} {quantizers[role] or 'full'}" for role in quantizers
        if quantizers[role] != main and (role in info.denoisers or role in info.text_encoders or quantizers[role])
    ]  # fmt: skip
    return (main or "full") + (f" ({', '.join(others)})" if others else "")


def _omitted(whole: Checkpoint, left: Checkpoint) -> list[str]:
    return [role for role, part in whole.parts.items() if part is not None and left.parts[role] is None]


def _names(setting: Setting | None) -> list[str]:
    if setting is None or setting.value is None or setting.value is UNKNOWN:
        return []
    return [setting.value] if isinstance(setting.value, str) else list(setting.value)


def _newer_source(model: Model) -> tuple[Label, ...]:
    """Return the place where `model` was given another checkpoint than it was declared with."""
    source = model.settings["source"]
    return (Label(source.span, "not in this checkpoint"),) if source.layer in ("override", "with") else ()
