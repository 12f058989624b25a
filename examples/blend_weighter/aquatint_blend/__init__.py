"""The weighter `blend`: what a script may say. Read while planning, so nothing here imports torch.

`a cat | a dog` is a picture whose embeddings lie between those of the two prompts.
"""

from __future__ import annotations

from collections.abc import Iterator

from aquatint.catalog.prompt_plugins import PromptPlugin
from aquatint.catalog.settings import Schema, Setting
from aquatint.catalog.weighting import Mistake

SCHEMA = Schema("blend", (
    Setting("share", "float", "How much the first prompt counts; the others have the rest in equal parts.", 0.5,
            minimum=0, maximum=1),
))  # fmt: skip


def mistakes(prompt: str) -> Iterator[Mistake]:
    """Yield each place where there is no prompt beside a `|`."""
    at = 0
    for part in prompt.split("|"):
        if not part.strip() and "|" in prompt:
            yield Mistake(min(at, len(prompt) - 1), 1, "there is no prompt to blend here", "write `a cat | a dog`")
        at += len(part) + 1


BLEND = PromptPlugin(
    kind="weighter",
    name="blend",
    help="Blends the prompts that `|` separates.",
    schema=SCHEMA,
    engine="aquatint_blend.engine",
    mistakes=mistakes,
    pipelines=frozenset({"StableDiffusionPipeline"}),
)
