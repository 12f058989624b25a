"""Files read ahead into the system's cache, by a thread that touches nothing else."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aquatint.runtime.torch_engine.prefetching import Prefetcher
from support.scenes import component


def resident(file: Path) -> float:
    """Return the share of the file's pages that is in the system's cache (mincore(2))."""
    import ctypes

    size = file.stat().st_size
    with open(file, "r+b") as stream, mmap.mmap(stream.fileno(), size) as mapped:
        pages = -(-size // mmap.PAGESIZE)
        vector = (ctypes.c_ubyte * pages)()
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), vector) == 0
        share = sum(page & 1 for page in vector) / pages
        del address
    return share


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system can't be asked to drop pages")
def test_what_is_loaded_next_is_in_the_cache(folder: Callable[[str], Path]) -> None:
    root = folder("sd")
    file = root / "unet/diffusion_pytorch_model.safetensors"
    with open(file, "rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    prefetcher = Prefetcher()
    assert prefetcher.read(component(root, "unet"))
    prefetcher.wait()
    try:
        assert resident(file) == 1.0
    except BufferError:
        pytest.skip("a mapping can't be looked at here")


def test_what_cannot_be_read_is_left_to_loading(folder: Callable[[str], Path], tmp_path: Path) -> None:
    prefetcher = Prefetcher()
    assert not prefetcher.read(component(folder("sd"), "unet", source=str(tmp_path / "gone")))
    assert not prefetcher.read(component(folder("sd"), "scheduler", dtype=None))  # type: ignore[arg-type]
