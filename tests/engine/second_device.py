"""A second device for torch, made of the CPU, and what offloading does on it: `python second_device.py FOLDER BUILD`.

There is no GPU here, and from the CPU to the CPU nothing moves. `second_device.cpp` gives torch a device of its own
under a name that it keeps for an accelerator, `hpu`: tensors there are in memory of their own, and mixing them with the
CPU's is the error that it is on a GPU. The libraries move weights to and fro as they would for a GPU; their kernels
for GPUs are not tried by this. In a process of its own, since a device can't be taken back.

Prints JSON: for every kind of quantizer and feature the error, whether the picture was the one of a model that is on
the device as a whole, and the share of the model's bytes that are on the device once the picture is made.
"""

from __future__ import annotations

import gc
import json
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from aquatint.runtime.torch_engine import TorchEngine, offloading
from aquatint.runtime.torch_engine.assembled import Assembled
from aquatint.runtime.torch_engine.libraries import libraries
from support.quantizer_kinds import KINDS
from support.scenes import Scene, drawn, everywhere, load, scene

NAME = "hpu"
FEATURES = ("offload-model", "offload-group", "offload-sequential", "group-leaves", "to-device", "host-memory")


@dataclass(frozen=True)
class Outcome:
    """What came of one feature: either an error or a picture."""

    error: str | None
    same: bool
    share_left: float  # of the model's bytes, that are on the device after the picture
    share_waiting: float = 0.0  # and that were there while the model was to wait in the computer's memory


def main(folder: Path, build: Path) -> dict[str, dict[str, Any]]:
    """Try every kind and feature on the tiny pipeline in `folder`; the extension is built in `build`."""
    TorchEngine(threads=1)  # imports the libraries before there is another device
    held = device(build)
    return {
        kind: {feature: asdict(_try(_scene(folder, uri), feature, held)) for feature in FEATURES}
        for kind, uri in KINDS.items()
    }


def device(build: Path) -> Callable[[], int]:
    """Make the device; return the function that tells the bytes on it. Its random numbers are drawn on the CPU."""
    import torch
    from torch.utils.cpp_extension import load as compiled

    source = Path(__file__).with_name("second_device.cpp")
    made = compiled("second_device", [str(source)], build_directory=str(build), extra_cflags=["-O0"])
    # What torch asks of a device's module; `is_available` would make the libraries look for the maker's own packages.
    module = types.ModuleType(f"torch.{NAME}")
    answers = {
        "is_available": False,
        "is_initialized": True,
        "device_count": 1,
        "current_device": 0,
        "_lazy_init": None,
    }
    for name, answer in answers.items():
        setattr(module, name, lambda answer=answer: answer)
    module.get_rng_state = lambda device=None: torch.get_rng_state()
    module.set_rng_state = lambda state, device=None: torch.set_rng_state(state)
    module.manual_seed_all = lambda seed: None
    torch._register_device_module(NAME, module)
    return made.held


def _scene(folder: Path, uri: str | None) -> Scene:
    return scene(folder, everywhere(folder, uri) if uri is not None else None)


def _try(made: Scene, feature: str, held: Callable[[], int]) -> Outcome:
    # One of its own, for an engine knows what it has loaded: what was tried before is to be gone.
    engine = TorchEngine(threads=1)
    gc.collect()
    before = held()
    placed = _placed(engine, made)
    size = held() - before
    expected = _picture(engine, made, placed)
    try:
        pipeline = _moved(engine, made) if feature == "to-device" else placed
        del placed
        waiting = 0
        if feature == "host-memory":
            waiting = _there_and_back(pipeline, held) - before
        else:
            _enable(pipeline, feature)
        same = _picture(engine, made, pipeline) == expected
        gc.collect()
        return Outcome(None, same, (held() - before) / size, waiting / size)
    except Exception as error:
        return Outcome(f"{type(error).__name__}: {error}", False, 0.0)


def _moved(engine: TorchEngine, made: Scene) -> Any:
    """Return a pipeline on the device that was loaded, and quantized, on the CPU."""
    pipeline = _live(engine, made)
    unpacked(modules(pipeline))
    return pipeline.to(NAME)


def _live(engine: TorchEngine, made: Scene) -> Any:
    """Return a pipeline of the live modules: nothing stands in for them, so that they can be moved."""
    parts = load(engine, made)
    objects = {role: None if part is None else part.object for role, part in parts.items()}
    pipeline = engine.assemble(made.pipeline, parts).found(**objects, **made.pipeline.options)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _there_and_back(pipeline: Any, held: Callable[[], int]) -> int:
    """Move the weights of a pipeline to the computer's memory and to the device again, as the engine does.

    Return the bytes that were held on the device meanwhile.
    """
    for module in modules(pipeline):
        offloading.wait(module)
    gc.collect()
    waiting = held()
    for module in modules(pipeline):
        offloading.come_back(module, NAME)
    return waiting


def _placed(engine: TorchEngine, made: Scene) -> Any:
    """Return a pipeline whose weights are on the device as if they had been quantized there."""
    pipeline = _live(engine, made)
    for layer in unpacked(modules(pipeline)):
        layer.weight = layer.weight.to(NAME)
    for module in modules(pipeline):
        module.to(NAME)
    return pipeline


def unpacked(among: Sequence[Any]) -> list[Any]:
    """Keep bitsandbytes from packing weights for a processor; return its layers in what are modules of `among`."""
    kinds = libraries().bitsandbytes.nn
    layers = [layer for each in among if isinstance(each, libraries().torch.nn.Module) for layer in each.modules()]
    found = [layer for layer in layers if isinstance(layer, (kinds.Linear8bitLt, kinds.Linear4bit))]
    for layer in found:
        layer.support_avx512bf16_for_cpu = False
    return found


def modules(pipeline: Any) -> list[Any]:
    """Return the live modules of a pipeline."""
    return [each for each in pipeline.components.values() if isinstance(each, libraries().torch.nn.Module)]


def _enable(pipeline: Any, feature: str) -> None:
    if feature == "group-leaves":
        pipeline.enable_group_offload(onload_device=libraries().torch.device(NAME), offload_type="leaf_level")
    elif feature.startswith("offload-"):
        offloading.enable(libraries(), pipeline, feature.removeprefix("offload-"), NAME)


def _picture(engine: TorchEngine, made: Scene, pipeline: Any) -> bytes:
    assembled = Assembled(libraries(), made.pipeline, lambda **parts: pipeline, pipeline.components, {}, NAME)
    return drawn(engine, assembled, made.generation, lambda done, total: None).tobytes()


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2])), indent=1))
