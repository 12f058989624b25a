"""What the order of tasks and the evictions are worth: loads, costs and peaks, and the seconds that finding them takes.

    .venv/bin/python benchmarks/scheduling.py [--most 100000]

The plans are made up; their components have the sizes of published models. A component is read in two bytes for each
parameter, quantizing it costs as much again, and bringing it back from the computer's memory a quarter of what it
holds: these factors are assumptions, as is the memory that work takes. Costs are in GB. `script` is the script's order
with LRU; `evicted` the same order with the evictions found; `whole` with the order found, too; `phases` also with
statements in parts. `least` marks evictions that none undercut in that order.

Then the seconds of processor for ordering many tasks of 300 classes, where each is of another class than the one before
it; and for the evictions of the script's order, which is judged only where a bound doesn't show that it is worse.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aquatint.plan.scheduling.eviction import Eviction, evict, lru
from aquatint.plan.scheduling.order import ordered
from aquatint.plan.scheduling.phases import Statement, phases
from aquatint.plan.scheduling.replay import Report, replay
from aquatint.plan.scheduling.tasks import Budget, DoesNotFit, Item, Task

GB = 10**9
MB = 10**6

# Billions of parameters. SDXL: Podell et al., arXiv 2307.01952, table 1 (text encoders 0.817 together); FLUX.1 and
# Stable Diffusion 3.5 large: their model cards; T5-XXL's encoder: 4.7 of 11; CLIP-L's text model 0.123.
PARAMETERS = {
    "clip-l": 0.123, "clip-g": 0.694, "t5-xxl": 4.7, "vae": 0.084, "sdxl": 2.6, "flux": 12.0, "sd35": 8.1,
}  # fmt: skip
ENCODERS = {"sdxl": ("clip-l", "clip-g"), "flux": ("clip-l", "t5-xxl"), "sd35": ("clip-l", "clip-g", "t5-xxl")}
BYTES = {"bf16": 2.0, "int8": 1.0, "uint4": 0.5}  # held for each parameter, without scales


@dataclass(frozen=True)
class Plan:
    """Statements of a script in its order, and the memory there is."""

    name: str
    statements: list[Statement]
    items: list[Item]
    budget: Budget


def item(name: str, quantizer: str) -> Item:
    """Return a component, quantized."""
    read = 2 * PARAMETERS[name]
    held = BYTES[quantizer] * PARAMETERS[name]
    cost = read * (1 if quantizer == "bf16" else 2)
    return Item(f"{name}/{quantizer}", round(held * GB), cost, round(held * GB), held / 4)


def plan(
    name: str,
    runs: Iterator[tuple[str, str, int]],
    device: float | None,
    host: float = 0,
    *,
    encoders: str = "bf16",
    chained: bool = False,
) -> Plan:
    """Return a plan of (model, quantizer of its denoiser, prompt); `chained`: each uses the picture before it."""
    items: dict[str, Item] = {}
    statements = []
    for number, (model, quantizer, _) in enumerate(runs):
        texts = [item(text, encoders if text == "t5-xxl" else "bf16") for text in ENCODERS[model]]
        denoiser, vae = item(model, quantizer), item("vae", "bf16")
        # Each model has a VAE of its own.
        vae = Item(f"vae/{model}", vae.bytes, vae.load_cost, vae.host_bytes, vae.return_cost)
        for part in (*texts, denoiser, vae):
            items[part.key] = part
        keys = tuple(text.key for text in texts)
        place = 3 * number
        after = (f"g{number - 1}",) if chained and number else ()
        statements.append(
            Statement(
                Task(f"g{number}", (*keys, denoiser.key, vae.key), after, 2 * GB, 0, place),
                (
                    Task(f"e{number}", keys, after, GB // 4, 4 * MB, place),
                    Task(f"d{number}", (denoiser.key,), (f"e{number}",), GB, MB // 2, place + 1),
                    Task(f"v{number}", (vae.key,), (f"d{number}",), 2 * GB, 0, place + 2),
                ),
            )
        )
    budget = Budget(None if device is None else round(device * GB), round(host * GB))
    return Plan(name, statements, list(items.values()), budget)


def prompts_outermost() -> Iterator[tuple[str, str, int]]:
    """Yield three models with three quantizers for each of twenty prompts."""
    return ((model, quantizer, prompt) for prompt in range(20) for model in ENCODERS for quantizer in BYTES)


def rounds() -> Iterator[tuple[str, str, int]]:
    """Yield three models with three quantizers, five times over."""
    return ((model, quantizer, turn) for turn in range(5) for model in ENCODERS for quantizer in BYTES)


def one_model(count: int) -> Iterator[tuple[str, str, int]]:
    """Yield one model with many prompts."""
    return (("flux", "int8", prompt) for prompt in range(count))


def quantizers_of_flux() -> Iterator[tuple[str, str, int]]:
    """Yield three quantizers for each of twenty prompts."""
    return (("flux", quantizer, prompt) for prompt in range(20) for quantizer in BYTES)


def two_small(count: int) -> Iterator[tuple[str, str, int]]:
    """Yield three quantizers of a small model, in turns."""
    return (("sdxl", quantizer, prompt) for prompt in range(count) for quantizer in BYTES)


PLANS: list[Callable[[], Plan]] = [
    lambda: plan("3 models x 3 quantizers x 20 prompts, no limit", prompts_outermost(), None),
    lambda: plan("the same, 48 GB", prompts_outermost(), 48),
    lambda: plan("the same, 48 GB, 32 GB of the computer's memory", prompts_outermost(), 48, 32),
    lambda: plan("the same, 26 GB (too little for whole statements)", prompts_outermost(), 26),
    lambda: plan("FLUX x 3 quantizers x 20 prompts, 40 GB", quantizers_of_flux(), 40),
    lambda: plan("FLUX int8 with T5 int8, 100 prompts, 16 GB", one_model(100), 16, encoders="int8"),
    lambda: plan(
        "3 models x 3 quantizers x 5 rounds, each on the picture before it, 48 GB", rounds(), 48, chained=True
    ),
    lambda: plan("the same, 32 GB of the computer's memory", rounds(), 48, 32, chained=True),
    lambda: plan("SDXL x 3 quantizers x 50 prompts, 12 GB", two_small(50), 12),
]


def main() -> None:
    """Print a table for each plan, and the curve of seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--most", type=int, default=100_000, help="tasks of the largest plan that is timed")
    given = parser.parse_args()
    for make in PLANS:
        made = make()
        whole = [statement.whole for statement in made.statements]
        print(f"\n{made.name}: {len(whole)} statements, {len(made.items)} components")
        print(f"{'':<10}{'loads':>7}{'returns':>9}{'evictions':>11}{'cost GB':>10}{'peak GB':>9}{'s':>8}")
        _row("script", whole, made, lambda made=made, whole=whole: (whole, lru(whole, made.items, made.budget)))
        _row("evicted", whole, made, lambda made=made, whole=whole: (whole, evict(whole, made.items, made.budget)))
        _row("whole", whole, made, lambda made=made, whole=whole: _ordered(whole, made))
        _row("phases", whole, made, lambda made=made: _phases(made))
    print(f"\n{'tasks':>9}{'classes':>9}{'order s':>9}{'us each':>9}{'evict s':>9}")
    for size in (size for size in (1_000, 10_000, 30_000, 100_000) if size <= given.most):
        _timed(size)


def _ordered(tasks: list[Task], made: Plan) -> tuple[list[Task], Eviction | DoesNotFit]:
    by_id = {task.id: task for task in tasks}
    order = [by_id[name] for name in ordered(tasks, made.items, made.budget).tasks]
    return order, evict(order, made.items, made.budget)


def _phases(made: Plan) -> tuple[list[Task], Eviction | DoesNotFit]:
    order = phases(made.statements, [], made.items, made.budget)
    return order, evict(order, made.items, made.budget)


def _row(
    name: str, whole: list[Task], made: Plan, find: Callable[[], tuple[list[Task], Eviction | DoesNotFit]]
) -> None:
    begun = time.process_time()
    tasks, found = find()
    seconds = time.process_time() - begun
    if isinstance(found, DoesNotFit):
        print(f"{name:<10}  {found.task} needs {found.needed / GB:.1f} GB{seconds:>44.2f}")
        return
    report: Report = replay(found.moves, tasks, made.items, made.budget)
    mark = "  least" if found.proven else ""
    print(
        f"{name:<10}{report.loads:>7}{report.returns:>9}{report.evictions:>11}{report.cost:>10.1f}"
        f"{report.peak_device / GB:>9.1f}{seconds:>8.2f}{mark}"
    )


def _timed(size: int) -> None:
    """Print how long it takes to order statements in three parts, each of another class than the one before."""
    kinds = 100
    items = [Item(f"{role}{kind}", (5 + kind % 7) * GB, 5.0) for role in "edv" for kind in range(kinds)]
    tasks = []
    for number in range(size // 3):
        kind = number % kinds
        tasks += [
            Task(f"e{number}", (f"e{kind}",), (), GB, 4 * MB, 3 * number),
            Task(f"d{number}", (f"d{kind}",), (f"e{number}",), GB, MB, 3 * number + 1),
            Task(f"v{number}", (f"v{kind}",), (f"d{number}",), GB, 0, 3 * number + 2),
        ]
    begun = time.process_time()
    ordered(tasks, items, Budget(24 * GB))
    seconds = time.process_time() - begun
    between = time.process_time()
    evict(tasks, items, Budget(24 * GB))
    evicting = time.process_time() - between
    print(f"{len(tasks):>9,}{3 * kinds:>9}{seconds:>9.2f}{seconds / len(tasks) * 1e6:>9.1f}{evicting:>9.2f}")


if __name__ == "__main__":
    main()
