"""Where strings come from that upscalers wrote: what is recorded of pictures that are made with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aquatint.plan.steps import Component, Line, Plugin


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a string comes from: the prompt that was written, and what rewrote it; `variation` counts from 0.

    `parts` are the language model and its tokenizer, by role, if it has one.
    """

    prompt: Line
    upscaler: Plugin
    seed: int
    variation: int
    parts: Mapping[str, Component]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """An argument with strings of upscalers in it: what it would be with the prompts as they were written, and they."""

    written: str
    origins: list[Origin]
