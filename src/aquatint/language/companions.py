"""The components of what works beside a model: language models that write prompts, and the parts of weighters.

Holds how their settings come to components as submodules' do, in `components`; what is said to whom and when is the
business of `prompting` and `weighting`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aquatint.catalog import checkpoints, language_models, llm4gen, pipelines
from aquatint.catalog.checkpoints import CheckpointError, Part
from aquatint.catalog.hub_files import Request
from aquatint.catalog.language_models import Wanted
from aquatint.catalog.layers import WIDTHS
from aquatint.language import alike
from aquatint.language.components import Components, Place, default_dtype
from aquatint.language.revisions import takes_revision
from aquatint.language.sources import unreadable
from aquatint.language.values import Model, Setting, known
from aquatint.plan.keys import component_key
from aquatint.plan.steps import ByteRange, Component
from aquatint.source import Span


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


class Companions:
    """Finds the components of language models and weighters, each distinct one's once."""

    def __init__(self, components: Components) -> None:
        self.components = components
        self.world, self.sources, self.diagnostics = components.world, components.sources, components.diagnostics
        self._language_models: dict[Any, Spoken | None] = {}
        self._of_weighters: dict[Any, Added | None] = {}

    def language_model(self, name: str, settings: Mapping[str, Setting]) -> Spoken | None:
        """Return what the language model of the prompt plugin called `name` comes to, or None after reporting why not.

        `settings` are its `source`, and those of `revision`, `subfolder`, `variant`, `dtype`, `device` and `quantizer`
        that are given.
        """
        content = name, tuple((key, alike.identity(each.value), each.span) for key, each in sorted(settings.items()))
        if content not in self._language_models:
            self._language_models[content] = self._spoken(name, settings)
        return self._language_models[content]

    def _spoken(self, name: str, settings: Mapping[str, Setting]) -> Spoken | None:
        source, revision = settings["source"], known(settings, "revision")
        inside = known(settings, "subfolder") or ""
        if not takes_revision(settings, source.value, self.diagnostics):
            return None
        request = Request(source.value, revision, known(settings, "variant"), inside, language_models.MODEL)
        try:
            found = checkpoints.find(source.value, revision)
            read = language_models.read(found.folder, source.value, inside)
        except CheckpointError as error:
            self.sources.report_source(source.value, error, source.span, request)
            return None
        except (OSError, ValueError) as error:
            self.sources.report(unreadable(source.value, error), source.span)
            return None
        places = [
            Place(source.value, found.revision, found.folder, part, source.span)
            for part in (read.model, read.tokenizer)
        ]
        components = self._outside(name, settings, places)
        return None if components is None else Spoken(components, source.value, found.revision, read.talks)

    def _outside(
        self, name: str, settings: Mapping[str, Setting], places: Iterable[Place]
    ) -> dict[str, Component] | None:  # fmt: skip
        """Return the components at `places`, which are no model's, by role, or None after reporting why not.

        `settings` are as those of `language_model`, for the one with weights.
        """
        # To the rest of this module it is a model of some submodules, which say themselves where they are.
        whole = {key: setting for key, setting in settings.items() if key in ("source", "quantizer", "device")}
        own = {key: setting for key, setting in settings.items() if key not in ("quantizer", "device")}
        model = Model(name, settings["source"].span, whole, {language_models.MODEL: own}, {}, {})
        self.components.begin(None)
        components: dict[str, Component] = {}
        wanted = list(places)
        for place in wanted:
            component = self.components.component(model, place.part.role, place, None, place.part.has_weights)
            if component is not None:
                components[place.part.role] = component
        if not self.components.are_sound(model, components):
            return None
        return components if len(components) == len(wanted) else None

    def weighter(
        self, name: str, wanted: tuple[Wanted, ...], settings: Mapping[str, Setting], at: Span
    ) -> Added | None:  # fmt: skip
        """Return what the parts that the weighter called `name` asks for come to, or None after reporting why not.

        `settings` are those of it that were given; what is in none of them is reported `at`.
        """
        places = {each.role: settings[each.setting].span if each.setting in settings else at for each in wanted}
        given = tuple((key, alike.identity(each.value)) for key, each in sorted(settings.items()))
        content = name, wanted, given, tuple(places.values())
        if content not in self._of_weighters:
            self._of_weighters[content] = self._added(name, wanted, settings, places)
        return self._of_weighters[content]

    def _added(
        self, name: str, wanted: Iterable[Wanted], settings: Mapping[str, Setting], at: Mapping[str, Span]
    ) -> Added | None:  # fmt: skip
        places: list[Place] = []
        projector: Component | None = None
        width = takes = made = 0
        lacking: set[str] = set()  # the sources of what can't be had
        dtype = known(settings, "llm_dtype") or default_dtype(self.world.device)
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
                places.append(Place(each.source, found.revision, found.folder, part, span))
            except CheckpointError as error:
                request = Request(each.source, each.revision, None, each.subfolder, each.role, file=each.file)
                self.sources.report_source(each.source, error, span, request)
                lacking.add(each.source)
            except (OSError, ValueError) as error:
                self.sources.report(unreadable(each.source, error), span)
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
