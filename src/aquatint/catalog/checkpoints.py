"""What a checkpoint folder says about itself: its pipeline, its parts, their files, sizes and fingerprints.

Reads JSON files and safetensors headers; never a pickle, never the network, and of weights only samples for the
fingerprint. Which settings apply to a part is the language's business, loading it the engine's.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from aquatint.catalog import addresses, gguf_files, hub_names, pickle_files, pipelines, single_files, stored
from aquatint.catalog.addresses import AddressError
from aquatint.catalog.gguf_files import is_gguf
from aquatint.catalog.stored import Stored
from aquatint.diagnostics import did_you_mean, nearest

BUILTIN_PREFIX = "builtin:"
GGUF = "gguf"
"""What the method of weights from a GGUF file begins with, before their usual type."""

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".onnx", ".gguf")

# Files up to this size are hashed whole; of larger ones each tensor's first bytes are (with the header and the size).
WHOLE_FILE_LIMIT = 32 << 20
SAMPLE_BYTES = 4096
# The largest header that the safetensors format allows.
HEADER_LIMIT = 100_000_000

DTYPE_BYTES = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "F8_E4M3": 1, "F8_E5M2": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "F8_E8M0": 1, "I8": 1, "U8": 1, "BOOL": 1, "C64": 8,
}  # fmt: skip
"""Bytes of a number of each of safetensors' types that torch has."""
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})

LACKING_ADDRESS = "missing-file"
"""The code under which an address on the web is reported that is still to be fetched."""


class CheckpointError(Exception):
    """A source can't be used; `code` names the diagnostic, `help` says what to do."""

    def __init__(self, code: str, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.help = help


@dataclass(frozen=True, slots=True)
class Part:
    """A component as `model_index.json` names it; `stored` is set where its weights are stored quantized.

    `file` is the single file that its weights are taken from, as the script names it; None for those of its folder.
    """

    role: str
    library: str
    class_name: str
    subfolder: str
    has_weights: bool
    stored: Stored | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A pipeline, in `subfolder` of `folder`, which is the one that its parts' subfolders are in.

    `parts` has None for a role that the checkpoint leaves out. `revision` is that of `Found`. `file` is the single file
    that it is, whose configurations are those of `source`.
    """

    source: str
    folder: Path
    pipeline: str
    parts: dict[str, Part | None]
    options: dict[str, Any]
    subfolder: str = ""
    revision: str | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Where a source is; `revision` is the commit of a repository of the hub, and None for what has no commits."""

    folder: Path
    revision: str | None


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a safetensors file, from its header; `dtype` is the format's name, such as `F16`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def numel(self) -> int:
        count = 1
        for side in self.shape:
            count *= side
        return count


def builtins_folder() -> Path:
    """Return the folder of the checkpoints that ship with the program."""
    return Path(__file__).resolve().parent.parent / "checkpoints"


def builtin_names() -> list[str]:
    """Return the names that `builtin:` knows."""
    folder = builtins_folder()
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []


def builtin_pipelines() -> list[str]:
    """Return those of the names that `builtin:` knows which are pipelines."""
    return [name for name in builtin_names() if (builtins_folder() / name / "model_index.json").is_file()]


_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def is_hub_id(source: str) -> bool:
    """Return whether `source` names a repository of the hub, and no folder."""
    if _HUB_ID.fullmatch(source) is None:
        return False
    folder = Path(source)
    return not folder.exists() and not folder.parent.is_dir()


def cached_repositories(cache: Path | None = None) -> list[str]:
    """Return the hub ids of the models that a `cache` of the hub's library holds, its own unless one is given."""
    if cache is None:
        # Imported here: as for snapshots.
        from huggingface_hub.constants import HF_HUB_CACHE

        cache = Path(HF_HUB_CACHE)
    prefix = "models--"
    names = [entry.name for entry in cache.iterdir()] if cache.is_dir() else []
    return sorted(name[len(prefix) :].replace("--", "/", 1) for name in names if name.startswith(prefix))


def locate(source: str, revision: str | None = None) -> Path:
    """Return the folder that `source` names, as `find` does."""
    return find(source, revision).folder


def find(source: str, revision: str | None = None) -> Found:
    """Return where `source` is: `builtin:NAME`, a folder, or a hub id of which the local cache holds something.

    A relative folder is taken from the current one. Raises `CheckpointError`.
    """
    if is_hub_id(source):
        cached = _cached_snapshot(source, revision)
        if cached is not None:
            return Found(cached, cached.name)
        raise CheckpointError(
            "missing-model", f"`{source}` is neither a folder nor in the hub's local cache"
            + (f" at revision `{revision}`" if revision else ""),
            fetch_help(source + (f" --revision {revision}" if revision else "")),
        )  # fmt: skip
    return Found(_local_folder(source), None)


def fetch_help(what: str) -> str:
    """Return the help for what the local cache lacks, where `what` is a script or a hub id."""
    return f"fetch it first: `aquatint fetch {what}`; nothing is downloaded while planning or offline"


def _local_folder(source: str) -> Path:
    if source.startswith(BUILTIN_PREFIX):
        name = source[len(BUILTIN_PREFIX) :]
        if name not in builtin_names():
            known = [BUILTIN_PREFIX + known for known in builtin_names()]
            raise CheckpointError(
                "unknown-builtin",
                f"there is no built-in checkpoint `{source}`",
                did_you_mean(source, known, "built in"),
            )
        return builtins_folder() / name
    if not source.strip():
        raise CheckpointError("missing-model", "`source` is empty", "name a folder, a hub id, or `builtin:shapes`")
    folder = Path(os.path.expanduser(source))
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise CheckpointError(
            "not-a-checkpoint", f"`{source}` is a file, where a folder or a hub id is needed",
            "a single file can be the `source` of a model or of a submodule: `config` says whose configurations it has",
        )  # fmt: skip
    beside = folder.parent
    if address := re.fullmatch(r"(?:https?://huggingface\.co/|hf://)([\w-][\w.-]*/[\w.-]+).*", source):
        help = f"write the hub id alone: `{address[1]}`"
    elif re.match(r"[a-z][a-z0-9+.-]+://", source):
        help = "nothing is fetched from addresses: name a folder, a file, or a hub id such as `owner/name`"
    elif any(character in "\n\t" for character in source):
        help = r"`\n` and `\t` are escapes: write a path of Windows with `/`, or in `'...'`"
    elif not beside.is_dir():
        help = f"the folder `{beside}` does not exist"
    else:
        help = did_you_mean(str(folder), _folders(beside), f"folders in `{beside}`")
    what = "file" if folder.suffix.lower() in WEIGHT_SUFFIXES else "folder"
    if what == "file" and beside.is_dir():
        files = _weights_in(beside)
        lacking = f"there are none in `{beside}`"
        help = did_you_mean(str(folder), files, f"such files in `{beside}`") if files else lacking
    raise CheckpointError("missing-model", f"there is no {what} `{source}`", help)


def weights_near(source: str) -> str | None:
    """Return the file of weights that is called nearly like `source`, and is beside where that would be."""
    folder = Path(os.path.expanduser(source)).parent
    return nearest(source, _weights_in(folder)) if folder.is_dir() else None


def _weights_in(folder: Path) -> list[str]:
    return sorted(str(entry) for entry in folder.iterdir() if entry.suffix.lower() in WEIGHT_SUFFIXES)


def _folders(folder: Path) -> list[str]:
    return sorted(str(entry) for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _cached_snapshot(repository: str, revision: str | None) -> Path | None:
    # Imported here: only scripts that name a hub model pay for it.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        # No file is asked for: which of them are needed depends on the script.
        return Path(snapshot_download(repository, revision=revision, local_files_only=True, allow_patterns=[]))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def read_checkpoint(source: str, revision: str | None = None, subfolder: str = "") -> Checkpoint:
    """Return what the `model_index.json` of `source`, or of its `subfolder`, says. Raises `CheckpointError`."""
    found = find(source, revision)
    whole = found.folder
    named = f"{source}/{subfolder}" if subfolder else source
    folder = whole / subfolder
    if not folder.is_dir():
        raise missing_folder(whole, subfolder)
    index_file = folder / "model_index.json"
    if not index_file.is_file():
        inside = sorted(entry.name for entry in folder.iterdir())
        some = ", ".join(f"`{name}`" for name in inside[:4]) + (", ..." if len(inside) > 4 else "")
        holds = f"it holds {some}" if inside else "it is empty"
        raise CheckpointError(
            "not-a-checkpoint", f"`{named}` is not a diffusers pipeline: it has no `model_index.json`",
            f"{holds}; `source` must name the folder that has `model_index.json` and a folder per component",
        )  # fmt: skip
    index = read_json(index_file)
    pipeline = index.get("_class_name")
    refuse_own_code(index, named)
    if not isinstance(pipeline, str):
        raise CheckpointError("not-a-checkpoint", f"`{index_file}` names no pipeline class (`_class_name`)",
                              "name the folder of a diffusers pipeline")  # fmt: skip
    parts: dict[str, Part | None] = {}
    options: dict[str, Any] = {}
    for role, entry in index.items():
        if role.startswith("_"):
            continue
        if not is_part(entry):
            if entry is not None and role in pipelines.component_roles():
                raise CheckpointError(
                    "damaged-checkpoint", f"`{index_file}` doesn't say what `{role}` is: it has `{entry}` there",
                    "a component is a list of its library and its class there; fetch or write that file again",
                )  # fmt: skip
            options[role] = entry
        elif entry[0] is None or entry[1] is None:
            parts[role] = None
        else:
            part = _read_part(folder, role, *entry, source=named)
            parts[role] = replace(part, subfolder=f"{subfolder}/{role}") if subfolder else part
    return Checkpoint(source, whole, pipeline, parts, options, subfolder, found.revision)


def find_file(source: str, revision: str | None = None) -> tuple[str | None, str | None]:
    """Return the single file that `source` names, and the revision that is meant for its configurations.

    The file is None for a folder or a repository; one of the hub is named by its address at the commit that the local
    cache has. `revision` is that file's where its name says none. Raises `CheckpointError`, also for an address on the
    web of which nothing is kept.
    """
    if is_address(source):
        require_kept(source)
        return source, revision
    named = hub_names.parsed(source)
    if named is None:
        return (source if single_files.is_file(source) else None), revision
    wanted, left = (replace(named, revision=revision), None) if named.revision is None else (named, revision)
    pinned = hub_names.pinned(wanted)
    if pinned is None:
        raise _missing_file(source, wanted.revision, named.revision)
    return pinned.address, left


def is_address(source: str) -> bool:
    """Return whether `source` is an address on the web, and not one of the hub, which names files in repositories."""
    return addresses.is_address(source) and not hub_names.is_of_hub(source)


def require_kept(address: str) -> None:
    """Raise `CheckpointError` unless `address` is one that is asked for weights, and what it gave is kept.

    Where nothing has been fetched, it is under the code `LACKING_ADDRESS`.
    """
    try:
        addresses.check(address)
    except AddressError as error:
        raise CheckpointError(error.code, error.message, error.help) from None
    name = urlsplit(address).path
    if pickle_files.is_pickle(name) or is_gguf(name):
        raise CheckpointError(
            "unsafe-weights", f"`{address}` is no safetensors file, and nothing else is taken from addresses",
            "take a safetensors file, or fetch this one and name it",
        )  # fmt: skip
    if not addresses.kept(address).is_file():
        raise CheckpointError("missing-file", f"`{address}` has not been fetched yet")


def _missing_file(source: str, revision: str | None, said: str | None) -> CheckpointError:
    beside = revision if said is None else None
    return CheckpointError(
        "missing-model", f"`{source}` is neither a file nor in the hub's local cache"
        + (f" at revision `{beside}`" if beside else ""),
        fetch_help(source + (f" --revision {beside}" if beside else "")),
    )  # fmt: skip


def single_file(source: str) -> Path:
    """Return the file of weights that `source` names. Raises `CheckpointError` for what is no such file."""
    file = single_files.path(source)
    if hub_names.parsed(source) is not None and not file.is_file():
        raise _missing_file(source, None, None)
    if file.suffix.lower() not in WEIGHT_SUFFIXES and (file.parent / "model_index.json").is_file():
        raise CheckpointError("not-a-checkpoint", f"`{source}` is a file of a pipeline, and has no weights",
                              f"name its folder: `{os.path.dirname(source) or '.'}`")  # fmt: skip
    if file.suffix.lower() in WEIGHT_SUFFIXES and file.suffix != single_files.SUFFIX and not is_gguf(file):
        if pickle_files.is_pickle(file) and pickle_files.are_allowed():
            return file
        raise CheckpointError(
            "unsafe-weights", f"`{source}` is no safetensors file; reading it could run code",
            f"convert it to safetensors once, with a program and a source that you trust{_OR_ALLOW}",
        )  # fmt: skip
    return file


def single_header(source: str) -> list[Tensor]:
    """Return what the single file `source` declares; of a GGUF file the shapes are those of the unpacked weights.

    Raises `CheckpointError`.
    """
    file = single_file(source)
    return _gguf_header(file) if is_gguf(file) else read_header(file)


def _gguf_header(file: Path) -> list[Tensor]:
    try:
        return [Tensor(*each) for each in gguf_files.declared(str(file), *_stat_key(file))]
    except gguf_files.Malformed as error:
        raise _damaged(str(file), str(error)) from None
    except gguf_files.Unsupported as error:
        known = ", ".join(name for name, _, _ in gguf_files.TYPES.values())
        raise CheckpointError(
            "unreadable-weights", f"`{file}` can't be computed with: {error}", f"take a file of another type: {known}"
        ) from None


def default_config(source: str) -> str:
    """Return the hub id whose configurations are those of the single file `source`. Raises `CheckpointError`."""
    kind = single_files.kind(single_header(source))
    if kind is None:
        raise CheckpointError(
            "not-a-checkpoint", f"`{source}` is a file of no model that is known here",
            "say whose configurations are its: `config: \"FOLDER\"`, with a folder or a hub id of such a model",
        )  # fmt: skip
    return single_files.repository(kind)


def over(base: Checkpoint, source: str) -> Checkpoint:
    """Return the checkpoint that the single file `source` is, with the configurations of `base`.

    What it doesn't hold is taken from the folders of `base`. Raises `CheckpointError`.
    """
    header = single_header(source)
    parts: dict[str, Part | None] = {}
    for role, part in base.parts.items():
        parts[role] = None if role in single_files.left_out() else part
        if part is not None and part.has_weights and role not in single_files.left_out():
            config = read_config(base.folder, part.subfolder)
            if _is_held(part, config, header, source):
                _require_fit(part, config, header, source)
                parts[role] = _taken(part, header, source)
    if not any(part is not None and part.file is not None for part in parts.values()):
        kind = single_files.kind(header)
        raise CheckpointError(
            "wrong-component", f"`{source}` holds no component of a `{base.pipeline}`, which `{base.source}` is",
            "name the configurations of the file's own kind of model"
            + ("" if kind is None else f": `config: \"{single_files.repository(kind)}\"`"),
        )  # fmt: skip
    return replace(base, parts=parts, file=source)


def from_file(part: Part, folder: Path, source: str) -> Part:
    """Return `part`, whose configuration is in `folder`, with the weights of the single file `source`.

    Raises `CheckpointError` if the file has none for it.
    """
    if not single_files.is_loadable(part.class_name):
        raise CheckpointError(
            "wrong-component", f"a `{part.class_name}` can't be taken from a single file",
            f"name a folder with a `{part.class_name}`",
        )  # fmt: skip
    header = single_header(source)
    config = read_config(folder, part.subfolder)
    if not _is_held(part, config, header, source):
        raise CheckpointError(
            "wrong-component", f"`{source}` holds no weights of `{part.role}`, a `{part.class_name}`",
            f"name a file or a folder with a `{part.class_name}`",
        )  # fmt: skip
    _require_fit(part, config, header, source)
    return _taken(part, header, source)


def _is_held(part: Part, config: dict[str, Any], header: list[Tensor], source: str) -> bool:
    # GGUF files of diffusion models are of denoisers alone.
    is_of_kind = not is_gguf(source) or pipelines.is_denoiser(part.role)
    return is_of_kind and single_files.prefix(part, config, header) is not None


def _require_fit(part: Part, config: dict[str, Any], header: list[Tensor], source: str) -> None:
    why = single_files.misfit(part, config, header)
    if why is None:
        return
    kind = single_files.kind(header)
    own = "" if kind is None else f", such as those of `{single_files.repository(kind)}`"
    raise CheckpointError(
        "wrong-component", f"the `{part.role}` in `{source}` is that of another model: {why}",
        f"name a file for this kind of model, or with `config` the configurations of the file's own kind{own}",
    )  # fmt: skip


def _taken(part: Part, header: list[Tensor], source: str) -> Part:
    kind = f"{GGUF} {gguf_files.usual_type(tensor.dtype for tensor in header)}" if is_gguf(source) else None
    return replace(part, stored=None if kind is None else Stored(kind, None, {}), file=source)


def is_part(entry: Any) -> bool:
    """Return whether an entry of a `model_index.json` is a component's: its library and class, or two nulls.

    Some options are lists of two, of numbers.
    """
    return isinstance(entry, list) and len(entry) == 2 and all(isinstance(each, str | None) for each in entry)


def refuse_own_code(index: dict[str, Any], source: str) -> None:
    """Raise `CheckpointError` if the `model_index.json` of `source` names classes that it brings along."""
    pipeline = index.get("_class_name")
    if isinstance(pipeline, list):
        raise _own_code(f"`{source}` asks for the pipeline `{'.'.join(map(str, pipeline))}`")
    for role, entry in index.items():
        if role.startswith("_") or not is_part(entry) or None in entry:
            continue
        library, class_name = entry
        if pipelines.library(library) is None:
            raise _own_code(f"component `{role}` of `{source}` asks for `{library}.{class_name}`")


def _own_code(asks: str) -> CheckpointError:
    return CheckpointError(
        "own-code", f"{asks}, which is code of its own",
        "only components of diffusers and transformers are loaded; no checkpoint's code is run",
    )  # fmt: skip


def _read_part(folder: Path, role: str, library: str, class_name: str, *, source: str) -> Part:
    module = pipelines.library(library)
    assert module is not None, "the index has been looked over"
    subfolder = folder / role
    if not subfolder.is_dir():
        raise _incomplete(f"`{source}` names a component `{role}`, but has no folder of that name")
    config_file = subfolder / "config.json"
    if not config_file.is_file() and next(subfolder.glob("*.safetensors"), None) is not None:
        raise _incomplete(f"`{subfolder}` has weights, but no `config.json`")
    config = read_json(config_file) if config_file.is_file() else {}
    # Tokenizers, schedulers and processors have a config of another name, and no weights.
    assert module is not None
    return Part(role, module, class_name, role, config_file.is_file(), stored.read(config))


def read_config(folder: Path, subfolder: str) -> dict[str, Any]:
    """Return a component's `config.json`. Raises `CheckpointError`."""
    return read_json(folder / subfolder / "config.json")


def weight_files(folder: Path, subfolder: str, variant: str | None, file: str | None = None) -> list[Path]:
    """Return the safetensors files of a component, in order; raise `CheckpointError` if it has none for `variant`.

    `file` is the single file that its weights are taken from, if they are.
    """
    if file is not None:
        return [single_file(file)]
    inside = sorted((folder / subfolder).iterdir())
    readable = _readable(inside)
    found = [file for file in readable if variant_of(file.name) == variant]
    if found:
        lacking = _missing_shard([file.name for file in found])
        if lacking is not None:
            raise _incomplete(f"`{folder / subfolder}` has no `{lacking}`, which holds a part of the weights")
        return found
    variants = sorted({variant_of(file.name) or "" for file in readable} - {""})
    if variant is not None or variants:
        wanted = f"variant `{variant}`" if variant else "weights without a variant"
        raise CheckpointError(
            "missing-variant", f"`{folder / subfolder}` has no {wanted}",
            "it has: " + ", ".join(f'`variant: "{name}"`' for name in variants) if variants else "leave `variant` out",
        )  # fmt: skip
    pickles = [file.name for file in inside if file.suffix in WEIGHT_SUFFIXES]
    if pickles:
        raise CheckpointError(
            "unsafe-weights",
            f"`{folder / subfolder}` has its weights as `{pickles[0]}` only, which can run code when read",
            f"convert them to safetensors once, with a program and a source that you trust{_OR_ALLOW}",
        )
    raise _incomplete(f"`{folder / subfolder}` has no weights")


_OR_ALLOW = f"; or give `{pickle_files.OPTION}` on the command line: torch then reads weights of them, and runs nothing"


def _readable(files: Iterable[Path]) -> list[Path]:
    """Return those of a component's files that its weights are read from, of all variants.

    Pickled ones are among them where that is allowed, and where there are no others.
    """
    held = list(files)
    safe = [file for file in held if file.suffix == ".safetensors"]
    if safe or not pickle_files.are_allowed():
        return safe
    return [file for file in held if pickle_files.is_of_library(file.name)]


def _missing_shard(names: list[str]) -> str | None:
    """Return one of the files that `names` are parts with, but which isn't among them."""
    parts = [_SHARD.search(name) for name in names]
    if None in parts:  # one file has all of it, whatever else lies there
        return None
    for name, part in zip(names, parts, strict=True):
        assert part is not None
        for number in range(1, int(part["count"]) + 1):
            wanted = f"{name[: part.start('number')]}{number:05}{name[part.end('number') :]}"
            if wanted not in names:
                return wanted
    return None


def has_variant(folder: Path, subfolder: str, variant: str) -> bool:
    """Return whether a component has weights of that variant."""
    return any(variant_of(file.name) == variant for file in _readable((folder / subfolder).iterdir()))


def train_timesteps(folder: Path) -> int | None:
    """Return how many timesteps the checkpoint's scheduler was trained with, which is how many it can make at most.

    None if that isn't known, or there is no most: the times of flow matching, which has no betas, aren't counted.
    """
    file = folder / "scheduler" / "scheduler_config.json"
    found = read_json(file) if file.is_file() else {}
    number, known = found.get("num_train_timesteps"), pipelines.schedulers().get(str(found.get("_class_name")))
    is_counted = known is None or "beta_start" in known.options
    return number if isinstance(number, int) and is_counted else None


def variants(folder: Path, subfolder: str) -> set[str]:
    """Return the names of the variants that a component's weights come in."""
    names = {variant_of(file.name) for file in _readable((folder / subfolder).iterdir())}
    return {name for name in names if name is not None}


def read_component(folder: Path, subfolder: str, like: Part) -> Part:
    """Return the component in a folder of its own, which is to stand in for `like`. Raises `CheckpointError`."""
    inside = folder / subfolder
    if not inside.is_dir():
        raise missing_folder(folder, subfolder)
    if not like.has_weights:
        return Part(like.role, like.library, like.class_name, subfolder, False)
    config_file = inside / "config.json"
    if not config_file.is_file():
        raise CheckpointError(
            "not-a-checkpoint", f"`{inside}` holds no component: it has no `config.json`",
            f"name the folder of a `{like.role}`, or of a whole pipeline that has one",
        )  # fmt: skip
    config = read_json(config_file)
    architectures = config.get("architectures")
    class_name = config.get("_class_name") or (
        architectures[0] if isinstance(architectures, list) and architectures else None
    )
    if isinstance(class_name, str) and like.library == "diffusers" and _kind(class_name) != _kind(like.class_name):
        raise CheckpointError(
            "wrong-component", f"`{inside}` holds a `{class_name}`, where `{like.role}` is a `{like.class_name}`",
            f"name a folder with another `{like.class_name}`",
        )  # fmt: skip
    return Part(
        like.role, like.library, class_name if isinstance(class_name, str) else like.class_name, subfolder, True,
        stored.read(config),
    )  # fmt: skip


def _kind(class_name: str) -> str:
    """Return what sort of network a class of diffusers is: those of one sort can stand in for each other."""
    for kind, mark in (
        ("controlnet", "ControlNet"),
        ("autoencoder", "Autoencoder"),
        ("denoiser", "UNet"),
        ("denoiser", "Transformer"),
    ):
        if mark in class_name:
            return kind
    return class_name


def missing_folder(folder: Path, subfolder: str) -> CheckpointError:
    """Return the error that `folder` has no `subfolder`."""
    there = [Path(name).name for name in _folders(folder)]
    help = did_you_mean(subfolder, there, "its folders")
    return CheckpointError("missing-model", f"`{folder}` has no folder `{subfolder}`", help)


_SHARD = re.compile(r"-(?P<number>\d{5})-of-(?P<count>\d{5})")
# In the name of a file that holds a part of the weights.


def variant_of(name: str) -> str | None:
    """Return the variant that a file of weights called `name` is of, None for that without a name."""
    # model.fp16.safetensors, model.fp16-00001-of-00002.safetensors, model-00001-of-00002.fp16.safetensors
    middle = _SHARD.sub("", name.removesuffix(".safetensors").removesuffix(".bin"))
    return middle.partition(".")[2] or None


def read_header(file: Path) -> list[Tensor]:
    """Return the tensors that a file declares; raise `CheckpointError` if it is cut, malformed or not to be read."""
    if pickle_files.is_pickle(file):
        try:
            return [Tensor(*each) for each in pickle_files.declared(str(single_file(str(file))), *_stat_key(file))]
        except pickle_files.Malformed as error:
            raise CheckpointError("unreadable-weights", f"`{file}` can't be read: {error}",
                                  "take the weights in another form") from None  # fmt: skip
    return list(_headers(str(file), *_stat_key(file)))


@lru_cache(maxsize=4096)
def _headers(name: str, size: int, _mtime: int, _inode: int) -> tuple[Tensor, ...]:
    with open(name, "rb") as stream:
        head = stream.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else -1
        if not 0 < length <= min(HEADER_LIMIT, size - 8):
            raise _damaged(name, "it is cut short or not a safetensors file")
        try:
            entries = json.loads(stream.read(length))
            tensors = tuple(
                Tensor(key, str(entry["dtype"]), tuple(int(side) for side in entry["shape"]),
                       8 + length + int(entry["data_offsets"][0]), 8 + length + int(entry["data_offsets"][1]))
                for key, entry in entries.items() if key != "__metadata__"
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise _damaged(name, "its header can't be read") from None
    end = max((tensor.end for tensor in tensors), default=8 + length)
    if end > size:
        raise _damaged(name, f"it has {size:,} bytes where its header promises {end:,}")
    _refuse_nonsense(name, tensors, 8 + length)
    return tensors


def _refuse_nonsense(name: str, tensors: Iterable[Tensor], end: int) -> None:
    """Raise `CheckpointError` unless the tensors of the file `name` lie one behind the other from `end` on."""
    before = "the header"
    for tensor in sorted(tensors, key=lambda tensor: tensor.start):
        size = DTYPE_BYTES.get(tensor.dtype)
        if size is None:
            raise _damaged(name, f"`{tensor.name}` is of the type `{tensor.dtype}`, which torch doesn't have")
        if min(tensor.shape, default=0) < 0 or tensor.end - tensor.start != prod(tensor.shape) * size:
            raise _damaged(name, f"`{tensor.name}` has another size than its shape says")
        # As safetensors itself has it: none inside another or in the header.
        if tensor.start != end:
            raise _damaged(name, f"`{tensor.name}` does not begin where {before} ends")
        before, end = f"`{tensor.name}`", tensor.end


def _incomplete(what: str) -> CheckpointError:
    return CheckpointError("damaged-checkpoint", what, "the download may be incomplete: fetch the checkpoint again")


def _damaged(name: str, why: str) -> CheckpointError:
    return CheckpointError("damaged-checkpoint", f"`{name}` is damaged: {why}", "fetch or write that file again")


def tensors(folder: Path, subfolder: str, variant: str | None) -> list[Tensor]:
    """Return the tensors of a component, from the headers of its files. Raises `CheckpointError`."""
    return [tensor for file in weight_files(folder, subfolder, variant) for tensor in read_header(file)]


def part_tensors(folder: Path, part: Part, variant: str | None) -> tuple[list[Tensor], bool]:
    """Return a component's tensors, and whether their names are those of its class: of some single files they aren't.

    Raises `CheckpointError`.
    """
    if part.file is None:
        return tensors(folder, part.subfolder, variant), True
    header = single_header(part.file)
    return single_files.tensors(part, read_config(folder, part.subfolder), header)


def file_bytes(folder: Path, part: Part, variant: str | None) -> int:
    """Return the bytes of the tensors in a component's files. Raises `CheckpointError`."""
    return sum(tensor.end - tensor.start for tensor in part_tensors(folder, part, variant)[0])


def identity(
    folder: Path, subfolder: str, variant: str | None, has_weights: bool, single: str | None = None
) -> str:  # fmt: skip
    """Return a fingerprint of the files that make a component, the same on every machine that has the same files."""
    total = hashlib.blake2b(digest_size=16)
    for file in component_files(folder, subfolder, variant, has_weights, single):
        total.update(json.dumps([_name_in(folder, file), fingerprint(file)]).encode())
    return total.hexdigest()


def _name_in(folder: Path, file: Path) -> str | None:
    """Return the path of a component's file in `folder`; None for a single file, whose name says nothing."""
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else None


def component_files(
    folder: Path, subfolder: str, variant: str | None, has_weights: bool, single: str | None = None
) -> list[Path]:
    """Return the files that make a component: its configuration and, if it has any, its weights.

    These are in `single`, if that is given.
    """
    files = [file for file in _files_below(folder / subfolder) if file.suffix not in WEIGHT_SUFFIXES]
    if not has_weights:
        _require_vocabulary(folder / subfolder, {file.name for file in files})
        for file in files:
            _require_whole(file)
    return files + weight_files(folder, subfolder, variant, single) if has_weights else files


def _require_vocabulary(folder: Path, names: set[str]) -> None:
    """Raise `CheckpointError` for a tokenizer without its vocabulary, which transformers takes for one of no words."""
    if "tokenizer_config.json" not in names or "tokenizer.json" in names:
        return
    if read_json(folder / "tokenizer_config.json").get("tokenizer_class") in _WITHOUT_VOCABULARY:
        return
    if names <= _BESIDE_VOCABULARIES:
        raise _incomplete(f"`{folder}` holds a tokenizer without its vocabulary, such as a `tokenizer.json`")
    if "vocab.json" in names and names <= _BESIDE_VOCABULARIES | {"vocab.json"}:
        raise _incomplete(f"`{folder}` has no `merges.txt`, which holds a part of the tokenizer")


def _require_whole(file: Path) -> None:
    """Raise `CheckpointError` for a JSON file, such as a vocabulary of some megabytes, that is cut short or garbled."""
    if file.suffix != ".json":
        return
    text = file.read_bytes()
    try:
        try:
            msgspec.json.decode(text, type=_Skipped)
        except msgspec.ValidationError:
            pass  # whole, and no object
        except msgspec.DecodeError:
            # Slower, and knows the numbers that Python writes and JSON lacks: `-Infinity` in schedulers.
            json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(str(file), "it is cut short or not JSON") from error


class _Skipped(msgspec.Struct):
    """An object of JSON none of whose members is kept: reading it makes nothing."""


_BESIDE_VOCABULARIES = {
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json", "generation_config.json",
    "chat_template.json", "chat_template.jinja", "merges.txt",
}  # fmt: skip
# What a tokenizer's folder may have beside its vocabulary.

_WITHOUT_VOCABULARY = ("ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer")
# Classes that take text byte by byte, or character by character.


def _files_below(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            yield from _files_below(entry)
        elif not entry.name.startswith(".") and not entry.name.endswith(".md"):
            yield entry


def fingerprint(file: Path) -> str:
    """Return a content hash of `file`: of all of it, or, for a large safetensors file, of its header and samples."""
    return _fingerprint(str(file), *_stat_key(file))


def _stat_key(file: Path) -> tuple[int, int, int]:
    status = os.stat(file)
    return status.st_size, status.st_mtime_ns, status.st_ino


@lru_cache(maxsize=4096)
def _fingerprint(name: str, size: int, mtime: int, inode: int) -> str:
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with open(name, "rb") as stream:
        # What an address gave has no name of its own, and is a safetensors file if it is of weights.
        is_known = name.endswith(".safetensors") or is_gguf(name) or Path(name).parent == addresses.folder()
        if size <= WHOLE_FILE_LIMIT or not is_known:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        else:
            tensors = tuple(_gguf_header(Path(name))) if is_gguf(name) else _headers(name, size, mtime, inode)
            digest.update(stream.read(min(tensor.start for tensor in tensors) if tensors else 8))
            for tensor in tensors:
                stream.seek(tensor.start)
                digest.update(stream.read(min(SAMPLE_BYTES, tensor.end - tensor.start)))
    return digest.hexdigest()


def read_json(file: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds. Raises `CheckpointError`."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError, RecursionError):
        raise CheckpointError("damaged-checkpoint", f"`{file}` is not JSON", "fetch or write that file again") from None
    if not isinstance(content, dict):
        raise CheckpointError("damaged-checkpoint", f"`{file}` does not hold a JSON object", "fetch or write it again")
    return content
