"""The `bnb` backend: its configuration for either library, its layers, and its limits on a CPU."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from aquatint.catalog.bnb import ANY_PATH
from aquatint.plan.steps import Json
from aquatint.runtime.torch_engine import bitsandbytes_cpu
from aquatint.runtime.torch_engine.libraries import Libraries

OWNERS = ("bitsandbytes",)


def configuration(libraries: Libraries, library: str, options: Mapping[str, Json], device: str) -> Any:
    """Return a new configuration of `library`'s own class: diffusers and transformers each refuse the other's."""
    skipped = options["llm_int8_skip_modules"]
    eight = options["bits"] == 8
    return getattr(libraries, library).BitsAndBytesConfig(
        load_in_8bit=eight,
        load_in_4bit=not eight,
        llm_int8_threshold=options["llm_int8_threshold"],
        # A list of its own: diffusers appends to it.
        llm_int8_skip_modules=None if skipped is None else [_skip(library, name) for name in skipped],
        llm_int8_enable_fp32_cpu_offload=options["llm_int8_enable_fp32_cpu_offload"],
        bnb_4bit_compute_dtype=options["bits4_compute_dtype"],
        bnb_4bit_quant_type=options["bits4_quant_type"],
        bnb_4bit_use_double_quant=options["bits4_use_double_quant"],
        bnb_4bit_quant_storage=options["bits4_quant_storage"],
    )


def _skip(library: str, name: str) -> str:
    # diffusers takes a name for any part of a path, transformers for a regular expression from the path's start or for
    # the path's end. Here it means the same for both; what is a pattern already is passed on.
    if library == "transformers" and re.fullmatch(r"[\w.-]+", name):
        return ANY_PATH + re.escape(name)
    return name


def is_quantized(libraries: Libraries, layer: Any) -> bool:
    """Return whether `layer` is one that bitsandbytes put in the place of a Linear."""
    layers = libraries.bitsandbytes.nn
    return isinstance(layer, layers.Linear8bitLt | layers.Linear4bit)


@contextmanager
def loading(libraries: Libraries, library: str, device: str) -> Iterator[None]:
    """Run the body, a load: on a CPU diffusers' check for a GPU must be out of the way, and parts are quicker."""
    with ExitStack() as stack:
        if device == "cpu":
            stack.enter_context(bitsandbytes_cpu.in_parts(libraries.torch))
            if library == "diffusers":
                stack.enter_context(bitsandbytes_cpu.without_gpu_check())
        yield


def finish(libraries: Libraries, module: Any, device: str) -> None:
    """Keep layers off the kernels that would fail for them."""
    if device == "cpu":
        bitsandbytes_cpu.avoid_unfit_packing(libraries, module)
