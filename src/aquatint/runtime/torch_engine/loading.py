"""Load one component from its folder: weights quantized on the way, in memory of their own, ready to run.

Safetensors alone, and pickles where the command line allows them; only classes of diffusers and transformers found by
their names, nothing fetched, no code of a checkpoint run.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

from aquatint.catalog import checkpoints, language_models, packages, pipelines, quantizers
from aquatint.catalog.gguf_files import is_gguf
from aquatint.catalog.llm4gen import CLASS_NAME
from aquatint.catalog.pickle_files import is_pickle
from aquatint.plan.steps import Component
from aquatint.runtime.engine import Counters, EngineError, Loaded
from aquatint.runtime.torch_engine import (
    backend,
    cross_adapter,
    determinism,
    gguf,
    ip_adapters,
    loras,
    memory,
    single_files,
    streaming,
    textual_inversions,
    weights,
)
from aquatint.runtime.torch_engine.backend import EngineBackend
from aquatint.runtime.torch_engine.faults import engine_error
from aquatint.runtime.torch_engine.libraries import Libraries, require_for
from aquatint.runtime.torch_engine.stored import stored_by

DTYPES = ("float32", "float16", "bfloat16")


def load(libraries: Libraries, component: Component, counters: Counters, ahead: bool = False) -> Loaded:
    """Return `component`, live; raise `EngineError`.

    With `ahead` its files are read by other threads from the start: for tensors that stay as they are. What can't be
    loaded is not counted.
    """
    loaded = _loaded(libraries, component, ahead)
    counters.loads += 1
    counters.quantizations += component.quantization is not None
    return loaded


def _loaded(libraries: Libraries, component: Component, ahead: bool) -> Loaded:
    found = find_class(libraries, component.library, component.class_name)
    if textual_inversions.is_textual_inversion(component):
        return textual_inversions.load(component)
    if ip_adapters.is_ip_adapter(component):
        return ip_adapters.load(libraries, component, found)
    if loras.is_adapter(component):
        return loras.load(libraries, component, found)
    if component.library == pipelines.OWN:
        return cross_adapter.load(libraries, component)
    folder = _folder(component)
    what = f"`{component.role}` ({component.class_name}) from `{component.origin}`"
    if component.dtype is None:
        if component.quantization is not None:
            raise EngineError(f"{what} has no weights to quantize")
        if issubclass(found, libraries.torch.nn.Module):
            # Loaded as if it had none, its weights might be read from a pickle.
            raise EngineError(f"{what} has weights, and the plan gives it no dtype")
        with engine_error(f"can't load {what}"), _quiet():
            return Loaded(component, found.from_pretrained(folder, local_files_only=True, **_place(component)))
    return _load_weights(libraries, component, found, folder, what, ahead)


@cache
def find_class(libraries: Libraries, library: str, class_name: str) -> Any:
    """Return the class of that name; raise `EngineError` unless diffusers or transformers itself has it."""
    if pipelines.library(library) != library:
        raise EngineError(f"`{library}.{class_name}` is code of its own; only diffusers and transformers are used")
    if library == pipelines.OWN:
        if class_name != CLASS_NAME:
            raise EngineError(f"this program has no class `{class_name}`")
        return cross_adapter.module_class(libraries.torch)
    package, *inside = library.split(".")
    home = getattr(libraries, package)
    if class_name in packages.processors():
        require_for(class_name, packages.OF_PROCESSORS)
    for name in inside:
        home = getattr(home, name, None)
    with memory.collector_paused(stays=True):  # a class is imported when it is asked for, and much with it
        found = None if class_name.startswith("_") else getattr(home, class_name, None)
        if found is None and library == package and not class_name.startswith("_"):
            found = _beside_pipelines(libraries, class_name)
    if not isinstance(found, type):
        version = getattr(getattr(libraries, package), "__version__", "?")
        raise EngineError(
            f"{library} {version} has no class `{class_name}`",
            f"the checkpoint may need another version: `pip install --upgrade {package}`",
        )
    return found


def _beside_pipelines(libraries: Libraries, class_name: str) -> Any:
    """Return the class that diffusers has beside a pipeline for a part of it, or None.

    Checkpoints say that it is transformers', into which diffusers puts it when that pipeline is imported; or that it
    is diffusers', which is what is written of one whose package has been moved.
    """
    for name in pipelines.made_of(class_name):
        package = getattr(libraries.diffusers, name).__module__.rpartition(".")[0]
        found = getattr(importlib.import_module(package), class_name, None)
        if found is not None:
            return found
    return None


def _load_weights(
    libraries: Libraries, component: Component, found: Any, folder: Path, what: str, ahead: bool
) -> Loaded:
    torch = libraries.torch
    if component.dtype not in DTYPES:
        raise EngineError(f"can't load {what} as `{component.dtype}`", f"dtypes: {', '.join(DTYPES)}")
    try:
        # Looked at before a library does: with no safetensors it would look for a pickle.
        files = checkpoints.weight_files(folder, component.subfolder, component.variant, component.single_file)
    except checkpoints.CheckpointError as error:
        raise EngineError(error.message, error.help) from error
    # By the class, not by where it lies: a safety checker is diffusers' own and a model of transformers.
    library = "transformers" if issubclass(found, libraries.transformers.PreTrainedModel) else "diffusers"
    if is_gguf(component.single_file):
        return _load_packed(libraries, component, found, folder, what)
    by = stored_by(folder, component, what) if component.single_file is None else None
    options: dict[str, Any] = {}
    if (wanted := component.quantization) is not None:
        by = backend.of(wanted.backend)
        settings = _options(wanted.backend, wanted.options)
        options["quantization_config"] = by.configuration(libraries, library, settings, component.device)
    if component.device != "cpu" and (component.offload is None or wanted is not None):
        # Not run here: there is no GPU. What waits in memory and isn't quantized never needs to be there.
        options["device_map"] = {"": component.device}
    # A single file is read in the place of one that the library takes for safetensors.
    is_safe = component.single_file is not None or not is_pickle(files[0])
    if component.class_name == language_models.ENCODER_CLASS and _is_inside_another(files):
        # What is not the encoder's is left out.
        options["key_mapping"] = {f"^{re.escape(language_models.INNER)}": ""}
    with (
        engine_error(f"can't load {what}"), _quiet(), memory.collector_paused(),
        _files(libraries, component, found, folder, library) as (place, stand_in),
        _loading(libraries, by, library, component),
        memory.holes_given_back(component.bytes, component.held.least if component.held else 0) as before_each,
        _streaming(torch, library, files, component.device, before_each, ahead, stand_in) as streamed,
        determinism.seeded(torch, determinism.seed_of(component.key), component.device),
    ):  # fmt: skip
        module, told = found.from_pretrained(
            variant=component.variant, use_safetensors=is_safe, local_files_only=True,
            output_loading_info=True,
            # Without it diffusers takes float16 for bitsandbytes.
            torch_dtype=getattr(torch, component.dtype), **options, **place,
        )  # fmt: skip
        if stand_in is not None:
            name_after(module, folder)
        _refuse_gaps(told, what)
        # bitsandbytes' 8-bit layers compute differently while they are in training mode.
        module.eval().requires_grad_(False)
        weights.copy_afresh(torch, module, mapped=streamed.tensors == 0)
        if by is not None:
            by.finish(libraries, module, component.device)
    quantized, layers = count_layers(libraries, module)
    return Loaded(component, module, weights.total_bytes(torch, module), quantized, layers, streamed.tensors)


def _is_inside_another(files: list[Path]) -> bool:
    """Return whether an encoder's `files` have it as a part of a larger network."""
    return any(tensor.name.startswith(language_models.INNER) for file in files for tensor in _header(file))


def _header(file: Path) -> list[checkpoints.Tensor]:
    try:
        return checkpoints.read_header(file)
    except checkpoints.CheckpointError as error:
        raise EngineError(error.message, error.help) from error


def _load_packed(libraries: Libraries, component: Component, found: Any, folder: Path, what: str) -> Loaded:
    with engine_error(f"can't load {what}"), _quiet(), memory.collector_paused():
        module, read = gguf.module(libraries, component, found, folder)
        module.eval().requires_grad_(False)
        weights.copy_afresh(libraries.torch, module, mapped=False)
        name_after(module, folder)
    quantized, layers = count_layers(libraries, module)
    return Loaded(component, module, weights.total_bytes(libraries.torch, module), quantized, layers, read)


def count_layers(libraries: Libraries, module: Any) -> tuple[int, int]:
    """Return how many layers below `module` a backend put there, and how many they and those it could have put are."""
    nn, halves = libraries.torch.nn, backend.usable()
    plain = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, libraries.transformers.pytorch_utils.Conv1D)
    by_backend = by_none = 0
    for layer in module.modules():
        if gguf.is_quantized(layer) or any(half.is_quantized(libraries, layer) for half in halves):
            by_backend += 1
        elif isinstance(layer, plain):
            by_none += 1
    return by_backend, by_backend + by_none


def _folder(component: Component) -> Path:
    try:
        return checkpoints.locate(component.source, component.revision)
    except checkpoints.CheckpointError as error:
        raise EngineError(error.message, error.help) from error


def _place(component: Component) -> dict[str, Any]:
    place: dict[str, Any] = {"subfolder": component.subfolder} if component.subfolder else {}
    # Left open, transformers asks at the terminal whether a checkpoint's code may run.
    return place | ({"trust_remote_code": False} if component.library == "transformers" else {})


def _loading(
    libraries: Libraries, by: EngineBackend | None, library: str, component: Component
) -> AbstractContextManager[None]:
    return nullcontext() if by is None else by.loading(libraries, library, component.device)


def _streaming(
    torch: Any, library: str, files: list[Path], device: str, before_each: Callable[[int], None], ahead: bool,
    stand_in: streaming.Standin | None,
) -> AbstractContextManager[streaming.Streamed]:  # fmt: skip
    if device != "cpu" and stand_in is None:
        # Not run here: there is no GPU. What is mapped goes there as it is, and the file's pages can be dropped.
        return nullcontext(streaming.Streamed())
    return streaming.streaming(torch, library, files, before_each, ahead=ahead, stand_in=stand_in)


@contextmanager
def _files(
    libraries: Libraries, component: Component, found: Any, folder: Path, library: str
) -> Iterator[tuple[dict[str, Any], streaming.Standin | None]]:
    """Yield the arguments that say where a component's files are, and what stands for one of them."""
    name = "pretrained_model_name_or_path"
    if component.single_file is None:
        place: dict[str, Any] = {name: folder, **_place(component)}
        if library == "transformers" and "from_pretrained" in vars(found):
            # What diffusers puts around a class of transformers knows of no subfolder, and takes the configuration for
            # one of an encoder and its decoder. Of a network that was saved it is the encoder's.
            inside = folder / (component.subfolder or "")
            place |= {name: inside, "subfolder": ""}
            config = libraries.transformers.AutoConfig.from_pretrained(inside, trust_remote_code=False)
            if not isinstance(config, found.config_class):
                place["config"] = config
        yield place, None
        return
    with single_files.in_a_folder(libraries, component, found, folder, library) as (standing, stand_in):
        yield {name: standing, **_place(component), "subfolder": ""}, stand_in


def name_after(module: Any, folder: Path) -> None:
    """Let `module` say that it comes from `folder`, where it was loaded from another one."""
    if hasattr(module, "register_to_config"):
        module.register_to_config(_name_or_path=str(folder))
    else:
        module.config._name_or_path = module.name_or_path = str(folder)


def _options(backend: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    # A plan may have been written by hand.
    wrong = quantizers.problems(backend, options)
    if wrong:
        raise EngineError(wrong[0].message, wrong[0].help)
    return quantizers.canonical(backend, options)


def _refuse_gaps(told: Mapping[str, Any], what: str) -> None:
    """Raise `EngineError` where weights are missing: the libraries fill them with random numbers and go on."""
    missing = sorted(told.get("missing_keys") or ())
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise EngineError(
            f"can't load {what}: its files lack the weights `{missing[0]}`{more}",
            "the download may be incomplete, or the folder may be of another kind of model",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # `torch_dtype` is on its way out in favour of `dtype`, which older versions don't know.
        warnings.simplefilter("ignore", FutureWarning)
        yield
