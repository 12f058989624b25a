"""Loads components through the store: from there if they are there, else by quantizing them, to be there next time.

An entry is what the libraries write with `save_pretrained`, and it is loaded by the same path as a checkpoint that is
stored quantized. Two things make the result the very module that was quantized: tensors that the libraries would round
on the way are put back exactly, and the fingerprint of what came out is compared with that of what went in. Whatever
goes wrong with the store is a warning, never a failure: the component is quantized then.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from aquatint.catalog import checkpoints, pickle_files
from aquatint.plan.memory import held
from aquatint.plan.steps import Component, Json
from aquatint.runtime.beside import Beside, Means, worthwhile
from aquatint.runtime.engine import Counters, EngineError, Loaded
from aquatint.runtime.failures import reason
from aquatint.runtime.free_memory import left
from aquatint.runtime.store import About, Damaged, NoRoom, Reading, Store, contents
from aquatint.runtime.torch_engine import addresses, loading, memory, storable, weights
from aquatint.runtime.torch_engine.faults import said
from aquatint.runtime.torch_engine.fingerprint import fingerprint
from aquatint.runtime.torch_engine.libraries import Libraries
from aquatint.runtime.torch_engine.quantizer_process import QuantizerProcess
from aquatint.runtime.torch_engine.tensor_files import DTYPES, TensorFile

_log = logging.getLogger(__name__)


class StoredComponents:
    """The engine's way to `store`; what goes into it and comes out of it is counted in `counters`.

    `beside` says when a process puts into it what the run will need.
    """

    def __init__(self, store: Store, libraries: Libraries, counters: Counters, beside: Beside) -> None:
        self.store = store
        self._libraries = libraries
        self._counters = counters
        self._beside = beside
        self._process = QuantizerProcess(store)

    def has(self, component: Component, facts: Mapping[str, Json]) -> bool:
        """Return whether the store seems to have `component`, without reading the files that it is made of."""
        return storable.is_covered(component) and self.store.has_like(addresses.prefix(component, facts))

    def foresee(self, ahead: Sequence[Component], facts: Mapping[str, Json], spare: int | None) -> frozenset[str]:
        """Have quantized beside the run what is worth that of `ahead`, and return the keys of what is or will be.

        `spare` is as `Engine.foresee` has it, `facts` as `load` does.
        """
        if self._beside is not Beside.NEVER and not pickle_files.are_allowed():  # the process has no such permission
            wanted = self._process.wanted
            lacking = [each for each in ahead if each.key not in wanted and self._would_keep(each, facts)]
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            means = Means(cores, self._libraries.torch.get_num_threads(), left(), spare, self._process.is_running)
            # What it was asked for before it may be at, or have made.
            wanted |= {component.key for component in worthwhile(self._beside, lacking, means)}
            self._process.want([component for component in ahead if component.key in wanted], facts)
        return self._process.wanted

    def reclaim(self) -> None:
        """Leave the memory that quantizing beside the run takes to the run."""
        self._process.give_up()

    def _would_keep(self, component: Component, facts: Mapping[str, Json]) -> bool:
        """Return whether `component` would be quantized, and an entry made of it."""
        if not storable.is_covered(component):
            return False
        size, prefix = held(component), addresses.prefix(component, facts)
        is_of_a_size = self.store.minimum <= size.least and size.most <= self.store.budget
        return is_of_a_size and not self.store.is_unfit(prefix) and not self.store.has_like(prefix)

    def load(self, component: Component, facts: Mapping[str, Json]) -> Loaded:
        """Return `component`, live, from the store or not; raise `EngineError` if it can't be loaded either way.

        `facts` is what the engine says of itself: all that decides the bits beside the plan.
        """
        if not storable.is_covered(component):
            return loading.load(self._libraries, component, self._counters)
        beside = self._process.outcome(component)
        loan = _Loan(self.store, self._libraries, component, facts)
        loaded = loan.restored()
        if loaded is not None:
            self._counters.loads += 1
            if beside.made:
                self._counters.quantizations += 1
                self._counters.beside += 1
                self._counters.stored += 1
                loaded = dataclasses.replace(loaded, from_store=False, beside=True)
            else:
                self._counters.restored += 1
        else:
            loaded = loading.load(self._libraries, component, self._counters)
            self._counters.stored += loan.kept(loaded)
        first = () if beside.warning is None else (beside.warning,)
        return dataclasses.replace(loaded, warnings=(*first, *loan.warnings, *loaded.warnings))


class _Loan:
    """One component's dealings with the store; `warnings` has what went wrong."""

    def __init__(self, store: Store, libraries: Libraries, component: Component, facts: Mapping[str, Json]) -> None:
        self.store = store
        self.libraries = libraries
        self.component = component
        self.facts = dict(facts)
        self.warnings: list[str] = []
        self.is_off = False
        # All but the files' content, which is read only where that could help.
        self.prefix = addresses.prefix(component, facts)
        self.stamps: dict[Path, contents.Stamp] = {}
        self.root = Path()

    def restored(self) -> Loaded | None:
        """Return the component from the store, or None if it isn't there or is damaged."""
        try:
            self._take_stamps()
            if not self.store.has_like(self.prefix):
                return None
            address, read = self._address(), None
            try:
                with self.store.reading(address) as reading:
                    if reading is None:
                        return None
                    read = reading.manifest
                    return self._loaded(address, reading)
            except Damaged as damage:
                self._warn(f"the stored copy of `{self.component.role}` is damaged ({damage}); it is quantized again")
                self.store.discard(address, read)
        except checkpoints.CheckpointError:
            self.is_off = True  # loading says what is wrong with the files
        except contents.Changed as changed:
            self._switch_off(f"`{changed}` changed while it was read")
        except OSError as error:
            self._switch_off(reason(error))
        return None

    def kept(self, loaded: Loaded) -> bool:
        """Put what was just quantized into the store, before anything has run it; return whether that was done."""
        if self.is_off or loaded.bytes < self.store.minimum or self.store.is_unfit(self.prefix):
            return False
        try:
            if contents.stamps(self.stamps) != self.stamps:
                raise contents.Changed(self.component.source)
            # Before the address, which has something to be remembered there.
            self.store.prepare()
            about = self._about(loaded)
            return self.store.keep(self._address(), about, loaded.bytes, lambda folder: _save(loaded.object, folder))
        except contents.Changed as changed:
            self._warn_not_kept(f"`{changed}` changed while it was read")
        except NoRoom as full:
            self._warn_not_kept(str(full))
        except OSError as error:
            self._warn_not_kept(reason(error))
        except Exception as error:  # whatever a library raises while it writes: the component is there all the same
            _log.debug("while storing %s", self.component.role, exc_info=error)
            self._warn_not_kept(said(error))
        return False

    def _loaded(self, address: str, reading: Reading) -> Loaded | None:
        """Return the component of an entry; raise `Damaged`."""
        reading.look_over()
        loaded = None
        try:
            loaded = self._read(reading)
            if fingerprint(self.libraries.torch, loaded.object) == reading.manifest.about.state:
                reading.used()
                return dataclasses.replace(loaded, component=self.component, from_store=True)
        except EngineError as error:
            if isinstance(error.__cause__, MemoryError):
                raise
            _log.debug("while reading %s", address, exc_info=error)
        if loaded is not None:
            weights.drop(self.libraries.torch, loaded.object)
            memory.give_back(self.libraries.torch)
        reading.look_over(whole=True)
        # The files are what was written, and still another module comes of them: storing it again would not help.
        self._warn(f"`{self.component.role}` does not load as it was stored; it is quantized each time")
        self.store.mark_unfit(self.prefix)
        self.store.discard(address, reading.manifest)
        return None

    def _read(self, reading: Reading) -> Loaded:
        there = msgspec.structs.replace(
            self.component,
            source=str(reading.folder),
            subfolder="",
            variant=None,
            revision=None,
            quantization=None,
            file=msgspec.UNSET,
        )
        # Counted by the caller, once it is known to be good.
        loaded = loading.load(self.libraries, there, Counters(), ahead=True)
        more = _put_back(self.libraries.torch, loaded.object, reading.folder, self.component.dtype)
        loading.name_after(loaded.object, self.root)
        return dataclasses.replace(loaded, bytes=loaded.bytes + more)

    def _take_stamps(self) -> None:
        self.root, self.stamps = addresses.files(self.component)

    def _address(self) -> str:
        return f"{self.prefix}-{contents.content(self.stamps, self.root, self.store.contents)}"

    def _about(self, loaded: Loaded) -> About:
        state = fingerprint(self.libraries.torch, loaded.object)
        return addresses.about(self.component, self.facts, loaded.bytes, state)

    def _warn(self, message: str) -> None:
        self.warnings.append(message)

    def _warn_not_kept(self, why: str) -> None:
        self._warn(f"`{self.component.role}` is not kept in the store: {why}")

    def _switch_off(self, why: str) -> None:
        self.is_off = True
        self._warn(f"the store is not used for `{self.component.role}`: {why}")


def _save(module: Any, folder: Path) -> None:
    module.save_pretrained(folder)
    with suppress(FileNotFoundError):
        (folder / "README.md").unlink()


def _put_back(torch: Any, module: Any, folder: Path, dtype: str | None) -> int:
    """Give tensors their stored type and bits back where the library went through another type.

    diffusers turns every float tensor of a file into the component's type before the backend gets it: scales in
    float32 lose their last bits in a float16 component, and sdnq then takes what it gets for float32. Returns by how
    many bytes that made the module larger.
    """
    more = 0
    for path in sorted(folder.glob("*.safetensors")):
        with TensorFile(torch, path) as file:
            for name, stored in file.tensors.items():
                kind = getattr(torch, DTYPES[stored.dtype])
                live = _find(module, name) if kind.is_floating_point else None
                if live is None:
                    continue
                if live.dtype != kind or DTYPES[stored.dtype] != dtype:
                    # In the order in memory that the live one has: some kernels want their weights by columns.
                    exact = torch.empty_strided(live.shape, live.stride(), dtype=kind)
                    more += exact.nbytes - live.nbytes
                    live.data = exact.copy_(file.read(name).reshape(live.shape))
    return more


def _find(module: Any, name: str) -> Any | None:
    """Return the parameter or buffer called `name`, None for names that mean something else to the library."""
    path, _, attribute = name.rpartition(".")
    try:
        layer = module.get_submodule(path)
    except AttributeError:
        return None
    found = layer._parameters.get(attribute)
    return layer._buffers.get(attribute) if found is None else found
