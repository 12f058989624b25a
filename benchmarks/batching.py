"""What a batch of images would gain, and what it would do to their pixels, by plain diffusers.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/batching.py

Draws the same images of `builtin:shapes` (or of the pipeline in `--folder`) one by one and in calls of 2, 4 and 8, each
image with its own generator. `images/s` counts the processor's seconds, which a busy machine changes least. `largest`
is the largest difference of a channel between an image of a batch and the same image made alone, where 1 is the whole
range; `pixels` counts the channels of 8 bits that come out as another number, of all that there are.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from aquatint.catalog.checkpoints import locate
from aquatint.runtime.torch_engine.libraries import libraries

IMAGES = 8
PROMPTS = (
    "a red circle on a white background", "a blue square on a black background", "a green triangle",
    "a yellow circle on a black background",
)  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, help="another pipeline, in the diffusers layout")
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    known = libraries()
    pipeline = known.diffusers.DiffusionPipeline.from_pretrained(
        str(given.folder or locate("builtin:shapes")), torch_dtype=known.torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    _drawn(known.torch, pipeline, range(1), 1)  # what is done once is done before the clock starts
    alone: list[Any] = []
    print(f"{'batch':>5}{'images/s':>10}{'largest':>10}{'pixels':>18}")
    for size in (1, 2, 4, 8):
        started = time.process_time()
        images = [
            image
            for first in range(0, IMAGES, size)
            for image in _drawn(known.torch, pipeline, range(first, first + size), given.steps)
        ]
        speed = IMAGES / (time.process_time() - started)
        alone = alone or images
        largest = max(float(abs(one - other).max()) for one, other in zip(alone, images, strict=True))
        changed = sum(int((_in_8_bits(a) != _in_8_bits(b)).sum()) for a, b in zip(alone, images, strict=True))
        print(f"{size:>5}{speed:>10.2f}{largest:>10.1e}{changed:>9} of {sum(image.size for image in alone)}")


def _drawn(torch: Any, pipeline: Any, seeds: range, steps: int) -> list[Any]:
    """Return an array of numbers from 0 to 1 for each seed, all made by one call."""
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    return list(pipeline(
        [PROMPTS[seed % len(PROMPTS)] for seed in seeds], generator=generators, num_inference_steps=steps, height=64,
        width=64, output_type="np",
    ).images)  # fmt: skip


def _in_8_bits(image: Any) -> Any:
    return (image * 255).round()


if __name__ == "__main__":
    main()
