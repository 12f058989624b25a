"""Where the store is and how large it may grow, from the command line, the environment or by default."""

from __future__ import annotations

import os
import re
from pathlib import Path

from aquatint.runtime.store.folder import BUDGET, MINIMUM, Store
from aquatint.runtime.store.locks import AVAILABLE

FOLDER_VARIABLE = "AQUATINT_STORE"
BUDGET_VARIABLE = "AQUATINT_STORE_BUDGET"
OFF = "off"
"""In the place of a folder: no store."""

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def chosen_store(folder: Path | None = None, budget: int | None = None) -> Store | None:
    """Return the store, None where it is off or files can't be locked; raise `ValueError` for a budget that isn't one.

    A folder that someone named, here or in the environment, keeps components of any size: the least size spares the
    user's cache folder what is quantized again in no time.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if not AVAILABLE or (folder is None and named == OFF):
        return None
    if folder is None and named:
        folder = Path(named)
    if budget is None and (text := os.environ.get(BUDGET_VARIABLE)):
        budget = bytes_of(text)
    budget = BUDGET if budget is None else budget
    return Store(_default(), budget, MINIMUM) if folder is None else Store(folder.expanduser().absolute(), budget, 0)


def bytes_of(text: str) -> int:
    """Return the bytes that `text` says: "20GiB", "20G", "500 MiB", "0"; raise `ValueError` for anything else."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError(f"`{text}` is no size")
    return int(float(match[1]) * (1 << _UNITS[match[2].upper()]))


def _default() -> Path:
    # Imported here: planning has no use for it.
    from platformdirs import user_cache_path

    return user_cache_path("aquatint", appauthor=False) / "store"
