"""From the textual inversions that a model is given to parts of its pipeline, and whether its prompts use them.

Like LoRAs (`adapting`) they are no part of the components that they are for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aquatint.catalog import checkpoints, textual_inversions
from aquatint.catalog.checkpoints import CheckpointError
from aquatint.catalog.models import TEXTUAL_INVERSION
from aquatint.catalog.pipelines import PipelineInfo
from aquatint.catalog.textual_inversions import READER, TextualInversion, tokenizer_of, words
from aquatint.diagnostics import Diagnostics, Label
from aquatint.language import adapters, devices
from aquatint.language.adapters import Report
from aquatint.language.values import Adapter, Model
from aquatint.language.world import World
from aquatint.plan import uses
from aquatint.plan.steps import Component, Generate, Json, Pipeline, Plan, TextualInversionUse
from aquatint.source import Span

_NAME = TEXTUAL_INVERSION.name


@dataclass(frozen=True, slots=True)
class _Added:
    component: Component
    use: TextualInversionUse
    block: Adapter


def added(
    model: Model, info: PipelineInfo, parts: Mapping[str, Component], world: World, diagnostics: Diagnostics,
    report: Report,
) -> dict[str, tuple[Component, TextualInversionUse]] | None:  # fmt: skip
    """Return the textual inversions of `model` by the roles that they get, None after reporting what is wrong with one.

    `parts` are the model's other components by role; what can't be found goes to `report`. The roles don't depend on
    the order of the blocks, and so neither do the numbers of the tokens.
    """
    if not model.textual_inversions:
        return {}
    encoders = [
        role for role, part in parts.items()
        if part.class_name in textual_inversions.ENCODERS and tokenizer_of(role) in parts
    ]  # fmt: skip
    if not _can_have_any(model, info, encoders, diagnostics):
        return None
    device = devices.of_model(model, world)
    found = [_one(block, encoders, parts, device, diagnostics, report) for block in model.textual_inversions]
    sound = [each for each in found if each is not None]
    try:
        if len(sound) < len(found) or not _are_new(sound, parts, diagnostics):
            return None
    except CheckpointError as error:
        diagnostics.error(error.code, error.message, model.textual_inversions[0].span, help=error.help)
        return None
    sound.sort(key=lambda each: (each.component.key, each.use.token))
    return adapters.in_roles(_NAME, [(each.component, each.use) for each in sound])


def _can_have_any(model: Model, info: PipelineInfo, encoders: list[str], diagnostics: Diagnostics) -> bool:
    at = model.textual_inversions[0].span
    if not info.textual_inversion or not encoders:
        why = "has no text encoder that takes one" if info.textual_inversion else "takes no textual inversion"
        diagnostics.error("incompatible", f"`{info.name}` {why}", at, help="leave it out")
        return False
    return True


def _one(
    block: Adapter, encoders: list[str], parts: Mapping[str, Component], device: str, diagnostics: Diagnostics,
    report: Report,
) -> _Added | None:  # fmt: skip
    said = block.settings.get("token")

    def look(file: Path) -> tuple[TextualInversion, str] | None:
        read = textual_inversions.read(file, encoders)
        token = (said.value if said is not None else None) or read.token or ""
        return (read, token) if _fits(read, token, parts, block, diagnostics) else None

    found = adapters.opened(block, _NAME, textual_inversions.KIND, look, diagnostics, report)
    if found is None:
        return None
    place, (read, token) = found
    offload = parts[encoders[0]].offload
    component = adapters.component(place, _NAME, READER, read, read.bytes, device, offload)
    return _Added(component, TextualInversionUse(token, read.vectors, dict(read.tensors)), block)


def _fits(
    read: TextualInversion, token: str, parts: Mapping[str, Component], block: Adapter, diagnostics: Diagnostics
) -> bool:
    """Return whether there is a word for the vectors, and they are as wide as those of `parts`, or report it."""
    source, span, said = block.settings["source"].value, block.settings["source"].span, block.settings.get("token")
    if not token:
        diagnostics.error("missing-setting", f"`{source}` doesn't say which word stands for it in prompts", span,
                          help='say it: `token: "<word>"`')  # fmt: skip
        return False
    if not textual_inversions.is_token(token):
        diagnostics.error(
            "wrong-value", f"`{token}` can't stand in a prompt for a textual inversion", said.span if said else span,
            help="take a word without spaces, brackets, quotes, `\\`, `|`, `:` and `,`, and without `+` or `-` at its "
            'end, such as `token: "<word>"`',
        )  # fmt: skip
        return False
    for role, width in read.widths.items():
        part = parts[role]
        folder = checkpoints.locate(part.source, part.revision)
        own = textual_inversions.width(folder / part.subfolder, adapters.tensors(folder, part))
        if own is not None and own != width:
            diagnostics.error(
                "wrong-textual-inversion", f"`{source}` is a textual inversion for another model than this one with "
                f"its `{role}`: a vector of it has {width} numbers, and here one has {own}", span,
                help="take one that was trained for this model, or for one of its kind and size",
            )  # fmt: skip
            return False
    return True


def _are_new(found: list[_Added], parts: Mapping[str, Component], diagnostics: Diagnostics) -> bool:
    """Return whether no tokenizer has a word of `found`, nor two of them the same, or report those that have."""
    sound = True
    taken: dict[str, _Added] = {}
    for each in found:
        # diffusers takes a word with the number after the last for one vector more.
        own = words(each.use.token, each.use.vectors + 1)
        at = each.block.settings.get("token") or each.block.settings["source"]
        if (same := next((word for word in own if word in taken), None)) is not None:
            other = taken[same]
            before = other.block.settings.get("token") or other.block.settings["source"]
            diagnostics.error(
                "duplicate-setting", f"two textual inversions have the word `{same}`", at.span,
                labels=(Label(before.span, "the first"),), help='call one of them something else: `token: "<word>"`',
            )  # fmt: skip
            sound = False
        for role in each.use.tensors:
            tokenizer = parts[tokenizer_of(role)]
            folder = checkpoints.locate(tokenizer.source, tokenizer.revision) / tokenizer.subfolder
            there = textual_inversions.vocabulary(folder)
            if clash := next((word for word in own if word in there), None):
                diagnostics.error(
                    "known-token", f"`{clash}` is a token of `{tokenizer.role}` already, and can't stand for a textual "
                    "inversion", at.span, help='call it something else: `token: "<word>"`',
                )  # fmt: skip
                sound = False
                break
        taken |= dict.fromkeys(own, each)
    return sound


class Tokens:
    """The words of the textual inversions that models were resolved with, and where these are."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, str], Span] = {}

    def add(self, model: Model, pipeline: Pipeline, components: Mapping[str, Component]) -> None:
        """Note the words of `pipeline`, which `model` comes to."""
        for role, use in uses.textual_inversions(pipeline).items():
            component = components[pipeline.parts[role] or ""]
            block = adapters.block_of(component, model.textual_inversions)
            self._blocks.setdefault((component.key, use.token), block.span)

    def report(self, plan: Plan, diagnostics: Diagnostics) -> None:
        """Warn of each textual inversion that models have which make pictures, and that none of their prompts uses.

        Nothing is said where a prompt is complete only when the plan runs.
        """
        said: dict[tuple[str, str], bool] = {}
        for step in plan.steps:
            if not isinstance(step, Generate):
                continue
            pipeline = plan.pipelines[step.pipeline]
            texts = [text.casefold() for text in _texts(list(step.arguments.values()))]
            for role, use in uses.textual_inversions(pipeline).items():
                key = pipeline.parts[role] or "", use.token
                is_used = any(use.token.casefold() in text for text in texts) or bool(step.deferred)
                said[key] = said.get(key, False) or is_used
        for key, is_used in said.items():
            if not is_used and key in self._blocks:
                diagnostics.warning(
                    "unused-token", f"no prompt has the word `{key[1]}`, for which this textual inversion stands",
                    self._blocks[key], help="write it into a prompt, or take the block out",
                )  # fmt: skip


def _texts(value: Json) -> Iterable[str]:
    match value:
        case str():
            yield value
        case list():
            for each in value:
                yield from _texts(each)
