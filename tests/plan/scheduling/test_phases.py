"""Statements run in phases where that costs or holds less, and whole elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aquatint.plan.scheduling.eviction import Eviction, evict
from aquatint.plan.scheduling.phases import Statement, phases
from aquatint.plan.scheduling.replay import Report, replay
from aquatint.plan.scheduling.tasks import Budget, Item, Task
from support.tasks import grid_of_items, grid_of_statements, nestings


def run(tasks: list[Task], items: list[Item], budget: Budget) -> Report:
    found = evict(tasks, items, budget)
    assert isinstance(found, Eviction)
    return replay(found.moves, tasks, items, budget)


@pytest.mark.parametrize("nesting", nestings())
@pytest.mark.parametrize("device", [None, 700])
def test_the_peak_is_the_largest_phase(nesting: tuple[str, ...], device: int | None) -> None:
    # 700 is too little for any statement as a whole with the largest denoiser.
    tasks = phases(grid_of_statements(nesting), [], grid_of_items(), Budget(device))
    assert len(tasks) == 3 * 180
    ours = run(tasks, grid_of_items(), Budget(device))
    assert (ours.loads, ours.evictions) == (15, 0)
    # The largest denoiser, its work, and sixty results of the encoder at the most.
    assert 605 <= ours.peak_device <= 605 + 60


def test_phases_of_a_plan() -> None:
    statements = grid_of_statements(("prompt", "model", "quantizer"), models=1, quantizers=1, prompts=2)
    tasks = phases(statements, [], grid_of_items(1, 1), Budget())
    assert [task.id for task in tasks] == ["e0", "e1", "d0", "d1", "v0", "v1"]


def test_whole_where_phases_gain_nothing() -> None:
    # All in one item: phases would only keep results waiting.
    statements = [
        Statement(
            Task(f"g{number}", ("all",), working=1, position=2 * number),
            (
                Task(f"e{number}", ("all",), working=1, result=1, position=2 * number),
                Task(f"d{number}", ("all",), (f"e{number}",), working=1, position=2 * number + 1),
            ),
        )
        for number in range(5)
    ]
    tasks = phases(statements, [], [Item("all", 10, 1)], Budget(20))
    assert [task.id for task in tasks] == ["g0", "g1", "g2", "g3", "g4"]


def test_a_kind_is_split_and_another_is_not() -> None:
    large = grid_of_statements(("prompt", "model", "quantizer"), models=1, quantizers=1, prompts=2)
    small = Statement(
        Task("small", ("little",), working=1, position=100),
        (Task("s1", ("little",), result=1, position=100), Task("s2", ("little",), ("s1",), working=1, position=101)),
    )
    tasks = phases([*large, small], [], [*grid_of_items(1, 1), Item("little", 5, 1)], Budget(700))
    assert [task.id for task in tasks] == ["e0", "e1", "d0", "d1", "v0", "v1", "small"]


def test_what_waits_for_a_statement_waits_for_its_last_phase() -> None:
    statements = grid_of_statements(("prompt", "model", "quantizer"), models=1, quantizers=1, prompts=2)
    first, second = statements
    second = Statement(
        replace(second.whole, after=("g0",)), (replace(second.parts[0], after=("g0",)), *second.parts[1:])
    )
    say = Task("say", after=("g0",), position=2)
    tasks = phases([first, second], [say], grid_of_items(1, 1), Budget(700))
    assert [task.id for task in tasks] == ["e0", "d0", "v0", "say", "e1", "d1", "v1"]
    assert {task.id: task.after for task in tasks}["e1"] == ("v0",)
