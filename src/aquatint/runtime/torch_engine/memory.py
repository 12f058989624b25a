"""Memory that the C library keeps after it was freed, given back.

While a model is quantized on loading, large float buffers are freed between small results that stay. glibc then keeps
the buffers: 9 GB for a model of 3 GB were measured. Mapping each buffer by itself gives them back at once, and costs as
much again as the quantizing, for the system zeroes every page anew. Here the heap is kept, so that buffers are used
again while they are warm, and its holes are given back when more is resident than the component will need.

What computes afterwards is kept out of the holes: they are filled with blocks that nobody writes to, which take no
memory. A buffer is laid at an address that is a multiple of 64, for which glibc needs more than the buffer's bytes: a
hole that one has left is too small for the next of its size, so that each went to another hole, and all were resident.
From the end of the heap they are taken from the same pages again.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import platform
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from aquatint.runtime.memory_probe import usage

# From glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_MMAP_MAX = -4

MMAP_MAX = 65536
"""glibc's own. While a component is loaded it is 0: buffers above what the threshold can be set to come from the heap
too. Mapped, those of SDXL's linear layers made a load take a third longer. It stays 0 where the holes are filled: a
forward pass whose buffers were mapped took twice as long."""

MMAP_THRESHOLD = 32 << 20
"""The largest that glibc takes on 64 bits. Lower, a forward pass took twice as long."""

TRIM_THRESHOLD = 64 << 20
WHILE_LOADING = 1 << 30
"""Bytes free at the heap's end up to which they stay: where mapping is left to glibc, and where all is the heap's, in a
load and after it. The holes are given back anyway, between tensors and between steps."""

HOLE = 1 << 20
"""Bytes of the smallest hole that is filled; with what fitted into no block, a few dozen megabytes stay as they are."""

LARGEST = 4 << 30
"""Bytes of the first block that is tried. Each that doesn't fit anywhere is followed by one a sixteenth smaller."""

ROOM = 1.08
"""How much of what a component comes to may be resident before holes are given back: early in a load they do no harm,
and each time costs the buffers that were warm."""

STEP = 32
"""After which part of a component's bytes, as they are unquantized, more holes are given back once there is no room."""

LOOK = 16 << 20
"""After how many bytes of tensors it is looked how much is resident."""

# From Linux's mman.h, since 5.14.
MADV_POPULATE_WRITE = 23

FEW = 256 << 10
"""Bytes up to which pages that come one at a time cost no more than asking for them."""

WORTHWHILE = 256 << 20
"""Bytes of a component from which on its load is looked after."""

SLACK = 512 << 20
"""Bytes that steps may leave in the heap: small models compute with less, and needn't wait for it."""


@cache
def _glibc() -> Any | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    try:
        library = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    there = hasattr(library, "mallopt") and hasattr(library, "malloc_trim") and Path("/proc/self/statm").is_file()
    if there:
        library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
        library.free.restype, library.free.argtypes = None, (ctypes.c_void_p,)
    return library if there else None


@contextmanager
def holes_given_back(size: int, becomes: int = 0) -> Iterator[Callable[[int], None]]:
    """Run the body, which loads `size` bytes that become `becomes`, and calls what is yielded with each tensor's bytes
    before it is read.

    With `becomes` 0, where that is not known, holes are given back from the beginning. Those that are left at the end
    are filled until the next load. Only glibc is told; elsewhere, and for small components, nothing is done.
    """
    library = _glibc() if size >= WORTHWHILE else None
    if library is None:
        yield lambda _: None
        return
    _HOLES.open(library)
    library.malloc_trim(0)
    begun = _resident()
    allowed = max(int(ROOM * becomes), size // STEP)
    unseen = 0

    def before_a_tensor(bytes_: int) -> None:
        nonlocal allowed, unseen
        # To look costs as much as to read a small tensor, and most are small.
        unseen += bytes_
        if unseen < LOOK:
            return
        unseen = 0
        if _resident() - begun > allowed:
            library.malloc_trim(0)
            allowed = max(allowed, _resident() - begun + size // STEP)

    library.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
    library.mallopt(M_MMAP_MAX, 0)
    library.mallopt(M_TRIM_THRESHOLD, WHILE_LOADING)
    try:
        yield before_a_tensor
    finally:
        if not _HOLES.fill(library):
            library.mallopt(M_MMAP_MAX, MMAP_MAX)
            library.mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)


class _Heap(ctypes.Structure):
    """What glibc's `mallinfo2` returns."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


class _Holes:
    """The heap's holes, open or filled.

    They are the process's, as the heap is, and so is the one instance. A block reaches over pages that were given back,
    and stays unwritten but for the few words by which the C library knows it.
    """

    def __init__(self) -> None:
        self._blocks: list[int] = []
        self._lock = threading.Lock()

    def open(self, library: Any) -> None:
        """Leave the holes to whoever allocates."""
        with self._lock:
            while self._blocks:
                library.free(self._blocks.pop())

    def fill(self, library: Any) -> bool:
        """Give the holes' pages back, and the holes to nobody; return False where glibc is too old to tell of them.

        From then on all comes from the heap's end, whatever its size, and up to `WHILE_LOADING` bytes stay there.
        """
        library.malloc_trim(0)
        if not hasattr(library, "mallinfo2"):
            return False
        library.mallinfo2.restype = _Heap
        with self._lock:
            # What fits into no hole is mapped, and unmapped at once.
            library.mallopt(M_MMAP_THRESHOLD, HOLE)
            library.mallopt(M_MMAP_MAX, MMAP_MAX)
            size, free = LARGEST, library.mallinfo2().fordblks
            while size >= HOLE:
                block: int | None = library.malloc(size) if size <= free else None
                left = library.mallinfo2().fordblks if block else free
                if block is not None and free - left >= size:
                    self._blocks.append(block)
                    free = left
                    continue
                library.free(block)
                size -= size >> 4
            library.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
            library.mallopt(M_MMAP_MAX, 0)
        return True


_HOLES = _Holes()


class Slack:
    """What a computation leaves in the heap, given back now and then.

    Buffers of many sizes are laid beside each other and freed, and their pages stay. To have them anew takes a few
    hundredths of a step.
    """

    def __init__(self) -> None:
        self._library = _glibc()
        self._before = _resident() if self._library is not None else 0

    def look(self, *, over: bool = False) -> None:
        """Give back what is free if that seems to be more than is worth the time; with `over` after the last step.

        What follows is another module's, with buffers of other sizes.
        """
        if self._library is not None and _resident() - self._before > (TRIM_THRESHOLD if over else SLACK):
            self._library.malloc_trim(0)
            self._before = _resident()


@contextmanager
def collector_paused(stays: bool = False) -> Iterator[None]:
    """Run the body without Python's collector of cycles, which goes through every object there is, again and again.

    Imports and the building of a module make many thousand objects, nearly all of which stay. With `stays` what is
    there at the end is not looked through later either: after an import, when that is mostly modules and their classes.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
        if stays:
            gc.freeze()
    finally:
        if was_on:
            gc.enable()


def populate(places: Iterable[tuple[int, int]]) -> None:
    """Have the system provide the pages of `places`, addresses with a size in bytes: before a file is read into them.

    Read into pages that come one at a time as they are written, a file takes a third longer. Nothing is done where that
    can't be asked for.
    """
    library = _glibc()
    if library is None:
        return
    for address, size in _joined(places):
        if size < FEW:
            continue
        begin = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
        end = (address + size) // mmap.PAGESIZE * mmap.PAGESIZE
        # An older kernel says no, and so does one without room: the reading that follows is what finds that out.
        library.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), MADV_POPULATE_WRITE)


def _joined(places: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield `places` in the order of memory, those with no whole page between them as one."""
    begin = end = 0
    for address, size in sorted(place for place in places if place[1]):
        if address - end >= mmap.PAGESIZE:
            if end:
                yield begin, end - begin
            begin = address
        end = address + size
    if end:
        yield begin, end - begin


def _resident() -> int:
    """Return the bytes of this process's own pages, those of files apart."""
    found = usage()
    return 0 if found is None or found.own is None else found.own


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
