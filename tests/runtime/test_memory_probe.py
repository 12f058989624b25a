"""What the process takes, as the system tells it, and the peak between two moments."""

from __future__ import annotations

import mmap
import sys
import threading
import time
from pathlib import Path

import pytest

from aquatint.runtime import memory_probe
from aquatint.runtime.memory_probe import Meter, Usage, usage

MIB = 1 << 20
needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="this system has no /proc")


def taken(size: int) -> mmap.mmap:
    """Return memory whose pages are all there."""
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, size, mmap.PAGESIZE):
        block[at] = 1
    return block


@needs_proc
def test_what_is_taken_is_seen_and_what_is_given_back() -> None:
    before = usage()
    block = taken(64 * MIB)
    during = usage()
    block.close()
    after = usage()
    assert before is not None and during is not None and after is not None
    assert before.own is not None and during.own is not None and after.own is not None
    assert during.own - before.own == pytest.approx(64 * MIB, abs=8 * MIB)
    assert during.own - after.own == pytest.approx(64 * MIB, abs=8 * MIB)


@needs_proc
def test_pages_of_files_are_not_the_process_s_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 64 * MIB)
    with (tmp_path / "file").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        before = usage()
        assert sum(mapped[at] for at in range(0, len(mapped), mmap.PAGESIZE)) > 0
        after = usage()
    assert before is not None and after is not None and before.own is not None and after.own is not None
    assert after.resident - before.resident == pytest.approx(64 * MIB, abs=8 * MIB)
    assert abs(after.own - before.own) < 8 * MIB


@needs_proc
def test_psutil_tells_the_same() -> None:
    pytest.importorskip("psutil")
    told, found = usage(), memory_probe._from_psutil()
    assert told is not None and found is not None
    assert found.resident == pytest.approx(told.resident, abs=8 * MIB)
    assert found.own is None


def test_a_system_that_tells_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory_probe, "_STATM", tmp_path / "none")
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert usage() is None
    meter = Meter(usage)
    meter.begin()
    meter.end()
    assert (meter.peak, meter.above()) == (None, None)


@needs_proc
def test_a_meter_sees_what_is_given_back_between_two_looks() -> None:
    meter = Meter(usage)
    meter.begin()
    try:
        block = taken(64 * MIB)
        time.sleep(0.3)
        block.close()
    finally:
        meter.end()
    above = meter.above()
    assert above is not None and above.own is not None
    assert 56 * MIB < above.own < 100 * MIB
    assert not any(thread.name == "memory" for thread in threading.enumerate())


def test_peaks_are_of_one_run_and_the_baseline_of_all() -> None:
    now = [Usage(10, 5)]
    meter = Meter(lambda: now[0])
    meter.begin()
    now[0] = Usage(30, 9)
    meter.now()
    now[0] = Usage(20, 15)
    meter.end()
    assert (meter.peak, meter.above()) == (Usage(30, 15), Usage(20, 10))
    now[0] = Usage(8, 4)
    meter.begin()
    meter.end()
    assert (meter.peak, meter.above()) == (Usage(8, 4), Usage(0, 0)), "less than at first is nothing above it"


def test_own_pages_are_unknown_once_they_were() -> None:
    now = [Usage(10, 5)]
    meter = Meter(lambda: now[0])
    now[0] = Usage(30, None)
    meter.begin()
    meter.end()
    assert meter.above() == Usage(20, None)
