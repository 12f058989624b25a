"""Quantizing the next component in a process beside the run: what that saves of whole commands, and what it costs.

    .venv/bin/python benchmarks/quantizing_beside.py [--width 1280] [--quantizer URI] [--threads 1 2] [--pictures 1 16]

A script draws pictures with the bundled checkpoint, and then one with another whose denoiser of random weights, of so
many channels, is quantized. `in turn` is `aquatint run --quantize-beside never`, `beside` the same with `always`: all
of both counts, the start and the imports of both processes too, and the store is empty. The ways take turns, and the
least seconds of each count. The last columns are how many components were quantized beside the run with `always`, and
with `auto`: none where the run comes to it before the process has begun.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from running import _checkpoint as checkpoint

STEPS = 50
SCRIPT = """
model small {{ source: "builtin:shapes", defaults {{ num_inference_steps: {steps} }} }}
model wide {{ source: "{wide}", unet {{ quantizer: "{quantizer}" }} }}
for seed in 1..{pictures} {{
    generate small {{ prompt: "a red circle", seed: seed, output: "small-{{{{ seed }}}}.png" }}
}}
generate wide {{ prompt: "a red circle", seed: 1, num_inference_steps: 1, output: "wide.png" }}
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--width", type=int, default=1280, help="channels of the denoiser that is quantized")
    parser.add_argument("--quantizer", default="sdnq;weights-dtype=uint4;use-svd=true", help="its quantizer's URI")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--pictures", type=int, nargs="+", default=[1, 16], help=f"of {STEPS} steps, before it")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the checkpoint is, or is made")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp())
    wide = folder / f"wide-{given.width}"
    print(f"a denoiser of {checkpoint(wide, given.width, 0) / 2**20:.0f} MiB, {given.quantizer}")
    print(f"{'threads':>7}{'pictures':>9}{'in turn':>9}{'beside':>8}{'ratio':>7}{'always':>8}{'auto':>6}", flush=True)
    for threads in given.threads:
        for pictures in given.pictures:
            script = folder / "two.aqt"
            script.write_text(SCRIPT.format(steps=STEPS, pictures=pictures, wide=wide, quantizer=given.quantizer))
            found: dict[str, list[float]] = {"never": [], "always": []}
            counts: dict[str, set[int]] = {"never": set(), "always": set()}
            for _ in range(given.rounds):
                for way, seconds in found.items():
                    took, count = _run(script, threads, way)
                    seconds.append(took)
                    counts[way].add(count)
            _, count = _run(script, threads, "auto")
            turn, aside = min(found["never"]), min(found["always"])
            print(
                f"{threads:>7}{pictures:>9}{turn:>9.1f}{aside:>8.1f}{aside / turn:>7.2f}"
                f"{'/'.join(map(str, sorted(counts['always']))):>8}{count:>6}", flush=True,
            )  # fmt: skip


def _run(script: Path, threads: int, way: str) -> tuple[float, int]:
    """Return the seconds that the command took, and how many components were quantized beside it."""
    out = script.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "aquatint", "run", str(script), "--json", "--order", "script", "--device", "cpu"]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "--threads", str(threads), "--store", str(out / "store"), "--output-dir", str(out / "pictures"),
         "--quantize-beside", way],
        env=os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stdout)
    return took, int(json.loads(done.stdout.splitlines()[-1])["beside"])


if __name__ == "__main__":
    main()
