"""A picture's recipe: what a script says that makes it, as values that can still be changed, and the script's text.

Made of a record or of A1111's form, changed by `--set`. The text is checked and planned like any script, and so nothing
here asks whether a model is there or a setting sound.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import PurePosixPath
from typing import Any

from aquatint.catalog import pipelines
from aquatint.catalog.arguments import PICTURE, TENSOR, VIDEO, problem, scriptable
from aquatint.catalog.ip_adapters import IMAGE_ENCODER
from aquatint.catalog.language_models import ROLES
from aquatint.catalog.loras import SECOND
from aquatint.catalog.models import IP_ADAPTER, LORA, TEXTUAL_INVERSION
from aquatint.catalog.pipelines import Argument
from aquatint.catalog.prompt_plugins import prompt_plugin
from aquatint.catalog.quantizers import backend, canonical, parse_uri, problems
from aquatint.catalog.tasks import first_of
from aquatint.catalog.uris import UriError, parts, read_options
from aquatint.interface.generate_script import block, is_free, model_name, quoted
from aquatint.runtime.record import (
    ComponentRecord,
    ImageRecord,
    PictureRecord,
    PictureRecords,
    QuantizationRecord,
    WeighterRecord,
)
from aquatint.source import Source

_FIRST = ("prompt", "negative_prompt")
_LAST = (
    "size", "scheduler", "weighter", "seed", "images", "images_per_batch", "fps", "output", "metadata", "sidecar",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Written:
    """An expression as it stands in the script, such as the name of a quantizer."""

    text: str


Settings = dict[str, Any]
"""Settings by name: JSON values, or `Written`."""


@dataclass(slots=True)
class Recipe:
    """One model and one image. `parts` has the settings of submodules by role, None for one that is left out.

    `roles` are the submodules that the picture was made with, or without; `quantized` those that the model's own
    quantizer is for. `pipeline` is the class, empty if nobody knows. `size` is kept as `width` and `height`.
    `adapters` has the settings of each adapter by the words that begin their blocks, and `weighters` those of weighters
    by the script's names for them.
    `batch` has the seeds and prompts of all images of its call, where there were others; `index` says which it was.
    """

    model: str
    pipeline: str = ""
    roles: tuple[str, ...] = ()
    quantized: frozenset[str] = frozenset()
    params: list[str] = field(default_factory=list)
    quantizers: dict[str, QuantizationRecord] = field(default_factory=dict)
    weighters: dict[str, Settings] = field(default_factory=dict)
    settings: Settings = field(default_factory=dict)
    parts: dict[str, Settings | None] = field(default_factory=dict)
    adapters: dict[str, list[Settings]] = field(default_factory=dict)
    arguments: Settings = field(default_factory=dict)
    batch: list[Settings] = field(default_factory=list)
    index: int = 0

    def calls_for(self) -> list[Settings]:
        """Return the arguments of each statement: of the image's own, and in their order of those in its batch.

        What was asked to be made in another way is made without the others.
        """
        if not self.batch or {"images", "images_per_batch"} & self.arguments.keys():
            return [self.arguments]
        shared = {**self.arguments, "images_per_batch": len(self.batch)}
        output = PurePosixPath(str(self.arguments.get("output", f"{self.model}.png")))
        return [
            shared if number == self.index
            else {**shared, **own, "output": str(output.with_name(f"{output.stem}-{number + 1}{output.suffix}"))}
            for number, own in enumerate(self.batch)
        ]  # fmt: skip


def of_record(record: ImageRecord) -> Recipe:
    """Return the recipe of the image that `record` is about; it says nothing of the file to write."""
    pipeline = record.pipeline
    info = pipelines.pipeline(pipeline.class_name)
    # What a weighter loads is said by the weighter's own settings.
    beside = {*pipeline.adapters, *(ROLES if record.weighter is not None else ())}
    components = {role: part for role, part in record.components.items() if role not in beside}
    weighty = {role: part for role, part in components.items() if part.dtype is not None}
    covered = frozenset({*info.denoisers, *info.text_encoders} & weighty.keys()) if info else frozenset()
    # The model's settings are those of its denoiser: the other submodules say where they differ.
    main = next((weighty[role] for role in (*(info.denoisers if info else ()), *weighty) if role in weighty), None)
    made = Recipe(
        record.model if is_free(record.model) else model_name(pipeline.file or pipeline.source), pipeline.class_name,
        (*components, *pipeline.omitted), covered,
    )  # fmt: skip
    chosen = {role: _quantizer(part.quantization, made) for role, part in weighty.items()}
    own = next((chosen[role] for role in covered if weighty[role] is main), None)
    made.settings = {
        **(
            {"source": pipeline.source}
            if pipeline.file is None
            else {"source": pipeline.file, "config": pipeline.source}
        ),
        **({"subfolder": pipeline.subfolder} if pipeline.subfolder else {}),
        **({} if pipeline.revision is None else {"revision": pipeline.revision}),
        **({} if main is None else {"dtype": main.dtype}),
        **({} if main is None or main.variant is None else {"variant": main.variant}),
        **({} if main is None or main.device == record.engine.get("device", main.device) else {"device": main.device}),
        **({} if own is None else {"quantizer": own}),
        **({} if pipeline.offload is None else {"offload": pipeline.offload}),
    }
    made.adapters = {
        LORA.name: [
            {
                **_file(record.components[role]),
                **({} if use.weight == 1 else {"weight": use.weight}),
                **({"load_into_transformer_2": True} if use.roles == [SECOND] else {}),
            }
            for role, use in pipeline.loras.items()
        ],
        TEXTUAL_INVERSION.name: [
            {**_file(record.components[role]), "token": use.token} for role, use in pipeline.textual_inversions.items()
        ],
        IP_ADAPTER.name: [
            {**_file(record.components[role]), **({} if pictured.scale == 1 else {"scale": pictured.scale})}
            for role, pictured in pipeline.ip_adapters.items()
        ],
    }
    if pipeline.ip_adapters and IMAGE_ENCODER not in components and IMAGE_ENCODER not in pipeline.omitted:
        made.parts[IMAGE_ENCODER] = None  # left alone, it would be looked for beside the IP-Adapter
    for role, part in components.items():
        settings = _place(role, part, record)
        if main is not None and role in weighty:
            if part.dtype != main.dtype:
                settings["dtype"] = part.dtype
            if part.device != main.device:
                settings["device"] = part.device
            if part.variant != main.variant:
                settings["variant"] = part.variant
            if chosen[role] != (own if role in covered else None):
                settings["quantizer"] = chosen[role]
        settings |= pipeline.computing.get(role, {})
        if settings:
            made.parts[role] = settings
    made.parts |= dict.fromkeys(pipeline.omitted)
    scheduler = record.components.get("scheduler")
    made.arguments = {
        **record.arguments,
        **({"scheduler": record.scheduler} if scheduler and record.scheduler != scheduler.class_name else {}),
        **{
            name: _files(files, None if info is None else scriptable(info).get(name))
            for name, files in record.pictures.items()
        },
        **({} if record.scaled is None else dict(zip(("width", "height"), record.scaled, strict=True))),
        **({} if record.weighter is None else {"weighter": _weighter(record.weighter, record.components, made)}),
        **({} if record.fps is None else {"fps": _plain(record.fps)}),
        "seed": record.seed,
    }
    if record.batch is not None:
        made.batch = [{**each.prompts, "seed": each.seed} for each in record.batch.images]
        made.index = record.batch.index
    return made


def _place(role: str, part: ComponentRecord, record: ImageRecord) -> Settings:
    """Return where a submodule is, if it isn't where the model has it."""
    pipeline = record.pipeline
    inherited = str(PurePosixPath(pipeline.subfolder) / role)
    if part.file is not None and part.file != pipeline.file:
        return _given(source=part.file, config=part.source, subfolder=part.subfolder, revision=part.revision)
    if part.file is None and pipeline.file is not None and part.dtype is not None and part.source == pipeline.source:
        # Left out, it would be taken from the file if that has it, too.
        inherited = ""
    # Of controlnets and the like a checkpoint has none beside the first.
    is_further = first_of(role) is not None
    if is_further or (part.source, part.revision) != (pipeline.source, pipeline.revision):
        return _given(source=part.source, subfolder=part.subfolder, revision=part.revision)
    return {} if part.subfolder == inherited else {"subfolder": part.subfolder}


def _file(part: ComponentRecord) -> Settings:
    """Return the settings that say where the file of an adapter is."""
    inside = PurePosixPath(part.subfolder)
    return _given(
        source=part.source,
        subfolder=str(inside.parent) if len(inside.parts) > 1 else None,
        weight_name=inside.name if part.subfolder else None,
        revision=part.revision,
    )


def _given(**settings: Any) -> Settings:
    """Return those of `settings` that have a value."""
    return {name: value for name, value in settings.items() if value is not None}


def _weighter(weighter: WeighterRecord, components: Mapping[str, ComponentRecord], recipe: Recipe) -> str | Written:
    """Return the expression for a weighter, which becomes one of the recipe's unless it was written as a URI.

    Of what it loads from the hub it names the commits that the picture was made with.
    """
    plugin = prompt_plugin("weighter", weighter.plugin)
    commits = {
        each.revision_setting: found.revision
        for each in (() if plugin is None else plugin.parts(weighter.options))
        if (found := components.get(each.role)) is not None and found.revision is not None
    }
    schema = None if plugin is None else plugin.schema
    head, *given = parts(weighter.name)
    if plugin is not None and head[1] == plugin.name and weighter.quantization is None and not commits:
        read = read_options(given, plugin.schema)
        if not read.errors and plugin.canonical(read.values) == weighter.options:
            return weighter.name
    settings: Settings = {"plugin": weighter.plugin}
    for name, value in (weighter.options | commits).items():
        known = None if schema is None else schema.find(name)
        if known is None or value != known.default:
            settings[name] = value
    if weighter.quantization is not None and schema is not None:
        own = next((each.name for each in schema.settings if each.type == "quantizer"), None)
        if own is not None:
            settings[own] = _quantizer(weighter.quantization, recipe)
    names = _names(weighter.name.partition(";")[0], "weighter", recipe)
    name = next(each for each in names if each not in recipe.quantizers)
    recipe.weighters[name] = settings
    return Written(name)


def _quantizer(quantization: QuantizationRecord | None, recipe: Recipe) -> Any:
    """Return the expression for a quantizer, which becomes one of the recipe's unless it was written as a URI."""
    if quantization is None:
        return None
    name = quantization.name
    if _is_uri_of(name, quantization):
        return name
    # One that there is already will do if it has the same settings.
    free = next(
        each for each in _names(name, "quantizer", recipe)
        if (known := recipe.quantizers.get(each)) is None
        or (known.backend, known.options) == (quantization.backend, quantization.options)
    )  # fmt: skip
    recipe.quantizers.setdefault(free, quantization)
    return Written(free)


def _names(text: str, kind: str, recipe: Recipe) -> Iterator[str]:
    """Yield names like `text` for what is of a `kind`, which nothing else here is called."""
    stem = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")[:60]
    stem = stem if stem.isidentifier() else f"{kind}_{stem}".rstrip("_")
    names = chain([stem], (f"{stem}_{number}" for number in count(2)))
    return (each for each in names if each not in (recipe.model, *recipe.weighters) and is_free(each))


def _files(pictures: PictureRecords, argument: Argument | None) -> Any:
    paths = [_path(each) for each in pictures]
    takes_one = argument is None or any(problem(argument, each) is None for each in (PICTURE, TENSOR, VIDEO))
    return paths[0] if len(paths) == 1 and takes_one else paths


def _path(picture: PictureRecord | list[PictureRecord | None] | None) -> Any:
    if isinstance(picture, list):
        return [_path(each) for each in picture]
    return None if picture is None else picture.path


def _is_uri_of(text: str, quantization: QuantizationRecord) -> bool:
    try:
        name, options = parse_uri(text)
    except UriError:
        return False
    return (
        name == quantization.backend
        and not problems(name, options)
        and canonical(name, options) == canonical(name, quantization.options)
    )


def text_of(recipe: Recipe, head: Iterable[str] = ()) -> str:
    """Return the recipe as a script in canonical form, below comments with the lines of `head`."""
    from aquatint.syntax.formatting import formatted
    from aquatint.syntax.parser import parse

    comments = [f"# {_line(each)}".rstrip() for each in head]
    blocks = [comments, recipe.params]
    blocks += [block(f"quantizer {name}", _options(each)) for name, each in recipe.quantizers.items()]
    blocks += [block(f"weighter {name}", _settings(each)) for name, each in recipe.weighters.items()]
    blocks.append(
        block(f"model {recipe.model}", [*_settings(recipe.settings), *_parts(recipe.parts), *_adapters(recipe)])
    )
    blocks += [block(f"generate {recipe.model}", _settings(_ordered(each))) for each in recipe.calls_for()]
    text = "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"
    return formatted(parse(Source("", text)).script)


def _line(text: str) -> str:
    # A line break would end the comment.
    return "".join(character if character.isprintable() else " " for character in text)


def _ordered(arguments: Settings) -> Settings:
    arguments = dict(arguments)
    sides = [arguments.get(side) for side in ("width", "height")]
    if all(isinstance(side, int) and not isinstance(side, bool) and side >= 0 for side in sides):
        del arguments["width"], arguments["height"]
        arguments["size"] = Written(f"{sides[0]}x{sides[1]}")
    between = sorted(arguments.keys() - {*_FIRST, *_LAST})
    return {name: arguments[name] for name in (*_FIRST, *between, *_LAST) if name in arguments}


def _parts(parts: Mapping[str, Settings | None]) -> Iterator[str]:
    for role, settings in parts.items():
        if settings is None:
            yield f"{role}: none"
        elif settings:
            yield f"{role} {{ {', '.join(_settings(settings))} }}"


def _adapters(recipe: Recipe) -> Iterator[str]:
    for kind, own in recipe.adapters.items():
        for settings in own:
            yield f"{kind} {{ {', '.join(_settings(settings))} }}"


def _options(quantizer: QuantizationRecord) -> Iterator[str]:
    """Yield the backend and the options that aren't their defaults."""
    options = quantizer.options
    found = backend(quantizer.backend)
    if found is not None:
        defaults = canonical(quantizer.backend, {})
        # What a quantizer is called by is written always: no reader knows the defaults.
        first = found.schema.settings[0].name
        own = {name: options[name] for name in options if name == first or options[name] != defaults.get(name)}
        # A default may follow from another option.
        if not problems(quantizer.backend, own) and canonical(quantizer.backend, own) == canonical(
            quantizer.backend, options
        ):
            options = own
    return _settings({"backend": quantizer.backend, **options})


def _settings(settings: Settings) -> Iterator[str]:
    for name, value in settings.items():
        # Where these stand the language has words for them, which need no quotes.
        is_word = name in ("backend", "dtype", "device") or name.endswith("_dtype") or name.endswith("_quant_type")
        yield f"{name}: {value if is_word and _is_word(value) else expression(value)}"


def _is_word(value: Any) -> bool:
    from aquatint.language.builtins import prelude

    bound = prelude().find(value) if isinstance(value, str) and value.isidentifier() else None
    return bound is not None and bound.value == value


def expression(value: Any) -> str:
    """Return an expression for exactly `value`: no text in it is a template."""
    match value:
        case Written():
            return value.text
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case dict():
            entries = ", ".join(f"{_key(name)}: {expression(each)}" for name, each in value.items())
            return f"{{ {entries} }}" if entries else "{}"
        case list() | tuple():
            return f"[{', '.join(map(expression, value))}]"
        case _:
            return repr(value)


def _key(name: str) -> str:
    return name if name.isascii() and name.isidentifier() else f"({quoted(name)})"


def _plain(number: float) -> float:
    return int(number) if number.is_integer() else number
