"""What a request comes to on the hub: a commit, its files, and which of those the local cache lacks."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aquatint.catalog.checkpoints import CheckpointError
from aquatint.catalog.hub_files import Request, index_of, needed
from aquatint.plan.render import sized
from aquatint.runtime.hub.cache import RemoteFile, cache_folder, is_there, kept_bytes
from aquatint.runtime.hub.connection import explained, no_room, online, unreachable

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# Of a commit or a content: they become the names of files.


@dataclass(frozen=True, slots=True)
class Listing:
    """What a request comes to at a commit; `lacking` are those of `files` that the cache hasn't got, in order.

    `kept` are the bytes that there are of those: an earlier attempt has left them, or another commit has the same file.
    """

    request: Request
    commit: str
    files: tuple[RemoteFile, ...]
    lacking: tuple[RemoteFile, ...]
    kept: int

    @property
    def bytes(self) -> int:
        """What is to be fetched, without what is kept."""
        return sum(file.size for file in self.lacking) - self.kept


def look_up(request: Request) -> Listing:
    """Return what `request` comes to on the hub now. Raises `CheckpointError`."""
    from huggingface_hub import HfApi

    with online(), explained(request):
        info = HfApi().model_info(request.repository, revision=request.revision, files_metadata=True)
        commit = info.sha or ""
        there = {
            each.rfilename: RemoteFile(each.rfilename, each.size or 0,
                                       each.lfs.sha256 if each.lfs is not None else each.blob_id or "")
            for each in info.siblings or ()
        }  # fmt: skip
        if not all(_HASH.fullmatch(name) for name in (commit, *(file.content for file in there.values()))):
            raise unreachable(request.repository, "its answer is not in the hub's form")
        index_name = index_of(request, there)
        index = None if index_name is None else _read_index(request, commit, index_name)
        files = tuple(there[name] for name in needed(request, there, index))
        lacking = tuple(file for file in files if not is_there(request.repository, commit, file))
        kept = sum(kept_bytes(request.repository, file) for file in lacking)
        return Listing(request, commit, files, lacking, kept)


def _read_index(request: Request, commit: str, name: str) -> dict[str, Any]:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(request.repository, name, revision=commit)
    if isinstance(cached, str):
        return _as_index(request, cached)
    # Beside the cache: there, it says that all else is there, too.
    with tempfile.TemporaryDirectory() as folder:
        return _as_index(request, hf_hub_download(request.repository, name, revision=commit, local_dir=folder))


def _as_index(request: Request, file: str) -> dict[str, Any]:
    try:
        index = json.loads(Path(file).read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        index = None
    if not isinstance(index, dict):
        raise CheckpointError("damaged-checkpoint", f"the index of `{request.repository}` is not a JSON object",
                              "name another revision")  # fmt: skip
    return index


def require_room(listings: Sequence[Listing]) -> None:
    """Raise `CheckpointError` if the cache's disk has no room for what is to be fetched."""
    cache = cache_folder()
    there = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    wanted, free = sum(listing.bytes for listing in listings), shutil.disk_usage(there).free
    if wanted > free:
        raise no_room(f"{sized(wanted)} are to be fetched, and the disk of `{cache}` has {sized(free)} free")
