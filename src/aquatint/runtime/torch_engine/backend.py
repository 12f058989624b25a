"""The half of a quantization backend that runs: what the engine needs to know of a library that quantizes.

Each backend's record in the catalog names a module with these members; `of` imports it when it is first needed. Ours
are `bitsandbytes_backend` and `sdnq_backend`; another package's is found in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Protocol, cast

from aquatint.catalog.quantizer_backends import Backend, backend, backends, is_installed
from aquatint.plan.steps import Json
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine.libraries import Libraries, half


class EngineBackend(Protocol):
    """A module that quantizes with one library; every function is given the imported `libraries`.

    `library`, where it appears, is "diffusers" or "transformers": whose class it is that loads the component.
    """

    OWNERS: tuple[str, ...]
    """The packages whose objects carry tensors that are neither parameters nor buffers."""

    def configuration(self, libraries: Libraries, library: str, options: Mapping[str, Json], device: str) -> Any:
        """Return a new configuration for `from_pretrained`; `options` are canonical, and loading may change it."""
        ...

    def is_quantized(self, libraries: Libraries, layer: Any) -> bool:
        """Return whether `layer`, a module, is one that this backend has quantized."""
        ...

    def loading(self, libraries: Libraries, library: str, device: str) -> AbstractContextManager[None]:
        """Return the context in which a component is loaded, quantized on the way or stored quantized."""
        ...

    def finish(self, libraries: Libraries, module: Any, device: str) -> None:
        """Make a loaded `module`, whose tensors have been copied to memory of their own, ready to run."""
        ...


def of(name: str) -> EngineBackend:
    """Return the half that runs of the backend called `name`; raise `EngineError` where its library is missing."""
    found = backend(name)
    if found is None:
        raise EngineError(f"there is no quantization backend `{name}`")
    if not is_installed(found.package):
        raise missing(found)
    return cast(EngineBackend, half(found.engine))


def missing(found: Backend) -> EngineError:
    """Return the error that the backend's library is not installed."""
    return EngineError(f"{found.package} is not installed", f"install it with `{found.install}`")


def usable() -> list[EngineBackend]:
    """Return the halves that run of all backends whose library is installed."""
    return [cast(EngineBackend, half(each.engine)) for each in backends() if is_installed(each.package)]


def is_owned(kind: type) -> bool:
    """Return whether objects of this class may carry tensors: whether it is of a package of an installed backend."""
    return _is_of_a_backend(kind.__module__)


@cache
def _is_of_a_backend(module: str) -> bool:
    return module.startswith(tuple(owner for each in usable() for owner in each.OWNERS))
