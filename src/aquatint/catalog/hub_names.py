"""Files of the model hub by name: how scripts and plans spell one, and which one the hub's local cache has.

A plan spells it as an address with its commit, which is a name that everything else takes for that of a single file:
`single_files`. What is fetched is told by `hub_files`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote

from aquatint.catalog import gguf_files, pickle_files

SUFFIXES = (".safetensors", gguf_files.SUFFIX, *pickle_files.SUFFIXES)
"""What the names of such files end with."""

_MAIN = "main"
_REPOSITORY = r"(?P<repository>[\w-][\w.-]*/[\w-][\w.-]*)"
_ADDRESS = re.compile(
    rf"(?:https?://)?(?:huggingface|hf)\.co/{_REPOSITORY}/(?:blob|resolve)/(?P<revision>[^/?#]+)/(?P<name>[^?#]+)"
    r"(?:[?#].*)?"
)
_SITE = re.compile(r"https?://(?:huggingface|hf)\.co(?:[/?#]|$)", re.IGNORECASE)
_SHORT = re.compile(rf"{_REPOSITORY}/(?P<name>.+)")
_UNFIT = re.compile(r"[\x00-\x1f\x7f\\:]")


@dataclass(frozen=True, slots=True)
class HubFile:
    """The file `name`, a path, of a repository at `revision`: a branch, a tag or a commit, None where it isn't said."""

    repository: str
    name: str
    revision: str | None = None

    @property
    def address(self) -> str:
        """How a plan spells it, which is as the hub's site does."""
        revision = quote(self.revision or _MAIN, safe="")
        return f"https://huggingface.co/{self.repository}/blob/{revision}/{quote(self.name)}"


def parsed(source: str) -> HubFile | None:
    """Return the file of the hub that `source` spells; None for what is there, and for what spells none.

    It is an address of the hub's site, or `owner/name/file.safetensors`. The branch `main` in an address says no
    revision: it is in every address that the site gives, and diffusers passes over it, too.
    """
    found = _ADDRESS.fullmatch(source)
    if found is not None:
        name, revision = unquote(found["name"]), unquote(found["revision"])
    else:
        found = _SHORT.fullmatch(source)
        # As of hub ids: what begins with a folder that is there is a path.
        if found is None or _is_here(source):
            return None
        name, revision = found["name"], _MAIN
    if not name.lower().endswith(SUFFIXES) or not (_is_fit(name) and _is_fit(revision)):
        return None
    return HubFile(found["repository"], name, None if revision == _MAIN else revision)


def is_of_hub(address: str) -> bool:
    """Return whether an address on the web is one of the hub's site."""
    return _SITE.match(address) is not None


def _is_here(source: str) -> bool:
    try:
        return Path(source).exists() or Path(source.partition("/")[0]).is_dir()
    except (OSError, ValueError):  # no name of a file, such as one that is too long
        return True


def _is_fit(path: str) -> bool:
    """Return whether a path stays where it is put."""
    return _UNFIT.search(path) is None and not {"", ".", ".."} & set(path.split("/"))


def pinned(file: HubFile) -> HubFile | None:
    """Return `file` at the commit that the local cache has for its revision; None if it isn't in the cache."""
    found = cached(file)
    return None if found is None else replace(file, revision=found.parents[file.name.count("/")].name)


def cached(file: HubFile) -> Path | None:
    """Return where the local cache has `file`, None if it hasn't."""
    # Imported here: only scripts that name such a file pay for it.
    from huggingface_hub import try_to_load_from_cache

    if not _is_fit(file.revision or _MAIN):
        return None
    try:
        found = try_to_load_from_cache(file.repository, file.name, revision=file.revision)
    except ValueError:  # no name that the hub allows
        return None
    return Path(found) if isinstance(found, str) else None
