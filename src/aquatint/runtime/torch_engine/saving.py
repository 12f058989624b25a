"""Write live components as the checkpoint that the libraries read: each by its own `save_pretrained`, and the index.

The folder's name, and what happens when something goes wrong, are the executor's affair.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aquatint.plan.steps import Pipeline
from aquatint.runtime.engine import Counters, EngineError, Form, Loaded
from aquatint.runtime.torch_engine import bitsandbytes_cpu, generating, loading, memory, weights
from aquatint.runtime.torch_engine.faults import engine_error
from aquatint.runtime.torch_engine.libraries import Libraries


def save(
    libraries: Libraries, pipeline: Pipeline, parts: Mapping[str, Loaded | None], folder: Path, form: Form
) -> None:
    """Write `parts` by role into the empty `folder`, and what makes a pipeline of them unless `form` names roles.

    Raise `EngineError`, and `OSError` for what the disk refuses.
    """
    for role, part in parts.items():
        if not role.isidentifier():  # a checkpoint's index may name anything, such as a folder above
            raise EngineError(f"`{role}` is no name of a submodule: it is not saved")
        if part is not None:
            with _faults(f"can't save `{role}` ({part.component.class_name})"):
                _write(libraries, part, folder / role, form)
    if form.roles is None:
        with _faults(f"can't save the {pipeline.class_name}"):
            _write_index(libraries, pipeline, parts, folder)


@contextmanager
def _faults(doing: str) -> Iterator[None]:
    """Raise whatever a library raises in the body as an `EngineError`, but for what the disk refuses."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if number := re.search(r"\(os error (\d+)\)", str(error)):  # safetensors has an exception of its own
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
        with engine_error(doing):
            raise


def _write(libraries: Libraries, part: Loaded, folder: Path, form: Form) -> None:
    if not isinstance(part.object, libraries.torch.nn.Module):
        # Loaded anew: a tokenizer that has been used keeps how it padded last, and writes that.
        loading.load(libraries, part.component, Counters()).object.save_pretrained(folder)
        return
    options: dict[str, Any] = {} if form.max_shard_size is None else {"max_shard_size": form.max_shard_size}
    with _as_loaded(libraries, part) as module, _in_the_form_of_files(module):
        module.save_pretrained(folder, variant=form.variant, safe_serialization=True, **options)
    _tidy(folder / "config.json")


@contextmanager
def _as_loaded(libraries: Libraries, part: Loaded) -> Iterator[Any]:
    """Yield the module with the weights that it was loaded with.

    On processors with AVX512-BF16 bitsandbytes packs 4-bit layers anew at their first use, with scales in bfloat16, and
    unpacks those for a file: the exact ones are gone. Such a component is loaded once more, and dropped again.
    """
    if not bitsandbytes_cpu.is_packed(libraries, part.object):
        yield part.object
        return
    # Not counted: nothing that the plan asks for comes of it.
    module = loading.load(libraries, part.component, Counters()).object
    try:
        yield module
    finally:
        weights.drop(libraries.torch, module)
        memory.give_back(libraries.torch)


@contextmanager
def _in_the_form_of_files(module: Any) -> Iterator[None]:
    """Let `module` be saved by transformers although its weights came from files of bitsandbytes.

    transformers undoes in a file what it did on reading, and has no way back for these weights. None is needed: the
    layers of bitsandbytes give their weights as files have them.
    """
    conversions = getattr(module, "_weight_conversions", None)
    if not conversions:
        yield
        return
    module._weight_conversions = [each for each in conversions if not _reads_bitsandbytes(each)]
    try:
        yield
    finally:
        module._weight_conversions = conversions


def _reads_bitsandbytes(conversion: Any) -> bool:
    operations = getattr(conversion, "operations", ())
    return any(type(each).__module__ == "transformers.integrations.bitsandbytes" for each in operations)


def _tidy(config: Path) -> None:
    """Make a component's configuration the same on every machine and in every process.

    The folder that it was loaded from is taken out, and lists of modules are sorted: they come from sets.
    """
    content = json.loads(config.read_text(encoding="utf-8"))
    content.pop("_name_or_path", None)
    quantized = content.get("quantization_config")
    if isinstance(quantized, dict):
        for name, value in quantized.items():
            if isinstance(value, list) and all(isinstance(each, str) for each in value):
                quantized[name] = sorted(value)
    # As both libraries write it.
    config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _write_index(libraries: Libraries, pipeline: Pipeline, parts: Mapping[str, Loaded | None], folder: Path) -> None:
    objects = {role: None if (part := parts.get(role)) is None else part.object for role in pipeline.parts}
    if objects.get("scheduler") is not None:
        # Some pipelines correct the settings of the scheduler that they are made with.
        objects["scheduler"] = generating.fresh_scheduler(libraries, objects["scheduler"], None)
    found = loading.find_class(libraries, "diffusers", pipeline.class_name)
    found(**objects, **pipeline.options).save_config(folder)
