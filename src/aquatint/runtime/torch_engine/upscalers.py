"""The half of an upscaler plugin that runs: what the engine needs of it, and where its draws come from.

Each plugin's record in the catalog names a module with these members; `of` imports it when it is first needed. Ours is
`magicprompt`; another package's is found in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from aquatint.catalog.prompt_plugins import prompt_plugin
from aquatint.plan.keys import digest
from aquatint.runtime.engine import EngineError, Rewriting, Rewritten
from aquatint.runtime.torch_engine.libraries import Libraries, half


class Upscaler(Protocol):
    """A module that rewrites prompts."""

    def rewrite(self, libraries: Libraries, parts: Mapping[str, Any], asked: Rewriting) -> Rewritten:
        """Return what becomes of the prompts that `asked` has; raise `EngineError` with a reason for a user.

        `parts` has the live `llm` and `llm_tokenizer` of a plugin that has a language model, and is
        else empty. The strings must depend on nothing but `asked` and `parts`.
        """
        ...


def of(name: str) -> Upscaler:
    """Return the half that runs of the upscaler plugin called `name`; raise `EngineError` if it has none."""
    found = prompt_plugin("upscaler", name)
    if found is None:
        raise EngineError(f"there is no upscaler plugin `{name}`", "install the package that brings it")
    if found.engine is None:
        raise EngineError(f"the upscaler plugin `{name}` can be planned with, and not run")
    return cast(Upscaler, half(found.engine))


def seed_of(seed: int, prompt: str, variation: int, attempt: int = 0) -> int:
    """Return the seed of one string's own generator: nothing of it depends on other strings, or on their order."""
    return int(digest(["string", seed, prompt, variation, attempt], 8), 16) >> 1
