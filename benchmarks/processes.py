"""Runs a process that other benchmarks measure, and watches its memory from outside.

The process writes `ready` when everything is imported, waits for a line, does its work, and answers with a line of
JSON; it may add another one. Not a benchmark itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def measured(command: Sequence[str], kinds: Sequence[str], *, whole: bool = False) -> tuple[dict[str, Any], list[int]]:
    """Run `command` and return what it answered, and the most bytes of each of `kinds` above those when it was ready.

    With `whole` they are all those that the process has.

    Kinds are lines of `/proc/PID/status`, such as `RssAnon`; they are looked at every 2 ms, until the first answer. The
    process has one thread and no hub. Raises `SystemExit` with what it wrote to its error stream if it fails.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        errors: list[str] = []
        # Read all the time: a full pipe would stop the process.
        listener = threading.Thread(target=lambda: errors.extend(process.stderr or ()))
        listener.start()
        if process.stdout.readline() != "ready\n":
            process.wait()
            listener.join()
            raise SystemExit("".join(errors))
        status = Path(f"/proc/{process.pid}/status")
        base, most, over = _memory(status, kinds), [0] * len(kinds), threading.Event()

        def sample() -> None:
            while not over.wait(0.002):
                most[:] = map(max, most, _memory(status, kinds))

        sampler = threading.Thread(target=sample)
        sampler.start()
        process.stdin.write("go\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        over.set()
        sampler.join()
        rest = process.stdout.readline() if answer else ""
        process.wait()
        listener.join()
    if not answer or process.returncode:
        raise SystemExit("".join(errors))
    told = json.loads(answer) | (json.loads(rest) if rest else {})
    return told, [max(top - (0 if whole else before), 0) for top, before in zip(most, base, strict=True)]


def _memory(status: Path, kinds: Sequence[str]) -> list[int]:
    """Return the bytes of pages of each of `kinds` that a process has in memory."""
    found = dict.fromkeys(kinds, 0)
    try:
        for line in status.read_text().splitlines():
            name, _, value = line.partition(":")
            if name in found:
                found[name] = int(value.split()[0]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has ended
    return list(found.values())
