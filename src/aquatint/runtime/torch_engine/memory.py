"""Memory that the C library keeps after it was freed, given back.

While a model is quantized on loading, large float buffers are freed between small results that stay. glibc then keeps
the buffers: 1.7 GB for a model of 0.4 GB were measured. With a low threshold each buffer is a mapping of its own,
which goes back at once.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

# From glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3

WHILE_LOADING = 1 << 20
# Where glibc's own adjustment of the thresholds ends on 64 bits. Left low, a forward pass took twice as long.
OTHERWISE = 32 << 20

WORTHWHILE = 256 << 20
"""Bytes of a component from which on its load is worth the page faults: 1.3 to 2 times the processor time."""


@cache
def _glibc() -> Any | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    try:
        library = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


@contextmanager
def large_blocks_returned(size: int) -> Iterator[None]:
    """Run the body, which loads `size` bytes, with large buffers mapped one by one. Only glibc is told."""
    library = _glibc() if size >= WORTHWHILE else None
    if library is None:
        yield
        return
    library.mallopt(M_MMAP_THRESHOLD, WHILE_LOADING)
    try:
        yield
    finally:
        library.mallopt(M_MMAP_THRESHOLD, OTHERWISE)
        library.mallopt(M_TRIM_THRESHOLD, 2 * OTHERWISE)
        library.malloc_trim(0)


def give_back(torch: Any) -> None:
    """Return freed memory to the system: the C library's, and a GPU allocator's."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)
    # Not run here: there is no GPU.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
