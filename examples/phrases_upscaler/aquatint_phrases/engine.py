"""`phrases` as an upscaler: the half that runs, an `Upscaler` of `aquatint.runtime.torch_engine.upscalers`."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from aquatint.runtime.engine import Rewriting, Rewritten
from aquatint.runtime.torch_engine.libraries import Libraries
from aquatint.runtime.torch_engine.upscalers import seed_of


def rewrite(libraries: Libraries, parts: Mapping[str, Any], asked: Rewriting) -> Rewritten:
    """Return each prompt with some phrases behind it: others for each variation, whatever else is rewritten with it."""
    phrases, count = asked.options["phrases"], asked.options["count"]
    texts = []
    for prompt in asked.prompts:
        for variation in range(asked.variations):
            own = random.Random(seed_of(asked.seed, prompt, variation))
            texts.append(", ".join([prompt, *own.sample(phrases, min(count, len(phrases)))]))
    return Rewritten(texts)
