"""Where stores are and how large they may grow, from the command line, the environment or by default."""

from __future__ import annotations

import os
import re
from pathlib import Path

from aquatint.runtime.store.folder import BUDGET, MINIMUM, Store
from aquatint.runtime.store.locks import AVAILABLE

FOLDER_VARIABLE = "AQUATINT_STORE"
BUDGET_VARIABLE = "AQUATINT_STORE_BUDGET"
EMBEDDINGS_VARIABLE = "AQUATINT_EMBEDDINGS"
EMBEDDINGS_BUDGET_VARIABLE = "AQUATINT_EMBEDDINGS_BUDGET"
OFF = "off"
"""In the place of a folder: no store."""
ON = "on"
"""In the place of a folder of embeddings: the one that it is without being named."""

EMBEDDINGS_BUDGET = 4 << 30

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


def chosen_embeddings(keep: bool | None = None, store: Path | None = None, budget: int | None = None) -> Store | None:
    """Return the store of embeddings, None where none are to be kept; raise `ValueError` for a budget that isn't one.

    `keep` is None where the command line doesn't say, and then the environment does. They are beside the components in
    the user's cache folder, and inside of `store` where someone has named that.
    """
    named = os.environ.get(EMBEDDINGS_VARIABLE)
    if not AVAILABLE or not (named not in (None, "", OFF) if keep is None else keep):
        return None
    if budget is None and (text := os.environ.get(EMBEDDINGS_BUDGET_VARIABLE)):
        budget = bytes_of(text)
    folder = _embeddings_folder(store, named)
    return Store(folder, EMBEDDINGS_BUDGET if budget is None else budget, 0)


def _embeddings_folder(store: Path | None, named: str | None) -> Path:
    kept_in = os.environ.get(FOLDER_VARIABLE)
    if named and named not in (ON, OFF):
        return Path(named).expanduser().absolute()
    if store is None and kept_in and kept_in != OFF:
        store = Path(kept_in)
    return _default().with_name("embeddings") if store is None else store.expanduser().absolute() / "embeddings"


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
