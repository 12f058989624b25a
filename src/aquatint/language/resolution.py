"""From a model as a script describes it to the pipeline and components that it comes to.

Holds the rules of which setting wins: a submodule's own block over `quantizer` with `quantizer_map`, and, among equals,
the later layer. What a checkpoint holds is read through `World`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import UNSET

from aquatint.catalog import checkpoints, estimates, hub_files, language_models, llm4gen, pipelines, single_files
from aquatint.catalog.addresses import Download
from aquatint.catalog.checkpoints import Checkpoint, CheckpointError, Part, Tensor
from aquatint.catalog.estimates import Estimate
from aquatint.catalog.gguf_files import PACKAGE, is_gguf
from aquatint.catalog.hub_files import Request
from aquatint.catalog.language_models import Wanted
from aquatint.catalog.layers import WIDTHS, Network
from aquatint.catalog.pipelines import PipelineInfo, is_denoiser, is_text_encoder
from aquatint.catalog.quantizers import canonical
from aquatint.catalog.tasks import Roles, first_of
from aquatint.catalog.working import Working, working
from aquatint.diagnostics import Diagnostics, Label, did_you_mean
from aquatint.language import (
    adapters,
    adapting,
    claims,
    computing,
    coverage,
    devices,
    inverting,
    ip_adapting,
    neighbours,
    prequantized,
    suitability,
)
from aquatint.language.coverage import Use
from aquatint.language.names import inside
from aquatint.language.values import UNKNOWN, Model, Quantizer, Setting, shown
from aquatint.language.world import World
from aquatint.plan.keys import component_key, keyed
from aquatint.plan.steps import ByteRange, Component, Pipeline, Quantization
from aquatint.source import Span


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
class Spoken:
    """What a language model comes to: its components by role, and where it was found."""

    components: Mapping[str, Component]
    source: str
    revision: str | None
    talks: bool  # whether it has a chat template


@dataclass(frozen=True, slots=True)
class Added:
    """What a weighter adds to a pipeline: its components by role, and how wide the embeddings are that it makes."""

    components: Mapping[str, Component]
    width: int


@dataclass(frozen=True, slots=True)
class Sketch:
    """What there is to a model with mistakes: its class's facts.

    `is_whole` says that each of its blocks is for a submodule of the checkpoint: none is misspelt `defaults`.
    """

    info: PipelineInfo
    is_whole: bool
    roles: Roles


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that is to be fetched from the hub or the web, which has been reported at `span` under `code`."""

    request: Request | Download
    code: str
    span: Span


_LACKING = ("missing-model", "not-a-checkpoint", "damaged-checkpoint", "missing-variant")
# What is said of a repository of the hub whose files aren't there, or not all of them.


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one component's files are."""

    source: str
    revision: str | None
    folder: Path
    part: Part
    span: Span


class Resolver:
    """Resolves models, each distinct one once."""

    def __init__(self, world: World, diagnostics: Diagnostics) -> None:
        self.world = world
        self.diagnostics = diagnostics
        self._known: dict[int, tuple[Model, Resolved | None]] = {}
        self._alike: dict[Any, Resolved | None] = {}
        self._sound: dict[Any, Resolved] = {}
        self._checkpoints: dict[tuple[str, str | None, str, str | None], Checkpoint] = {}
        self._filed: dict[Any, tuple[Network, list[Tensor], Estimate]] = {}
        self._working: dict[Any, Working] = {}
        self.configs: dict[str, Mapping[str, Any]] = {}  # the configurations of components with weights, by key
        self._identities: dict[Any, str] = {}
        self._uses: list[Use] = []
        self._contradictions: list[prequantized.Contradiction] = []
        self.lacks: list[Lack] = []
        self.tokens = inverting.Tokens()
        self.saved: dict[str, Span] = {}  # the folders that the script has written with `save` so far
        self._offload: str | None = None  # of the model that is being resolved
        self._language_models: dict[Any, Spoken | None] = {}
        self._of_weighters: dict[Any, Added | None] = {}

    def resolve(self, model: Model) -> Resolved | None:
        """Return what `model` comes to, or None after reporting why it comes to nothing."""
        if not model.is_sound:
            return None
        # By identity: models are never changed, and the pair keeps the object, so that its id isn't given again.
        known = self._known.get(id(model))
        if known is None:
            # A loop makes the same model anew in each turn, of settings from the same places.
            content = _content(model)
            if content not in self._alike:
                self._alike[content] = self._resolve_once(model)
            known = self._known[id(model)] = model, self._alike[content]
        if known[1] is not None:
            self.tokens.add(model, known[1].pipeline, known[1].components)
        return known[1]

    def _resolve_once(self, model: Model) -> Resolved | None:
        """Return what `model` comes to, which is known where another of the same settings came to it without a word."""
        settings = _settings(model)
        if settings not in self._sound:
            told = self.diagnostics.told
            resolved = self._resolve(model)
            if resolved is None or self.diagnostics.told != told:
                return resolved  # what there is to say names a place, and the next model has others
            self._sound[settings] = resolved
        return self._sound[settings]

    def language_model(self, name: str, settings: Mapping[str, Setting]) -> Spoken | None:
        """Return what the language model of the prompt plugin called `name` comes to, or None after reporting why not.

        `settings` are its `source`, and those of `revision`, `subfolder`, `variant`, `dtype`, `device` and `quantizer`
        that are given.
        """
        content = name, tuple((key, _identity(each.value), each.span) for key, each in sorted(settings.items()))
        if content not in self._language_models:
            self._language_models[content] = self._spoken(name, settings)
        return self._language_models[content]

    def _spoken(self, name: str, settings: Mapping[str, Setting]) -> Spoken | None:
        source, revision = settings["source"], _value(settings, "revision")
        inside = _value(settings, "subfolder") or ""
        request = Request(source.value, revision, _value(settings, "variant"), inside, language_models.MODEL)
        try:
            found = checkpoints.find(source.value, revision)
            read = language_models.read(found.folder, source.value, inside)
        except CheckpointError as error:
            self._report_source(source.value, error, source.span, request)
            return None
        except (OSError, ValueError) as error:
            self._report(_unreadable(source.value, error), source.span)
            return None
        places = [
            _Place(source.value, found.revision, found.folder, part, source.span)
            for part in (read.model, read.tokenizer)
        ]
        components = self._outside(name, settings, places)
        return None if components is None else Spoken(components, source.value, found.revision, read.talks)

    def _outside(
        self, name: str, settings: Mapping[str, Setting], places: Iterable[_Place]
    ) -> dict[str, Component] | None:  # fmt: skip
        """Return the components at `places`, which are no model's, by role, or None after reporting why not.

        `settings` are as those of `language_model`, for the one with weights.
        """
        # To the rest of this module it is a model of some submodules, which say themselves where they are.
        whole = {key: setting for key, setting in settings.items() if key in ("source", "quantizer", "device")}
        own = {key: setting for key, setting in settings.items() if key not in ("quantizer", "device")}
        model = Model(name, settings["source"].span, whole, {language_models.MODEL: own}, {}, {})
        self._uses, self._contradictions, self._offload = [], [], None
        components: dict[str, Component] = {}
        wanted = list(places)
        for place in wanted:
            component = self._component(model, place.part.role, place, None, place.part.has_weights)
            if component is not None:
                components[place.part.role] = component
        prequantized.report(self._contradictions, self.diagnostics)
        chosen = {use.role: use.chosen for use in self._uses}
        sound = suitability.check(model, components, chosen, self.diagnostics)
        if not coverage.check(self._uses, self.diagnostics) or not sound or self._contradictions:
            return None
        return components if len(components) == len(wanted) else None

    def weighter(
        self, name: str, wanted: tuple[Wanted, ...], settings: Mapping[str, Setting], at: Span
    ) -> Added | None:  # fmt: skip
        """Return what the parts that the weighter called `name` asks for come to, or None after reporting why not.

        `settings` are those of it that were given; what is in none of them is reported `at`.
        """
        places = {each.role: settings[each.setting].span if each.setting in settings else at for each in wanted}
        given = tuple((key, _identity(each.value)) for key, each in sorted(settings.items()))
        content = name, wanted, given, tuple(places.values())
        if content not in self._of_weighters:
            self._of_weighters[content] = self._added(name, wanted, settings, places)
        return self._of_weighters[content]

    def _added(
        self, name: str, wanted: Iterable[Wanted], settings: Mapping[str, Setting], at: Mapping[str, Span]
    ) -> Added | None:  # fmt: skip
        places: list[_Place] = []
        projector: Component | None = None
        width = takes = made = 0
        lacking: set[str] = set()  # the sources of what can't be had
        dtype = _value(settings, "llm_dtype") or default_dtype(self.world.device)
        for each in wanted:
            span = at[each.role]
            if each.source in lacking:
                continue  # a tokenizer is looked for beside an encoder that has been reported
            try:
                if each.role == language_models.PROJECTOR:
                    projector, takes, made = self._projector(each, dtype)
                    continue
                found = checkpoints.find(each.source, each.revision)
                if each.role == language_models.MODEL:
                    part, width = language_models.read_encoder(found.folder, each.source)
                else:
                    part = self._tokenizer(found.folder, each.source)
                places.append(_Place(each.source, found.revision, found.folder, part, span))
            except CheckpointError as error:
                request = Request(each.source, each.revision, None, each.subfolder, each.role, file=each.file)
                self._report_source(each.source, error, span, request)
                lacking.add(each.source)
            except (OSError, ValueError) as error:
                self._report(_unreadable(each.source, error), span)
                lacking.add(each.source)
        told = {
            "source": Setting(None, at[language_models.MODEL], at[language_models.MODEL], "statement"),
            "dtype": settings.get("llm_dtype"), "quantizer": settings.get("llm_quantizer"),
        }  # fmt: skip
        components = self._outside(name, {key: each for key, each in told.items() if each is not None}, places)
        if lacking or projector is None or components is None:
            return None
        if width != takes:
            self.diagnostics.error(
                "wrong-component", f"`{projector.source}` takes embeddings {takes} wide, and the encoder's are {width}",
                at[language_models.PROJECTOR], help="take the encoder that the cross-adapter module was trained with",
            )  # fmt: skip
            return None
        return Added({**components, projector.role: projector}, made)

    def _tokenizer(self, folder: Path, source: str) -> Part:
        """Return the tokenizer in `folder`, which `source` names. Raises `CheckpointError`."""
        part = language_models.read_tokenizer(folder, source)
        package = language_models.PACKAGE
        if language_models.needs_package(folder) and not self.world.is_installed(package):
            message = f"the tokenizer of `{source}` needs `{package}`, which is not installed"
            raise CheckpointError("package-not-installed", message, 'install it: `pip install "aquatint[llm4gen]"`')
        return part

    def _projector(self, wanted: Wanted, dtype: str) -> tuple[Component, int, int]:
        """Return a cross-adapter module, how wide the embeddings are that it takes, and those that it makes.

        Raises `CheckpointError`.
        """
        found, inside = llm4gen.find(wanted)
        file = llm4gen.path(wanted.source, found.revision, inside)
        read, identity = llm4gen.read(file), llm4gen.identity(file)
        size = read.numel * WIDTHS[dtype]
        key = component_key(
            library=pipelines.OWN, class_name=llm4gen.CLASS_NAME, source=wanted.source, revision=found.revision,
            subfolder=inside, variant=None, identity=identity, dtype=dtype, device=self.world.device, quantization=None,
        )  # fmt: skip
        component = Component(
            key=key, role=wanted.role, library=pipelines.OWN, class_name=llm4gen.CLASS_NAME, source=wanted.source,
            subfolder=inside, variant=None, revision=found.revision, dtype=dtype, device=self.world.device,
            quantization=None, identity=identity, bytes=size, held=ByteRange(size, size), reads=read.reads,
        )  # fmt: skip
        return component, read.llm_dim, read.dim

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
            self._look_for_parts(model)
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
        self._uses = []
        self._contradictions = []
        self._offload = suitability.offload(model, devices.of_model(model, self.world), self.diagnostics)
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
            place = self._place(model, role, part, checkpoint, source.span)
            if place is not None:
                places[role] = neighbours.Place(place.part, place.folder, place.span)
            component = None if place is None else self._component(model, role, place, checkpoint, role in quantized)
            if component is None:
                sound = False
                continue
            keys[role] = component.key
            components[component.key] = component
            if place is not None and place.part.has_weights:
                setting = prequantized.chosen_for(model, role, role in quantized)
                names[role] = prequantized.quantizer_name(component, setting)
        by_role = {role: components[key] for role, key in keys.items() if key is not None}
        chosen = {use.role: use.chosen for use in self._uses}
        held = {role: part for role, part in checkpoint.parts.items() if part is not None}
        own = {role: neighbours.Place(part, checkpoint.folder, source.span) for role, part in held.items()}
        sound = neighbours.check(model, info, own, places, self.diagnostics) and sound
        sound = suitability.check(model, by_role, chosen, self.diagnostics) and sound
        sound = devices.check(model, held, self._offload, self.world, self.diagnostics) and sound
        prequantized.report(self._contradictions, self.diagnostics)
        if not coverage.check(self._uses, self.diagnostics) or not sound or self._contradictions:
            return None
        added = adapting.added(model, info, by_role, self.world, self.diagnostics, self._report)
        if added is None:
            return None
        learned = inverting.added(model, info, by_role, self.world, self.diagnostics, self._report)
        if learned is None:
            return None
        pictured = ip_adapting.added(model, info, by_role, self.world, self.diagnostics, self._report)
        if pictured is None:
            return None
        how = computing.settings(model, by_role, self._offload, self.world, self.diagnostics)
        if how is None:
            return None
        for role, (component, _) in [*added.items(), *learned.items(), *pictured.items()]:
            keys[role] = component.key
            components[component.key] = component
        pipeline = keyed(Pipeline(
            key="", class_name=checkpoint.pipeline, source=checkpoint.source,
            revision=checkpoint.revision, parts=keys, options=checkpoint.options, offload=self._offload,
            subfolder=checkpoint.subfolder, omitted=_omitted(whole, checkpoint),
            loras={role: use for role, (_, use) in added.items()} or UNSET,
            file=checkpoint.file or UNSET, computing=how or UNSET,
            textual_inversions={role: use for role, (_, use) in learned.items()} or UNSET,
            ip_adapters={role: use for role, (_, use) in pictured.items()} or UNSET,
        ))  # fmt: skip
        try:
            steps = checkpoints.train_timesteps(checkpoint.folder / checkpoint.subfolder)
        except CheckpointError as error:
            self._report(error, source.span)
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
        named = _value(model.settings, "config")
        if config is not None and config.value is UNKNOWN:
            return None
        key = source.value, _value(model.settings, "revision"), inside or "", named
        span = source.span
        if key not in self._checkpoints:
            try:
                file, revision = checkpoints.find_file(source.value, _value(model.settings, "revision"))
                if file is not None:
                    checkpoints.single_header(file)
                if file is not None and named is None:
                    named = checkpoints.default_config(file)
                elif file is None and config is not None and named is not None:
                    self._refuse_config(source, config)
                    return None
                span = config.span if config is not None and named is not None else span
                where = (source.value if named is None else named), revision, key[2]
                if subfolder is not None and checkpoints.locate(*where[:2]):
                    span = subfolder.span  # the source is there
                found = self.world.checkpoint(*where)
                self._checkpoints[key] = found if file is None else checkpoints.over(found, file)
            except CheckpointError as error:
                self._report_source(named or source.value, _of_default(error, source, config, named), span,
                                    _request(model))  # fmt: skip
                return None
            except (OSError, ValueError) as error:
                self._report(_unreadable(source.value, error), span)
                return None
        return self._checkpoints[key]

    def _refuse_config(self, source: Setting, config: Setting) -> None:
        """Report that `config` is given for a `source` that has its own configurations."""
        if not is_there(source.value):
            help = "leave `config` out where `source` is a folder or a hub id"
            if (near := checkpoints.weights_near(source.value)) is not None:
                help = f"did you mean `{near}`?"
            self._report(CheckpointError("missing-model", f"there is no file `{source.value}`", help), source.span)
            return
        self.diagnostics.error(
            "contradicting-settings", f"`config` is for a single file, and `{source.value}` has its own configurations",
            config.span, labels=(Label(source.span, "no file"),), help="leave `config` out",
        )  # fmt: skip

    def _look_for_parts(self, model: Model) -> None:
        """Report what the hub's cache lacks of the submodules that `model`, whose own source isn't there, takes."""
        for role, settings in model.parts.items():
            source = settings.get("source")
            if source is None or not isinstance(source.value, str):
                continue
            try:
                file, _ = checkpoints.find_file(source.value, _value(settings, "revision"))
                if file is None and checkpoints.is_hub_id(source.value):
                    checkpoints.find(source.value, _value(settings, "revision"))
            except CheckpointError as error:
                self._report(error, source.span, _request(model, role))
        for kind, each in [(kind, each) for kind, own in model.adapters.items() for each in own]:
            wanted = adapters.request(each, kind)
            if checkpoints.is_hub_id(wanted.repository):
                try:
                    checkpoints.find(wanted.repository, wanted.revision)
                except CheckpointError as error:
                    self._report(error, each.settings["source"].span, wanted)

    def _report(self, error: CheckpointError, span: Span, request: Request | None = None) -> None:
        """Report `error`, which comes of what `request` asks for; that may be on the hub."""
        help = error.help
        if request is not None and error.code in _LACKING and checkpoints.is_hub_id(request.repository):
            self.lacks.append(Lack(request, error.code, span))
            # What has no file, such as the command line, is helped by the name of the repository.
            help = help if span.source.name.startswith("<") else checkpoints.fetch_help(span.source.name)
        self.diagnostics.error(error.code, error.message, span, help=help)

    def _report_source(self, source: str, error: CheckpointError, span: Span, request: Request) -> None:
        """Report that `source` can't be used, which may be because it is only there once the plan has run."""
        saved = self.saved.get(os.path.normpath(source)) if error.code == "missing-model" else None
        if saved is None:
            self._report(error, span, request)
            return
        self.diagnostics.error(
            "not-saved-yet", f"`{source}` is not there while the script is planned: it is saved when the plan runs",
            span, labels=(Label(saved, "saved here"),),
            help="use the model that is saved, or read the folder in a script of its own, after this one",
        )  # fmt: skip

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
            sound = sound and all(setting.value is not UNKNOWN for setting in settings.values())
        listed = model.settings.get("quantizer_map")
        for role in _names(listed):
            if role not in weighty and listed is not None:
                why = "has no weights to quantize" if role in roles else f"is no submodule of model `{model.name}`"
                why = f"is left out of model `{model.name}`" if role in model.settings else why
                message = f"`{role}` in `quantizer_map` {why}"
                self.diagnostics.error("unknown-submodule", message, inside(listed.span, role),
                                       help=did_you_mean(role, weighty, "submodules with weights"))  # fmt: skip
                sound = False
        return sound

    def _place(self, model: Model, role: str, part: Part, base: Checkpoint, span: Span) -> _Place | None:
        settings = model.parts.get(role, {})
        source, subfolder = settings.get("source"), settings.get("subfolder")
        revision = _value(settings, "revision")
        at = source if source is not None and source.value is not None else subfolder
        try:
            if source is not None and source.value is not None:
                file, left = checkpoints.find_file(source.value, revision)
                if file is not None:
                    return self._single_place(part, base, settings, file, left, source.span)
                if (config := settings.get("config")) is not None and config.value is not None:
                    self._refuse_config(source, config)
                    return None
                return self._other_place(role, part, source, _value(settings, "subfolder"), revision)
            folder, found = base.folder, base.revision
            if revision is not None:
                folder, found = _found(base.source, revision)
            if revision is not None or (subfolder is not None and subfolder.value is not None):
                inside = part.subfolder if subfolder is None or subfolder.value is None else subfolder.value
                part = checkpoints.read_component(folder, inside, part)
            return _Place(base.source, found, folder, part, span)
        except CheckpointError as error:
            self._report_source(_value(settings, "source") or base.source, error, at.span if at is not None else span,
                                _request(model, role))  # fmt: skip
        except (OSError, ValueError) as error:
            self._report(_unreadable(base.source, error), at.span if at is not None else span)
        return None

    def _single_place(
        self, part: Part, base: Checkpoint, settings: Mapping[str, Setting], file: str, revision: str | None, at: Span
    ) -> _Place:  # fmt: skip
        """Return the place of a submodule that is a single `file`; its configuration is the model's unless it is said.

        `revision` is that of the configuration. Raises `CheckpointError`.
        """
        config, subfolder = (_value(settings, name) for name in ("config", "subfolder"))
        named, folder, found = base.source, base.folder, base.revision
        inside = part.subfolder if subfolder is None else subfolder
        if config is not None:
            named = config
            folder, found = _found(config, revision)
            if subfolder is None:
                inside = part.role if (folder / part.role).is_dir() else ""
        elif revision is not None:
            folder, found = _found(base.source, revision)
        like = checkpoints.read_component(folder, inside, part)
        return _Place(named, found, folder, checkpoints.from_file(like, folder, file), at)

    def _other_place(
        self, role: str, part: Part, source: Setting, subfolder: str | None, revision: str | None
    ) -> _Place | None:
        folder, found = _found(source.value, revision)
        own = claims.home(role)
        inside = subfolder if subfolder is not None else own if (folder / own).is_dir() else ""
        other = checkpoints.read_component(folder, inside, part)
        return _Place(source.value, found, folder, other, source.span)

    def _component(
        self, model: Model, role: str, place: _Place, base: Checkpoint | None, is_quantized: bool
    ) -> Component | None:  # fmt: skip
        own = model.parts.get(role, {})
        part = place.part
        try:
            if not part.has_weights:
                return self._made(role, place, None, None, None, self.world.device)
            variant = _value(own if "variant" in own else model.settings, "variant") if part.file is None else None
            if part.file is None and base is not None and base.file is not None and place.source == base.source:
                _require_weights(role, place, base)
            if (
                variant is not None
                and "variant" not in own
                and not checkpoints.has_variant(place.folder, part.subfolder, variant)
            ):
                # As diffusers does: a variant that only some components have is used for those.
                beside = (place.folder / part.subfolder).parent
                if _value(own, "source") is None and not _any_variant(beside, variant):
                    message = f"`{place.source}` has no variant `{variant}`"
                    error = CheckpointError("missing-variant", message, _variants_help(beside))
                    self._report(error, model.settings["variant"].span, _request(model))
                    return None
                variant = None
            dtype = (
                _value(own, "dtype")
                or _value(model.settings, "dtype")
                or default_dtype(devices.of_model(model, self.world))
            )
            chosen = prequantized.chosen_for(model, role, is_quantized)
            quantizer = chosen.value if chosen is not None and isinstance(chosen.value, Quantizer) else None
            if not prequantized.reads_back(part, place.source, place.span, self.diagnostics):
                return None
            if is_gguf(part.file) and not self.world.is_installed(PACKAGE):
                self.diagnostics.error(
                    "package-not-installed", f"a GGUF file needs `{PACKAGE}`, which is not installed", place.span,
                    help='install it: `pip install "aquatint[gguf]"`',
                )  # fmt: skip
                return None
            if part.stored is not None:
                quantizer = None  # it says what the files hold already
                wrong = prequantized.contradiction(part, part.file or place.source, place.span, chosen)
                self._contradictions += [] if wrong is None else [wrong]
            if quantizer is not None and chosen is not None:
                self._uses.append(coverage.use(chosen, "quantizer" in own, place.folder, part, variant, dtype))
            return self._made(role, place, variant, dtype, quantizer, devices.of_part(model, role, self.world))
        except CheckpointError as error:
            at = own["variant"].span if _blames_variant(error, own) else place.span
            self._report(error, at, _request(model, role))
        except (OSError, ValueError) as error:
            self._report(_unreadable(place.source, error), place.span)
        return None

    def _made(
        self, role: str, place: _Place, variant: str | None, dtype: str | None, quantizer: Quantizer | None,
        device: str,
    ) -> Component:  # fmt: skip
        part = place.part
        quantization = None
        if quantizer is not None:
            options = canonical(quantizer.backend, quantizer.options)
            quantization = Quantization(backend=quantizer.backend, options=options, name=quantizer.name)
        # While a script is planned its checkpoints are taken to stay as they are.
        whose = (place.folder, part.subfolder, variant, part.has_weights, part.file)
        if whose not in self._identities:
            self._identities[whose] = checkpoints.identity(*whose)
        identity = self._identities[whose]
        offload = self._offload if part.has_weights else None
        key = component_key(
            library=part.library, class_name=part.class_name, source=place.source, revision=place.revision,
            subfolder=part.subfolder, variant=variant, identity=identity, dtype=dtype, device=device,
            quantization=quantization, offload=offload, file=part.file,
        )  # fmt: skip
        size, held, reads, beside = 0, None, 0, None
        if dtype is not None:
            # Models of one checkpoint, each with settings of its own, hold the same.
            files = (place.folder, part.library, part.class_name, part.subfolder, part.stored is None, variant, dtype,
                     part.file)  # fmt: skip
            if files not in self._filed:
                network, tensors = estimates.read(place.folder, part, variant, dtype)
                self._filed[files] = network, tensors, estimates.as_read(part, network, tensors)
            network, tensors, before = self._filed[files]
            self.configs[key] = network.config
            after = next((use.estimate for use in self._uses if use.role == role), before)
            size, held = before.most, ByteRange(after.least, after.most)
            which = (*files, is_text_encoder(role), is_denoiser(role), after.most, quantization is not None)
            if which not in self._working:
                self._working[which] = working(role, network, tensors, after.most, quantization is not None)
            beside = self._working[which]
            reads = checkpoints.file_bytes(place.folder, part, variant)
        return Component(
            key=key, role=role, library=part.library, class_name=part.class_name, source=place.source,
            subfolder=part.subfolder, variant=variant, revision=place.revision, dtype=dtype, device=device,
            quantization=quantization, identity=identity, bytes=size, held=held, reads=reads, offload=offload,
            stored=prequantized.as_planned(part.stored), working=beside, file=part.file or UNSET,
        )  # fmt: skip


def is_there(source: str) -> bool:
    """Return whether `source` names a checkpoint that is no file, or might on the hub."""
    return source.startswith(checkpoints.BUILTIN_PREFIX) or checkpoints.is_hub_id(source) or Path(source).exists()


def _of_default(
    error: CheckpointError, source: Setting, config: Setting | None, named: str | None
) -> CheckpointError:  # fmt: skip
    """Return `error` so that it tells of the repository `named` which the script doesn't name."""
    if named is None or error.code != "missing-model" or (config is not None and config.value is not None):
        return error
    return CheckpointError(
        error.code, f"`config` is left out, and `{named}`, whose configurations diffusers takes for `{source.value}`, "
        "is not in the hub's local cache", error.help,
    )  # fmt: skip


def _require_weights(role: str, place: _Place, base: Checkpoint) -> None:
    """Raise `CheckpointError` for a submodule that neither a single file nor the folder of its configurations has."""
    inside = place.folder / place.part.subfolder
    if not any(file.suffix in checkpoints.WEIGHT_SUFFIXES for file in inside.iterdir()):
        raise CheckpointError(
            "missing-weights", f"neither `{base.file}` nor `{base.source}` has the weights of `{role}`",
            f"say where they are: `{role} {{ source: ... }}`",
        )  # fmt: skip


def _found(source: str, revision: str | None) -> tuple[Path, str | None]:
    found = checkpoints.find(source, revision)
    return found.folder, found.revision


_OF_ITS_OWN = ("source", "config", "subfolder", "revision", "variant")
# With these a submodule is not, or not as others are, among the files that the model's own settings name.


def _request(model: Model, role: str | None = None) -> Request:
    """Return what `model` needs of the hub for its pipeline, or for the submodule `role`, if that is where it is."""
    whole = model.settings
    elsewhere = {part for part, own in model.parts.items() if any(_value(own, name) for name in _OF_ITS_OWN)}
    base = _value(whole, "subfolder") or ""
    if role is None or role not in elsewhere:
        if (lacking := _lacking_file(whole)) is not None:
            return lacking
        home, home_revision, held = _home(whole)
        omitted = {name for name, setting in whole.items() if setting.value is None}
        return Request(home, home_revision, _value(whole, "variant"), base,
                       without=frozenset(elsewhere | omitted | held))  # fmt: skip
    own = model.parts[role]
    if (lacking := _lacking_file(own)) is not None:
        return lacking
    source, subfolder, revision = (_value(own, name) for name in ("source", "subfolder", "revision"))
    file = None
    if source:
        file, revision = checkpoints.find_file(source, revision)
        source = source if file is None else _value(own, "config")
    if not source:
        source, home_revision, _ = _home(whole)
        revision = revision or home_revision
        subfolder = subfolder or (f"{base}/{role}" if base else role)
    variant = _value(own if "variant" in own else whole, "variant")
    home_role = claims.home(role)
    return Request(str(source), revision, variant, subfolder or "", home_role, insists="variant" in own,
                   without=frozenset() if file is None else frozenset({home_role}))  # fmt: skip


def _lacking_file(settings: Mapping[str, Setting]) -> Request | None:
    """Return what the cache lacks of the hub where the `source` of `settings` is a file there; None for all else."""
    source, revision = _value(settings, "source"), _value(settings, "revision")
    if not isinstance(source, str):
        return None
    try:
        checkpoints.find_file(source, revision)
    except CheckpointError:
        return hub_files.of_file(source, revision)
    return None


def _home(settings: Mapping[str, Setting]) -> tuple[str, str | None, frozenset[str]]:
    """Return the source and revision of a model's configurations, and the roles whose weights its single file has.

    There are none without such a file, nor in one that can't be read or isn't there.
    """
    source, revision = str(_value(settings, "source")), _value(settings, "revision")
    try:
        file, left = checkpoints.find_file(source, revision)
        if file is None:
            return source, revision, frozenset()
        named = _value(settings, "config") or checkpoints.default_config(file)
        return named, left, single_files.likely_roles(checkpoints.single_header(file))
    except (CheckpointError, OSError):
        return source, revision, frozenset()


def quantized_roles(model: Model, parts: Iterable[str], info: PipelineInfo) -> set[str]:
    """Return those of the roles `parts` that the model's own quantizer is for."""
    listed = model.settings.get("quantizer_map")
    if listed is not None and listed.value is not None:
        return set(_names(listed))
    return {*info.denoisers, *info.text_encoders} & set(parts)


def default_dtype(device: str) -> str:
    """Return the data type of weights where a script names none: convolutions in half precision are slow on CPUs."""
    return "float32" if device == "cpu" else "float16"


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


def _content(model: Model) -> Any:
    """Return what is equal for two models that are made alike by the same parts of a script.

    Their defaults are left out: those are what `generate` does with a model.
    """
    blocks = [
        model.settings, *(model.parts[role] for role in sorted(model.parts)),
        *(each.settings for adapters in model.adapters.values() for each in adapters),
    ]  # fmt: skip
    return model.name, tuple((role, model.part_spans.get(role)) for role in sorted(model.parts)), tuple(
        tuple((name, _identity(setting.value), setting.span, setting.layer) for name, setting in block.items())
        for block in blocks
    )  # fmt: skip


def _settings(model: Model) -> Any:
    """Return what is equal for two models whose settings are, wherever in a script they stand."""
    adapters = [(kind, each.settings) for kind in sorted(model.adapters) for each in model.adapters[kind]]
    blocks = [("", model.settings), *sorted(model.parts.items()), *adapters]
    return tuple(
        (role, tuple((name, _identity(block[name].value)) for name in sorted(block))) for role, block in blocks
    )


def _identity(value: Any) -> Any:
    """Return what is equal for equal values of a setting only, and can be a key."""
    if isinstance(value, Quantizer):
        return value.name, value
    if isinstance(value, tuple | Mapping):
        return shown(value)
    return type(value), value


def _value(settings: Mapping[str, Setting], name: str) -> Any:
    setting = settings.get(name)
    return None if setting is None or setting.value is UNKNOWN else setting.value


def _names(setting: Setting | None) -> list[str]:
    if setting is None or setting.value is None or setting.value is UNKNOWN:
        return []
    return [setting.value] if isinstance(setting.value, str) else list(setting.value)


def _newer_source(model: Model) -> tuple[Label, ...]:
    """Return the place where `model` was given another checkpoint than it was declared with."""
    source = model.settings["source"]
    return (Label(source.span, "not in this checkpoint"),) if source.layer in ("override", "with") else ()


def _blames_variant(error: CheckpointError, own: Mapping[str, Setting]) -> bool:
    return error.code == "missing-variant" and _value(own, "variant") is not None


def _any_variant(folder: Path, variant: str) -> bool:
    return any(checkpoints.has_variant(folder, entry.name, variant) for entry in folder.iterdir() if entry.is_dir())


def _variants_help(folder: Path) -> str:
    found = sorted(
        {name for entry in folder.iterdir() if entry.is_dir() for name in checkpoints.variants(folder, entry.name)}
    )
    return "it has: " + ", ".join(f"`{name}`" for name in found) if found else "leave `variant` out: it has none"


def _unreadable(source: str, error: Exception) -> CheckpointError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a name of a file"
    return CheckpointError("unreadable", f"`{source}` can't be read: {reason.lower()}")
