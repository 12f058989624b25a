"""Seconds that the interactive session takes to find what is wrong with a text that is being typed.

    .venv/bin/python benchmarks/foresight.py [--rounds 20]

No torch is imported, and nothing is drawn. `first` is the first round, which reads what isn't known yet; the others
come after it.
"""

from __future__ import annotations

import argparse
import io
import time

from aquatint.interface.progress import Mode, reporter
from aquatint.interface.repl.foresight import mistakes
from aquatint.interface.session import Session
from aquatint.language.world import World
from aquatint.runtime.engine import Engine
from aquatint.source import Source

BEFORE = (
    'model shapes { source: "builtin:shapes" }',
    "quantizer q8 { backend: sdnq, weights_dtype: int8 }",
)
TEXTS = (
    "let y = shapse",
    'generate shapes { prompt: "a red circle", sedd: 1, ',
    'generate shapes { prompt: "a red circle on a white background", seed: 1, size: 64x64 }',
    'model small { source: "builtin:shapes", unet { quantizer: q8 } }',
    'for s in 1..100 { generate shapes { prompt: "a {{ s }}", seed: s } }',
    'for s in 1..99999 { generate shapes { prompt: "a {{ s }}", seed: s } }',
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    session = Session(World(), reporter(Mode.QUIET, io.StringIO(), io.StringIO()), _no_engine, keep=True)
    for text in BEFORE:
        session.feed(Source("<repl>", text))
    print(f"{'first':>8} {'median':>8} {'most':>8}  text")
    for text in TEXTS:
        times = []
        for _ in range(given.rounds):
            began = time.perf_counter()
            mistakes(text, session)
            times.append(1000 * (time.perf_counter() - began))
        first, *others = times
        print(f"{first:5.1f} ms {sorted(others)[len(others) // 2]:5.1f} ms {max(others):5.1f} ms  {text}")


def _no_engine() -> Engine:
    raise AssertionError("nothing is drawn here")


if __name__ == "__main__":
    main()
