"""What is measured of the C library's heap, each in a process that nobody else has used: `test_memory` starts it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch

from aquatint.runtime.torch_engine import memory


def resident() -> int:
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * 4096


def leave_holes(before_each: Callable[[int], None]) -> list[torch.Tensor]:
    """Return small tensors that stay, with a hole of 8 to 15 MiB after each of them."""
    kept, buffers = [], []
    for number in range(32):
        before_each(8 << 20)
        kept.append(torch.ones(16 << 10))
        buffers.append(torch.ones((8 + number % 8) << 18))
    kept.append(torch.ones(16 << 10))
    del buffers
    return kept


def what_computes_after_a_load_is_not_strewn_over_its_holes() -> None:
    with memory.holes_given_back(memory.WORTHWHILE, 4 << 30) as before_each:
        kept = leave_holes(before_each)
    before = resident()
    # Each fits best into a hole of its own, and from the heap's end all lie in the same pages.
    for size in range(15, 7, -1):
        torch.ones((size << 18) - 1024)
    assert resident() - before < 17 << 20
    assert kept


def the_next_load_has_the_holes_again() -> None:
    library = ctypes.CDLL("libc.so.6")
    library.sbrk.restype = ctypes.c_void_p
    with memory.holes_given_back(memory.WORTHWHILE, 4 << 30) as before_each:
        kept = leave_holes(before_each)
    end = library.sbrk(0)
    with memory.holes_given_back(memory.WORTHWHILE, 4 << 30):
        buffers = [torch.ones(7 << 18) for _ in range(24)]  # 168 MiB
        assert library.sbrk(0) - end < 16 << 20
    del buffers
    assert kept


def filled_holes_take_no_memory() -> None:
    with memory.holes_given_back(memory.WORTHWHILE, 4 << 30) as before_each:
        before = resident()
        kept = leave_holes(before_each)
        full = resident() - before
    assert full > 300 << 20
    assert resident() - before < 16 << 20
    assert kept


def what_steps_leave_is_given_back_when_they_are_over() -> None:
    with memory.holes_given_back(memory.WORTHWHILE):
        pass
    slack = memory.Slack()
    kept = leave_holes(lambda _: None)  # 368 MiB
    full = resident()
    slack.look()
    assert full - resident() < 16 << 20
    slack.look(over=True)
    assert full - resident() > 300 << 20
    assert kept


MEASURED = (
    what_computes_after_a_load_is_not_strewn_over_its_holes, the_next_load_has_the_holes_again,
    filled_holes_take_no_memory, what_steps_leave_is_given_back_when_they_are_over,
)  # fmt: skip
