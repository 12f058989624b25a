"""Which files of a repository of the model hub are needed: configurations, vocabularies and one variant's safetensors.

Works on the names of files alone. Listing and fetching them is the runtime's business, knowing what a script asks for
the language's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from aquatint.catalog import adapter_files, hub_names, ip_adapters, llm4gen, loras, pickle_files, textual_inversions
from aquatint.catalog.checkpoints import WEIGHT_SUFFIXES, CheckpointError, is_part, refuse_own_code, variant_of
from aquatint.catalog.language_models import PROJECTOR, TOKENIZER, VOCABULARIES
from aquatint.diagnostics import did_you_mean

INDEX = "model_index.json"
FILE = "file"
"""The role of what is asked for by its name as a file, whatever it is for."""
LORA = "lora"
"""The role of what is asked for as a LoRA."""
TEXTUAL_INVERSION = "textual_inversion"
"""The role of what is asked for as a textual inversion."""
IP_ADAPTER = "ip_adapter"
"""The role of what is asked for as an IP-Adapter."""

ADAPTERS = {LORA: loras.KIND, TEXTUAL_INVERSION: textual_inversions.KIND, IP_ADAPTER: ip_adapters.KIND}
"""The kinds of adapters, by the roles of what is asked for."""

_BESIDE_WEIGHTS = (".json", ".txt", ".model", ".jinja", ".tiktoken", ".bpe", ".spm")
# What configurations and vocabularies end with.
_WHOLE = ("diffusion_pytorch_model", "model")
# How the libraries' own files of weights begin; beside them some repositories have the same for other programs.


@dataclass(frozen=True, slots=True)
class Request:
    """What is needed of a repository: its pipeline, or the component that is to play `role`.

    `subfolder` is where the pipeline or component is, and may be left open for a component. The weights of
    the submodules `without` are not needed, of a pipeline or of the component itself. A component's variant may be
    missing, as may that of some of a pipeline's, unless the request `insists`. In the roles of adapters and of a
    `PROJECTOR` one `file` is needed, which may be left open, and as a `FILE` the one that is a path in the repository;
    a `TOKENIZER` may lie beside weights that aren't.
    """

    repository: str
    revision: str | None = None
    variant: str | None = None
    subfolder: str = ""
    role: str | None = None
    without: frozenset[str] = frozenset()
    insists: bool = False
    file: str | None = None


def of_file(source: str, revision: str | None = None) -> Request | None:
    """Return what is needed of the hub for a `source` that names a file there, None for another one.

    `revision` is the file's where its name says none.
    """
    named = hub_names.parsed(source)
    if named is None:
        return None
    return Request(named.repository, named.revision or revision, role=FILE, file=named.name)


def index_of(request: Request, names: Iterable[str]) -> str | None:
    """Return the name of the index that says what `request` comes to, None for a component.

    Raise `CheckpointError` for a repository, whose files are `names`, that has neither.
    """
    if request.role is not None:
        return None
    there = set(names)
    wanted = f"{request.subfolder}/{INDEX}" if request.subfolder else INDEX
    if wanted in there:
        return wanted
    if not request.subfolder and "config.json" in there:
        return None  # a repository of one component
    inside = f" in its folder `{request.subfolder}`" if request.subfolder else ""
    raise CheckpointError(
        "not-a-checkpoint", f"`{request.repository}` is not a diffusers pipeline: it has no `{INDEX}`{inside}",
        "name a repository in diffusers' layout, or one file of this one, as in `owner/name/file.safetensors`",
    )  # fmt: skip


def needed(request: Request, names: Iterable[str], index: dict[str, Any] | None) -> list[str]:
    """Return those of the files `names` that `request` comes to, the one that is to be fetched last at the end.

    That one is what a folder is known by: without it what an interrupted fetch has left isn't taken for whole. `index`
    is what the file of `index_of` says. Raises `CheckpointError`.
    """
    there = sorted(names)
    if request.role == FILE:
        return [_named(request, there)]
    if request.role in ADAPTERS:
        base = f"{request.subfolder}/" if request.subfolder else ""
        below = [name.removeprefix(base) for name in there if name.startswith(base)]
        names = [name for name in below if "/" not in name]
        return [base + adapter_files.chosen(ADAPTERS[request.role], names, request.repository, request.file)]
    if request.role == PROJECTOR:
        base = f"{request.subfolder}/" if request.subfolder else ""
        below = [name.removeprefix(base) for name in there if name.startswith(base)]
        name = llm4gen.chosen([name for name in below if "/" not in name], request.repository, request.file)
        if pickle_files.is_pickle(name) and not pickle_files.are_allowed():
            raise _unsafe(request, name)
        return [base + name]
    if request.role == TOKENIZER:
        found = [name for name in there if "/" not in name and _is_plain(name)]
        return sorted(found, key=lambda name: name in VOCABULARIES)
    if index is None:
        folder = request.subfolder
        if not folder and request.role is not None and any(name.startswith(f"{request.role}/") for name in there):
            folder = request.role
        found = _component(request, folder, there)
        if not found:
            raise CheckpointError("missing-model", f"`{request.repository}` has no folder `{folder}`",
                                  "name a folder of the repository, or leave `subfolder` out")  # fmt: skip
        if request.role in request.without:
            found = [name for name in found if _is_plain(name)]
        else:
            _check_variant(request, {folder}, there)
        config = f"{folder}/config.json" if folder else "config.json"
        return sorted(found, key=lambda name: name == config)
    base = f"{request.subfolder}/" if request.subfolder else ""
    refuse_own_code(index, f"{request.repository}/{request.subfolder}" if request.subfolder else request.repository)
    roles = [role for role, entry in index.items() if not role.startswith("_") and is_part(entry) and None not in entry]
    wanted = {f"{base}{role}" for role in roles if role not in request.without}
    _check_variant(request, wanted, there)
    files: list[str] = []
    for folder in (f"{base}{role}" for role in roles):
        # The others' configurations tell what it is that the script replaces or leaves out.
        files += _component(request, folder, there) if folder in wanted else filter(_is_plain, _below(folder, there))
    return [*files, f"{base}{INDEX}"]


def _named(request: Request, names: list[str]) -> str:
    """Return the file that `request` names. Raises `CheckpointError` if it isn't one of `names`, or may not be read."""
    name = request.file or ""
    if name not in names:
        weights = [each for each in names if each.lower().endswith(hub_names.SUFFIXES)]
        raise CheckpointError("missing-model", f"`{request.repository}` has no file `{name}`",
                              did_you_mean(name, weights, "its files of weights"))  # fmt: skip
    if pickle_files.is_pickle(name) and not pickle_files.are_allowed():
        raise CheckpointError(
            "unsafe-weights", f"`{request.repository}/{name}` is no safetensors file; reading it could run code",
            "take a safetensors file, or convert it to one with a program and a source that you trust",
        )  # fmt: skip
    return name


def _component(request: Request, folder: str, names: Iterable[str]) -> list[str]:
    """Return the files of the component in `folder`; raise `CheckpointError` if its weights are pickled only."""
    below = _below(folder, names)
    inside = [name for name in below if name.rpartition("/")[0] == folder]
    # A component at the top of a repository has nothing in folders.
    plain = [name for name in (below if folder else inside) if _is_plain(name)]
    weights = [name for name in inside if name.endswith(".safetensors")]
    own = [name for name in weights if _base(name).startswith(_WHOLE)]
    weights = own or weights
    pickles = [name for name in inside if name.endswith(WEIGHT_SUFFIXES)]
    if not weights and pickle_files.are_allowed():
        weights = [name for name in inside if pickle_files.is_of_library(_base(name))]
    if not weights and pickles and any(_base(name) == "config.json" for name in inside):
        raise _unsafe(request, pickles[0])
    of_variant = [name for name in weights if variant_of(_base(name)) == request.variant]
    # As diffusers does: a variant that only some components have is used for those.
    return plain + (of_variant or [name for name in weights if variant_of(_base(name)) is None])


def _unsafe(request: Request, name: str) -> CheckpointError:
    return CheckpointError(
        "unsafe-weights", f"`{request.repository}` has the weights in `{name}` only, which can run code when read",
        "take a repository or a revision with safetensors, or convert them with a program and a source that you trust",
    )  # fmt: skip


def _below(folder: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if not folder or name.startswith(f"{folder}/")]


def _is_plain(name: str) -> bool:
    return name.endswith(_BESIDE_WEIGHTS) and not any(part.startswith(".") for part in name.split("/"))


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _check_variant(request: Request, folders: set[str], names: Iterable[str]) -> None:
    """Raise `CheckpointError` if none of the `folders` has the weights that `request` insists on."""
    found = set(_variants(folders, names))
    if not found or request.variant in found or (request.variant is None and not request.insists):
        return
    if request.role is not None and not request.insists:
        return
    known = sorted(name for name in found if name is not None)
    raise CheckpointError(
        "missing-variant", f"`{request.repository}` has no variant `{request.variant}`",
        "it has: " + ", ".join(f"`{name}`" for name in known) if known else "leave `variant` out: it has none",
    )  # fmt: skip


def _variants(folders: set[str], names: Iterable[str]) -> Iterator[str | None]:
    for name in names:
        folder, _, base = name.rpartition("/")
        if folder in folders and base.endswith(".safetensors"):
            yield variant_of(base)
