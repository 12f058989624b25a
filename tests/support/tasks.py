"""Made-up tasks and items, for the tests of what puts them in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

from hypothesis import strategies as st

from aquatint.plan.scheduling.phases import Statement
from aquatint.plan.scheduling.tasks import Budget, Item, Task


@dataclass(frozen=True)
class Case:
    """Tasks in an order that they allow, items, and a budget."""

    tasks: list[Task]
    items: list[Item]
    budget: Budget


@st.composite
def cases(draw: st.DrawFn, *, tasks: int, items: int, alike: bool = False) -> Case:
    """Draw up to so many tasks and items, and a budget in which not all fits; `alike`: items of one size and cost."""
    numbers = st.integers(1, 6)
    known = [
        Item(
            f"i{number}",
            bytes=1 if alike else draw(numbers),
            load_cost=1 if alike else draw(st.integers(0, 9)),
            host_bytes=None if alike else draw(st.none() | numbers),
            return_cost=0 if alike else draw(st.integers(0, 6)),
        )
        for number in range(draw(st.integers(2, items)))
    ]
    keys = st.sampled_from([item.key for item in known])
    made: list[Task] = []
    for number in range(draw(st.integers(1, tasks))):
        names = st.sampled_from([task.id for task in made] or ["none"])
        made.append(
            Task(
                f"t{number}",
                needs=tuple(draw(st.lists(keys, max_size=2, unique=True))),
                after=tuple(draw(st.lists(names, max_size=2 if made else 0, unique=True))),
                working=0 if alike else draw(st.integers(0, 2)),
                result=0 if alike else draw(st.integers(0, 2)),
                position=number,
            )
        )
    least = max(sum(item.bytes for item in known if item.key in task.needs) for task in made)
    budget = Budget(draw(st.integers(least, least + 6)), draw(st.sampled_from([0, 3, 8, None])))
    return Case(made, known, budget)


PLACES = ("model", "quantizer", "prompt")


def grid_of_statements(
    nesting: Sequence[str], models: int = 3, quantizers: int = 3, prompts: int = 20
) -> list[Statement]:
    """Return statements for all models, quantizers and prompts, written in nested loops, the outermost first.

    Models have an encoder and a decoder of their own, and a denoiser for each quantizer.
    """
    counts = {"model": models, "quantizer": quantizers, "prompt": prompts}
    statements = []
    for number, values in enumerate(product(*(range(counts[name]) for name in nesting))):
        value = dict(zip(nesting, values, strict=True))
        encoder, decoder = f"encoder-{value['model']}", f"decoder-{value['model']}"
        denoiser = f"denoiser-{value['model']}-{value['quantizer']}"
        place = 3 * number
        statements.append(
            Statement(
                Task(f"g{number}", (encoder, denoiser, decoder), working=10, position=place),
                (
                    Task(f"e{number}", (encoder,), working=2, result=1, position=place),
                    Task(f"d{number}", (denoiser,), (f"e{number}",), working=5, result=1, position=place + 1),
                    Task(f"v{number}", (decoder,), (f"d{number}",), working=10, position=place + 2),
                ),
            )
        )
    return statements


def grid_of_items(models: int = 3, quantizers: int = 3) -> list[Item]:
    """Return the items of `grid_of_statements`."""
    items = [Item(f"encoder-{model}", 500, 1000) for model in range(models)]
    items += [Item(f"decoder-{model}", 20, 20) for model in range(models)]
    return items + [
        Item(f"denoiser-{model}-{quantizer}", 600 // (quantizer + 1), 1200)
        for model in range(models)
        for quantizer in range(quantizers)
    ]


def nestings() -> list[tuple[str, ...]]:
    """Return the orders in which three loops can be nested."""
    return list(permutations(PLACES))
