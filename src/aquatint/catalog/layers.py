"""What a weight belongs to, a Linear, an Embedding, a convolution; and what a class's own lists say of it.

A header gives names and shapes only. The rest is in `data/layers.json`, which `make catalog` writes from the classes of
diffusers and transformers; a class that isn't there is judged by shapes and names alone. What a backend makes of a
layer is its own affair, in `bnb_bytes` and `sdnq_bytes`; what all of them come to is in `estimates`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

WIDTHS = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
"""Bytes of a number of each torch dtype that components are loaded as."""

BY_DIMENSIONS = {2: "Linear", 3: "Conv1d", 4: "Conv2d", 5: "Conv3d"}
"""What a weight of so many dimensions nearly always belongs to."""

# For classes that the catalog lacks.
_LIKELY_EMBEDDING = re.compile(r"(^|_)(embed\w*|shared|wte|wpe|relative_attention_bias)$")
# An embedder is a small network; a layer of its own name is a Linear.
_NO_EMBEDDING = re.compile(r"embedders?$")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the catalog knows of a class; names are ends of modules' names with `#` for numbers.

    `float32` names modules that stay in float32 where the component is float16, or, in diffusers, whatever it is;
    `float32_always` those that transformers keeps for bfloat16 too. `tied` has the name of a weight -> the weight that
    it shares, `ignored` patterns of names in files that are not read, `positions` tables beside which a number for each
    row is held that is in no file. `last` is the last parameter and `output` the
    output embedding, which transformers leaves unquantized.
    """

    kinds: Mapping[str, str]
    float32: tuple[str, ...] = ()
    float32_always: tuple[str, ...] = ()
    tied: Mapping[str, str] | None = None
    tied_always: bool = False
    tied_by_default: bool = False
    ignored: tuple[str, ...] = ()
    positions: tuple[str, ...] = ()
    last: str | None = None
    output: str | None = None
    sdnq_skips: tuple[str, ...] = ()
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class Network:
    """A component as far as its files tell: its class, the torch dtype that it is loaded as, and its configuration.

    `is_named` is false where its tensors have other names in its files, so that its layers aren't known.
    """

    library: str
    class_name: str
    dtype: str
    config: Mapping[str, Any]
    is_named: bool = True

    @property
    def facts(self) -> Facts:
        """What the catalog knows of the class."""
        return _facts(self.class_name)

    @property
    def is_diffusers(self) -> bool:
        """Whether diffusers' loader reads it: by the class, since some of transformers' kind lie in diffusers."""
        return self.library.partition(".")[0] == "diffusers" and self.class_name not in _catalog()["of_transformers"]


@dataclass(frozen=True, slots=True)
class Layer:
    """A weight that a backend might quantize: `name` is its module's, `kind` that module's class.

    `shape` is the weight's as it is stored, `dtype` the torch dtype that it has where no backend takes it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    network: Network

    @property
    def numel(self) -> int:
        """The number of weights."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of the weight where no backend takes it."""
        return self.numel * WIDTHS[self.dtype]

    @property
    def base(self) -> str:
        """The torch class that the layer's derives from: `Linear` for a `NonDynamicallyQuantizableLinear`."""
        return str(_catalog()["bases"].get(self.kind, self.kind))


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes that a quantized weight takes with all that belongs to it; `most` differs where its values decide."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Left:
    """A backend leaves the layer as it is: `why` is what it says of it, or would.

    `is_gap` where neither a setting nor a list of the libraries decides that: the backend can't, and says nothing.
    """

    why: str
    is_gap: bool = False


@dataclass(frozen=True, slots=True)
class Unfit:
    """A backend takes the layer and fails with it, when it is loaded or when it is used: `why` says at what."""

    why: str
    help: str | None = None


Holding = Held | Left | Unfit


def kind(network: Network, name: str, dimensions: int) -> str:
    """Return the class of the module called `name` whose weight has that many dimensions."""
    facts = network.facts
    path = re.sub(r"\d+", "#", name)
    for end in _ends(path):
        if end in facts.kinds:
            return facts.kinds[end]
    last = name.rpartition(".")[2]
    if not facts.is_known and dimensions == 2 and _LIKELY_EMBEDDING.search(last) and not _NO_EMBEDDING.search(last):
        return "Embedding"
    return BY_DIMENSIONS[dimensions]


def is_tame(pattern: str) -> bool:
    """Return whether a pattern is surely matched in a short time: a script may bring any, and a plan must end."""
    return re.fullmatch(r"[\w.*-]*", pattern) is not None and pattern.count("*") <= MOST_STARS


MOST_STARS = 4


def skipped_by_sdnq(class_name: str) -> tuple[str, ...]:
    """Return sdnq's own list of what to leave alone in a class."""
    listed = _catalog()["skipped_by_sdnq"]
    return tuple(listed.get(class_name) or (*listed["anywhere"], *_facts(class_name).sdnq_skips))


def sdnq_order() -> tuple[str, ...]:
    """Return the number types in the order in which sdnq's dynamic quantization tries them."""
    return tuple(_catalog()["ordered_by_sdnq"])


def _ends(path: str) -> Iterator[str]:
    """Yield `path` without ever more of its first parts."""
    while path:
        yield path
        path = path.partition(".")[2]


@cache
def _facts(class_name: str) -> Facts:
    told = _catalog()["classes"].get(class_name)
    if told is None:
        return Facts(kinds={}, is_known=False)
    lists = {
        name: tuple(told.get(name, ())) for name in ("float32", "float32_always", "ignored", "positions", "sdnq_skips")
    }
    return Facts(
        kinds={end: kind for kind, ends in told.get("kinds", {}).items() for end in ends},
        tied=told.get("tied"), tied_always=told.get("tied_always", False),
        tied_by_default=told.get("tied_by_default", False), last=told.get("last"),
        output=told.get("output"), is_known=told.get("is_built", True), **lists,
    )  # fmt: skip


@cache
def _catalog() -> dict[str, Any]:
    file = Path(__file__).with_name("data") / "layers.json"
    catalog: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return catalog
