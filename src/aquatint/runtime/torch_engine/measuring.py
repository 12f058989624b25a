"""How far two pictures are from each other, by torchmetrics where it has the measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
from PIL.Image import Image

from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine.faults import engine_error

WINDOW = 11
"""Pixels of a side of the Gaussian window of SSIM (Wang et al. 2004), which a picture has to hold.

It goes over every pixel; torchmetrics reflects the picture at its edges."""


def measure(torch: Any, reference: Image, image: Image, metrics: Sequence[str]) -> dict[str, float]:
    """Return each of `metrics` (names of `catalog.metrics`) of two RGB pictures, in float64; raise `EngineError`."""
    if reference.size != image.size:
        sizes = " and ".join(f"{each.width}x{each.height}" for each in (image, reference))
        raise EngineError(f"can't compare pictures of different sizes, {sizes}", "compare images of one size")
    # Height x width x 3, from 0 to 255.
    arrays = [numpy.asarray(each.convert("RGB"), dtype=numpy.float64) for each in (reference, image)]
    difference = numpy.abs(arrays[1] - arrays[0])
    found: dict[str, float] = {}
    for metric in metrics:
        match metric:
            case "mse":
                found[metric] = float(numpy.square(difference).mean())
            case "mae":
                found[metric] = float(difference.mean())
            case "max_error":
                found[metric] = float(difference.max())
            case _:
                found[metric] = _by_library(torch, metric, *arrays)
    return found


def _by_library(torch: Any, metric: str, reference: Any, image: Any) -> float:
    with engine_error(f"can't measure `{metric}`"):
        # Here, since it takes seconds to import and few plans compare.
        from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

        # 1 x 3 x height x width.
        one, other = (torch.from_numpy(array).permute(2, 0, 1).unsqueeze(0) for array in (reference, image))
        with torch.no_grad():
            if metric == "psnr":
                return float(peak_signal_noise_ratio(other, one, data_range=255.0))
            if min(one.shape[-2:]) < WINDOW:
                raise EngineError(f"`ssim` needs pictures of at least {WINDOW} pixels a side")
            similarity: Any = structural_similarity_index_measure(
                other, one, gaussian_kernel=True, sigma=1.5, kernel_size=WINDOW, data_range=255.0
            )
            return float(similarity)
