"""How long planning takes as scripts grow: the seconds of parsing and evaluating, without start-up.

    .venv/bin/python benchmarks/planning.py [--most 100000]

Three scripts of each size: `written` has that many `generate` statements one below the other, `loop` two nested loops
that come to as many, and `override` a loop with an `override` in each turn. A curve that is linear has the same
microseconds per statement in every row; the limit is 2 s for 10,000 statements.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time

LIMIT = 2.0
SIZES = (100, 1_000, 10_000, 30_000, 100_000)
MODEL = 'model m { source: "builtin:shapes", defaults { num_inference_steps: 4 } }\n'


def written(size: int) -> str:
    """Return a script of `size` statements."""
    return MODEL + "".join(
        f'generate m {{ prompt: "a cat {number}", seed: {number}, output: "out/{number}.png" }}\n'
        for number in range(size)
    )


def loop(size: int) -> str:
    """Return a script whose two loops come to about `size` statements."""
    side = math.isqrt(size)
    return MODEL + (
        f"for i in 1..{side}, j in 1..{side} {{\n"
        '    generate m { prompt: "a cat {{ i }}", seed: j, output: "out/{{ i }}-{{ j }}.png" }\n}\n'
    )


def override(size: int) -> str:
    """Return a script whose loop overrides its model in each of `size` turns."""
    return MODEL + (
        "quantizer q { backend: sdnq, weights_dtype: int8 }\n"
        f"for i in 1..{size} {{\n    override m {{ unet {{ quantizer: q }} }}\n"
        '    generate m { prompt: "a cat", seed: i, output: "out/{{ i }}.png" }\n}\n'
    )


SCRIPTS = {"written": written, "loop": loop, "override": override}


def main() -> None:
    """Print the curve, each row of it from a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--most", type=int, default=SIZES[-1], help="statements of the largest scripts")
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        print(*_seconds(SCRIPTS[given.row[0]](int(given.row[1]))))
        return
    print(f"{'':<10}{'statements':>11}{'parse s':>9}{'evaluate s':>12}{'total s':>9}{'us each':>9}")
    for name in SCRIPTS:
        for size in (size for size in SIZES if size <= given.most):
            command = [sys.executable, __file__, "--row", name, str(size)]
            row = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
            count, parsing, evaluating = int(row[0]), float(row[1]), float(row[2])
            total = parsing + evaluating
            late = f"  more than {LIMIT:g} s" if size == 10_000 and total > LIMIT else ""
            each = total / count * 1e6
            print(f"{name:<10}{count:>11,}{parsing:>9.2f}{evaluating:>12.2f}{total:>9.2f}{each:>9.0f}{late}")


def _seconds(text: str) -> tuple[int, float, float]:
    """Return how many images a script makes, and the processor's seconds for parsing and for evaluating it."""
    from aquatint.interface.collection import without_collection
    from aquatint.language.evaluate import Interpreter
    from aquatint.language.world import World
    from aquatint.plan.steps import Generate
    from aquatint.source import Source
    from aquatint.syntax.parser import parse

    Interpreter(World()).evaluate((first := parse(Source("warm.aqt", written(1)))).script, first.diagnostics)
    with without_collection():  # as commands do it
        begun = time.process_time()
        parsed = parse(Source("script.aqt", text))
        between = time.process_time()
        plan = Interpreter(World(limit=10)).evaluate(parsed.script, parsed.diagnostics).plan
        ended = time.process_time()
    assert plan is not None
    return sum(isinstance(step, Generate) for step in plan.steps), between - begun, ended - between


if __name__ == "__main__":
    main()
