"""What expressions stand for: the language's own values beside Python's numbers, strings, tuples and maps.

All are immutable. How they are made is in `expressions` and `evaluate`; how messages and templates show them is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, Literal

from aquatint.catalog import quantizers
from aquatint.catalog.adapter_files import Named
from aquatint.catalog.media import Kind
from aquatint.catalog.models import IP_ADAPTER, LORA, MODEL, TEXTUAL_INVERSION
from aquatint.catalog.prompt_plugins import PromptPlugin
from aquatint.language.scope import UNKNOWN as UNKNOWN
from aquatint.language.scope import Scope
from aquatint.language.scope import Unknown as Unknown
from aquatint.plan.steps import Hole, ImageRef, PictureFile, TensorFile, TensorRef, Text, VideoFile
from aquatint.plan.texts import shown as shown_line
from aquatint.source import Span
from aquatint.syntax import nodes as n

ITEM_LIMIT = 1_000_000
"""How much of a value there may be: `weight` says how that is counted."""

Layer = Literal["default", "quantizer", "model", "submodule", "override", "with", "statement"]
"""Which part of a script set a value."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that a block gives to a name: where its name and value stand, and which layer set it.

    `before` is the setting of a lower layer that it replaces. `items` has the place of each item where the value is
    written as a list.
    """

    value: Any
    span: Span
    name_span: Span
    layer: Layer
    before: Setting | None = field(default=None, compare=False, repr=False)
    items: tuple[Span, ...] = field(default=(), compare=False, repr=False)

    def place(self, index: int) -> Span:
        """Return the place of item number `index` (from 0) of a list, the whole value's if it has none of its own."""
        return self.items[index] if index < len(self.items) else self.span


def known(settings: Mapping[str, Setting], name: str) -> Any:
    """Return the value of the setting `name`, None where there is none, or where it isn't known."""
    setting = settings.get(name)
    return None if setting is None or setting.value is UNKNOWN else setting.value


def layered(below: Mapping[str, Setting], above: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return the settings `above` on top of those `below`; each knows the one that it replaces."""
    replacing = {
        name: replace(setting, before=below[name]) if name in below else setting for name, setting in above.items()
    }
    return {**below, **replacing}


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def sides(settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Return those of `width` and `height` that settings come to: a `size` yields to a statement's own side only."""
    found = {side: settings[side].value for side in ("width", "height") if side in settings}
    size = settings.get("size")
    if size is not None and isinstance(size.value, Size):
        for side in ("width", "height"):
            if side not in settings or settings[side].layer != "statement" or size.layer == "statement":
                found[side] = getattr(size.value, side)
    return found


class PathText(str):
    """A string that names a file: a string like any other, which can be asked for its parts."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return PurePosixPath(self).name

    @property
    def stem(self) -> str:
        return PurePosixPath(self).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self).suffix

    @property
    def parent(self) -> PathText:
        return PathText(PurePosixPath(self).parent)

    def members(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in PATH_MEMBERS}


PATH_MEMBERS = ("name", "stem", "suffix", "parent")


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A member that has no value in this plan: why, and what to do about it."""

    message: str
    help: str


@dataclass(frozen=True, slots=True)
class Device:
    """What the plan is made for. `memory` is in bytes, None where that can't be found out."""

    kind: str
    name: str
    memory: int | None
    supports: Builtin = field(compare=False, repr=False)

    def members(self) -> dict[str, Any]:
        message = f"how much memory `{self.kind}` has can't be found out here"
        unknown = Unavailable(message, "say it: `--device-memory 12GiB`")
        memory = unknown if self.memory is None else self.memory
        return {"kind": self.kind, "name": self.name, "memory": memory, "supports": self.supports}

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Quantizer:
    """A quantizer: its backend and those options that were given, under their canonical names.

    Two are equal if they quantize alike, whatever they are called.
    """

    name: str = field(compare=False)
    backend: str
    options: Mapping[str, Any] = field(compare=False)
    settings: Mapping[str, Setting] = field(compare=False, repr=False)
    canonical: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, name: str, backend: str, settings: Mapping[str, Setting]) -> Quantizer:
        """Return the quantizer whose `settings` have no problems."""
        options = {key: plain(setting.value) for key, setting in settings.items()}
        full = quantizers.canonical(backend, options)
        return cls(
            name, backend, options, MappingProxyType(dict(settings)), tuple((k, repr(v)) for k, v in full.items())
        )

    def renamed(self, base: Quantizer) -> Quantizer:
        """Return this quantizer, made of `base`, under a name that tells the two apart: `q8 (sdnq int4)`."""
        if self == base:
            return self
        stem = base.name.partition(" (")[0]
        return replace(self, name=f"{stem} ({quantizers.label(self.backend, self.options)})")

    def members(self) -> dict[str, Any]:
        full = quantizers.canonical(self.backend, self.options)
        return {
            **{key: frozen(value) for key, value in full.items()},
            "name": self.name,
            "backend": self.backend,
            "label": quantizers.label(self.backend, self.options),
            "uri": quantizers.format_uri(self.backend, self.options),
        }

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA, or another adapter, that a model is given: the settings of its block, and where that is."""

    settings: Mapping[str, Setting]
    span: Span = field(repr=False)

    @property
    def name(self) -> tuple[Any, ...]:
        """What blocks of the same adapter have in common, in whatever layer they are."""
        given = (self.settings.get(name) for name in ("source", "subfolder", "weight_name"))
        values = tuple(None if setting is None else setting.value for setting in given)
        source, *inside = values
        if not isinstance(source, str) or any(not isinstance(each, str | None) for each in inside):
            return values
        named = Named(source, None, *inside).in_repository()
        return named.source, named.subfolder, named.weight_name, self.is_for_second

    @property
    def is_for_second(self) -> bool:
        """Whether it is for the second one of two transformers."""
        setting = self.settings.get("load_into_transformer_2")
        return setting is not None and setting.value is True


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model as a script describes it; what its checkpoint adds is looked up when it is used.

    `settings` are the model's own, `parts` those of each submodule's block, `adapters` by the word that begins their
    blocks, in the order of those, `defaults` those of `generate`. One that is not sound has mistakes, which have been
    reported: it comes to nothing, and is there to check its uses against.
    """

    name: str
    span: Span = field(repr=False)
    settings: Mapping[str, Setting]
    parts: Mapping[str, Mapping[str, Setting]]
    part_spans: Mapping[str, Span] = field(repr=False)
    defaults: Mapping[str, Setting]
    adapters: Mapping[str, tuple[Adapter, ...]] = field(default_factory=dict)
    is_sound: bool = True

    @property
    def loras(self) -> tuple[Adapter, ...]:
        return self.adapters.get(LORA.name, ())

    @property
    def textual_inversions(self) -> tuple[Adapter, ...]:
        return self.adapters.get(TEXTUAL_INVERSION.name, ())

    @property
    def ip_adapters(self) -> tuple[Adapter, ...]:
        return self.adapters.get(IP_ADAPTER.name, ())

    def members(self) -> dict[str, Any]:
        unset = dict.fromkeys(MODEL.names())
        return {"name": self.name, **unset, **{key: setting.value for key, setting in self.settings.items()}}

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class Prompter:
    """An upscaler or a weighter: its plugin, those of the plugin's settings that were given, and its quantizer."""

    name: str
    plugin: PromptPlugin
    settings: Mapping[str, Setting] = field(repr=False)

    @property
    def quantizer(self) -> Quantizer | None:
        found = next((s.value for n, s in self.settings.items() if isinstance(s.value, Quantizer)), None)
        return found if isinstance(found, Quantizer) else None

    def members(self) -> dict[str, Any]:
        options = self.plugin.canonical({name: plain(setting.value) for name, setting in self.settings.items()})
        return {**{key: frozen(value) for key, value in options.items()}, "name": self.name,
                "plugin": self.plugin.name, "quantizer": self.quantizer}  # fmt: skip

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Deferred:
    """A string, or a number, that is known only when the plan runs: its parts, some of which steps yield then.

    `of` says in a message what it depends on, and `span` is where that is made. `name` is for the names of files.
    """

    kind: Literal["string", "number"]
    parts: tuple[str | Hole, ...]
    of: str = field(compare=False)
    span: Span = field(compare=False, repr=False)
    name: str = field(compare=False)

    def __str__(self) -> str:
        return shown_line(Text(list(self.parts)))


@dataclass(frozen=True, slots=True)
class ImageValue:
    """One image of a result, or what else one seed comes to: of that `kind`.

    The pixels exist when the plan runs; the facts are known before, or are `Deferred`.
    """

    ref: ImageRef
    facts: Mapping[str, Any] = field(compare=False)
    kind: Kind = "image"
    tensors: tuple[str, ...] = ()  # the names of those that it is, if it is of that kind

    def members(self) -> dict[str, Any]:
        return {**self.facts, **{name: self.tensor(name) for name in self.tensors}}

    def tensor(self, name: str) -> TensorValue:
        of = self.facts["path"] or self.facts["model"]
        return TensorValue(TensorRef(self.ref.step, self.ref.index, name), str(of))

    def __str__(self) -> str:
        path = self.facts["path"]
        return f"{', '.join(self.tensors)} of {self.facts['model']}" if path is None else str(path)


@dataclass(frozen=True, slots=True)
class TensorValue:
    """One of the tensors that a statement makes for others; `of` is what messages call what it is of."""

    ref: TensorRef
    of: str = field(compare=False)

    def __str__(self) -> str:
        return f"{self.ref.name} of {self.of}"


@dataclass(frozen=True, slots=True)
class Result:
    """What `generate` yields: its images, in the order of their seeds."""

    step: str
    images: tuple[ImageValue, ...]

    def members(self) -> dict[str, Any]:
        first = self.images[0].members()
        # Its images are also its items.
        return {**first, "images": self.images, "paths": tuple(image.facts["path"] for image in self.images)}

    def __str__(self) -> str:
        return ", ".join(str(image) for image in self.images)


@dataclass(frozen=True, slots=True)
class Builtin:
    """A function of the language; `call` takes plain Python arguments and raises `ValueError` with the reason.

    One of the `outside` takes, before them, the `Outside` and the folder that paths are relative to; one that is
    `drawn`, behind these, a function that returns the seed which the plan draws for the call. One that is `lazy` only
    moves values about, or writes them, and so takes deferred ones.
    """

    name: str
    signature: str
    call: Callable[..., Any] = field(repr=False)
    outside: bool = False
    lazy: bool = False
    drawn: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Routine:
    """What `def` and `task` make. A function's body is an expression; a task's are statements, and it yields nothing.

    `scope` has the names around it as they stood where it was written, `defaults` the values of its parameters there.
    """

    name: str
    span: Span = field(repr=False)
    parameters: tuple[str, ...]
    defaults: Mapping[str, Any] = field(repr=False)
    body: n.Expression | n.Body = field(repr=False)
    scope: Scope = field(repr=False)
    signature: str

    @property
    def is_task(self) -> bool:
        return isinstance(self.body, n.Body)


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """What `include ... as` binds: the names that the included file binds outside of all blocks."""

    name: str
    names: Mapping[str, Any] = field(repr=False)

    def members(self) -> Mapping[str, Any]:
        return self.names

    def __str__(self) -> str:
        return self.name


ATOMS = frozenset({str, int, float, bool, type(None)})
"""Exactly these types hold no other values, and are in a plan what they are in the language."""


def frozen(value: Any) -> Any:
    """Return a plain Python value with its lists as tuples and its maps read-only."""
    if isinstance(value, list | tuple):
        return tuple(frozen(item) for item in value)
    if isinstance(value, Mapping):
        return MappingProxyType({key: frozen(item) for key, item in value.items()})
    return value


def plain(value: Any) -> Any:
    """Return `value` as JSON would hold it where it can: lists for tuples, dicts for maps."""
    if type(value) in ATOMS:
        return value
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, PathText) else value


def without_paths(value: Any) -> Any:
    """Return `value` with ordinary strings for paths: what leaves the language needs no more of them."""
    if type(value) in ATOMS:
        return value
    match value:
        case PathText():
            return str(value)
        case tuple():
            return tuple(without_paths(item) for item in value)
        case Mapping():
            return MappingProxyType({key: without_paths(item) for key, item in value.items()})
    return value


def weight(value: Any) -> int:
    """Return how much there is of `value`: an item counts 1, and 16 characters as much, however deep.

    Counts no further than somewhat beyond `ITEM_LIMIT`: lists that share their items can hold more than memory does.
    """
    if type(value) in _SCALARS:
        return 1
    if isinstance(value, str):
        return 1 + len(value) // 16
    if not isinstance(value, tuple | Mapping):
        return 1
    total, left = 0, [value]
    while left and total <= ITEM_LIMIT:
        items = left.pop()
        total += len(items)
        for item in items.values() if isinstance(items, Mapping) else items:
            if type(item) in _SCALARS:
                continue
            if isinstance(item, str):
                total += len(item) // 16
            elif isinstance(item, tuple | Mapping):
                left.append(item)
    return max(1, total)


_SCALARS = frozenset({int, float, bool, type(None)})


def called_exactly(value: Any) -> str:
    """Return what a message calls `value` where a number was wanted: a number or short string itself, else its type."""
    if isinstance(value, float) or (isinstance(value, str) and len(value) <= 40):
        return f"`{quoted(value)}`"
    return type_name(value)


_KINDS = {"image": "an image", "video": "a video", "audio": "sound", "tensors": "a result of tensors"}
# What messages call what one seed comes to.


def type_name(value: Any) -> str:
    """Return what messages call a value's type, with its article."""
    match value:
        case None:
            return "none"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case tuple():
            return "a list"
        case Size():
            return "a size"
        case Quantizer():
            return "a quantizer"
        case Model():
            return "a model"
        case Result():
            return "a result" if value.images[0].kind == "image" else type_name(value.images[0])
        case ImageValue():
            return _KINDS[value.kind]
        case TensorValue() | TensorFile():
            return "a tensor"
        case PictureFile():
            return "a picture"
        case VideoFile():
            return "a video"
        case Deferred():
            return f"a deferred {value.kind}"
        case Prompter():
            return "an upscaler" if value.plugin.kind == "upscaler" else "a weighter"
        case Device():
            return "a device"
        case Builtin():
            return "a function"
        case Routine():
            return "a task" if value.is_task else "a function"
        case Module():
            return "an included file"
        case Mapping():
            return "a map"
    return "a value"


def shown(value: Any) -> str:
    """Return `value` as `print` and templates write it."""
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value)
        case tuple():
            return "[" + ", ".join(quoted(item) for item in value) + "]"
        case Mapping():
            return "{" + ", ".join(f"{quoted(key)}: {quoted(item)}" for key, item in value.items()) + "}"
        case Builtin() | Routine():
            return f"{value.name}{value.signature}"
    return str(value)


def quoted(value: Any) -> str:
    """Return `value` as a list shows its items: strings in quotes."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(value, str) else shown(value)


def members(value: Any) -> Mapping[str, Any] | None:
    """Return what can be asked of `value` with a dot, or None if nothing can."""
    match value:
        case Quantizer() | Model() | Prompter() | Result() | ImageValue() | Module() | Device() | PathText():
            return value.members()
        case Size():
            return {"width": value.width, "height": value.height}
        case Mapping():
            return value
    return None
