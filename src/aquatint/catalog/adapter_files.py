"""Where the file of an adapter is, which of several is meant, and what identifies it.

What such a file holds is in `loras`, `textual_inversions` and `ip_adapters`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aquatint.catalog import addresses, checkpoints, hub_names, pickle_files
from aquatint.catalog.checkpoints import (
    WEIGHT_SUFFIXES,
    CheckpointError,
    fingerprint,
    locate,
    missing_folder,
    require_kept,
)
from aquatint.diagnostics import did_you_mean

DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""The torch dtypes of adapters, by the names of the format."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of adapter: what diffusers calls its file, and the code under which a file that holds none is reported.

    The file of that name is taken where there are others beside it. One that `may_be_pickled` may be another than a
    safetensors file, where the command line allows that.
    """

    usual_name: str
    code: str
    may_be_pickled: bool = False

    def takes(self, name: str) -> bool:
        """Return whether a file called `name` may be read."""
        return name.endswith(".safetensors") or (
            self.may_be_pickled and pickle_files.is_pickle(name) and pickle_files.are_allowed()
        )


@dataclass(frozen=True, slots=True)
class Named:
    """What a script says of where an adapter is: the settings that diffusers takes as well."""

    source: str
    revision: str | None = None
    subfolder: str | None = None
    weight_name: str | None = None

    @property
    def is_address(self) -> bool:
        """Whether its file is at an address on the web, and not on the hub, whose addresses name files there."""
        return checkpoints.is_address(self.source)

    def in_repository(self) -> Named:
        """Return how the same file is said with a repository as its source, if the source names one of the hub."""
        named = hub_names.parsed(self.source)
        if named is None or self.subfolder or self.weight_name:
            return self
        folder, _, name = named.name.rpartition("/")
        return Named(named.repository, named.revision or self.revision, folder or None, name)


@dataclass(frozen=True, slots=True)
class At:
    """Where an adapter's file is: `inside` of `source`, empty for that itself, which is pinned at a hub's commit."""

    source: str
    revision: str | None
    inside: str


def find(kind: Kind, named: Named) -> At:
    """Return where the adapter is that a script has `named`.

    Raises `CheckpointError`; of an address of which nothing has been fetched, under `missing-file`.
    """
    source = named.source
    own = Path(os.path.expanduser(source))
    is_whole = bool(source.strip()) and not named.is_address and own.is_file()
    inner = next((name for name in (named.subfolder, named.weight_name) if name), None)
    if inner and (is_whole or named.is_address or hub_names.parsed(source) is not None):
        raise CheckpointError("missing-model", f"`{source}` is a file, and has no `{inner}` in it",
                              "name its folder, or leave `weight_name` and `subfolder` out")  # fmt: skip
    if is_whole:
        _require(kind, source, own.name)
        return At(source, None, "")
    if named.is_address:
        require_kept(source)
        return At(source, None, "")
    of_hub = hub_names.parsed(source)
    if of_hub is not None:
        _require(kind, source, of_hub.name)
        if of_hub.revision is not None and named.revision not in (None, of_hub.revision):
            raise CheckpointError(
                "contradicting-settings", f"`{source}` says revision `{of_hub.revision}`, and `revision` another",
                "leave `revision` out",
            )  # fmt: skip
        # The file alone may be there, of its revision.
        address, _ = checkpoints.find_file(source, named.revision)
        pinned = hub_names.parsed(address or "")
        if pinned is not None:
            return At(pinned.repository, pinned.revision, pinned.name)
    root = checkpoints.find(source, named.revision)
    folder = root.folder / (named.subfolder or "")
    if not folder.is_dir():
        raise missing_folder(root.folder, named.subfolder or "")
    names = [entry.name for entry in folder.iterdir() if entry.is_file()]
    inside = PurePosixPath(named.subfolder or "") / chosen(kind, names, source, named.weight_name)
    return At(source, root.revision, str(inside))


def chosen(kind: Kind, names: Iterable[str], source: str, weight_name: str | None) -> str:
    """Return which of the files `names` in a folder of `source` is the adapter that is meant.

    Raises `CheckpointError`.
    """
    there = sorted(names)
    if weight_name is not None:
        _require(kind, f"{source}/{weight_name}", weight_name)
        if weight_name not in there:
            taken = [name for name in there if kind.takes(name)]
            raise CheckpointError("missing-model", f"`{source}` has no file `{weight_name}`",
                                  did_you_mean(weight_name, taken, "its files"))  # fmt: skip
        return weight_name
    # The same weights may lie there in both forms.
    found = [name for name in there if name.endswith(".safetensors")] or [name for name in there if kind.takes(name)]
    if len(found) == 1 or kind.usual_name in found:
        return kind.usual_name if kind.usual_name in found else found[0]
    if found:
        raise CheckpointError("missing-setting", f"`{source}` has {len(found)} files that may be meant",
                              "say which: " + ", ".join(f'`weight_name: "{name}"`' for name in found[:4]))  # fmt: skip
    for name in there:
        if name.endswith(WEIGHT_SUFFIXES):
            _require(kind, f"{source}/{name}", name)
    raise CheckpointError(kind.code, f"`{source}` has no safetensors file", "name the file, or its folder")


def _require(kind: Kind, called: str, name: str) -> None:
    if not kind.takes(name):
        allowed = f", or allow it with `{pickle_files.OPTION}`" if kind.may_be_pickled else ""
        raise CheckpointError(
            "unsafe-weights", f"`{called}` is no safetensors file, and other formats can run code when read",
            f"convert it to safetensors once, with a program and a source that you trust{allowed}",
        )  # fmt: skip


def path(source: str, revision: str | None, inside: str) -> Path:
    """Return the file that `find` found. Raises `CheckpointError` if there is none any more."""
    own = Path(os.path.expanduser(addresses.place(source)))
    found = own if not inside and own.is_file() else locate(source, revision) / inside
    if not found.is_file():
        raise CheckpointError("missing-model", f"there is no file `{found}`", "fetch it again, or plan anew")
    return found


def identity(file: Path) -> str:
    """Return a fingerprint of an adapter's file, the same on every machine that has the same file."""
    return hashlib.blake2b(json.dumps(["lora", fingerprint(file)]).encode(), digest_size=16).hexdigest()
