"""What text encoders made of prompts, kept on the disk, so that a later run neither computes it nor loads the encoder.

An embedding's address is made of all that decides its bits: the encoder's own, as in the store of components, with
every byte of its files; the kind of processor or device; and the arguments of the call. Those are what tokenizer,
template, length, clip skip and weighter come to, so that a change of any of them is another address. Whatever goes
wrong is a warning, never a failure: the prompt is encoded then.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aquatint.catalog.checkpoints import CheckpointError
from aquatint.plan.keys import digest
from aquatint.plan.steps import Component, Json
from aquatint.runtime.failures import reason
from aquatint.runtime.processor import processor
from aquatint.runtime.store import Damaged, NoRoom, Store, contents
from aquatint.runtime.torch_engine import addresses, devices, encoded
from aquatint.runtime.torch_engine.encoded import Encoded
from aquatint.runtime.torch_engine.faults import said
from aquatint.runtime.torch_engine.libraries import Libraries

_log = logging.getLogger(__name__)

_VARIABLES = ("ATEN_", "DNNL_", "MKL_", "ONEDNN_", "CUBLAS_", "NVIDIA_TF32_")
"""How the environment variables begin that choose the kernels that products are computed with."""

_LARGEST = 4
"""The largest part of the budget that one embedding may take, as a divisor."""

_AHEAD = 16
"""The part of the budget that room is made for at once, as a divisor: to make room is to look at every entry."""

_BESIDE = 4096
"""Bytes of an entry beside its tensors, about."""


@dataclass(slots=True)
class _Encoder:
    """An encoder's files, as they were before it was loaded, and hashes of what decides what it computes.

    `content` is that of the files, None until it is asked for.
    """

    root: Path
    stamps: dict[Path, contents.Stamp]
    prefix: str
    content: str | None = None

    @property
    def is_as_it_was(self) -> bool:
        return contents.stamps(self.stamps) == self.stamps


class KeptEmbeddings:
    """The embeddings in `store`. `describe` says what decides the engine's bits; `hits` counts what was taken.

    `warnings` has what went wrong; who shows it takes it out.
    """

    def __init__(self, store: Store, libraries: Libraries, describe: Callable[[], Mapping[str, Json]]) -> None:
        self.store = store
        self.hits = 0
        self.warnings: list[str] = []
        self._libraries = libraries
        self._describe = describe
        self._facts: Mapping[str, Json] = {}
        self._encoders: dict[str, _Encoder | None] = {}  # by key; None where they can't be told for sure
        self._room = 0
        self._is_full = self._is_off = False

    def loading(self, component: Component) -> None:
        """Be told that the encoder `component` is about to be loaded: what its files hold now is what it will be."""
        self._encoders[component.key] = self._looked_at(component)

    def find(self, component: Component, found: Any, call: str, again: Callable[[], Any]) -> Any | None:
        """Return what the encoder `component` of class `found` made of the call with the hash `call`, None if unknown.

        `again` makes it.
        """
        if self._is_off:
            return None
        try:
            address = self._address(component, call)
            return None if address is None else self._read(component, address, found, again)
        except contents.Changed as changed:
            self._switch_off(component, f"`{changed}` changed while it was read")
        except OSError as error:
            self._is_off = True
            self.warnings.append(f"embeddings are neither taken nor kept: {reason(error)}")
        return None

    def keep(self, component: Component, found: Any, call: str, output: Any) -> None:
        """Keep `output`, which the encoder made of that call, if its type is known here."""
        if self._is_off or self._is_full:
            return
        try:
            address = self._address(component, call)
            if address is None:
                return
            parts = Encoded(self._libraries, found, output)
            if parts.bytes + _BESIDE <= self.store.budget // _LARGEST:
                self._make_room(parts.bytes + _BESIDE)
                self.store.add(address, addresses.about(component, self._facts, parts.bytes), parts.write)
        except encoded.Unknown as unknown:
            _log.debug("what `%s` returns has a %s, and is not kept", component.role, unknown)
        except contents.Changed as changed:
            self._switch_off(component, f"`{changed}` changed while it was read")
        except NoRoom as full:
            self._stop_keeping(str(full))
        except OSError as error:
            self._stop_keeping(reason(error))
        except Exception as error:  # whatever safetensors raises while it writes: the embedding is there all the same
            _log.debug("while keeping an embedding", exc_info=error)
            self._stop_keeping(said(error))

    def _read(self, component: Component, address: str, found: Any, again: Callable[[], Any]) -> Any | None:
        read = None
        try:
            with self.store.reading(address) as reading:
                if reading is None:
                    return None
                read = reading.manifest
                reading.look_over(whole=True)
                output = encoded.read(self._libraries, found, reading.folder, again)
                reading.used()
                self.hits += 1
                return output
        except Damaged as damage:
            self.warnings.append(
                f"a kept embedding of `{component.role}` is damaged ({damage}); the prompt is encoded again"
            )
            self.store.discard(address, read)
        return None

    def _address(self, component: Component, call: str) -> str | None:
        """Return the address of what the encoder makes of a call; None if its files aren't those that it is of."""
        if component.key not in self._encoders:
            self._encoders[component.key] = self._looked_at(component)
        encoder = self._encoders[component.key]
        if encoder is None or not encoder.is_as_it_was:
            return None
        if encoder.content is None:
            self.store.prepare()  # the hashes of large files are remembered there
            encoder.content = contents.content(encoder.stamps, encoder.root, self.store.contents)
        return digest(["embedding", encoded.FORMAT, encoder.prefix, encoder.content, call])

    def _looked_at(self, component: Component) -> _Encoder | None:
        self._facts = self._facts or self._describe()
        torch = self._libraries.torch
        kernels = {name: value for name, value in os.environ.items() if name.startswith(_VARIABLES)}
        prefix = digest([
            addresses.prefix(component, self._facts), processor(), devices.name(torch, component.device), kernels,
        ])  # fmt: skip
        try:
            return _Encoder(*addresses.files(component), prefix)
        except CheckpointError:  # loading says what is wrong with the files
            return None
        except OSError as error:
            self._switch_off(component, reason(error))
            return None

    def _make_room(self, size: int) -> None:
        if size > self._room:
            self._room = max(size, self.store.budget // _AHEAD)
            self.store.make_room(self._room)
        self._room -= size

    def _switch_off(self, component: Component, why: str) -> None:
        self._encoders[component.key] = None
        self.warnings.append(f"embeddings of `{component.role}` are neither taken nor kept: {why}")

    def _stop_keeping(self, why: str) -> None:
        self._is_full = True
        self.warnings.append(f"no more embeddings are kept: {why}")
