"""The store: a folder that keeps quantized components between processes, with a budget.

No torch in here. What an entry's address is made of and what goes between an entry and a live module is in
`runtime.torch_engine.stored_components`.
"""

from aquatint.runtime.store.folder import Entry, NoRoom, Reading, Store, Swept
from aquatint.runtime.store.manifest import About, Damaged, Manifest
from aquatint.runtime.store.place import chosen_store

__all__ = ["About", "Damaged", "Entry", "Manifest", "NoRoom", "Reading", "Store", "Swept", "chosen_store"]
