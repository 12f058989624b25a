"""Stores: folders that keep quantized components, or embeddings, between processes, each with a budget.

No torch in here. What an entry's address is made of and what goes between an entry and a live module is in
`runtime.torch_engine`: `stored_components` and `kept_embeddings`.
"""

from aquatint.runtime.store.folder import Entry, NoRoom, Reading, Store, Swept
from aquatint.runtime.store.manifest import About, Damaged, Manifest
from aquatint.runtime.store.place import chosen_embeddings, chosen_store

__all__ = [
    "About",
    "Damaged",
    "Entry",
    "Manifest",
    "NoRoom",
    "Reading",
    "Store",
    "Swept",
    "chosen_embeddings",
    "chosen_store",
]
