"""kill -9 at any moment of what the store does: nothing wrong is ever there to be read, and nothing is left lying."""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from contextlib import suppress
from pathlib import Path

import pytest

from aquatint.runtime.store import NoRoom, Store
from support.lengths import at_length
from support.stores import BIG, keep, whole

ROUNDS = at_length(100, ci=30)
AT_MOST = 3 * (2 * BIG + 4096)


def _work(store: Store, number: int) -> None:
    """Write, evict, read and discard for as long as one lives."""
    drawn = random.Random(number)
    while True:
        address = drawn.choice("abcdefgh")
        with suppress(NoRoom):  # the other one reads what would have to go
            keep(store, address)
        other = drawn.choice("abcdefgh")
        with store.reading(other) as reading:
            if reading is not None:
                reading.used()
                if drawn.random() < 0.3:
                    store.discard(other, reading.manifest)


def _forever(store: Store, number: int) -> None:
    """Work until killed; whatever else ends the work ends this process at once, which is a copy of the tests'."""
    try:
        _work(store, number)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_many_kills(tmp_path: Path, workers: int) -> None:
    store = Store(tmp_path, budget=AT_MOST, minimum=0, reserve=0)
    drawn = random.Random(workers)
    keep(store, "a")
    left = found = 0
    for number in range(ROUNDS):
        children = []
        for worker in range(workers):
            child = os.fork()
            if child == 0:
                _forever(store, 2 * number + worker)
            children.append(child)
        time.sleep(drawn.uniform(0.0, 0.06))
        for child in children:
            os.kill(child, signal.SIGKILL)
        ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert ends == [-signal.SIGKILL] * workers
        left += bool(os.listdir(tmp_path / "unfinished"))
        found += len(whole(store))
        # The next one to write cleans up.
        keep(store, "z")
        assert "z" in whole(store)
        assert os.listdir(tmp_path / "unfinished") == []
        assert sum(entry.bytes for entry in store.entries()) <= AT_MOST
        store.remove(lambda entry: "done" if entry.address == "z" else None)
    # Else the kills came too early or too late to tell anything.
    assert left > ROUNDS / 10
    assert found > ROUNDS / 2
