"""The engine that carries a plan out with torch, diffusers, transformers and the quantization backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

from aquatint.plan.steps import Component, Json, Pipeline
from aquatint.runtime.engine import Counters, DeviceMemory, EngineError, Form, Generation, Loaded, OnStep
from aquatint.runtime.store import Store
from aquatint.runtime.torch_engine import devices, generating, loading, measuring, memory, offloading, saving, weights
from aquatint.runtime.torch_engine.faults import engine_error
from aquatint.runtime.torch_engine.libraries import heard, libraries, versions
from aquatint.runtime.torch_engine.stored_components import StoredComponents


class TorchEngine:
    """An `Engine`. Making one imports the libraries, which takes seconds.

    `threads` is the number of threads that torch computes with, for the whole process: it decides the last bits of
    results, and so it is recorded. `store` keeps quantized components between processes.
    """

    def __init__(self, device: str = "cpu", threads: int | None = None, store: Store | None = None) -> None:
        self.counters = Counters()
        self.warnings: list[str] = []
        self.device = device
        self._libraries = libraries()
        self._check_device()
        if threads is not None:
            self._libraries.torch.set_num_threads(threads)
        self._stored = None if store is None else StoredComponents(store, self._libraries, self.counters)

    def describe(self) -> dict[str, Json]:
        """Return device, threads and versions."""
        torch = self._libraries.torch
        return {
            "engine": "torch",
            "device": self.device,
            "threads": torch.get_num_threads(),
            # Which kernels a CPU has decides the last bits, and whether bitsandbytes computes 4-bit layers in bfloat16.
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "bfloat16_kernels": bool(self._libraries.bitsandbytes.functional.has_avx512bf16()),
            "versions": versions(),
        }

    def load(self, component: Component) -> Loaded:
        """Load `component`, quantized if it asks for that; raise `EngineError` if that can't be done."""
        if self._stored is not None:
            loaded = self._stored.load(component, self.describe())
        else:
            loaded = loading.load(self._libraries, component, self.counters)
        if component.offload is not None:
            # Not run here: on a CPU nothing is offloaded.
            with engine_error(f"can't move `{component.role}` to the computer's memory"):
                offloading.wait(loaded.object)
        return loaded

    def assemble(self, pipeline: Pipeline, parts: Mapping[str, Loaded | None]) -> Any:
        """Return a diffusers pipeline made of the live `parts`, by role."""
        found = loading.find_class(self._libraries, "diffusers", pipeline.class_name)
        objects = {role: None if part is None else part.object for role, part in parts.items()}
        if objects.get("scheduler") is not None:
            # Its own: a scheduler has the state of the picture that it works on.
            objects["scheduler"] = generating.fresh_scheduler(self._libraries, objects["scheduler"], None)
        # Never from_pipe: it casts modules that others share, and refuses quantized ones.
        with engine_error(f"can't make a {pipeline.class_name} of `{pipeline.source}`"):
            made = found(**objects, **pipeline.options)
            made.set_progress_bar_config(disable=True)
            if pipeline.offload is not None:
                offloading.enable(self._libraries, made, pipeline.offload, self.device)
        return made

    def generate(self, pipeline: Any, generation: Generation, on_step: OnStep) -> Image:
        """Return one RGB image; the same call gives the same bits, whatever the engine did before."""
        self.warnings.clear()
        with heard(self.warnings):
            image = generating.generate(self._libraries, pipeline, generation, on_step, self.device)
        self.counters.images += 1
        return image

    def measure(self, reference: Image, image: Image, metrics: Sequence[str]) -> dict[str, float]:
        """Return each of `metrics` (names of `catalog.metrics`) of two RGB pictures; raise `EngineError`."""
        return measuring.measure(self._libraries.torch, reference, image, metrics)

    def save(self, pipeline: Pipeline, parts: Mapping[str, Loaded | None], folder: Path, form: Form) -> None:
        """Write live `parts`, by role, into the empty `folder` as the libraries store them; change none of them."""
        saving.save(self._libraries, pipeline, parts, folder, form)

    def release(self, loaded: Loaded) -> None:
        """Drop `loaded` and give its memory back; no pipeline that holds it is used afterwards."""
        torch = self._libraries.torch
        self.counters.releases += 1
        if isinstance(loaded.object, torch.nn.Module):
            if loaded.component.offload is not None:
                # Its weights may be the hooks', and its own tensors without data.
                offloading.undo(loaded.object)
            # Not left to the garbage collector: modules are in reference cycles, and a plan has a memory budget.
            weights.drop(torch, loaded.object)
            memory.give_back(torch)

    def device_memory(self, *, afresh: bool = False) -> DeviceMemory | None:
        """Return what is taken of the device, None if its memory is the process's own; `afresh` begins a new peak."""
        return devices.memory(self._libraries.torch, self.device, afresh)

    def _check_device(self) -> None:
        if not devices.has_device(self._libraries.torch, self.device):
            raise EngineError(f"there is no device `{self.device}` on this machine", "run with `--device cpu`")
