"""The half of the weighter `a1111` that runs: what brackets do to embeddings in the web UI of AUTOMATIC1111."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from aquatint.catalog import a1111
from aquatint.plan.steps import Json
from aquatint.runtime.torch_engine.libraries import Libraries
from aquatint.runtime.torch_engine.weighted import Encoding
from aquatint.runtime.torch_engine.weighted import weighing as weighing_tokens


def weighing(
    libraries: Libraries, pipeline: Any, arguments: Mapping[str, Any], options: Mapping[str, Json]
) -> AbstractContextManager[Mapping[str, Any]]:
    """Return the context in which `pipeline` reads prompts as that program does (see `weighters`)."""
    keeps_mean = options["emphasis"] == "original"

    def emphasis(encoding: Encoding, state: Callable[[Any], Any]) -> Any:
        """Multiply each token's embedding by its weight, and each chunk so that its mean is what it was."""
        plain = state(encoding.plain)
        before = plain.float()
        after = before * encoding.tensor(encoding.row.weights, plain)
        if keeps_mean:
            size = encoding.chunk
            pairs = zip(before.split(size, dim=1), after.split(size, dim=1), strict=True)
            after = libraries.torch.cat([new * (old.mean() / new.mean()) for old, new in pairs], dim=1)
        return after.to(plain.dtype)

    backtrack = options["comma_padding_backtrack"]
    return weighing_tokens(libraries, pipeline, arguments, a1111.read, emphasis, backtrack)
