"""Plans from elsewhere: a textual inversion is for text encoders of its pipeline, and nothing else is read as one."""

from __future__ import annotations

import msgspec
import pytest

from aquatint.plan.steps import PlanError, TextualInversionUse
from aquatint.plan.validate import validate
from support.plans import component, load, pipeline, plan

SOUND = TextualInversionUse("<toy>", 2, {"text_encoder": "<toy>"})


def adapted(
    inversions: dict[str, TextualInversionUse],
    class_name: str = "TextualInversionLoaderMixin",
    library: str = "diffusers.loaders",
    offload: str | None = None,
) -> None:
    """Validate a plan with two textual inversions among its pipeline's parts."""
    parts = {"text_encoder": "e", "tokenizer": "w", "textual_inversion": "t", "textual_inversion_2": "u"}
    whole = msgspec.structs.replace(
        pipeline("p", parts), textual_inversions=inversions or msgspec.UNSET, offload=offload
    )
    learned = [
        msgspec.structs.replace(component(key, role), library=library, class_name=class_name, offload=offload)
        for key, role in (("t", "textual_inversion"), ("u", "textual_inversion_2"))
    ]
    words = msgspec.structs.replace(component("w", "tokenizer"), dtype=None)
    encoder = msgspec.structs.replace(component("e", "text_encoder"), offload=offload)
    components = [encoder, words, *learned]
    validate(plan(components, [whole], [load(each.key) for each in components]))


def two(second: TextualInversionUse) -> dict[str, TextualInversionUse]:
    return {"textual_inversion": SOUND, "textual_inversion_2": second}


def test_two_beside_a_text_encoder() -> None:
    adapted(two(TextualInversionUse("<ink>", 1, {"text_encoder": "a"})))


@pytest.mark.parametrize(("inversions", "options", "said"), [
    ({}, {}, "pipeline `p` has no use for its `textual_inversion`"),
    (two(TextualInversionUse("<ink>", 1, {"text_encoder": "a"})), {"library": "diffusers"},
     "pipeline `p` has no use for its `textual_inversion`"),
    (two(TextualInversionUse("<ink>", 1, {"text_encoder": "a"})), {"class_name": "StableDiffusionLoraLoaderMixin"},
     "pipeline `p` has no use for its `textual_inversion`"),
    ({**two(TextualInversionUse("<ink>", 1, {"text_encoder": "a"})), "style": SOUND}, {},
     "pipeline `p` has a textual inversion `style` that can't be used"),
    (two(TextualInversionUse("an ink", 1, {"text_encoder": "a"})), {},
     "pipeline `p` has a textual inversion `textual_inversion_2` that can't be used"),
    (two(TextualInversionUse("<ink>", 0, {"text_encoder": "a"})), {},
     "pipeline `p` has a textual inversion `textual_inversion_2` that can't be used"),
    (two(TextualInversionUse("<toy>_1", 1, {"text_encoder": "a"})), {},
     "pipeline `p` has a textual inversion `textual_inversion_2` with a word that another one has"),
    (two(TextualInversionUse("<ink>", 1, {"text_encoder_2": "a"})), {},
     "pipeline `p` has a textual inversion `textual_inversion_2` for `text_encoder_2`, which it lacks"),
])  # fmt: skip
def test_what_is_no_such_plan(inversions: dict[str, TextualInversionUse], options: dict[str, str], said: str) -> None:
    with pytest.raises(PlanError) as error:
        adapted(inversions, **options)
    assert str(error.value) == said
