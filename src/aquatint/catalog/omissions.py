"""Which submodules a pipeline can do without, where a script generates from prompts.

diffusers declares some as optional; a few of those are so only for callers that bring embeddings instead of a prompt.
Read in the source of diffusers 0.42.1, whose pipelines the catalog describes.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from aquatint.catalog.pipelines import PipelineInfo

# SD3 puts zeros in the place of what its third encoder, T5, would say: `_get_t5_prompt_embeds`.
_ZEROS_INSTEAD = (r"StableDiffusion3\w*", "text_encoder_3")
_NEEDED = re.compile(r"(prior_)?tokenizer(_\d)?|vae|vqvae|movq|scheduler")

SERVED = {"feature_extractor": "safety_checker", "tokenizer_3": "text_encoder_3"}
"""Submodule -> the one that can't be used without it."""


def can_do_without(info: PipelineInfo, role: str, left_out: Collection[str]) -> bool:
    """Return whether a pipeline of the class that `info` is about can draw a prompt without the submodule `role`.

    `left_out` are the roles that nothing is loaded for, `role` among them or not.
    """
    served = SERVED.get(role)
    if served in info.components and served not in left_out:
        return False
    pattern, spared = _ZEROS_INSTEAD
    if re.fullmatch(pattern, info.name) and role in (spared, "tokenizer_3"):
        return True
    component = info.components.get(role)
    reads_or_draws = role in info.denoisers or role in info.text_encoders or _NEEDED.fullmatch(role)
    return component is not None and component.optional and not reads_or_draws


def use_of(info: PipelineInfo, role: str) -> str:
    """Return what a pipeline needs `role` for, as the end of a sentence."""
    if role in info.denoisers:
        return "which draws"
    if role in info.text_encoders or "tokenizer" in role:
        return "which reads the prompt"
    served = SERVED.get(role)
    return f"which `{served}` needs" if served in info.components else "which every picture goes through"
