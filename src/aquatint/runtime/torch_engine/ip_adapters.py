"""IP-Adapters, as diffusers puts them on live denoisers: attention processors, and the projection of encoded pictures.

What is put on is taken off again, so that a denoiser without one computes what it did before it had any. Which ones a
call wants is said by the denoiser's place (`standins`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

from aquatint.catalog import adapter_files, checkpoints, ip_adapters
from aquatint.catalog.checkpoints import CheckpointError
from aquatint.catalog.pickle_files import is_pickle
from aquatint.plan.steps import Component
from aquatint.runtime.engine import EngineError, Loaded
from aquatint.runtime.torch_engine.faults import engine_error
from aquatint.runtime.torch_engine.libraries import Libraries
from aquatint.runtime.torch_engine.loras import LoraWeights
from aquatint.runtime.torch_engine.pickled import PickledFile
from aquatint.runtime.torch_engine.tensor_files import TensorFile

_PROJECTIONS = ("encoder_hid_proj", "text_encoder_hid_proj", "image_proj")
# Where denoisers have what diffusers puts there; that of Kolors has a projection of its own, which is put by.
_KIND = "encoder_hid_dim_type"
# What their configuration then says.


@dataclass(eq=False, slots=True)
class IpAdapterWeights:
    """An IP-Adapter that is loaded: its tensors by the two halves of its file, and the class that reads it."""

    reader: Any
    tensors: dict[str, dict[str, Any]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class WantedPictures:
    """An IP-Adapter that a denoiser is to have on, and how much its pictures are to count."""

    adapter: IpAdapterWeights
    scale: float


def is_ip_adapter(component: Component) -> bool:
    """Return whether `component` is an IP-Adapter."""
    return component.class_name in ip_adapters.READERS


def load(libraries: Libraries, component: Component, reader: Any) -> Loaded:
    """Return the IP-Adapter that `component` is, which the class `reader` reads; raise `EngineError`."""
    file = _file(component)
    torch = libraries.torch
    halves: dict[str, dict[str, Any]] = {"image_proj": {}, "ip_adapter": {}}
    with (
        engine_error(f"can't load the IP-Adapter from `{component.source}`"),
        PickledFile(torch, file) if is_pickle(file) else TensorFile(torch, file) as opened,
    ):
        # In memory of its own, not mapped from a file that may change.
        for name in opened.tensors:
            half, _, inner = ip_adapters.name_of(name).partition(".")
            halves.setdefault(half, {})[inner] = opened.read(name)
    size = sum(int(tensor.nbytes) for half in halves.values() for tensor in half.values())
    return Loaded(component, IpAdapterWeights(reader, halves), size)


def _file(component: Component) -> Any:
    try:
        return adapter_files.path(component.source, component.revision, component.subfolder)
    except CheckpointError as error:
        raise EngineError(error.message, error.help) from error


def foretold(libraries: Libraries, components: Sequence[Component]) -> Any:
    """Return what a pipeline may know of the projections of IP-Adapters before any of them is there.

    That is how many there are, and their classes, on which depends what the image encoder is asked for. Raises
    `EngineError`.
    """
    embeddings = libraries.diffusers.models.embeddings
    made = []
    for component in components:
        try:
            projection = ip_adapters.read(_file(component)).projection
        except CheckpointError as error:
            raise EngineError(error.message, error.help) from error
        found = getattr(embeddings, projection.class_name)
        made.append(found.__new__(found))
    return SimpleNamespace(image_projection_layers=made, num_ip_adapters=len(made))


def foretold_processors(libraries: Libraries, scale: float) -> dict[str, Any]:
    """Return what a pipeline of Stable Diffusion 3 may know of attention processors before its IP-Adapter is there.

    That is whether there is one, and whether its `scale` lets it count.
    """
    found = libraries.diffusers.models.attention_processor.SD3IPAdapterJointAttnProcessor2_0
    made = found.__new__(found)
    libraries.torch.nn.Module.__init__(made)
    made.scale = scale
    return {"ip_adapter": made}


def feature_extractor(libraries: Libraries, encoder: Component, config: Any) -> Any:
    """Return what brings pictures to the form that the image `encoder`, which has this `config`, takes.

    It is what lies beside its weights, and for CLIP's what diffusers makes otherwise; raise `EngineError`.
    """
    size = config.image_size
    if config.model_type.startswith("siglip"):
        found = libraries.transformers.SiglipImageProcessor
        folder = checkpoints.locate(encoder.source, encoder.revision) / encoder.subfolder
        if (folder / "preprocessor_config.json").is_file():
            with engine_error(f"can't read what prepares pictures for `{encoder.role}`"):
                return found.from_pretrained(folder, local_files_only=True)
        return found(size={"height": size, "width": size})
    return libraries.transformers.CLIPImageProcessor(size=size, crop_size=size)


class _Seen:
    """A denoiser as diffusers sees it while it puts IP-Adapters on.

    It is of the data type that it computes in, which its own tensors don't tell where they are quantized, and it isn't
    cast as a whole: what is quantized can't be.
    """

    def __init__(self, module: Any, dtype: Any, device: Any) -> None:
        self.__dict__.update(_module=module, dtype=dtype, device=device)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        return functools.partial(value.__func__, self) if inspect.ismethod(value) and "ip_adapter" in name else value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._module, name, value)

    def to(self, *, dtype: Any, device: Any) -> _Seen:
        """Leave the denoiser as it is; what was put there is cast alone."""
        return self


@dataclass(slots=True)
class _Worn:
    """What a denoiser has on, and what it had in those places before."""

    wanted: tuple[WantedPictures, ...]
    processors: Mapping[str, Any]
    projections: Mapping[str, Any]
    kind: list[Any]  # what its configuration said, if anything
    loras: list[LoraWeights] = field(default_factory=list)  # that came with them


class IpAdapters:
    """What live denoisers have on."""

    def __init__(self, libraries: Libraries) -> None:
        self._libraries = libraries
        self._worn: WeakKeyDictionary[Any, _Worn] = WeakKeyDictionary()

    def wear(self, module: Any, wanted: Sequence[WantedPictures], component: Component) -> None:
        """Let `module`, which is `component`, have exactly the IP-Adapters that are `wanted`; raise `EngineError`.

        After an error it has none.
        """
        worn, wanted = self._worn.get(module), tuple(wanted)
        if (() if worn is None else worn.wanted) == wanted:
            return
        with engine_error("can't put the IP-Adapters on"):
            try:
                if worn is None or [each.adapter for each in worn.wanted] != [each.adapter for each in wanted]:
                    self.take_off(module)
                    worn = self._put_on(module, wanted, component) if wanted else None
                if worn is not None:
                    scales = [each.scale for each in wanted]
                    # Of a single one FLUX.1 takes a list for one of its layers' scales.
                    scale = scales if len(scales) > 1 else scales[0]
                    wanted[0].adapter.reader.set_ip_adapter_scale(_pipeline_of(module), scale)
                    worn.wanted = wanted
            except BaseException:
                self.take_off(module)
                raise

    def _put_on(self, module: Any, wanted: tuple[WantedPictures, ...], component: Component) -> _Worn:
        torch, config = self._libraries.torch, module.config
        several = wanted[0].adapter.reader.__name__ != ip_adapters.TIMED
        worn = _Worn(
            wanted, dict(module.attn_processors),
            {name: getattr(module, name) for name in _PROJECTIONS if hasattr(module, name)},
            [getattr(config, _KIND)] if hasattr(config, _KIND) else [],
        )  # fmt: skip
        self._worn[module] = worn
        # What is offloaded waits in the computer's memory until it has all on.
        dtype = getattr(torch, component.dtype or "")
        device = torch.device(component.device if component.offload is None else "cpu")
        with torch.random.fork_rng(devices=[]):  # what a layer is drawn with is overwritten
            tensors = [each.adapter.tensors for each in wanted]
            type(module)._load_ip_adapter_weights(_Seen(module, dtype, device), tensors if several else tensors[0])
        if several:
            worn.loras = self._loras(module, wanted)
        projections = [getattr(module, name, None) for name in _PROJECTIONS]
        for each in (*module.attn_processors.values(), *projections):
            if isinstance(each, torch.nn.Module):
                each.to(dtype=dtype, device=device)
        return worn

    def take_off(self, module: Any) -> None:
        """Let `module` have no IP-Adapter, and be what it was before it had any."""
        worn = self._worn.pop(module, None)
        if worn is None:
            return
        # First: diffusers finds processors among the projection's layers, too.
        for name in _PROJECTIONS:
            if hasattr(module, name):
                delattr(module, name)
            if name in worn.projections:
                setattr(module, name, worn.projections[name])
        module.set_attn_processor(dict(worn.processors))
        if worn.kind:
            setattr(module.config, _KIND, worn.kind[0])
        elif hasattr(module.config, _KIND):
            delattr(module.config, _KIND)

    def _loras(self, module: Any, wanted: Sequence[WantedPictures]) -> list[LoraWeights]:
        """Return the LoRAs that come with IP-Adapters for faces, in the form in which diffusers adds them."""
        if not hasattr(module, "_load_ip_adapter_loras"):
            return []
        reader = self._libraries.diffusers.loaders.StableDiffusionLoraLoaderMixin
        found = module._load_ip_adapter_loras([each.adapter.tensors for each in wanted])
        return [LoraWeights(f"faceid_{number}", reader, tensors, None) for number, tensors in found.items()]

    def loras(self, module: Any) -> Sequence[LoraWeights]:
        """Return the LoRAs that are to be on `module` because of the IP-Adapters that it has on."""
        worn = self._worn.get(module)
        return () if worn is None else worn.loras

    def let_go(self, adapter: IpAdapterWeights) -> list[LoraWeights]:
        """Take `adapter` off whatever has it on, and return the LoRAs that are to be taken off with it."""
        loras = []
        for module, worn in list(self._worn.items()):
            if any(each.adapter is adapter for each in worn.wanted):
                loras += worn.loras
                self.take_off(module)
        return loras


def _pipeline_of(module: Any) -> Any:
    """Return what diffusers takes for a pipeline with that denoiser when it sets scales."""
    return SimpleNamespace(unet=module, transformer=module)
