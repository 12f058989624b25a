"""What is freed during a large load goes back, and what a forward pass frees stays."""

from __future__ import annotations

import ctypes
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch

from aquatint.runtime.torch_engine import memory
from engine.heaps import MEASURED, resident

glibc = pytest.mark.skipif(memory._glibc() is None, reason="another C library than glibc")
filled = pytest.mark.skipif(
    not hasattr(memory._glibc(), "mallinfo2"), reason="glibc older than 2.33, or another library"
)


@glibc
def test_buffers_freed_between_results_that_stay_go_back() -> None:
    kept = []
    before = resident()
    size = 4 * memory.WORTHWHILE
    with memory.holes_given_back(size) as before_each:
        for _ in range(40):
            before_each(16 << 20)
            buffer = torch.ones(4 << 20)  # 16 MiB
            kept.append(torch.ones(16 << 10))
            del buffer
            assert resident() - before < size // memory.STEP + (40 << 20)
    assert resident() - before < 40 << 20


@glibc
def test_holes_stay_while_there_is_room_for_them() -> None:
    with memory.holes_given_back(memory.WORTHWHILE, 4 << 30) as before_each:
        buffers = [torch.ones(4 << 20) for _ in range(4)]  # 64 MiB
        kept = torch.ones(16 << 10)
        full = resident()
        del buffers
        before_each(16 << 20)
        # Given back, they would have to be zeroed anew for the next buffer.
        assert full - resident() < 16 << 20
    assert full - resident() > 48 << 20
    assert kept.numel()


@glibc
def test_after_a_large_load_blocks_come_from_the_heap_again() -> None:
    # Left low, every buffer of a forward pass would be mapped and unmapped: twice the time.
    with memory.holes_given_back(memory.WORTHWHILE):
        pass
    library = ctypes.CDLL("libc.so.6")
    library.malloc.restype = ctypes.c_void_p
    library.free.argtypes = [ctypes.c_void_p]
    block = library.malloc(8 << 20)
    # A block that is mapped by itself starts 16 bytes into a page.
    on_its_own = block % 4096 == 16
    library.free(block)
    assert not on_its_own


@filled
@pytest.mark.parametrize("measure", MEASURED)
def test_holes_of_loads_are_filled(measure: Callable[[], None]) -> None:
    # In a process of its own: in a heap that others have used what stays may lie apart, and leave no holes.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(measure).result()
