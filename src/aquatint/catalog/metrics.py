"""The measures that `compare` knows: what each says of two pictures of one size, and which way is nearer.

Computing them is the engine's. Pictures are taken as RGB with values from 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """One measure. `higher_is_nearer` says in which direction two pictures get more alike."""

    name: str
    help: str
    higher_is_nearer: bool


METRICS = {
    metric.name: metric
    for metric in (
        Metric("psnr", "peak signal-to-noise ratio in decibels; infinite for equal pictures", True),
        Metric("ssim", "structural similarity (Wang et al. 2004: Gaussian window of 11 pixels, sigma 1.5), at most 1",
               True),
        Metric("mse", "mean squared difference of the values", False),
        Metric("mae", "mean difference of the values, without its sign", False),
        Metric("max_error", "the largest difference of two values", False),
    )
}  # fmt: skip
"""Every measure by its name."""
