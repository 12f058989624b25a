"""Where the time goes between a statement and its first step of denoising, when its models are loaded already.

    .venv/bin/python benchmarks/warm_statement.py [--statements 40] [--profile]

One session, in this process; each statement makes an image of `builtin:shapes` with a prompt of its own, so that
nothing of it was computed before. Medians, in milliseconds of the clock and of the processor (which other programs
change less): `plan` from the text to the plan, `begin` to the first event of the image, `encode` from there to the
first step, which is taken to last as long as the second.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import time

import aquatint
from aquatint.runtime.events import DenoiseStep, Event, GenerateStarted, RunStarted

MODEL = 'model m { source: "builtin:shapes", defaults { num_inference_steps: 3 } }'
Moment = tuple[float, float]


def now() -> Moment:
    """Return the seconds of the clock and of the processor."""
    return time.perf_counter(), time.thread_time()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--statements", type=int, default=40)
    parser.add_argument("--profile", action="store_true", help="show what takes the processor's time")
    given = parser.parse_args()
    moments: list[Moment] = []

    def told(event: Event) -> None:
        if isinstance(event, RunStarted | GenerateStarted) or (isinstance(event, DenoiseStep) and event.done <= 2):
            moments.append(now())

    rows: list[list[Moment]] = []
    profile = cProfile.Profile(time.thread_time)
    with aquatint.Session(
        device="cpu", output_dir="out/warm", existing="overwrite", threads=1, on_event=told
    ) as session:
        session.run(MODEL)
        session.run('generate m { prompt: "first", seed: 0 }')
        for number in range(given.statements):
            moments.clear()
            began = now()
            if given.profile:
                profile.enable()
            session.run(f'generate m {{ prompt: "a star, {number}", seed: {number} }}')
            profile.disable()
            rows.append([began, *moments])
    print(f"{'':8}{'clock':>8}{'processor':>11}")
    spent: dict[str, list[Moment]] = {"plan": [], "begin": [], "encode": [], "all": []}
    for began, planned, begun, first, second in rows:
        step = [second[each] - first[each] for each in (0, 1)]
        starts = tuple(first[each] - step[each] for each in (0, 1))
        for name, start, end in (("plan", began, planned), ("begin", planned, begun), ("encode", begun, starts),
                                 ("all", began, starts)):  # fmt: skip
            spent[name].append((end[0] - start[0], end[1] - start[1]))
    for name, each in spent.items():
        clock, processor = (1000 * statistics.median(pair[at] for pair in each) for at in (0, 1))
        print(f"{name:8}{clock:>8.1f}{processor:>11.1f}")
    if given.profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats("aquatint", 60)


if __name__ == "__main__":
    main()
