"""The most memory of a whole run, beside that of a plain program of diffusers that does the same.

    .venv/bin/python benchmarks/peaks.py [--task text] [--kind KIND] [--rounds 3] [--folder DIR]

Text to image and image to image, with a denoiser of random weights as it is and quantized, by sdnq and by bitsandbytes.
Each is a process of its own with one thread, which has imported the same libraries; the pixels of both have to be
equal. bitsandbytes' layers are put in by hand in the plain program (`tests/engine/plain.py`), as diffusers refuses
them on a CPU. `rss` is the most pages of the process at a time, as the kernel counts it (`VmHWM`), those of mapped
files among them; `anonymous` is what of them the system can't drop (`RssAnon`, looked at every 2 ms). The least of the
rounds counts: what is more is noise.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

from processes import measured
from running import checkpoint, ours

STEPS = 2
SCRIPT = """
model m { source: "%s", %s }
generate m { prompt: "a red circle", seed: 1, num_inference_steps: %d, output: "made.png", %s }
"""
KINDS = {
    "none": "", "int8": "sdnq;type=int8", "uint4": "sdnq;type=uint4", "bnb8": "bnb;bits=8",
    "nf4": "bnb;bits=4;bits4-quant-type=nf4",
}  # fmt: skip
"""The denoiser's quantizer, by the name that the table has."""

LIMIT = 1.02
"""What of the plain program's peak a run may take."""


def main() -> None:
    """Print the table, or do the plain program's part of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--width", type=int, default=960, help="channels of the denoiser")
    parser.add_argument("--depth", type=int, default=3, help="layers of each of its transformers")
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind", choices=KINDS, action="append", help="these alone; may be given again")
    parser.add_argument("--task", choices=("text", "image"), help="this alone")
    parser.add_argument("--folder", type=Path, help="where its checkpoint is, and is made")
    parser.add_argument("--plain", nargs=4, metavar=("SOURCE", "IMAGE", "TYPE", "SIZE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plain:
        source, image, kind, size = given.plain
        _plain(source, image, kind, int(size))
        return
    folder = (given.folder or Path(tempfile.mkdtemp())).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"wide-{given.width}-{given.depth}"
    size = checkpoint(source, given.width, 0, given.depth)
    print(f"a denoiser of {size / 2**20:.0f} MiB, pictures of {given.size} pixels a side")
    photo = _photo(folder / "photo.png", given.size)
    print(f"{'':<28}{'rss, plain':>12}{'aquatint':>10}{'ratio':>7}{'anonymous, plain':>18}{'aquatint':>10}{'ratio':>7}")
    for image in {"text": ("",), "image": (str(photo),), None: ("", str(photo))}[given.task]:
        for kind in given.kind or KINDS:
            _compared(folder, source, image, kind, given.size, given.rounds)


def _compared(folder: Path, source: Path, image: str, kind: str, size: int, rounds: int) -> None:
    """Print a line of the table."""
    quantized = f'unet {{ quantizer: "{KINDS[kind]}" }}' if KINDS[kind] else ""
    task = f'image: "{image}", strength: 1.0' if image else f"size: {size}x{size}"
    script = folder / "script.aqt"
    script.write_text(SCRIPT % (source, quantized, STEPS, task), encoding="utf-8")
    kinds = ["VmHWM", "RssAnon"]
    commands = {
        "plain": [sys.executable, __file__, "--plain", str(source), image, kind, str(size)],
        "aquatint": ours(["run", "--json", "--threads", "1", "--no-store", "--force", str(script)], folder),
    }
    least: dict[str, list[int]] = {}
    pixels: dict[str, str] = {}
    for _ in range(rounds):
        for way, command in commands.items():
            told, peaks = measured(command, kinds, whole=True)
            least[way] = list(map(min, least.get(way, peaks), peaks))
            pixels[way] = told["pixels"] if way == "plain" else _pixels(folder / "made.png")
    assert pixels["plain"] == pixels["aquatint"], "the pictures differ"
    name = f"{'image' if image else 'text'} to image, {'as it is' if kind == 'none' else kind}"
    print(f"{name:<28}", end="")
    for place, widths in enumerate(((12, 10), (18, 10))):
        plain, made = least["plain"][place], least["aquatint"][place]
        print(f"{plain / 2**20:>{widths[0]}.0f}{made / 2**20:>{widths[1]}.0f}{made / plain:>7.3f}", end="")
    print(f"  (limit {LIMIT})" if least["aquatint"][0] > LIMIT * least["plain"][0] else "", flush=True)


def _plain(source: str, image: str, kind: str, size: int) -> None:
    """Make the picture by diffusers and the quantizer's library alone, and tell a hash of its pixels."""
    # As a run has it: compiled, kernels of sdnq round otherwise, and compiling takes memory.
    os.environ["SDNQ_USE_TORCH_COMPILE"] = "0"
    import diffusers
    import torch
    from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline, UNet2DConditionModel
    from PIL import Image
    from sdnq import SDNQConfig

    sys.path.append(str(Path(__file__).parents[1] / "tests" / "engine"))
    from plain import replace_linears

    torch.set_num_threads(1)
    diffusers.utils.logging.disable_progress_bar()
    print("ready", flush=True)
    sys.stdin.readline()
    parts = {}
    if kind != "none":
        by = {} if kind in ("bnb8", "nf4") else {"quantization_config": SDNQConfig(weights_dtype=kind)}
        parts["unet"] = UNet2DConditionModel.from_pretrained(source, subfolder="unet", **by)
        if not by:
            replace_linears(parts["unet"], kind)
            parts["unet"].eval()
    family = StableDiffusionImg2ImgPipeline if image else StableDiffusionPipeline
    pipeline = family.from_pretrained(source, torch_dtype=torch.float32, safety_checker=None, **parts)
    pipeline.set_progress_bar_config(disable=True)
    given = {"image": Image.open(image).convert("RGB"), "strength": 1.0} if image else {"width": size, "height": size}
    generator = torch.Generator("cpu").manual_seed(1)
    made = pipeline("a red circle", num_inference_steps=STEPS, generator=generator, **given).images[0]
    print(json.dumps({"pixels": hashlib.sha256(made.tobytes()).hexdigest()}), flush=True)


def _photo(file: Path, size: int) -> Path:
    from PIL import Image

    Image.effect_noise((size, size), 64).convert("RGB").save(file)
    return file


def _pixels(file: Path) -> str:
    from PIL import Image

    with Image.open(file) as image:
        return hashlib.sha256(image.tobytes()).hexdigest()


if __name__ == "__main__":
    main()
