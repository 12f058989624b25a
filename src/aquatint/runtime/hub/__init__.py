"""Fetches what is asked for from the model hub into its local cache.

The cache has huggingface_hub's own layout, locks and links, and the login is its own. Which files are needed is told by
`catalog.hub_files`. huggingface_hub is imported when something is asked for, and not before.
"""

from aquatint.runtime.hub.connection import is_offline
from aquatint.runtime.hub.fetching import fetch
from aquatint.runtime.hub.listing import Listing, look_up

__all__ = ["Listing", "fetch", "is_offline", "look_up"]
