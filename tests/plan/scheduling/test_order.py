"""The order of tasks: one that they allow, never worse than the script's, and the best where all can be tried."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings

from aquatint.plan.scheduling.bounds import at_least, floor_of
from aquatint.plan.scheduling.eviction import Eviction, evict
from aquatint.plan.scheduling.graph import Graph, Weights
from aquatint.plan.scheduling.groups import grouped
from aquatint.plan.scheduling.order import order, ordered
from aquatint.plan.scheduling.replay import Report, replay
from aquatint.plan.scheduling.sequence import EFFORT, Judge, best_sequence
from aquatint.plan.scheduling.tasks import Budget, DoesNotFit, Item, Task
from support.exhaustive import least_cost
from support.tasks import Case, cases, grid_of_items, grid_of_statements, nestings


def run(tasks: Sequence[Task], case: Case) -> Report | None:
    """Return what tasks in that order come to; None if one doesn't fit."""
    found = evict(tasks, case.items, case.budget)
    return replay(found.moves, case.tasks, case.items, case.budget) if isinstance(found, Eviction) else None


def in_order(case: Case) -> list[Task]:
    by_id = {task.id: task for task in case.tasks}
    return [by_id[name] for name in order(case.tasks, case.items, case.budget)]


@settings(max_examples=100, deadline=None)
@given(cases(tasks=40, items=8))
def test_never_worse_than_the_script(case: Case) -> None:
    tasks = in_order(case)
    assert sorted(task.id for task in tasks) == sorted(task.id for task in case.tasks)
    ours, scripts = run(tasks, case), run(case.tasks, case)
    score = ordered(case.tasks, case.items, case.budget).score
    assert score == (None if ours is None else (ours.cost, ours.loads, ours.peak_device))
    if scripts is None:
        return
    assert ours is not None
    assert ours.loads <= scripts.loads
    assert (ours.cost, ours.loads, ours.peak_device) <= (scripts.cost, scripts.loads, scripts.peak_device)
    if (ours.cost, ours.loads, ours.peak_device) == (scripts.cost, scripts.loads, scripts.peak_device):
        assert tasks == case.tasks


@settings(max_examples=100, deadline=None)
@given(cases(tasks=6, items=4))
def test_the_least_cost_of_all_orders_on_small_plans(case: Case) -> None:
    ours, scripts = run(in_order(case), case), run(case.tasks, case)
    most_loads = float("inf") if scripts is None else scripts.loads
    least = least_cost(case.tasks, case.items, case.budget, any_order=True, most_loads=most_loads)
    assert least == (None if ours is None else ours.cost)


@settings(max_examples=100, deadline=None)
@given(cases(tasks=6, items=4))
def test_the_least_peak_of_all_orders_on_small_plans(case: Case) -> None:
    unlimited = Case(case.tasks, case.items, Budget())
    ours = run(in_order(unlimited), unlimited)
    assert ours is not None
    # The least budget with which everything can be loaded once and stay.
    used = {key for task in case.tasks for key in task.needs}
    once = sum(item.load_cost for item in case.items if item.key in used)

    def can_do_with(device: int) -> bool:
        return least_cost(case.tasks, case.items, Budget(device), any_order=True, most_loads=len(used)) == once

    assert can_do_with(ours.peak_device)
    assert not can_do_with(ours.peak_device - 1)


@pytest.mark.parametrize("nesting", nestings())
@pytest.mark.parametrize("device", [None, 1200])
def test_loads_are_the_number_of_components_however_it_is_written(nesting: tuple[str, ...], device: int | None) -> None:
    tasks = [statement.whole for statement in grid_of_statements(nesting)]
    case = Case(tasks, grid_of_items(), Budget(device))
    ours = run(in_order(case), case)
    assert ours is not None
    assert len(tasks) == 180
    assert (ours.loads, ours.evictions) == (15, 0)
    # An encoder, a decoder, and the largest denoiser.
    assert ours.peak_device == 500 + 20 + 600 + 10


def test_the_order_of_a_plan() -> None:
    tasks = [
        Task("a1", ("a",), position=0),
        Task("b1", ("b",), position=1),
        Task("say", (), ("b1",), position=2),
        Task("a2", ("a",), position=3),
        Task("b2", ("b",), position=4),
        Task("needs-a2", ("b",), ("a2",), position=5),
        Task("done", (), ("say",), position=6),
    ]
    items = [Item("a", 5, 1), Item("b", 5, 1)]
    assert order(tasks, items, Budget(9)) == ["a1", "a2", "b1", "say", "b2", "needs-a2", "done"]
    # With room for both, the peak is still lower in that order.
    assert order(tasks, items, Budget()) == ["a1", "a2", "b1", "say", "b2", "needs-a2", "done"]


def test_what_uses_results_runs_before_they_are_too_many() -> None:
    tasks = []
    for number in range(20):
        tasks.append(Task(f"e{number}", ("encoder",), result=10, position=2 * number))
        tasks.append(Task(f"d{number}", ("denoiser",), (f"e{number}",), position=2 * number + 1))
    items = [Item("encoder", 100, 1), Item("denoiser", 100, 1)]
    # Beside one of them there is room for five results; beside both for none.
    case = Case(tasks, items, Budget(155))
    ours = run(in_order(case), case)
    assert ours is not None
    assert ours.peak_device <= 155
    assert ours.loads == 8


def test_a_plan_that_cannot_be_run_keeps_the_order_of_the_script() -> None:
    tasks = [Task("one", ("a",)), Task("two", ("b",), position=1)]
    items = [Item("a", 5, 1), Item("b", 6, 1)]
    assert order(tasks, items, Budget(5)) == ["one", "two"]
    assert isinstance(evict(tasks, items, Budget(5)), DoesNotFit)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([Task("a", after=("b",)), Task("b", after=("a",))], "tasks wait for one another in a circle"),
        ([Task("a", after=("c",))], "no task is called c"),
        ([Task("a"), Task("a")], "two tasks have one id"),
    ],
)
def test_tasks_that_have_no_order(tasks: list[Task], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        order(tasks, [], Budget())


def plan_in_phases(statements: int, kinds: int) -> Case:
    chance = random.Random(7)
    items = [Item(f"{role}{kind}", chance.randint(5, 12), 5) for role in "edv" for kind in range(kinds)]
    tasks = []
    for number in range(statements):
        kind = number % kinds
        tasks += [
            Task(f"e{number}", (f"e{kind}",), (), 1, 0, 4 * number),
            Task(f"d{number}", (f"d{kind}",), (f"e{number}",), 1, 0, 4 * number + 1),
            Task(f"v{number}", (f"v{kind}",), (f"d{number}",), 1, 0, 4 * number + 2),
            Task(f"p{number}", (), (f"p{number - 1}",) if number else (), 0, 0, 4 * number + 3),
        ]
    return Case(tasks, items, Budget(24))


def calls(function: Callable[[], object]) -> int:
    """Return how many functions are called while `function` runs."""
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def test_work_grows_with_the_tasks_and_not_with_their_square() -> None:
    one, four = plan_in_phases(1000, 20), plan_in_phases(4000, 20)
    base = plan_in_phases(100, 20)
    # What is spent on the order of the classes is the same for all three.
    fixed = calls(lambda: order(base.tasks, base.items, base.budget))
    small = calls(lambda: order(one.tasks, one.items, one.budget)) - fixed
    large = calls(lambda: order(four.tasks, four.items, four.budget)) - fixed
    assert large < 4.6 * small


def test_orders_of_classes_are_judged_a_bounded_number_of_times() -> None:
    for kinds in (10, 100):
        case = plan_in_phases(1000, kinds)
        graph = Graph(case.tasks, Weights(case.items, case.budget))
        groups = grouped(graph, graph.script_order())
        assert len(groups.classes) == 3 * kinds
        judge = Judge(graph, groups, case.budget, None)
        best_sequence(judge)
        assert (judge.judged - 1) * len(groups.classes) < EFFORT


HASHED = """
from support.tasks import grid_of_items, grid_of_statements
from aquatint.plan.scheduling.eviction import evict
from aquatint.plan.scheduling.phases import phases
from aquatint.plan.scheduling.tasks import Budget
print(phases(grid_of_statements(("prompt", "model", "quantizer"), prompts=4), [], grid_of_items(), Budget(1100)))
whole = [statement.whole for statement in grid_of_statements(("prompt", "quantizer", "model"))]
print(evict(whole, grid_of_items(), Budget(1300)).moves)
"""


def test_the_same_under_any_hash_seed() -> None:
    texts = {
        subprocess.run(
            [sys.executable, "-c", HASHED], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }  # fmt: skip
    (text,) = texts
    assert "Drop(" in text


def test_results_do_not_pile_up_where_that_would_be_the_peak() -> None:
    tasks = [Task(f"e{number}", ("encoder",), result=100, position=number) for number in range(20)]
    tasks += [Task(f"d{number}", ("denoiser",), (f"e{number}",), position=20 + number) for number in range(20)]
    case = Case(tasks, [Item("encoder", 10, 1), Item("denoiser", 10, 1)], Budget())
    ours = run(in_order(case), case)
    assert ours is not None
    # Both items stay, and one result is held.
    assert (ours.loads, ours.peak_device) == (2, 10 + 10 + 100)


@settings(max_examples=200, deadline=None)
@given(cases(tasks=30, items=6))
def test_no_order_undercuts_its_bound(case: Case) -> None:
    graph = Graph(case.tasks, Weights(case.items, case.budget))
    floor = floor_of(graph)
    least = at_least(graph, range(len(case.tasks)), case.budget, floor)
    ours = run(case.tasks, case)
    assert least >= floor
    if ours is not None:
        assert least <= (ours.cost, ours.loads, ours.peak_device)
        assert least[1] <= ours.loads


def test_the_bound_of_an_order_by_hand() -> None:
    tasks = [Task(str(number), (key,), position=number) for number, key in enumerate("abcabca")]
    items = [Item(key, 2, 6) for key in "abc"]
    graph = Graph(tasks, Weights(items, Budget(5)))
    # Each three tasks need one byte more than fits, and a byte costs 3: less than loading each once. Then two of them
    # overflow, and so the loads aren't fewer than the items.
    assert at_least(graph, range(7), Budget(5), floor_of(graph)) == (18, 3, 6)
    assert at_least(graph, range(7), Budget(3), floor_of(graph)) == (18, 3, 6)
