"""What text encoders made of their inputs, kept so that a prompt is encoded once, whoever asks.

A text encoder is a function of its weights and its inputs: the same module gives the same bits. What it returned is
kept by its component's key, its adapters and a fingerprint of all of its arguments, and handed out as a copy, since
pipelines may write into it. What earlier runs kept on the disk is in `kept_embeddings`, which knows no adapters.
"""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict
from typing import Any

from aquatint.runtime.torch_engine.encoded import LeftOut
from aquatint.runtime.torch_engine.kept_embeddings import KeptEmbeddings
from aquatint.runtime.torch_engine.libraries import Libraries
from aquatint.runtime.torch_engine.standins import Path, Place, at

LIMIT = 256 << 20
"""Bytes of outputs that are kept, the last used ones."""


class _NoKey(Exception):
    """An argument has no fingerprint."""


class Memory:
    """Outputs of modules by what they were made of. `hits` counts the calls that needed no computing and no disk.

    `kept` has those of earlier runs, if there is any.
    """

    def __init__(self, libraries: Libraries, limit: int = LIMIT, kept: KeptEmbeddings | None = None) -> None:
        self.hits = 0
        self._torch = libraries.torch
        self._caches = libraries.transformers.DynamicCache
        self._limit = limit
        self._disk = kept
        self._kept: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def __call__(self, place: Place, path: Path, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what the module at `path` of `place` makes of the arguments, waiting for it where it is needed."""
        try:
            key = self._key(place, path, args, kwargs)
        except _NoKey:
            return at(place.module(), path)(*args, **kwargs)
        if key in self._kept:
            self.hits += 1
            self._kept.move_to_end(key)
            return self._copy(self._kept[key][0])

        def again() -> Any:
            return at(place.module(), path)(*args, **kwargs)

        disk = None if place.adapters else self._disk
        found = None if disk is None else disk.find(place.component, place.found, key, again)
        if found is None:
            module = at(place.module(), path)
            before = self._torch.get_rng_state()
            found = module(*args, **kwargs)
            if not self._torch.equal(before, self._torch.get_rng_state()):
                return found  # who is spared the call would draw other numbers after it
            if disk is not None:
                disk.keep(place.component, place.found, key, found)
        self._remember(key, found)
        return found

    def _remember(self, key: str, made: Any) -> None:
        size = self._size(made)
        # None: of types that aren't known here, of which nobody knows what a copy is.
        if size is not None and size <= self._limit // 4:
            self._kept[key] = self._copy(made), size
            self._bytes += size
            while self._bytes > self._limit:
                self._bytes -= self._kept.popitem(last=False)[1][1]

    def forget(self) -> None:
        """Keep nothing of what was made so far."""
        self._kept.clear()
        self._bytes = 0

    def _key(self, place: Place, path: Path, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        digest = hashlib.blake2b(place.component.key.encode(), digest_size=16)
        kind = place.component.device.partition(":")[0]
        autocast = self._torch.get_autocast_dtype(kind) if self._torch.is_autocast_enabled(kind) else None
        loras = [[each.place.component.key, each.weight, each.role] for each in place.loras]
        vectors = [[each.place.component.key, each.tensor, each.first, each.count] for each in place.vectors]
        worn = [*([loras] if loras else []), *([["vectors", vectors]] if vectors else [])]
        self._add(digest, [list(path), autocast, list(args), sorted(kwargs.items()), *worn])
        return digest.hexdigest()

    def _add(self, digest: Any, value: Any) -> None:
        torch: Any = self._torch
        match value:
            case None | bool() | int() | float() | str():
                digest.update(f"{type(value).__name__}:{value!r};".encode())
            case list() | tuple():
                digest.update(f"{len(value)}[".encode())
                for item in value:
                    self._add(digest, item)
            case torch.Tensor() if type(value) is torch.Tensor:
                plain = value.detach().cpu().contiguous()
                digest.update(f"{plain.dtype}{tuple(plain.shape)}{value.device};".encode())
                digest.update(plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b"")
            case torch.dtype() | torch.device():
                digest.update(f"{value};".encode())
            case _:
                raise _NoKey

    def _size(self, value: Any) -> int | None:
        if value is None or isinstance(value, bool | int | float | str | LeftOut):
            return 0
        if isinstance(value, self._torch.Tensor):
            return int(value.nbytes)
        items = self._items(value)
        if items is None:
            return None
        sizes = [self._size(item) for item in items]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def _items(self, value: Any) -> list[Any] | None:
        """Return what is in `value`; None for a type that isn't known here."""
        if isinstance(value, dict):
            return list(value.values())
        if isinstance(value, list | tuple):
            return list(value)
        if isinstance(value, self._caches):  # what a language model would go on writing with
            return [tensor for layer in value.layers for tensor in (layer.keys, layer.values)]
        return None

    def _copy(self, value: Any) -> Any:
        if isinstance(value, self._caches):
            return copy.deepcopy(value)
        if isinstance(value, self._torch.Tensor):
            return value.clone()
        if isinstance(value, dict):  # a model's output is one, with its items as attributes
            return type(value)(**{name: self._copy(item) for name, item in value.items()})
        if isinstance(value, list | tuple):
            return type(value)(self._copy(item) for item in value)
        return value
