"""From a submodule's settings to its files, and from those to a component of a plan.

Holds where each submodule's files are, and what its weights come to: its key, bytes and working memory. Which
submodules a model has, and whether they fit each other, is `resolution`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import UNSET

from aquatint.catalog import checkpoints, estimates
from aquatint.catalog.call_checks import Configured
from aquatint.catalog.checkpoints import Checkpoint, CheckpointError, Part, Tensor
from aquatint.catalog.configured_sizes import contradiction
from aquatint.catalog.estimates import Estimate
from aquatint.catalog.gguf_files import PACKAGE, is_gguf
from aquatint.catalog.layers import Network
from aquatint.catalog.pipelines import is_denoiser, is_text_encoder
from aquatint.catalog.quantizers import canonical
from aquatint.catalog.working import Working, working
from aquatint.diagnostics import Diagnostics
from aquatint.language import claims, coverage, devices, prequantized, sources, suitability
from aquatint.language.coverage import Use
from aquatint.language.revisions import takes_revision
from aquatint.language.sources import Sources
from aquatint.language.values import Model, Quantizer, Setting, known
from aquatint.language.world import World
from aquatint.plan.keys import component_key
from aquatint.plan.steps import ByteRange, Component, Quantization
from aquatint.source import Span


@dataclass(frozen=True, slots=True)
class Place:
    """Where one component's files are."""

    source: str
    revision: str | None
    folder: Path
    part: Part
    span: Span


class Components:
    """Makes the components of one model after another: each begins with `begin`, and ends with `are_sound`."""

    def __init__(self, world: World, reporting: Sources, diagnostics: Diagnostics) -> None:
        self.world = world
        self.sources = reporting
        self.diagnostics = diagnostics
        self.configs: dict[str, Mapping[str, Any]] = {}  # the configurations of components with weights, by key
        self.uses: list[Use] = []
        self.offload: str | None = None
        self._contradictions: list[prequantized.Contradiction] = []
        self._filed: dict[Any, tuple[Network, list[Tensor], Estimate]] = {}
        self._working: dict[Any, Working] = {}
        self._identities: dict[Any, str] = {}

    def begin(self, offload: str | None) -> None:
        """Begin with the components of a model of that `offload`."""
        self.uses, self._contradictions, self.offload = [], [], offload

    def are_sound(self, model: Model, components: Mapping[str, Component]) -> bool:
        """Return whether the `components` of `model`, by role, can be what their settings say, after reporting."""
        chosen = {use.role: use.chosen for use in self.uses}
        sound = suitability.check(model, components, chosen, self.diagnostics)
        prequantized.report(self._contradictions, self.diagnostics)
        return coverage.check(self.uses, self.diagnostics) and sound and not self._contradictions

    def configured(self, parts: Mapping[str, str | None]) -> Configured:
        """Return what looks up a setting of a configuration in a pipeline of `parts`, keys of components by role."""

        def setting(role: str, name: str) -> object:
            return self.configs.get(parts.get(role) or "", {}).get(name)

        return setting

    def place(self, model: Model, role: str, part: Part, base: Checkpoint, span: Span) -> Place | None:
        """Return where the files of the submodule `role` of `model` are, or None after reporting why they aren't.

        `part` is what `base`, the model's own checkpoint, named at `span`, has in that role.
        """
        settings = model.parts.get(role, {})
        source, subfolder = settings.get("source"), settings.get("subfolder")
        revision = known(settings, "revision")
        at = source if source is not None and source.value is not None else subfolder
        named = base.source if source is None or source.value is None else source.value
        if not takes_revision(settings, named, self.diagnostics, has_config=True):
            return None
        try:
            if source is not None and source.value is not None:
                file, left = checkpoints.find_file(source.value, revision)
                if file is not None:
                    return self._single_place(part, base, settings, file, left, source.span)
                if (config := settings.get("config")) is not None and config.value is not None:
                    self.sources.refuse_config(source, config)
                    return None
                return self._other_place(role, part, source, known(settings, "subfolder"), revision)
            folder, found = base.folder, base.revision
            if revision is not None:
                folder, found = sources.found(base.source, revision)
            if revision is not None or (subfolder is not None and subfolder.value is not None):
                inside = part.subfolder if subfolder is None or subfolder.value is None else subfolder.value
                part = checkpoints.read_component(folder, inside, part)
            return Place(base.source, found, folder, part, span)
        except CheckpointError as error:
            where = at.span if at is not None else span
            wanted = sources.request(model, role)
            self.sources.report_source(known(settings, "source") or base.source, error, where, wanted)
        except (OSError, ValueError) as error:
            self.sources.report(sources.unreadable(base.source, error), at.span if at is not None else span)
        return None

    def _single_place(
        self, part: Part, base: Checkpoint, settings: Mapping[str, Setting], file: str, revision: str | None, at: Span
    ) -> Place:  # fmt: skip
        """Return the place of a submodule that is a single `file`; its configuration is the model's unless it is said.

        `revision` is that of the configuration. Raises `CheckpointError`.
        """
        config, subfolder = (known(settings, name) for name in ("config", "subfolder"))
        named, folder, found = base.source, base.folder, base.revision
        inside = part.subfolder if subfolder is None else subfolder
        if config is not None:
            named = config
            folder, found = sources.found(config, revision)
            if subfolder is None:
                inside = part.role if (folder / part.role).is_dir() else ""
        elif revision is not None:
            folder, found = sources.found(base.source, revision)
        like = checkpoints.read_component(folder, inside, part)
        return Place(named, found, folder, checkpoints.from_file(like, folder, file), at)

    def _other_place(
        self, role: str, part: Part, source: Setting, subfolder: str | None, revision: str | None
    ) -> Place | None:
        folder, found = sources.found(source.value, revision)
        own = claims.home(role)
        inside = subfolder if subfolder is not None else own if (folder / own).is_dir() else ""
        other = checkpoints.read_component(folder, inside, part)
        return Place(source.value, found, folder, other, source.span)

    def component(
        self, model: Model, role: str, place: Place, base: Checkpoint | None, is_quantized: bool
    ) -> Component | None:  # fmt: skip
        """Return the component that the submodule `role` of `model` comes to, or None after reporting why it can't be.

        `base` is the model's own checkpoint, if any; `is_quantized` says that the model's quantizer is for it.
        """
        own = model.parts.get(role, {})
        part = place.part
        try:
            if not part.has_weights:
                return self._made(role, place, None, None, None, self.world.device)
            variant = known(own if "variant" in own else model.settings, "variant") if part.file is None else None
            if part.file is None and base is not None and base.file is not None and place.source == base.source:
                _require_weights(role, place, base)
            if (
                variant is not None
                and "variant" not in own
                and not checkpoints.has_variant(place.folder, part.subfolder, variant)
            ):
                # As diffusers does: a variant that only some components have is used for those.
                beside = (place.folder / part.subfolder).parent
                if known(own, "source") is None and not _any_variant(beside, variant):
                    message = f"`{place.source}` has no variant `{variant}`"
                    error = CheckpointError("missing-variant", message, _variants_help(beside))
                    self.sources.report(error, model.settings["variant"].span, sources.request(model))
                    return None
                variant = None
            dtype = (
                known(own, "dtype")
                or known(model.settings, "dtype")
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
                self.uses.append(coverage.use(chosen, "quantizer" in own, place.folder, part, variant, dtype))
            return self._made(role, place, variant, dtype, quantizer, devices.of_part(model, role, self.world))
        except CheckpointError as error:
            at = own["variant"].span if _blames_variant(error, own) else place.span
            self.sources.report(error, at, sources.request(model, role))
        except (OSError, ValueError) as error:
            self.sources.report(sources.unreadable(place.source, error), place.span)
        return None

    def _made(
        self, role: str, place: Place, variant: str | None, dtype: str | None, quantizer: Quantizer | None,
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
        offload = self.offload if part.has_weights else None
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
                is_plain = network.is_named and part.stored is None and part.file is None
                wrong = contradiction(part.class_name, network.config, tensors, is_plain=is_plain)
                if wrong is not None:
                    where = "/".join(each for each in (place.source, part.subfolder, "config.json") if each)
                    raise CheckpointError("damaged-checkpoint", f"`{where}` {wrong}", "fetch the checkpoint again")
                self._filed[files] = network, tensors, estimates.as_read(part, network, tensors)
            network, tensors, before = self._filed[files]
            self.configs[key] = network.config
            after = next((use.estimate for use in self.uses if use.role == role), before)
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


def _require_weights(role: str, place: Place, base: Checkpoint) -> None:
    """Raise `CheckpointError` for a submodule that neither a single file nor the folder of its configurations has."""
    inside = place.folder / place.part.subfolder
    if not any(file.suffix in checkpoints.WEIGHT_SUFFIXES for file in inside.iterdir()):
        raise CheckpointError(
            "missing-weights", f"neither `{base.file}` nor `{base.source}` has the weights of `{role}`",
            f"say where they are: `{role} {{ source: ... }}`",
        )  # fmt: skip


def default_dtype(device: str) -> str:
    """Return the data type of weights where a script names none: convolutions in half precision are slow on CPUs."""
    return "float32" if device == "cpu" else "float16"


def _blames_variant(error: CheckpointError, own: Mapping[str, Setting]) -> bool:
    return error.code == "missing-variant" and known(own, "variant") is not None


def _any_variant(folder: Path, variant: str) -> bool:
    return any(checkpoints.has_variant(folder, entry.name, variant) for entry in folder.iterdir() if entry.is_dir())


def _variants_help(folder: Path) -> str:
    found = sorted(
        {name for entry in folder.iterdir() if entry.is_dir() for name in checkpoints.variants(folder, entry.name)}
    )
    return "it has: " + ", ".join(f"`{name}`" for name in found) if found else "leave `variant` out: it has none"
