"""The plan's arithmetic and what a run counts at the calls are the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from aquatint.plan.counts import Counts, counts
from aquatint.plan.steps import Plan
from aquatint.runtime.events import Event, LoadFinished, Released, Reused, RunFinished, RunStarted
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.residents import Residents
from support.fake_engine import FakeEngine
from support.plans import generate, load, plans, release, simple_plan


def test_counts_of_a_plan_by_hand() -> None:
    plan = simple_plan(
        load("u"), load("v"), generate("g1", "p", ["1.png", "2.png"]), load("w"), generate("g2", "q", ["3.png"]),
        release("w"), generate("g3", "p", ["4.png"]), release("u"), release("u"),
    )  # fmt: skip
    assert counts(plan) == Counts(loads=3, quantizations=1, reuses=3, releases=2, images=4, moved=13_500_000)
    assert counts(plan, {"u"}) == Counts(loads=2, quantizations=0, reuses=4, releases=2, images=4, moved=9_000_000)
    assert counts(plan, {"u", "v", "w"}) == Counts(loads=0, quantizations=0, reuses=6, releases=2, images=4)


def totals(finished: RunFinished) -> Counts:
    return Counts(
        loads=finished.loads,
        quantizations=finished.quantizations,
        reuses=finished.reuses,
        releases=finished.releases,
        images=finished.images,
        evictions=finished.evictions,
        moved=finished.bytes_moved,
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(plans(), min_size=1, max_size=3))
def test_a_run_counts_what_its_plan_says(session: list[Plan]) -> None:
    engine = FakeEngine()
    residents = Residents(engine)
    with tempfile.TemporaryDirectory() as folder:
        for plan in session:
            expected = counts(plan, residents.keys())
            events: list[Event] = []
            finished = Executor(engine, events.append, Options(output_dir=Path(folder)), residents).run(plan)
            assert (finished.failed, finished.skipped, finished.interrupted) == (0, 0, False)
            assert totals(finished) == expected
            assert isinstance(events[0], RunStarted)
            assert (events[0].images, events[0].loads) == (expected.images, expected.loads)
            assert sum(isinstance(event, Reused) for event in events) == expected.reuses
            assert sum(isinstance(event, LoadFinished) for event in events) == expected.loads
            assert sum(isinstance(event, Released) for event in events) == expected.releases
            assert len(finished.written) == len(set(finished.written))
    assert residents.keys() == engine.live_keys()
    assert engine.loaded_twice == []
