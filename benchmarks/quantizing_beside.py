"""Quantizing the next component in a process beside the one that computes: what that saves, and what it costs.

    .venv/bin/python benchmarks/quantizing_beside.py --folder DIR [--shape sdxl-unet] [--quantizer URI] [--threads 1 2]

A program denoises with a small UNet, and then needs a large component quantized. `in turn` it quantizes that when it
has denoised, as `aquatint run` does. With `beside` a second process quantizes it meanwhile, with one thread, into a
store, and the first takes it from there. Both processes have imported everything before the clock starts, which favours
the second way: `imports` is what that takes. The steps are as many as take about as long as quantizing does, which is
when the second way has most to gain. `denoising` is how long the steps took, `in all` the seconds until the component
is there, by the clock. The ways take turns, and the least of each counts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import store as store_benchmark

import shapes

SMALL = "small-unet"


def main() -> None:
    """Print the table, or do the part of a process that it is made of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, required=True, help="where the checkpoints are, or are made")
    parser.add_argument("--shape", choices=shapes.SHAPES, default="sdxl-unet", help="the component to quantize")
    parser.add_argument("--quantizer", default="sdnq;weights-dtype=int8", help="a quantizer's URI")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="that denoising has")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        _part(given, given.part[0], int(given.part[1]))
        return
    shapes.make(SMALL, given.folder)
    shapes.make(given.shape, given.folder)
    print(f"{given.shape}, {given.quantizer}")
    print(f"{'':<12}{'threads':>8}{'steps':>7}{'imports':>9}{'denoising':>11}{'in all':>8}", flush=True)
    for threads in given.threads:
        trial = _run(given, threads, 8, beside=False)
        steps = max(1, round((trial["all"] - trial["denoising"]) / (trial["denoising"] / 8)))
        found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
        for _ in range(given.rounds):
            for beside in found:
                found[beside].append(_run(given, threads, steps, beside))
        least = {beside: min(runs, key=lambda run: run["all"]) for beside, runs in found.items()}
        for beside, one in least.items():
            print(
                f"{'beside' if beside else 'in turn':<12}{threads:>8}{steps:>7}{one['imports']:>9.1f}"
                f"{one['denoising']:>11.1f}{one['all']:>8.1f}"
            )
        print(f"beside / in turn: {least[True]['all'] / least[False]['all']:.2f}", flush=True)


def _run(given: argparse.Namespace, threads: int, steps: int, beside: bool) -> dict[str, float]:
    """Return the seconds that one way took, from when both processes are ready."""
    home = given.folder / "beside-store"
    shutil.rmtree(home, ignore_errors=True)
    first = _Process(given, f"{threads}", steps)
    second = _Process(given, "quantize", 0) if beside else None
    began = time.perf_counter()
    first.say("go")
    if second is not None:
        second.say("go")
    denoising = first.heard()["denoising"]
    if second is not None:
        second.heard()
    first.say("load")
    first.heard()
    took = time.perf_counter() - began
    shutil.rmtree(home, ignore_errors=True)
    imports = first.imports if second is None else second.imports
    return {"imports": imports, "denoising": denoising, "all": took}


class _Process:
    """One of the two programs; made when it is ready."""

    def __init__(self, given: argparse.Namespace, what: str, steps: int) -> None:
        command = [sys.executable, __file__, "--folder", str(given.folder), "--shape", given.shape]
        threads = "1" if what == "quantize" else what
        self._process = subprocess.Popen(
            [*command, "--quantizer", given.quantizer, "--part", what, str(steps)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        self.imports = self.heard()["imports"]

    def say(self, word: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def heard(self) -> dict[str, float]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a process failed")
        told: dict[str, float] = json.loads(line)
        return told


def _part(given: argparse.Namespace, what: str, steps: int) -> None:
    began = time.perf_counter()
    from aquatint.runtime.store import Store
    from aquatint.runtime.torch_engine import TorchEngine
    from aquatint.runtime.torch_engine.libraries import libraries

    torch, diffusers = libraries().torch, libraries().diffusers
    model_class = diffusers.UNet2DConditionModel
    kept = Store(given.folder / "beside-store", minimum=0)
    # The number of threads is part of an entry's address: quantizing gives the same bits with any.
    engine = TorchEngine(threads=1, store=kept)
    component = store_benchmark.component(given.folder / given.shape, shapes.SHAPES[given.shape], given.quantizer)
    call = None
    if what != "quantize":
        config = shapes.SHAPES[SMALL].config
        model = model_class.from_pretrained(given.folder / SMALL / "unet", torch_dtype=torch.float32)
        call = {
            "sample": torch.zeros(2, 4, 64, 64), "timestep": 1,
            "encoder_hidden_states": torch.zeros(2, 77, config["cross_attention_dim"]),
            "added_cond_kwargs": {"text_embeds": torch.zeros(2, 1280), "time_ids": torch.zeros(2, 6)},
        }  # fmt: skip
    _tell({"imports": time.perf_counter() - began})
    input()
    if call is not None:
        torch.set_num_threads(int(what))
        began = time.perf_counter()
        with torch.inference_mode():
            for _ in range(steps):
                model(**call)
        _tell({"denoising": time.perf_counter() - began})
        input()
        # What quantizing in turn takes of the processors is its own affair: torch has all of `threads` there.
        if not kept.entries():
            engine = TorchEngine(threads=int(what))
        else:
            torch.set_num_threads(1)
    held: Any = engine.load(component)
    assert held.quantized_layers
    _tell({"loaded": 1})


def _tell(what: dict[str, float]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
