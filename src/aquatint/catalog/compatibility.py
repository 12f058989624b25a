"""What goes with which quantizer: offloading, LoRA, compiling, devices; each answer with how it is known.

The answers are in `data/compatibility.toml`, one per kind of quantizer and feature. The checks of models read them, and
`docs/quantization/compatibility.md` is written from them; the tests that an answer names try it on small models. What
single options ask of the hardware is in `hardware`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Answer = Literal["works", "caveat", "refused"]
"""`caveat`: it works, and something about it must be known first."""

UNQUANTIZED = "none"
"""The kind that what is not quantized is of: the others are measured against it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of quantizer: those of `backend` in which some option of each set in `needs` has one of its values."""

    name: str
    title: str
    backend: str | None
    needs: tuple[tuple[tuple[str, tuple[Any, ...]], ...], ...] = ()

    def has(self, backend: str, options: Mapping[str, Any]) -> bool:
        """Return whether a quantizer with all its `options`, after defaults, is of this kind."""
        return backend == self.backend and all(
            any(options.get(name) in values for name, values in alternatives) for alternatives in self.needs
        )


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that can be done with a model beside drawing with it, or a device that it can be on."""

    name: str
    title: str
    group: str


@dataclass(frozen=True, slots=True)
class Cell:
    """The answer for one kind and one feature.

    `text` is the reason or the caveat, `help` a way out. `tried` are tests by name, `documented` addresses; there is at
    least one of the two.
    """

    kind: str
    feature: str
    answer: Answer
    text: str | None
    help: str | None
    tried: tuple[str, ...]
    documented: tuple[str, ...]


def kinds() -> tuple[Kind, ...]:
    """Return every kind of quantizer, in the table's order."""
    return _table()[0]


def features() -> tuple[Feature, ...]:
    """Return every feature, in the table's order."""
    return _table()[1]


def cell(kind: str, feature: str) -> Cell:
    """Return the answer for a kind and a feature, which must be in the table."""
    return _table()[2][kind, feature]


def kinds_of(backend: str, options: Mapping[str, Any]) -> tuple[Kind, ...]:
    """Return the kinds that a quantizer with all its `options`, after defaults, is of; none for others' backends."""
    return tuple(kind for kind in kinds() if kind.has(backend, options))


def refusal(feature: str, backend: str, options: Mapping[str, Any]) -> Cell | None:
    """Return why `feature` can't be had with such a quantizer, or None where nothing is known against it."""
    answers = (cell(kind.name, feature) for kind in kinds_of(backend, options))
    return next((each for each in answers if each.answer == "refused"), None)


@cache
def _table() -> tuple[tuple[Kind, ...], tuple[Feature, ...], dict[tuple[str, str], Cell]]:
    read = tomllib.loads(files("aquatint.catalog").joinpath("data/compatibility.toml").read_text(encoding="utf-8"))
    found_kinds = tuple(
        Kind(name, each["title"], each.get("backend"), tuple(_needs(each.get("needs", []))))
        for name, each in read["kinds"].items()
    )
    found_features = tuple(Feature(name, each["title"], each["group"]) for name, each in read["features"].items())
    cells: dict[tuple[str, str], Cell] = {}
    for entry in read["cells"]:
        for made in _cells(entry):
            if (made.kind, made.feature) in cells:
                raise ValueError(f"two answers for {made.kind} and {made.feature}")
            cells[made.kind, made.feature] = made
    return found_kinds, found_features, cells


def _needs(alternatives: list[dict[str, list[Any]]]) -> Iterator[tuple[tuple[str, tuple[Any, ...]], ...]]:
    for each in alternatives:
        yield tuple((name, tuple(values)) for name, values in each.items())


def _cells(entry: Mapping[str, Any]) -> Iterator[Cell]:
    for kind in entry["kinds"]:
        for feature in entry["features"]:
            yield Cell(
                kind, feature, entry["answer"], entry.get("text"), entry.get("help"),
                tuple(entry.get("tried", ())), tuple(entry.get("documented", ())),
            )  # fmt: skip
