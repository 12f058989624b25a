"""A sequence of moves is carried out on paper: what it comes to, and what is refused."""

from __future__ import annotations

import pytest

from aquatint.plan.scheduling.moves import Drop, Evict, Load, Move, Return, Run
from aquatint.plan.scheduling.replay import InvalidMovesError, Report, replay
from aquatint.plan.scheduling.tasks import Budget, Item, Task

ITEMS = [Item("a", 4, 10, host_bytes=3, return_cost=2), Item("b", 5, 7)]
TASKS = [Task("1", ("a",), working=2, result=1), Task("2", ("b",), ("1",), working=1), Task("3", ("a",))]
MOVES: list[Move] = [
    Load("a"), Run("1"), Evict("a"), Load("b"), Run("2"), Drop("b"), Return("a"), Run("3"), Drop("a"),
]  # fmt: skip


def test_what_moves_come_to() -> None:
    # The most is held in the second task: 5 of b, 1 of the result, 1 of work.
    assert replay(MOVES, TASKS, ITEMS, Budget(7, 3)) == Report(
        cost=19, loads=2, returns=1, evictions=1, releases=2, bytes_loaded=9, bytes_evicted=4, bytes_returned=4,
        peak_device=7, peak_host=3,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("moves", "budget", "message"),
    [
        (MOVES, Budget(6, 3), "move 4, Run(task='2'): 7 bytes are held"),
        (MOVES, Budget(7, 2), "move 2, Evict(item='a'): the computer's memory is full"),
        (MOVES[1:], Budget(), "move 0, Run(task='1'): a isn't on the device"),
        (MOVES[3:], Budget(), "move 1, Run(task='2'): 1 hasn't run"),
        (MOVES[:-2], Budget(None, None), "3 never runs"),
        ([Load("a"), Run("1"), Run("1")], Budget(), "move 2, Run(task='1'): it has run"),
        ([Load("a"), Load("a")], Budget(), "move 1, Load(item='a'): it is loaded already"),
        ([Load("a"), Evict("a"), Load("a")], Budget(None, None), "move 2, Load(item='a'): it is loaded already"),
        ([Load("b"), Evict("b")], Budget(None, None), "move 1, Evict(item='b'): it can't be moved"),
        ([Load("a"), Return("a")], Budget(), "move 1, Return(item='a'): it isn't in the computer's memory"),
        ([Drop("a")], Budget(), "move 0, Drop(item='a'): it isn't on the device"),
    ],
)
def test_what_cannot_be_carried_out(moves: list[Move], budget: Budget, message: str) -> None:
    with pytest.raises(InvalidMovesError) as caught:
        replay(moves, TASKS, ITEMS, budget)
    assert str(caught.value) == message
