"""Evictions: they can be carried out, cost no more than LRU's, and the least that there is where all can be tried."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from aquatint.plan.scheduling.eviction import Eviction, evict, lru
from aquatint.plan.scheduling.moves import Drop, Evict, Load, Move, Return, Run
from aquatint.plan.scheduling.replay import Report, replay
from aquatint.plan.scheduling.tasks import Budget, DoesNotFit, Item, Task
from support.exhaustive import least_cost
from support.tasks import Case, cases


def report(case: Case, found: Eviction | DoesNotFit) -> Report:
    assert isinstance(found, Eviction)
    ran = [move.task for move in found.moves if isinstance(move, Run)]
    assert ran == [task.id for task in case.tasks]
    return replay(found.moves, case.tasks, case.items, case.budget)


def sequence(needs: Sequence[str], room: int, *, items: Sequence[Item] = (), host: int = 0) -> Case:
    """Return a case whose tasks need the items named by each word's letters, of one byte and one cost unless given."""
    known = {item.key: item for item in items}
    keys = sorted({key for word in needs for key in word})
    tasks = [Task(str(number), tuple(word), position=number) for number, word in enumerate(needs)]
    return Case(tasks, [known.get(key, Item(key, 1, 1)) for key in keys], Budget(room, host))


@settings(max_examples=120, deadline=None)
@given(cases(tasks=40, items=10))
def test_never_more_loads_nor_costs_than_lru(case: Case) -> None:
    found, recent = evict(case.tasks, case.items, case.budget), lru(case.tasks, case.items, case.budget)
    if isinstance(found, DoesNotFit):
        assert recent == found
        return
    ours, theirs = report(case, found), report(case, recent)
    assert ours.loads <= theirs.loads
    assert ours.cost <= theirs.cost


@settings(max_examples=200, deadline=None)
@given(cases(tasks=10, items=5))
def test_the_least_cost_on_small_plans(case: Case) -> None:
    found = evict(case.tasks, case.items, case.budget)
    if isinstance(found, DoesNotFit):
        assert least_cost(case.tasks, case.items, case.budget) is None
        return
    most_loads = report(case, lru(case.tasks, case.items, case.budget)).loads
    assert found.proven
    assert report(case, found).cost == least_cost(case.tasks, case.items, case.budget, most_loads=most_loads)


def tight_case(seed: int) -> Case:
    """Return a case with little more than the room that its largest task needs, and some in the computer's memory."""
    chance = random.Random(seed)
    keys = "abcde"[: chance.randint(4, 5)]
    items = [
        Item(key, chance.randint(1, 6), chance.randint(1, 20), chance.choice([None, 1, 2, 4, 6]), chance.randint(0, 3))
        for key in keys
    ]
    tasks = [
        Task(str(number), tuple(chance.sample(keys, chance.randint(1, 2))), (), chance.randint(0, 3), 0, number)
        for number in range(chance.randint(9, 12))
    ]
    size = {item.key: item.bytes for item in items}
    least = max(sum(size[key] for key in task.needs) + task.working for task in tasks)
    return Case(tasks, items, Budget(least + chance.randint(0, 3), chance.choice([3, 6, 8])))


def test_the_least_cost_where_rules_of_thumb_miss_it() -> None:
    # They miss about one in ten of these.
    for seed in range(120):
        case = tight_case(seed)
        found = evict(case.tasks, case.items, case.budget)
        most_loads = report(case, lru(case.tasks, case.items, case.budget)).loads
        ours = report(case, found)
        assert ours.cost == least_cost(case.tasks, case.items, case.budget, most_loads=most_loads), seed
        assert found == Eviction(found.moves, proven=True)


def plain_lru_loads(needs: Sequence[str], room: int, *, release: bool) -> int:
    """Return the loads of LRU, which gives back what is needed no more or, as textbooks have it, doesn't."""
    held: list[str] = []
    loads = 0
    for place, word in enumerate(needs):
        loads += sum(key not in held for key in word)
        held = [key for key in held if key not in word] + list(word)
        held = held[-room:]
        if release:
            held = [key for key in held if any(key in later for later in needs[place + 1 :])]
    return loads


WORDS = st.sampled_from(["a", "b", "c", "d", "e", "ab", "cd", "ae"])


@given(st.lists(WORDS, min_size=1, max_size=60), st.integers(2, 4))
def test_lru_is_the_textbooks_or_better(needs: list[str], room: int) -> None:
    case = sequence(needs, room)
    ours = report(case, lru(case.tasks, case.items, case.budget))
    assert ours.loads == plain_lru_loads(needs, room, release=True)
    assert ours.loads <= plain_lru_loads(needs, room, release=False)


def belady_loads(needs: Sequence[str], room: int) -> int:
    """Return the loads of Belady's rule for one item at a time."""
    held: set[str] = set()
    loads = 0
    for place, key in enumerate(needs):
        if key not in held:
            loads += 1
            if len(held) == room:
                later = needs[place + 1 :]
                held.remove(max(sorted(held), key=lambda other: later.index(other) if other in later else len(needs)))
            held.add(key)
    return loads


@given(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=150), st.integers(1, 5))
def test_items_that_are_alike_go_by_the_time_of_their_next_use(needs: list[str], room: int) -> None:
    case = sequence(needs, room)
    assert report(case, evict(case.tasks, case.items, case.budget)).loads == belady_loads(needs, room)


def test_the_moves_of_a_plan() -> None:
    items = [Item("a", 4, 10, host_bytes=4, return_cost=1), Item("b", 4, 10), Item("c", 4, 2)]
    case = sequence(["a", "b", "c", "b", "a"], 9, items=items, host=4)
    expected: list[Move] = [
        Load("a"), Run("0"), Load("b"), Run("1"),
        # Coming back costs less for `a` than for `b`.
        Evict("a"), Load("c"), Run("2"), Drop("c"), Run("3"), Drop("b"), Return("a"), Run("4"), Drop("a"),
    ]  # fmt: skip
    found = evict(case.tasks, case.items, case.budget)
    assert found == Eviction(tuple(expected), proven=True)


def test_what_is_dear_to_load_stays_though_it_is_needed_later() -> None:
    items = [Item("a", 1, 100), Item("b", 1, 1), Item("c", 1, 1)]
    case = sequence(["a", "b", "c", "b", "a"], 2, items=items)
    assert report(case, evict(case.tasks, case.items, case.budget)).cost == 103
    assert report(case, lru(case.tasks, case.items, case.budget)).cost == 202


def test_without_a_limit_each_item_is_loaded_once() -> None:
    case = sequence(["ab", "c", "ab", "d", "c"] * 30, 0)
    unlimited = Case(case.tasks, case.items, Budget())
    assert report(unlimited, evict(case.tasks, case.items, Budget())).loads == 4


def test_a_task_that_does_not_fit_is_a_value() -> None:
    tasks = [Task("one", ("a",), result=2), Task("two", ("a", "b"), ("one",), working=3)]
    items = [Item("a", 5, 1), Item("b", 6, 1)]
    assert evict(tasks, items, Budget(15)) == DoesNotFit("two", needed=16, results=2, device=15)
    assert isinstance(evict(tasks, items, Budget(16)), Eviction)


def test_what_was_moved_is_dropped_where_another_gains_more_from_the_room() -> None:
    # `d` could wait in the computer's memory, but then there is no room for `c` when `d` comes back.
    items = [
        Item("a", 3, 5),
        Item("b", 2, 5),
        Item("c", 5, 15, host_bytes=2, return_cost=2),
        Item("d", 6, 1, host_bytes=2, return_cost=0),
    ]
    words = ["a", "bc", "cd", "a", "c", "bc", "c", "d", "b", "c"]
    working = [2, 1, 4, 2, 2, 1, 2, 3, 4, 2]
    tasks = [
        Task(str(number), tuple(word), working=work, position=number)
        for number, (word, work) in enumerate(zip(words, working, strict=True))
    ]
    case = Case(tasks, items, Budget(15, 3))
    found = evict(tasks, items, case.budget)
    ours = report(case, found)
    assert found == Eviction(found.moves, proven=True)
    assert (ours.cost, ours.loads, ours.returns) == (39, 7, 1)
    assert least_cost(tasks, items, case.budget, most_loads=7) == 39
