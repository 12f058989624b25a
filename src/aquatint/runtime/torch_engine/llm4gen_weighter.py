"""The half of the weighter `llm4gen` that runs: a T5's embeddings of the prompt go behind those of the pipeline.

The pipeline's own code, or another weighter, makes CLIP's embeddings. The T5 reads the same prompt without a syntax of
weights, as RankGen reads a prefix, and the cross-adapter module makes embeddings for the denoiser of both.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from aquatint.catalog.language_models import MODEL, PROJECTOR, TOKENIZER
from aquatint.catalog.prompt_plugins import PromptPlugin, read_prompt_uri
from aquatint.plan.steps import Json
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine import weighters
from aquatint.runtime.torch_engine.libraries import Libraries

PREFIX = "pre "
"""What RankGen's encoder reads before a text that another one continues; the published code gives it prompts so."""

TOKENS = 256
"""Tokens of a prompt, those that fill it up included: all that is beyond is cut off, as the published code does."""


@contextmanager
def weighing(
    libraries: Libraries, pipeline: Any, arguments: Mapping[str, Any], options: Mapping[str, Json]
) -> Iterator[Mapping[str, Any]]:
    """Let `pipeline` see what the language model makes of its prompts, too, in the body (see `weighters`)."""
    lacking = [role for role in (MODEL, TOKENIZER, PROJECTOR) if getattr(pipeline, role, None) is None]
    if lacking:
        raise EngineError(f"the plan has no `{lacking[0]}` for the weighter `llm4gen`", "plan the script anew")
    signature = inspect.signature(pipeline.encode_prompt)  # another weighter takes whatever it is given
    plugin, within = _inner(libraries, pipeline, arguments, options)
    with within as given:
        encode = pipeline.encode_prompt
        before = pipeline.__dict__.get("encode_prompt")

        def encode_with_both(*args: Any, **kwargs: Any) -> Any:
            told = signature.bind(*args, **kwargs).arguments
            prompt, negative = told.get("prompt"), told.get("negative_prompt")
            if not isinstance(prompt, str) or not isinstance(negative, str | None):
                raise EngineError("several prompts of one call can't be weighted", "leave `images_per_batch` out")
            positive, other = encode(*args, **kwargs)
            texts = [plugin.plain(text) if plugin is not None else text for text in (prompt, negative or "")]
            return tuple(
                None if clip is None else _fused(libraries, pipeline, clip, text)
                for clip, text in zip((positive, other), texts, strict=True)
            )

        pipeline.__dict__["encode_prompt"] = encode_with_both
        try:
            yield given
        finally:
            del pipeline.__dict__["encode_prompt"]
            if before is not None:
                pipeline.__dict__["encode_prompt"] = before


def _inner(
    libraries: Libraries, pipeline: Any, arguments: Mapping[str, Any], options: Mapping[str, Json]
) -> tuple[PromptPlugin | None, AbstractContextManager[Mapping[str, Any]]]:
    """Return the weighter that CLIP's embeddings are left to, and the context in which it makes them."""
    if options["weighter"] is None:
        return None, nullcontext(arguments)
    plugin, read = read_prompt_uri("weighter", options["weighter"])
    own = {} if plugin is None else plugin.canonical(read.values)
    if plugin is None or read.errors or plugin.problems(own) or plugin.parts(own):
        raise EngineError(
            f"`{options['weighter']}` is no weighter that `llm4gen` can work with", "plan the script anew"
        )
    return plugin, weighters.of(plugin.name).weighing(libraries, pipeline, arguments, own)


def _fused(libraries: Libraries, pipeline: Any, clip: Any, text: str) -> Any:
    """Return CLIP's embeddings [images, m, dim] of a prompt with `TOKENS` of the T5's behind them, in their dtype."""
    torch = libraries.torch
    ids, mask = tokens(getattr(pipeline, TOKENIZER), text)
    there = {"device": clip.device}
    llm = getattr(pipeline, MODEL)(
        input_ids=torch.tensor([ids], **there), attention_mask=torch.tensor([mask], **there)
    ).last_hidden_state
    return getattr(pipeline, PROJECTOR)(clip, llm.expand(len(clip), -1, -1)).to(clip.dtype)


def tokens(tokenizer: Any, text: str) -> tuple[list[int], list[int]]:
    """Return the `TOKENS` tokens that the T5 gets of a prompt, and 1 for each that it is to see, 0 for the others."""
    ids = tokenizer(PREFIX + text, truncation=False, verbose=False)["input_ids"][:TOKENS]
    empty = TOKENS - len(ids)
    return [*ids, *[0] * empty], [*[1] * len(ids), *[0] * empty]
