"""What modules on different devices hand to one another, brought from one device to another.

Tensors alone, and containers and records of the libraries' that have some. Who is where is `standins`' affair.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any

_OURS = ("diffusers.", "transformers.")
"""Where classes are from whose objects are looked into: distributions of VAEs, caches of language models."""


def moved(torch: Any, value: Any, there: Any, here: Any) -> Any:
    """Return `value` with what is on the torch device `there` brought to `here`, and what names it naming `here`.

    What has no tensor on it comes back as it is. Generators of random numbers stay, and so do modules.
    """
    match value:
        case torch.Tensor():
            return value.to(here) if value.device == there else value
        case torch.device():
            return here if value == there else value
        case dict():
            items = {name: moved(torch, item, there, here) for name, item in value.items()}
            # A model's output is one, with its items as attributes; it may leave out those that are None.
            return value if _are_same(items.values(), value.values()) else type(value)(**items)
        case list() | tuple():
            found = [moved(torch, item, there, here) for item in value]
            if _are_same(found, value):
                return value
            return type(value)(*found) if hasattr(value, "_fields") else type(value)(found)
        case torch.nn.Module():
            return value
        case _ if inspect.isgenerator(value):
            return (moved(torch, item, there, here) for item in value)
        case _ if type(value).__module__.startswith(_OURS) and hasattr(value, "__dict__"):
            own = vars(value)
            found = [moved(torch, item, there, here) for item in own.values()]
            if _are_same(found, own.values()):
                return value
            other = copy.copy(value)
            vars(other).update(zip(own, found, strict=True))
            return other
    return value


def _are_same(these: Any, those: Any) -> bool:
    return all(this is that for this, that in zip(these, those, strict=True))
