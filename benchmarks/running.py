"""A whole run, beside a program written by hand that keeps everything loaded; and a plan of three times its memory.

    .venv/bin/python benchmarks/running.py [--rounds 5] [--prompts 8] [--width 640]
    .venv/bin/python benchmarks/running.py --memory [--width 640] [--folder DIR]

The first draws each prompt with the bundled checkpoint as it is and with its denoiser in int8, prompt outermost, and
beside that with `by_hand.py`, which loads each component once and shares it. Both have one thread, in processes of
their own that take turns; what is measured begins when all libraries are imported. The pixels of both have to be equal.
With `--width` the denoiser is one of random weights and so many channels.

The second makes eight checkpoints with denoisers of random weights, and draws prompts with all, prompt outermost: with
any memory, with a third of what the plan then takes, and with a fifth more than the largest model takes. All memory is
that of the whole process: the program, weights and work. `rss` is the most of its pages (`VmRSS`, sampled every 2 ms),
those of mapped files among them, and has to stay below `memory`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from processes import measured

from aquatint.catalog.working import PROGRAM

STEPS = 8
MODELS = 8
HAND = Path(__file__).with_name("by_hand.py")
LIMIT = 1.05

SCRIPT = """
quantizer q { backend: sdnq, weights_dtype: int8 }
model plain { source: "%(source)s", defaults { num_inference_steps: %(steps)d, seed: 1 } }
model light extends plain { unet { quantizer: q } }
for prompt in %(prompts)s {
    generate plain { prompt: prompt, output: "plain-{{ prompt | slug }}.png" }
    generate light { prompt: prompt, output: "light-{{ prompt | slug }}.png" }
}
"""


def main() -> None:
    """Print one of the tables, or do the part of a process that a table is made of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="how often each program runs; the least time counts")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--memory", action="store_true", help="the second measurement")
    parser.add_argument("--width", type=int, help="channels of denoisers of random weights (the second's: 640)")
    parser.add_argument("--folder", type=Path, help="where its checkpoints are, and are made")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        _part(json.loads(given.part[0]), Path(given.part[1]))
    elif given.memory:
        _within_memory(given.width or 640, given.folder or Path(tempfile.mkdtemp()))
    else:
        _beside_a_program(given)


def _beside_a_program(given: argparse.Namespace) -> None:
    from aquatint.catalog.checkpoints import locate

    rounds, number = given.rounds, given.prompts

    colours = ("red", "blue", "green", "yellow", "white", "black", "purple", "orange")
    prompts = [f"a {colours[n % len(colours)]} circle on {colours[(n + 1 + n // 8) % 8]}" for n in range(number)]
    source = str(locate("builtin:shapes"))
    if given.width:
        folder = given.folder or Path(tempfile.mkdtemp())
        source = str(folder / f"wide-{given.width}")
        print(f"a denoiser of {checkpoint(Path(source), given.width, 0) / 2**20:.0f} MiB")
    least: dict[str, dict[str, float]] = {}
    pictures: dict[str, dict[str, str]] = {}
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds):
            for way in ("by hand", "aquatint"):
                out = Path(folder) / f"{way}-{turn}"
                out.mkdir()
                if way == "by hand":
                    command = [sys.executable, str(HAND), source, json.dumps(prompts), str(STEPS), str(out)]
                else:
                    script = out / "script.aqt"
                    script.write_text(
                        SCRIPT % {"prompts": json.dumps(prompts), "steps": STEPS, "source": source}, encoding="utf-8"
                    )
                    command = ours(["run", "--json", "--threads", "1", "--no-store", str(script)], out)
                answer, _ = measured(command, [])
                told = answer if way == "aquatint" else told
                best = least.setdefault(way, answer)
                least[way] = {key: min(best[key], answer[key]) for key in ("cpu", "wall")}
                pictures[way] = {file.name: _pixels(file) for file in sorted(out.glob("*.png"))}
    assert pictures["aquatint"] == pictures["by hand"], "the pictures differ"
    print(f"{2 * number} pictures of {STEPS} steps, the same pixels; the least of {rounds} rounds, in seconds")
    print(f"{'':<10}{'cpu s':>8}{'wall s':>8}")
    for way, seconds in least.items():
        print(f"{way:<10}{seconds['cpu']:>8.2f}{seconds['wall']:>8.2f}")
    ratio = least["aquatint"]["wall"] / least["by hand"]["wall"]
    print(f"wall, aquatint / by hand: {ratio:.3f} (limit {LIMIT}); loads: {told['loads']}")


def _within_memory(width: int, folder: Path) -> None:
    sizes = [checkpoint(folder / f"model-{seed}", width, seed) for seed in range(MODELS)]
    total = sum(sizes)
    script = folder / "script.aqt"
    lines = [f'model m{seed} {{ source: "{folder / f"model-{seed}"}" }}' for seed in range(MODELS)]
    lines.append('for prompt in ["red", "blue"] {')
    for seed in range(MODELS):
        inside = f'prompt: prompt, seed: 1, num_inference_steps: 2, output: "{seed}-{{{{ prompt }}}}.png"'
        lines.append(f"    generate m{seed} {{ {inside} }}")
    script.write_text("\n".join([*lines, "}"]), encoding="utf-8")
    print(f"{MODELS} models of {total / 2**20:.0f} MiB together, in MiB")
    print(f"{'':<12}{'memory':>8}{'planned':>9}{'rss':>8}{'loads':>7}")
    needed = _within(script, "any memory", None)
    _within(script, "a third", needed // 3)
    _within(script, "one model", PROGRAM + (needed - PROGRAM - total) + total // MODELS * 6 // 5)


def _within(script: Path, name: str, memory: int | None) -> int:
    """Print a line of the table, and return the bytes that the plan takes, the program's among them."""
    out = script.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    options = ["--order", "script", "--memory", "100GiB"] if memory is None else ["--memory", f"{memory}B"]
    command = ours(["run", "--json", "--threads", "1", "--no-store", *options, str(script)], out)
    told, (rss,) = measured(command, ["VmRSS"], whole=True)
    planned = told["predicted"] + PROGRAM
    limit = "" if memory is None else f"{memory / 2**20:.0f}"
    print(f"{name:<12}{limit:>8}{planned / 2**20:>9.0f}{rss / 2**20:>8.0f}{told['loads']:>7}", flush=True)
    return planned


def checkpoint(home: Path, width: int, seed: int, depth: int = 1) -> int:
    """Make the bundled checkpoint with a wider denoiser of random weights in `home`; return that one's bytes.

    With `depth` each of its transformers has so many layers.
    """
    from aquatint.catalog.checkpoints import locate

    if not home.exists():
        import torch
        from diffusers import UNet2DConditionModel

        shutil.copytree(locate("builtin:shapes"), home)
        config = json.loads((home / "unet" / "config.json").read_text())
        torch.manual_seed(seed)
        config |= {"block_out_channels": [width // 2, width], "sample_size": 16, "transformer_layers_per_block": depth}
        shutil.rmtree(home / "unet")
        UNet2DConditionModel.from_config(config).save_pretrained(home / "unet")
    return (home / "unet" / "diffusion_pytorch_model.safetensors").stat().st_size


def ours(arguments: list[str], out: Path) -> list[str]:
    return [sys.executable, __file__, "--part", json.dumps(arguments), str(out)]


def _part(arguments: list[str], out: Path) -> None:
    """Run a command of ours in `out`, with everything imported before, and tell the seconds and the totals."""
    import contextlib
    import io

    from aquatint.interface.cli import main as command
    from aquatint.runtime.torch_engine import TorchEngine

    TorchEngine(threads=1)
    # What `by_hand.py` imports, diffusers imports when it is asked for it.
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel  # noqa: F401
    from sdnq import SDNQConfig  # noqa: F401

    os.chdir(out)
    print("ready", flush=True)
    sys.stdin.readline()
    cpu, wall = time.process_time(), time.perf_counter()
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        code = command(arguments)
    seconds = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    finished = json.loads(told.getvalue().splitlines()[-1])
    assert code == 0, told.getvalue()
    peak = finished["predicted_peak"]
    print(json.dumps(seconds | {"loads": finished["loads"], "predicted": peak["most"] if peak else 0}), flush=True)


def _pixels(file: Path) -> str:
    from PIL import Image

    with Image.open(file) as image:
        return hashlib.sha256(image.tobytes()).hexdigest()


if __name__ == "__main__":
    main()
