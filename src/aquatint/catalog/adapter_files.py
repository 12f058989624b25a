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

from aquatint.catalog import checkpoints, pickle_files
from aquatint.catalog.checkpoints import (
    WEIGHT_SUFFIXES,
    CheckpointError,
    Found,
    fingerprint,
    locate,
    missing_folder,
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


def find(
    kind: Kind, source: str, revision: str | None, subfolder: str | None, weight_name: str | None
) -> tuple[Found, str]:
    """Return where `source` is, and the adapter's file as a path in it, empty for `source` itself.

    Raises `CheckpointError`.
    """
    own = Path(os.path.expanduser(source))
    if source.strip() and own.is_file():
        if named := next((name for name in (subfolder, weight_name) if name), None):
            raise CheckpointError("missing-model", f"`{source}` is a file, and has no `{named}` in it",
                                  "name its folder, or leave `weight_name` and `subfolder` out")  # fmt: skip
        _require(kind, source, own.name)
        return Found(own, None), ""
    root = checkpoints.find(source, revision)
    folder = root.folder / (subfolder or "")
    if not folder.is_dir():
        raise missing_folder(root.folder, subfolder or "")
    names = [entry.name for entry in folder.iterdir() if entry.is_file()]
    return root, str(PurePosixPath(subfolder or "") / chosen(kind, names, source, weight_name))


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
    own = Path(os.path.expanduser(source))
    found = own if not inside and own.is_file() else locate(source, revision) / inside
    if not found.is_file():
        raise CheckpointError("missing-model", f"there is no file `{found}`", "fetch it again, or plan anew")
    return found


def identity(file: Path) -> str:
    """Return a fingerprint of an adapter's file, the same on every machine that has the same file."""
    return hashlib.blake2b(json.dumps(["lora", fingerprint(file)]).encode(), digest_size=16).hexdigest()
