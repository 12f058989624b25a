"""The same pictures by dgenerate 5.0: seconds of whole commands, and how often components are loaded.

    python3 -m venv DIR/v && DIR/v/bin/pip install dgenerate==5.0.0 && DIR/v/bin/pip install --no-deps sdnq
    .venv/bin/python benchmarks/beside_dgenerate.py DIR/v/bin/dgenerate [--prompts 8] [--rounds 3]

Each prompt is drawn with the bundled checkpoint as it is and with its denoiser in int8 (sdnq), the prompt outermost, by
one script each. dgenerate's libraries are its own, older ones, so that pixels are not compared between the programs.
`start` is a command that draws nothing: importing the libraries and, with dgenerate, an empty script. `loads` are those
that the program tells of: with dgenerate the lines of its log about what it creates, pipelines apart.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

STEPS = 8
COLOURS = ("red", "blue", "green", "yellow", "white", "black", "purple", "orange")
OURS = """
quantizer q { backend: sdnq, weights_dtype: int8 }
model plain { source: "%(source)s", defaults { num_inference_steps: %(steps)d, seed: 1, guidance_scale: 4 } }
model light extends plain { unet { quantizer: q } }
for prompt in %(prompts)s {
    generate plain { prompt: prompt, size: 64x64, output: "plain-{{ prompt | slug }}.png" }
    generate light { prompt: prompt, size: 64x64, output: "light-{{ prompt | slug }}.png" }
}
"""
THEIRS = (
    "{source} --model-type sd --device cpu --dtype float32 --inference-steps {steps} --guidance-scales 4 --seeds 1 "
    '--output-size 64x64 --prompts "{prompt}" --output-path out'
)
QUANTIZED = " --output-prefix light --quantizer sdnq;type=int8 --quantizer-map unet"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dgenerate", type=Path, help="its command")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3, help="how often each runs; the least time counts")
    given = parser.parse_args()
    prompts = [f"a {COLOURS[n % 8]} circle on {COLOURS[(n + 1 + n // 8) % 8]}" for n in range(given.prompts)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = _checkpoint(folder / "checkpoint")
        ours, theirs, nothing = folder / "ours.aqt", folder / "theirs.dgen", folder / "nothing.dgen"
        ours.write_text(OURS % {"source": source, "steps": STEPS, "prompts": json.dumps(prompts)}, encoding="utf-8")
        lines = ["#! dgenerate 5.0.0"]
        for prompt in prompts:
            line = THEIRS.format(source=source, steps=STEPS, prompt=prompt)
            lines += [line, line + QUANTIZED]
        theirs.write_text("\n".join(lines) + "\n", encoding="utf-8")
        nothing.write_text("#! dgenerate 5.0.0\n", encoding="utf-8")
        python = [sys.executable, "-m", "aquatint"]
        begin = "from aquatint.runtime.torch_engine import TorchEngine as T; T()"
        rows = {
            "aquatint": ([*python, "run", "--json", "--threads", "1", "--no-store", str(ours)], None),
            "aquatint, start": ([sys.executable, "-c", begin], None),
            "dgenerate": ([str(given.dgenerate.absolute()), "-v"], theirs),
            "dgenerate, start": ([str(given.dgenerate.absolute())], nothing),
        }  # fmt: skip
        least: dict[str, tuple[float, str]] = {}
        for turn in range(given.rounds):
            for row, (command, script) in rows.items():
                took, said = _timed(command, script, folder / f"{row}-{turn}")
                if row not in least or took < least[row][0]:
                    least[row] = took, said
    loads = {
        "aquatint": json.loads(least["aquatint"][1].splitlines()[-1])["loads"],
        "dgenerate": len(re.findall(r"Cache Miss, Created Torch (?!Pipeline)", least["dgenerate"][1])),
    }
    print(f"{2 * len(prompts)} pictures of {STEPS} steps; the least of {given.rounds} rounds")
    print(f"{'':<18}{'wall s':>8}{'loads':>8}")
    for row, (took, _) in least.items():
        print(f"{row:<18}{took:>8.2f}{loads.get(row, ''):>8}")


def _checkpoint(home: Path) -> Path:
    """Copy the bundled checkpoint, with its tokenizer in the form that older versions of transformers read, too."""
    from aquatint.catalog.checkpoints import locate

    shutil.copytree(locate("builtin:shapes"), home)
    model = json.loads((home / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (home / "tokenizer" / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    merges = [" ".join(each) if isinstance(each, list) else each for each in model["merges"]]
    (home / "tokenizer" / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    return home


def _timed(command: Sequence[str], script: Path | None, folder: Path) -> tuple[float, str]:
    """Return the seconds that `command` took in a new `folder`, and what it said."""
    folder.mkdir()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with open(script or os.devnull, encoding="utf-8") as source:
        began = time.perf_counter()
        done = subprocess.run(command, stdin=source, cwd=folder, env=environment, capture_output=True, text=True)
    took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return took, done.stdout


if __name__ == "__main__":
    main()
