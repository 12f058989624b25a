"""Weights that wait in the computer's memory and come to the device for their turn: diffusers' own ways, by name.

Tried on a second device that the tests make of the CPU, never on a GPU. What goes with which quantizer is in the
catalog's `compatibility`, and is refused before anything is loaded.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine.libraries import Libraries


def wait(module: Any) -> None:
    """Move `module`, loaded and quantized, to the computer's memory: another one needs the device."""
    # Not `weights.held`: bitsandbytes reads the statistics of 8-bit layers where they were made.
    module.to("cpu")


def come_back(module: Any, device: str) -> None:
    """Move `module`, which waited, to `device`."""
    module.to(device)


def enable(libraries: Libraries, pipeline: Any, offload: str, device: str) -> None:
    """Make an assembled `pipeline` bring its weights to `device` by turns; its modules get hooks that do that.

    They have to be those of all layers, adapters' too, and are for this pipeline alone: `disable` takes them off.
    """
    try:
        _enable(libraries, pipeline, offload, device)
    except BaseException:
        with suppress(Exception):  # which would hide what went wrong first
            disable(libraries, pipeline)
        raise


def _enable(libraries: Libraries, pipeline: Any, offload: str, device: str) -> None:
    match offload:
        case "model":
            pipeline.enable_model_cpu_offload(device=device)
        case "sequential":
            pipeline.enable_sequential_cpu_offload(device=device)
        case "group":
            # Blocks rather than leaves: bitsandbytes' 8-bit layers fail when they are moved one by one.
            pipeline.enable_group_offload(
                onload_device=libraries.torch.device(device), offload_type="block_level", num_blocks_per_group=1
            )
        case _:
            raise EngineError(f"there is no way `{offload}` to offload a pipeline")


def disable(libraries: Libraries, pipeline: Any) -> None:
    """Take the hooks off the modules of `pipeline` and off all below them, and let the modules wait."""
    from accelerate.hooks import remove_hook_from_module
    from diffusers.hooks import group_offloading

    own = (
        group_offloading._GROUP_OFFLOADING, group_offloading._LAYER_EXECUTION_TRACKER,
        group_offloading._LAZY_PREFETCH_GROUP_OFFLOADING,
    )  # fmt: skip
    for module in pipeline.components.values():
        if isinstance(module, libraries.torch.nn.Module):
            remove_hook_from_module(module, recurse=True)
            for each in module.modules():
                # diffusers' hooks are where the groups begin, which needn't be at the top.
                registry: Any = getattr(each, "_diffusers_hook", None)
                if registry is not None:
                    for name in own:
                        registry.remove_hook(name, recurse=False)
            # After an error some may be on the device.
            wait(module)
