"""The half of a weighter plugin that runs: what the engine asks of a module that turns prompts into embeddings.

Each plugin's record in the catalog names a module with this member; `of` imports it when it is first needed. Ours are
`a1111_weighter`, `compel_weighter` and `llm4gen_weighter`; another package's is found in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, cast

from aquatint.catalog.prompt_plugins import prompt_plugin
from aquatint.plan.steps import Json
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine.libraries import Libraries, half


class EngineWeighter(Protocol):
    """A module that makes embeddings of prompts."""

    def weighing(
        self, libraries: Libraries, pipeline: Any, arguments: Mapping[str, Any], options: Mapping[str, Json]
    ) -> AbstractContextManager[Mapping[str, Any]]:
        """Return the context in which `pipeline`, of diffusers, is called once; it gives the arguments of that call.

        `arguments` are those of the script, with prompts as they are written, of one image; `options` are canonical.
        Text encoders are to be called through the pipeline's own parts, `pipeline.text_encoder` and so on: one that
        isn't loaded yet is waited for there, and what it returns is kept. The parts that the plugin's record asks for
        are attributes of the pipeline, too: `pipeline.llm` and so on. The pipeline is left as it was. What is wrong
        with a prompt is an `EngineError`.
        """
        ...


def of(name: str) -> EngineWeighter:
    """Return the half that runs of the weighter plugin called `name`; raise `EngineError` where there is none."""
    plugin = prompt_plugin("weighter", name)
    if plugin is None or plugin.engine is None:
        raise EngineError(f"there is no weighter plugin `{name}` that can be run", "install the package that brings it")
    return cast(EngineWeighter, half(plugin.engine))
