"""CPU seconds until the commands that load no model have answered, beside an empty Python and its imports.

    .venv/bin/python benchmarks/startup.py [--runs 15]

Prints the median of user + system time over the runs, and the ratio to `python -c pass` in the same minute: the
ratio is what can be compared between machines. Limits: `--version` 0.15 s, `plan` of the demo 0.5 s.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(sysconfig.get_path("scripts")) / "aquatint"

COMMANDS: dict[str, tuple[list[str], float | None]] = {
    "python -c pass": ([sys.executable, "-c", "pass"], None),
    "aquatint --version": ([str(PROGRAM), "--version"], 0.15),
    "aquatint --help": ([str(PROGRAM), "--help"], None),
    "aquatint check examples/demo.aqt": ([str(PROGRAM), "check", "examples/demo.aqt"], None),
    "aquatint plan examples/demo.aqt": ([str(PROGRAM), "plan", "examples/demo.aqt"], 0.5),
    "aquatint plan --json examples/demo.aqt": ([str(PROGRAM), "plan", "--json", "examples/demo.aqt"], None),
    "python -c 'import torch, diffusers'": ([sys.executable, "-c", "import torch, diffusers"], None),
}


def cpu_seconds(command: list[str]) -> float:
    """Return user + system seconds of one run of `command`, from the kernel's account of the child."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=15)
    runs: int = parser.parse_args().runs
    for command, _ in COMMANDS.values():
        cpu_seconds(command)  # the first run compiles and reads from the disk
    # In turns, so that what else the machine does meets all of them.
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, (command, _) in COMMANDS.items():
            seconds[name].append(cpu_seconds(command))
    empty = statistics.median(seconds["python -c pass"])
    print(f"{'command':<42}{'median s':>10}{'ratio':>8}{'limit s':>9}")
    for name, (_, limit) in COMMANDS.items():
        median = statistics.median(seconds[name])
        print(f"{name:<42}{median:>10.3f}{median / empty:>8.1f}{'' if limit is None else f'{limit:g}':>9}")


if __name__ == "__main__":
    main()
