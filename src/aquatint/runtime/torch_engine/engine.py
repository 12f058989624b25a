"""The engine that carries a plan out with torch, diffusers, transformers and the quantization backends."""

from __future__ import annotations

import functools
import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

from aquatint.catalog import tasks
from aquatint.catalog.ip_adapters import IMAGE_ENCODER
from aquatint.catalog.language_models import ROLES
from aquatint.catalog.pipelines import is_text_encoder
from aquatint.plan import uses
from aquatint.plan.steps import Component, Json, Pipeline, Plugin
from aquatint.runtime.beside import Beside
from aquatint.runtime.engine import (
    Counters,
    DeviceMemory,
    EngineError,
    Form,
    Generation,
    Loaded,
    OnStep,
    Rewriting,
    Rewritten,
)
from aquatint.runtime.media import Medium
from aquatint.runtime.store import Store
from aquatint.runtime.torch_engine import (
    calls,
    determinism,
    devices,
    generating,
    loading,
    measuring,
    memory,
    offloading,
    saving,
    upscalers,
    weights,
)
from aquatint.runtime.torch_engine.assembled import Assembled, Opened
from aquatint.runtime.torch_engine.calls import TorchCall
from aquatint.runtime.torch_engine.faults import engine_error
from aquatint.runtime.torch_engine.ip_adapters import (
    IpAdapters,
    IpAdapterWeights,
    WantedPictures,
    feature_extractor,
)
from aquatint.runtime.torch_engine.kept_embeddings import KeptEmbeddings
from aquatint.runtime.torch_engine.libraries import libraries, versions
from aquatint.runtime.torch_engine.loras import Loras, LoraWeights, Wanted, is_adapter
from aquatint.runtime.torch_engine.prefetching import Prefetcher
from aquatint.runtime.torch_engine.remembering import Memory
from aquatint.runtime.torch_engine.standins import AnyWorn, Place, Worn, WornPictures, WornVectors, stand_in
from aquatint.runtime.torch_engine.stored_components import StoredComponents
from aquatint.runtime.torch_engine.textual_inversions import TextualInversions, Vectors, WantedVectors, learned


class TorchEngine:
    """An `Engine`. Making one imports the libraries, which takes seconds.

    `threads` is the number of threads that torch computes with, for the whole process: it decides the last bits of
    results, and so it is recorded. `store` keeps quantized components between processes, `embeddings` what text
    encoders make of prompts. With `tiling` all pictures are decoded in tiles, where their models can do that. `beside`
    says when what is foreseen is quantized in a process beside this one, into the store.
    """

    def __init__(
        self, device: str = "cpu", threads: int | None = None, store: Store | None = None,
        embeddings: Store | None = None, tiling: bool = False, beside: Beside = Beside.NEVER,
    ) -> None:  # fmt: skip
        self.counters = Counters()
        self.device = device
        self.tiling = tiling
        self._libraries = libraries()
        self.kept = None if embeddings is None else KeptEmbeddings(embeddings, self._libraries, self.describe)
        self.remembered = Memory(self._libraries, kept=self.kept)
        self._loras = Loras(self._libraries)
        self._inversions = TextualInversions()
        self._ip_adapters = IpAdapters(self._libraries)
        # By component, and by the device of the pipelines and what it has on in them.
        self._places: dict[str, dict[tuple[str, tuple[AnyWorn, ...]], Place]] = {}
        self._foreseen: list[str] = []
        self._prefetcher = Prefetcher()
        self._check_device(device)
        if threads is not None:
            self._libraries.torch.set_num_threads(threads)
        self._stored = None if store is None else StoredComponents(store, self._libraries, self.counters, beside)

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
            **({"tiling": True} if self.tiling else {}),
        }

    def load(self, component: Component) -> Loaded:
        """Load `component`, quantized if it asks for that; raise `EngineError` if that can't be done."""
        self._check_device(component.device)
        if self.kept is not None and is_text_encoder(component.role) and component.dtype is not None:
            self.kept.loading(component)
        if self._stored is not None:
            loaded = self._stored.load(component, self.describe())
        else:
            loaded = loading.load(self._libraries, component, self.counters)
        if component.offload is not None and not is_adapter(component):
            with engine_error(f"can't move `{component.role}` to the computer's memory"):
                offloading.wait(loaded.object)
        if component.dtype is not None:
            self._attach(loaded)
        return loaded

    def foresee(self, ahead: Sequence[Component], spare: int | None) -> None:
        """Let what is worth that be quantized beside the run, and the files of the next one be read into the cache."""
        if self.kept is not None:
            ahead = [each for each in ahead if not is_text_encoder(each.role)]  # they may not be needed
        keys = [component.key for component in ahead]
        if keys == self._foreseen:
            return
        self._foreseen = keys
        facts = self.describe()
        beside = frozenset() if self._stored is None else self._stored.foresee(ahead, facts, spare)
        # The process reads the files of what it is at itself.
        if keys and keys[0] not in beside and (self._stored is None or not self._stored.has(ahead[0], facts)):
            self._prefetcher.read(ahead[0])

    def assemble(self, pipeline: Pipeline, parts: Mapping[str, Loaded | Component | None]) -> Assembled:
        """Return what makes diffusers pipelines of `parts`, by role, with stand-ins for those that have weights."""
        found = loading.find_class(self._libraries, "diffusers", pipeline.class_name)
        adapters, inversions = uses.adapters(pipeline), uses.textual_inversions(pipeline)
        device = self._device_of(pipeline, parts)
        beside = {role: self._place(part, device) for role in adapters if (part := parts[role]) is not None}
        own = {role: part.object for role, part in parts.items() if isinstance(part, Loaded)}
        tokenizers, first = learned(own, inversions)
        places = {
            role: self._place(part, device, self._worn(pipeline, role, beside, first))
            for role, part in parts.items()
            if part is not None and role not in adapters and self._has_weights(part)
        }
        # The hooks that offload are for live modules.
        stands_in = pipeline.offload is None
        objects: dict[str, Any] = {role: stand_in(place) for role, place in places.items() if stands_in}
        for role, part in parts.items():
            if role not in objects and role not in adapters:
                assert not isinstance(part, Component), f"{role} has to be loaded"
                objects[role] = None if part is None else tokenizers.get(role, part.object)
        if uses.ip_adapters(pipeline) and places.get(IMAGE_ENCODER) and objects.get("feature_extractor") is None:
            encoder = places[IMAGE_ENCODER]
            extractor = feature_extractor(self._libraries, encoder.component, encoder.ask(("config",)))
            objects["feature_extractor"] = extractor
        for kind in tasks.STEERING:
            if len(several := tasks.steering(objects, kind)) > 1:
                objects[kind] = [objects.pop(role) for role in several]
        if isinstance(several_adapters := objects.get("adapter"), list):
            # Of a list SDXL's pipeline makes none itself.
            objects["adapter"] = self._libraries.diffusers.MultiAdapter(several_adapters)
        beside_it = {role: objects.pop(role) for role in ROLES if role in objects}
        assembled = Assembled(self._libraries, pipeline, found, objects, places, device, beside_it)
        # What is wrong with it shows here.
        assembled.try_out()
        return assembled

    def begin(self, pipeline: Assembled, generation: Generation, on_step: OnStep) -> TorchCall:
        """Return the call of an assembled pipeline that makes images, videos or tensors, not begun."""
        made: list[Any] = []  # the call's own pipeline, once there is one
        opened: Opened = []

        def make() -> Any:
            pipeline.put_together()  # of a call that begins again
            made[:] = [pipeline.make()]
            return made[0]

        generate = generating.work(self._libraries, make, generation, on_step, pipeline.device)

        def counted(told: generating.Told) -> list[Medium]:
            try:
                images = generate(told)
            finally:
                pipeline.give_back()
            self.counters.images += len(images)
            if self.kept is not None:
                call.warnings += self.kept.warnings
                self.kept.warnings.clear()
            return images

        tiling = generation.tiling or self.tiling
        around = functools.partial(pipeline.computing, tiling, lambda: made[0].current_timestep, opened)
        # What draws from the global generator draws for the whole call.
        places = tuple(pipeline.places.values())
        devices = tuple(dict.fromkeys([pipeline.device, *(place.component.device for place in places)]))
        call = TorchCall(self._libraries.torch, counted, places, generation.seeds[0], devices, around)
        return call

    def can_tile(self, pipeline: Assembled) -> bool:
        """Return whether a part of an assembled pipeline can decode pictures in tiles."""
        return pipeline.can_tile()

    def _has_weights(self, part: Loaded | Component) -> bool:
        component = part if isinstance(part, Component) else part.component
        return component.dtype is not None

    def _device_of(self, pipeline: Pipeline, parts: Mapping[str, Loaded | Component | None]) -> str:
        """Return the device of `pipeline`, whose parts are there by role."""
        given = [part if isinstance(part, Component) else part.component for part in parts.values() if part is not None]
        return uses.device(pipeline, {each.key: each for each in given}) or self.device

    @staticmethod
    def _worn(
        pipeline: Pipeline, role: str, beside: Mapping[str, Place], first: Mapping[tuple[str, str], int]
    ) -> tuple[AnyWorn, ...]:
        """Return what the part in `role` has on in `pipeline`; `beside` are the places of its adapters by their roles.

        `first` has the numbers of the first tokens of textual inversions.
        """
        loras = (
            Worn(beside[name], use.weight, role) for name, use in uses.loras(pipeline).items() if role in use.roles
        )
        vectors = (
            WornVectors(beside[name], use.tensors[role], first[role, name], use.vectors)
            for name, use in uses.textual_inversions(pipeline).items()
            if role in use.tensors
        )
        pictures = (
            WornPictures(beside[name], use.scale)
            for name, use in uses.ip_adapters(pipeline).items()
            if role in use.roles
        )
        return (*loras, *vectors, *pictures)

    def _place(self, part: Loaded | Component, device: str, adapters: tuple[AnyWorn, ...] = ()) -> Place:
        """Return the place of a component with these adapters on, the same for all pipelines on `device`."""
        component = part if isinstance(part, Component) else part.component
        places = self._places.setdefault(component.key, {})
        worn = device, adapters
        if worn not in places:
            found = loading.find_class(self._libraries, component.library, component.class_name)
            remember = self.remembered if is_text_encoder(component.role) else None
            live = next((place.live for place in places.values()), None)
            places[worn] = Place(
                self._libraries, component, found, device, calls.wait, self._wear, remember, adapters, live
            )
        return places[worn]

    def _wear(self, place: Place) -> None:
        """Let the live module of `place` have on what it has there."""
        if not is_adapter(place.component):
            wanted = [WantedVectors(each.place.live, each.tensor, each.first, each.count) for each in place.vectors]
            self._inversions.wear(place.live, wanted)
            pictures = [WantedPictures(each.place.live, each.scale) for each in place.pictures]
            self._ip_adapters.wear(place.live, pictures, place.component)
            wanted_loras = [Wanted(each.place.live, each.weight, each.role) for each in place.loras]
            of_pictures = self._ip_adapters.loras(place.live)
            wanted_loras += [Wanted(each, 1.0, place.component.role) for each in of_pictures]
            self._loras.wear(place.live, wanted_loras)

    def _undress(self, loaded: Loaded) -> None:
        """Take off what `loaded` has on, or take it off whatever has it on."""
        if isinstance(loaded.object, LoraWeights):
            self._loras.let_go(loaded.object)
        elif isinstance(loaded.object, Vectors):
            self._inversions.let_go(loaded.object)
        elif isinstance(loaded.object, IpAdapterWeights):
            for lora in self._ip_adapters.let_go(loaded.object):
                self._loras.let_go(lora)
        elif isinstance(loaded.object, self._libraries.torch.nn.Module):
            self._loras.take_off(loaded.object)
            self._inversions.take_off(loaded.object)
            self._ip_adapters.take_off(loaded.object)

    def rewrite(self, upscaler: Plugin, parts: Mapping[str, Loaded], asked: Rewriting) -> Rewritten:
        """Let an upscaler rewrite prompts with live `parts`, by role; raise `EngineError` if it can't."""
        module = upscalers.of(upscaler.plugin)
        torch = self._libraries.torch
        wanted = len(asked.prompts) * asked.variations
        with (
            engine_error(f"`{upscaler.plugin}` can't rewrite the prompts"), torch.no_grad(),
            determinism.seeded(torch, asked.seed, self.device, *self._devices(parts)),
        ):  # fmt: skip
            made = module.rewrite(self._libraries, {role: part.object for role, part in parts.items()}, asked)
            if len(made.texts) != wanted or not all(isinstance(text, str) for text in made.texts):
                raise EngineError(f"`{upscaler.plugin}` was asked for {wanted} strings, and made something else",
                                  "update the package that brings the plugin")  # fmt: skip
        return made

    def _devices(self, parts: Mapping[str, Loaded]) -> set[str]:
        return {part.component.device for part in parts.values() if part.component.dtype is not None}

    def measure(self, reference: Image, image: Image, metrics: Sequence[str]) -> dict[str, float]:
        """Return each of `metrics` (names of `catalog.metrics`) of two RGB pictures; raise `EngineError`."""
        return measuring.measure(self._libraries.torch, reference, image, metrics)

    def save(self, pipeline: Pipeline, parts: Mapping[str, Loaded | None], folder: Path, form: Form) -> None:
        """Write live `parts`, by role, into the empty `folder` as the libraries store them; change none of them."""
        for part in parts.values():
            if part is not None:
                self._undress(part)
        saving.save(self._libraries, pipeline, parts, folder, form)

    def evict(self, loaded: Loaded) -> None:
        """Move the weights of `loaded` to the computer's memory; calls that need it wait until it comes back."""
        self._detach(loaded)
        if is_adapter(loaded.component):
            return  # what is on the device is what a module has on
        with engine_error(f"can't move `{loaded.component.role}` to the computer's memory"):
            offloading.wait(loaded.object)
        memory.give_back(self._libraries.torch)

    def bring_back(self, loaded: Loaded) -> None:
        """Move the weights of `loaded`, which was evicted, to the device; raise `EngineError` if that can't be done."""
        if not is_adapter(loaded.component):
            with engine_error(f"can't bring `{loaded.component.role}` back from the computer's memory"):
                offloading.come_back(loaded.object, loaded.component.device)
        self._attach(loaded)

    def _attach(self, loaded: Loaded) -> None:
        self._place(loaded, loaded.component.device)
        for place in self._places[loaded.component.key].values():
            place.attach(loaded)

    def _detach(self, loaded: Loaded) -> None:
        self._undress(loaded)
        for place in self._places.get(loaded.component.key, {}).values():
            if place.live is loaded.object:
                place.detach()

    def release(self, loaded: Loaded) -> None:
        """Drop `loaded` and give its memory back; calls that need it wait until it is loaded again."""
        torch = self._libraries.torch
        self.counters.releases += 1
        self._detach(loaded)
        if isinstance(loaded.object, torch.nn.Module):
            # Not left to the garbage collector: modules are in reference cycles, and a plan has a memory budget.
            weights.drop(torch, loaded.object)
            memory.give_back(torch)

    def reclaim(self) -> None:
        """Give back what is kept only to be faster, and what nobody but the collector of cycles would."""
        if self._stored is not None:
            self._stored.reclaim()
        self.remembered.forget()
        gc.collect()
        memory.give_back(self._libraries.torch)

    def device_memory(self, *, afresh: bool = False) -> DeviceMemory | None:
        """Return what is taken of the device, None if its memory is the process's own; `afresh` begins a new peak."""
        return devices.memory(self._libraries.torch, self.device, afresh)

    def _check_device(self, device: str) -> None:
        if not devices.has_device(self._libraries.torch, device):
            help = "run with `--device cpu`" if device == self.device else "plan it for the devices that there are"
            raise EngineError(f"there is no device `{device}` on this machine", help)
