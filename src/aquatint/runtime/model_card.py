"""What a saved model says about itself: `README.md` for people and the hub, and a record for programs.

The record has what a picture's has, but for the picture. Which folder they go to is decided in `saved_folders`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from aquatint.plan.steps import Component, Json, Plan, Save
from aquatint.plan.uses import uses
from aquatint.runtime.metadata import described, head, quantizer_label

CARD = "README.md"
"""The name of the card's file, which the hub shows."""


def about_model(plan: Plan, step: Save, engine: dict[str, Json]) -> dict[str, Json]:
    """Return how the model of `step` was made; `engine` is what the engine says decides the bits."""
    pipeline = plan.pipelines[step.pipeline]
    return {
        **head(plan, "model", step),
        "statement": step.statement,
        "model": step.model,
        "pipeline": {
            "class": pipeline.class_name,
            "source": pipeline.source,
            "revision": pipeline.revision,
            "options": pipeline.options,
        },
        "components": {
            role: described(plan.components[key], step.quantizers.get(role))
            for role, key in uses(step, plan.pipelines).items()
        },
        "engine": engine,
    }


def card(plan: Plan, step: Save) -> str:
    """Return the Markdown of the model's card: what was quantized how, and the lines that load it."""
    pipeline = plan.pipelines[step.pipeline]
    parts = {role: plan.components[key] for role, key in uses(step, plan.pipelines).items()}
    weighty = {role: part for role, part in parts.items() if part.dtype is not None}
    rows = [
        f"| {role} | {part.class_name} | {part.dtype} | {quantizer_label(part)} |" for role, part in weighty.items()
    ]
    of = "Parts of a" if step.roles is not None else "A"
    lines = [
        "---", "library_name: diffusers", *_base(pipeline.source), "---", "", f"# {step.model}", "",
        f"{of} `{pipeline.class_name}` from `{pipeline.origin}`, written by aquatint {plan.aquatint}.", "",
        "| part | class | data type | quantized |", "|---|---|---|---|", *rows, "",
        "```python", *_loading(pipeline.class_name, weighty, step), "```",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _base(source: str) -> Iterator[str]:
    # The hub links a card to the model that it was made from; a folder of this machine says nothing there.
    if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source) and not os.path.isdir(source):
        yield f"base_model: {source}"


def _loading(pipeline: str, parts: dict[str, Component], step: Save) -> Iterator[str]:
    """Yield the lines of a plain program that loads what was saved as it is."""
    quantized = [part.quantization or part.stored for part in parts.values()]
    if any(each is not None and each.backend == "sdnq" for each in quantized):
        yield "import sdnq  # first: transformers would read its weights as plain ones, and say nothing"
    yield "import torch"
    variant = "" if step.variant is None else f', variant="{step.variant}"'
    if step.roles is None:
        yield "from diffusers import DiffusionPipeline"
        yield ""
        yield f'pipeline = DiffusionPipeline.from_pretrained("FOLDER", torch_dtype={_dtypes(parts)}{variant})'
        return
    for library, name in sorted({(part.library, part.class_name) for part in parts.values()}):
        yield f"from {library} import {name}"
    yield ""
    for role, part in parts.items():
        where = f'"FOLDER", subfolder="{role}", torch_dtype=torch.{part.dtype}{variant}'
        yield f"{role} = {part.class_name}.from_pretrained({where})"


def _dtypes(parts: dict[str, Component]) -> str:
    """Return the `torch_dtype` of a pipeline whose parts have these: one for all, or one by role."""
    kinds = {role: f"torch.{part.dtype}" for role, part in parts.items()}
    if len(set(kinds.values())) == 1:
        return next(iter(kinds.values()))
    return "{" + ", ".join(f'"{role}": {kind}' for role, kind in kinds.items()) + "}"
