"""The half of the weighter `compel` that runs: what weights do to embeddings in the library compel."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from aquatint.catalog import compel
from aquatint.plan.steps import Json
from aquatint.runtime.torch_engine.libraries import Libraries
from aquatint.runtime.torch_engine.weighted import Encoding
from aquatint.runtime.torch_engine.weighted import weighing as weighing_tokens

_LEAST = 1e-5
"""The least weight: at 0 what is without the piece would count infinitely."""


def weighing(
    libraries: Libraries, pipeline: Any, arguments: Mapping[str, Any], options: Mapping[str, Json]
) -> AbstractContextManager[Mapping[str, Any]]:
    """Return the context in which `pipeline` reads prompts as that library does (see `weighters`)."""
    return weighing_tokens(libraries, pipeline, arguments, compel.read, _emphasis)


def _emphasis(encoding: Encoding, state: Callable[[Any], Any]) -> Any:
    """Move each token's embedding away from that of an empty prompt, and towards what is without a weak piece."""
    plain, nothing = state(encoding.plain), state(encoding.nothing).float()
    weights = encoding.tensor(encoding.row.weights, plain)

    def weighted(output: Any) -> Any:
        own = state(output).float()
        return nothing + (own - nothing) * weights

    # Below 1 a piece is to count less than it would by a small step from the empty prompt alone.
    of_pieces = {
        number: weight
        for number, weight in zip(encoding.row.pieces, encoding.row.weights, strict=True)
        if number is not None and weight < 1
    }
    total, made = 1.0, weighted(encoding.plain)
    for number, weight in of_pieces.items():
        share = math.tan((1 - max(weight, _LEAST)) * math.pi / 2)
        made = made + weighted(encoding.without(number)) * share
        total += share
    return (made / total).to(plain.dtype)
