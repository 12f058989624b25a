"""Entries for tests of the store that need no model: files of known content, and where they came to be."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import aquatint
from aquatint.runtime.store import About, Store

BIG = 2 << 20  # more than what is hashed whenever an entry is read
NAMES = ("config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def about(role: str = "unet", made_by: str = aquatint.__version__, **versions: str) -> About:
    """Return what an entry of a component in `role` says, quantized by that aquatint and these versions of packages."""
    return About(
        role=role, library="diffusers", class_name="UNet2DConditionModel", source="models/sd", subfolder=role,
        dtype="float16", quantizer="sdnq;weights-dtype=uint4", bytes=2 * BIG,
        engine={"aquatint": made_by, "versions": versions}, state="0" * 32,
    )  # fmt: skip


@cache
def content(address: str) -> dict[str, bytes]:
    """Return the files of the entry at `address`, which decides every byte of them."""
    drawn = random.Random(address)
    return {name: drawn.randbytes(200 if name.endswith(".json") else BIG) for name in NAMES}


def filler(address: str) -> Callable[[Path], None]:
    """Return what writes those files."""

    def fill(folder: Path) -> None:
        for name, body in content(address).items():
            # In pieces, as a library does: a kill comes in the middle of a file, too.
            with open(folder / name, "wb") as file:
                for start in range(0, len(body), 1 << 18):
                    file.write(body[start : start + (1 << 18)])

    return fill


def keep(store: Store, address: str, what: About | None = None) -> bool:
    """Put the entry at `address` into `store`."""
    return store.keep(address, what or about(), 2 * BIG, filler(address))


def whole(store: Store) -> list[str]:
    """Return the addresses of the store's entries, all of which have what was written, to the last byte."""
    found = []
    for entry in store.entries():
        with store.reading(entry.address) as reading:
            assert reading is not None
            reading.look_over(whole=True)
            for name, body in content(entry.address).items():
                assert (reading.folder / name).read_bytes() == body
            found.append(entry.address)
    return sorted(found)
