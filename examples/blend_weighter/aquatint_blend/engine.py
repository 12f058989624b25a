"""The weighter `blend`: how it runs. Imported only by a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def weighing(
    libraries: Any, pipeline: Any, arguments: Mapping[str, Any], options: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """Give the pipeline the embeddings of the blended prompts in place of the prompts."""
    given = dict(arguments)
    prompts = [part.strip() for part in given.pop("prompt").split("|")]
    negative = given.pop("negative_prompt", None)
    others, share = len(prompts) - 1, options["share"]
    shares = [share, *[(1 - share) / others] * others] if others else [1.0]
    blended, unwanted = 0, None
    for prompt, share in zip(prompts, shares, strict=True):
        # By the pipeline's own method: an encoder that isn't there yet is waited for, and what it makes is kept.
        wanted, unwanted = pipeline.encode_prompt(prompt, pipeline.device, 1, True, negative)
        blended = blended + wanted * share
    yield {**given, "prompt_embeds": blended, "negative_prompt_embeds": unwanted}
