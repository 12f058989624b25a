"""Draws tokens for several strings that a language model writes at once, each from a generator of its own.

Transformers' own loop makes the calls; what it takes for the likeliest token was drawn here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Manner:
    """How tokens are drawn; `top_k` 0 and `top_p` 1 leave all of them in."""

    temperature: float
    top_k: int
    top_p: float


class Draw:
    """A logits processor of transformers: a row's next token is drawn with that row's generator, one draw a token.

    Everything is computed for one row alone, on the CPU and in 64 bits, so that no row depends on what is beside it.
    """

    def __init__(self, transformers: Any, torch: Any, manner: Manner, generators: Sequence[Any]) -> None:
        warpers = transformers.generation.logits_process
        self._torch = torch
        self._generators = generators
        self._warpers: list[Any] = [warpers.TemperatureLogitsWarper(manner.temperature)]
        if manner.top_k:
            self._warpers.append(warpers.TopKLogitsWarper(manner.top_k))
        if manner.top_p < 1:
            self._warpers.append(warpers.TopPLogitsWarper(manner.top_p))

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return `scores` (rows x vocabulary) with 0 at each row's token, and minus infinity elsewhere."""
        drawn = self._torch.full_like(scores, float("-inf"))
        for row, generator in enumerate(self._generators):
            drawn[row, self._token(input_ids[row : row + 1].cpu(), scores[row : row + 1].cpu().double(), generator)] = 0
        return drawn

    def _token(self, input_ids: Any, scores: Any, generator: Any) -> int:
        for warper in self._warpers:
            scores = warper(input_ids, scores)
        sums = scores[0].softmax(dim=0).cumsum(dim=0)
        place = self._torch.rand((), dtype=self._torch.float64, generator=generator) * sums[-1]
        # The first whose sum is above it: never one without probability.
        return int(self._torch.searchsorted(sums, place, right=True).clamp(max=len(sums) - 1))
