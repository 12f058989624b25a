"""Measures the checkpoint: the share of held-out prompts whose picture meets each attribute, per quantizer.

`python -m shapes.evaluate --help`
"""

import argparse
import math
import os
import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: spinning threads are slower than one

import numpy as np
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image

from aquatint.runtime.torch_engine import bitsandbytes_cpu
from aquatint.runtime.torch_engine.libraries import libraries
from shapes.captions import Request, caption, parse
from shapes.checker import ATTRIBUTES, check
from shapes.world import KINDS, sample

FOLDER = Path(__file__).parents[2] / "src" / "aquatint" / "checkpoints" / "shapes"
GUIDANCE = 4.0
STEPS = 20
# `-row` takes one scale for a whole row of weights, where sdnq else takes ever smaller groups for fewer bits.
SDNQ = ("int8", "uint4", "int4", "uint3", "int3", "uint2", "int2", "uint4-row", "uint3-row", "uint2-row")
BITSANDBYTES = ("int8", "nf4", "fp4")
QUANTIZERS = ("none", *(f"sdnq-{dtype}" for dtype in SDNQ), *(f"bnb-{dtype}" for dtype in BITSANDBYTES))


@dataclass(frozen=True)
class Prompt:
    """A caption, what it asks for, and the kind of scene it was made from."""

    kind: str
    text: str
    request: Request


def prompts(count: int, kinds: tuple[str, ...] = KINDS, seed: int = 11) -> list[Prompt]:
    """Return captions of combinations never trained on, the kinds in turn; each names its background and colours."""
    random_ = random.Random(seed)
    chosen = []
    for index in range(count):
        kind = kinds[index % len(kinds)]
        text = caption(sample(random_, kind, held_out=True), random_, complete=True)
        chosen.append(Prompt(kind, text, parse(text)))
    return chosen


def load_unet(folder: Path, quantizer: str) -> UNet2DConditionModel:
    """Return the denoiser, quantized as it is loaded; `none` leaves it in float32."""
    found = libraries()
    backend, _, dtype = quantizer.partition("-")
    config = None
    if backend == "sdnq":
        dtype, _, group = dtype.partition("-")
        config = found.sdnq.SDNQConfig(weights_dtype=dtype, group_size=-1 if group == "row" else 0, quant_conv=True)
    elif dtype == "int8":
        config = found.diffusers.BitsAndBytesConfig(load_in_8bit=True)
    elif backend == "bnb":
        config = found.diffusers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type=dtype, bnb_4bit_compute_dtype=torch.float32
        )
    options = {} if config is None else {"quantization_config": config}
    with bitsandbytes_cpu.without_gpu_check():
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32, **options)
    bitsandbytes_cpu.avoid_unfit_packing(found, unet)
    return unet.eval()  # bitsandbytes' 8-bit layers compute otherwise in training mode


def megabytes(model: torch.nn.Module) -> float:
    """Return the weights' size in memory, scales and zero points included."""
    return sum(t.numel() * t.element_size() for t in [*model.parameters(), *model.buffers()]) / 1e6


def draw(
    pipe: StableDiffusionPipeline, texts: list[str], steps: int, guidance: float, seed: int, size: int = 16
) -> list[Image.Image]:
    """Draw one picture a prompt; picture number i starts from the noise of seed + i, whatever the batch."""
    pictures: list[Image.Image] = []
    for start in range(0, len(texts), size):
        part = texts[start : start + size]
        generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        pictures += pipe(part, num_inference_steps=steps, guidance_scale=guidance, generator=generators).images
    return pictures


def scores(chosen: list[Prompt], pictures: list[Image.Image]) -> dict[tuple[str, str], float]:
    """Return the share met, by attribute and kind of scene (`all` for every kind)."""
    met: defaultdict[tuple[str, str], list[bool]] = defaultdict(list)
    for prompt, picture in zip(chosen, pictures, strict=True):
        found = check(picture, prompt.request)
        found["everything"] = all(found.values())
        for attribute, value in found.items():
            met[attribute, prompt.kind].append(value)
            met[attribute, "all"].append(value)
    return {key: sum(values) / len(values) for key, values in met.items()}


def likeness(pictures: list[Image.Image], others: list[Image.Image]) -> float:
    """Return the peak signal-to-noise ratio, in dB, over all pictures; infinite when they are equal."""
    one, other = (np.stack([np.asarray(picture, np.float32) for picture in some]) for some in (pictures, others))
    error = float(np.square(one - other).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


def sheet(pictures: list[Image.Image], columns: int = 12) -> Image.Image:
    """Return the pictures side by side."""
    rows = -(-len(pictures) // columns)
    whole = Image.new("RGB", (columns * 66, rows * 66), "magenta")
    for index, picture in enumerate(pictures):
        whole.paste(picture, (index % columns * 66 + 1, index // columns * 66 + 1))
    return whole


def main() -> None:
    """Print a table of scores, a row a kind of scene or a quantizer."""
    parser = argparse.ArgumentParser(prog="python -m shapes.evaluate", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--kinds", default=",".join(KINDS), help="of scene, in turn: one, pair, two")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quantizers", default="none", help=f"`all`, or some of {', '.join(QUANTIZERS)}, with commas")
    parser.add_argument("--sheet", type=Path, help="also save the pictures, side by side, in this PNG file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    libraries()  # also silences them
    chosen = prompts(options.prompts, tuple(options.kinds.split(",")))
    quantizers = QUANTIZERS if options.quantizers == "all" else tuple(options.quantizers.split(","))
    columns = (*ATTRIBUTES, "everything")
    print(
        f"{options.prompts} held-out prompts, {options.steps} steps, guidance {options.guidance}, seed {options.seed}\n"
    )
    print("| quantizer | unet MB | dB to the first row | prompts | " + " | ".join(columns) + " |")
    print("|---|---|---|---|" + "---|" * len(columns))
    first: list[Image.Image] = []
    for quantizer in quantizers:
        unet = load_unet(options.folder, quantizer)
        pipe = StableDiffusionPipeline.from_pretrained(options.folder, unet=unet, torch_dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
        pictures = draw(pipe, [prompt.text for prompt in chosen], options.steps, options.guidance, options.seed)
        first = first or pictures
        if options.sheet:
            path = (
                options.sheet.with_stem(f"{options.sheet.stem}-{quantizer}") if len(quantizers) > 1 else options.sheet
            )
            sheet(pictures).save(path)
        found = scores(chosen, pictures)
        for kind in ("all", *options.kinds.split(",")) if len(quantizers) == 1 else ("all",):
            cells = [f"{found[name, kind]:.3f}" if (name, kind) in found else "" for name in columns]
            row = [quantizer, f"{megabytes(unet):.2f}", f"{likeness(pictures, first):.1f}", kind, *cells]
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
