"""A thousand statements through `aquatint run - --stream`: seconds for each, and the memory that the process comes to.

    .venv/bin/python benchmarks/stream.py [--statements 1000] [--slow]

Of ten statements one prints, one is wrong, one binds a name anew and seven make an image of 64x64 in one step with a
model that is loaded already. All are sent at once; with `--slow` the reader waits 20 ms before each line. Checked are
that each is told of in order, the wrong ones with a mistake, and that each image is there. `RSS` is the process's
resident memory after each tenth of the statements; `wait` is the time from a statement's `accepted` to the end of its
first step of denoising.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

MODEL = 'model m { source: "builtin:shapes", defaults { num_inference_steps: 1, prompt: "a star" } }\n'


def statement(number: int) -> str:
    """Return the statement with this number, counted from 1; the first is the model."""
    match number % 10:
        case 0:
            return f"print {number}\n"
        case 5:
            return f"generate nothing {{ seed: {number} }}\n"
        case 7:
            return f"let x = {number}\n"
        case _:
            return f'generate m {{ seed: {number}, output: "{number}.png" }}\n'


def resident(process: int) -> float:
    """Return the resident memory of a process in MiB, which the kernel tells."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Print the table, and fail if anything was told wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--statements", type=int, default=1000)
    parser.add_argument("--slow", action="store_true", help="read slowly")
    given = parser.parse_args()
    numbers = range(2, given.statements + 2)
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "aquatint", "run", "-", "--stream", "--threads", "1"],
            cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        text = (MODEL + "".join(map(statement, numbers))).encode()
        sending = threading.Thread(target=lambda stream: (stream.write(text), stream.close()), args=(process.stdin,))
        sending.start()
        began = time.monotonic()
        told: dict[int, list[dict[str, Any]]] = {}
        waits, memory, accepted = [], [], 0.0
        for line in process.stdout:
            if given.slow:
                time.sleep(0.02)
            event = json.loads(line)
            told.setdefault(event["statement"], []).append(event)
            match event["event"]:
                case "accepted":
                    accepted = time.monotonic()
                case "denoise_step":
                    waits.append(time.monotonic() - accepted)
                case "done" if event["statement"] % max(1, given.statements // 10) == 0:
                    memory.append(resident(process.pid))
        code = process.wait()
        seconds = time.monotonic() - began
        sending.join()
        images = {int(file.stem) for file in Path(folder).glob("*.png")}
    assert code == 1, code  # some were wrong
    assert list(told) == list(range(1, given.statements + 2))
    for number in numbers:
        ok = told[number][-1]["ok"]
        wrong = [event["code"] for event in told[number] if event["event"] == "diagnostic"]
        assert (ok, wrong) == ((False, ["unknown-name"]) if number % 10 == 5 else (True, [])), told[number]
    assert images == {number for number in numbers if number % 10 not in (0, 5, 7)}
    print(f"{given.statements} statements, {len(images)} images in {seconds:.0f} s")
    print("RSS", " ".join(f"{each:.0f}" for each in memory), "MiB")
    print(f"wait {1000 * statistics.median(waits):.0f} ms")


if __name__ == "__main__":
    main()
