"""What the store costs and saves: a large component quantized, quantized and kept, and taken from the store.

    .venv/bin/python benchmarks/store.py --shape sdxl-unet --quantizer "sdnq;weights-dtype=int8" --folder DIR

Makes the checkpoint below `--folder` if it is not there (`benchmarks/shapes.py`) and does each line in a fresh process,
with everything imported before the clock starts: `plain` has no store; `kept` finds it empty and fills it, which hashes
the checkpoint, writes the copy and waits until the disk has it; `from store` is the next process; `reading` reads the
copy's tensors plainly, into memory of their own, and does nothing with them. Files are in the page cache but in the
lines that say `disk`, before which that is emptied: so a machine finds the copy that did something else meanwhile.
`disk MB` is what the process caused to be read from the disk. `peak MB` is the most anonymous memory above what the
process had when it began, and `of limit` how much that is of 1.15 x (the component and its largest tensor). Limit of
the time: `from store` at most 1.5 x `reading`, by the clock. The processor's seconds are compared as well: reading goes
on beside the building of the module where a second core is free, and costs what it costs. The lines that are compared
take turns, since machines are busy now and then, and the least of each counts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import shapes

LIMIT = 1.5
MEMORY_LIMIT = 1.15
COMPARED = ("from store", "reading", "from store, disk", "reading, disk")
MB = 10**6
DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def main() -> None:
    """Print the table, or, for a process that the table is made of, do its part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shape", choices=shapes.SHAPES, default="small-unet")
    parser.add_argument("--quantizer", default="sdnq;weights-dtype=int8", help="a quantizer's URI")
    parser.add_argument(
        "--folder", type=Path, required=True, help="where the checkpoint is, or is made; the store, too"
    )
    parser.add_argument("--runs", type=int, default=3, help="processes for each line but `kept`; the least counts")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        _part(given)
        return
    shapes.make(given.shape, given.folder)
    store = given.folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    print(f"{given.shape}, {given.quantizer}")
    print(f"disk: before it {_emptying()}", flush=True)
    print(f"{'':<18}{'MB':>8}{'peak MB':>9}{'of limit':>10}{'disk MB':>9}{'cpu s':>8}{'wall s':>8}", flush=True)
    plain = _line("plain", [_measured(given, "plain") for _ in range(given.runs)])
    kept = _line("kept", [_measured(given, "kept")])
    rounds = [{way: _measured(given, way) for way in COMPARED} for _ in range(given.runs)]
    least = {way: _line(way, [one[way] for one in rounds]) for way in COMPARED}
    for end in ("", ", disk"):
        loaded, read = least[f"from store{end}"], least[f"reading{end}"]
        wall, cpu = loaded["wall"] / read["wall"], loaded["cpu"] / read["cpu"]
        print(f"from store / reading{end}: by the clock {wall:.2f} (limit {LIMIT}), of the processor {cpu:.2f}")
    print(f"kept / plain: of the processor {kept['cpu'] / plain['cpu']:.2f}")
    shutil.rmtree(store)


def _line(way: str, found: list[dict[str, Any]]) -> dict[str, float]:
    """Print and return the least time of the processes that were `found`, with the most memory of any."""
    least = {clock: min(one[clock] for one in found) for clock in ("cpu", "wall")}
    peak, disk = (max(one[what] for one in found) for what in ("peak", "disk"))
    limit = MEMORY_LIMIT * (found[0]["bytes"] + found[0]["largest"])
    print(
        f"{way:<18}{found[0]['bytes'] / MB:>8.0f}{peak / MB:>9.0f}{peak / limit:>10.2f}{disk / MB:>9.0f}"
        f"{least['cpu']:>8.2f}{least['wall']:>8.2f}",
        flush=True,
    )
    return least


def _measured(given: argparse.Namespace, way: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--way", way, "--shape", given.shape, "--quantizer", given.quantizer]
    done = subprocess.run(
        [*command, "--folder", str(given.folder)], env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _part(given: argparse.Namespace) -> None:
    from aquatint.runtime.store import Store
    from aquatint.runtime.torch_engine import TorchEngine, weights
    from aquatint.runtime.torch_engine.libraries import libraries

    torch = libraries().torch
    # diffusers imports a class when it is asked for, and much else with it.
    getattr(libraries().diffusers, shapes.SHAPES[given.shape].class_name)
    store = Store(given.folder / "store", minimum=0)
    engine = TorchEngine(threads=1, store=None if given.way == "plain" else store)
    part = component(given.folder / given.shape, shapes.SHAPES[given.shape], given.quantizer)
    way, _, where = given.way.partition(", ")
    if where == "disk":
        _forget(store.entries()[0].folder)
    disk = _from_disk()
    with _Peak() as peak:
        cpu, wall = time.process_time(), time.perf_counter()
        if way == "reading":
            [entry] = store.entries()
            held: Any = [_bytes(torch, file) for file in sorted(entry.folder.glob("*.safetensors"))]
        else:
            held = engine.load(part)
        took = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    assert way == "reading" or held.from_store == (way == "from store"), held.warnings
    if way == "reading":
        sizes = [tensor.nbytes for tensors in held for tensor in tensors]
        size = sum(sizes)
    else:
        sizes = [tensor.nbytes for _, _, tensor in weights.held(torch, held.object)]
        size = weights.total_bytes(torch, held.object)
    found = {"bytes": size, "largest": max(sizes), "peak": peak.most - peak.before, "disk": _from_disk() - disk}
    json.dump(found | took, sys.stdout)


def component(source: Path, shape: shapes.Shape, uri: str) -> Any:
    """Return the component of a plan that is the checkpoint in `source`, quantized as `uri` says."""
    from aquatint.catalog import quantizers
    from aquatint.plan.steps import Component, Quantization

    backend, options = quantizers.parse_uri(uri)
    return Component(
        key="0" * 64, role=shape.role, library="diffusers", class_name=shape.class_name, source=str(source),
        subfolder=shape.role, variant=None, revision=None, dtype=shape.dtype, device="cpu",
        quantization=Quantization(backend, quantizers.canonical(backend, options), uri), identity="",
        bytes=sum(file.stat().st_size for file in (source / shape.role).glob("*.safetensors")),
    )  # fmt: skip


def _bytes(torch: Any, file: Path) -> list[Any]:
    """Return the bytes of the tensors of `file`, each read into memory of its own by a plain `readinto`."""
    from aquatint.catalog.checkpoints import read_header

    found = []
    with open(file, "rb", buffering=0) as stream:
        for tensor in sorted(read_header(file), key=lambda tensor: tensor.start):
            stream.seek(tensor.start)
            found.append(torch.empty(tensor.end - tensor.start, dtype=torch.uint8))
            view, done = memoryview(found[-1].numpy()), 0
            while done < len(view):
                done += stream.readinto(view[done:])
    return found


def _emptying() -> str:
    """Return in words how the page cache is emptied here."""
    if os.access(DROP_CACHES, os.W_OK):
        return f"the page cache is emptied through {DROP_CACHES}"
    return "the system is told by posix_fadvise to forget the copy"


def _forget(folder: Path) -> None:
    """Drop the pages of the files in `folder`, which are on the disk, from the system's cache: where allowed, all."""
    if os.access(DROP_CACHES, os.W_OK):
        DROP_CACHES.write_text("3\n")
    for file in folder.iterdir():
        with open(file, "rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _from_disk() -> int:
    """Return how many bytes this process has caused to be read from a disk."""
    return _field("/proc/self/io", "read_bytes")


class _Peak:
    """Watches this process's anonymous memory, every 5 ms."""

    def __enter__(self) -> _Peak:
        self.before = self.most = _anonymous()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            self.most = max(self.most, _anonymous())


def _anonymous() -> int:
    return _field("/proc/self/status", "RssAnon") * 1024


def _field(file: str, name: str) -> int:
    with open(file) as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
