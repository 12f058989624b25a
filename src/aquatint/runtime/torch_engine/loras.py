"""LoRAs, as diffusers reads them and peft puts them on live modules: beside the weights, never into them.

What is put on is taken off again, so that a module without LoRAs computes what it did before it had any. Which ones a
call wants is said by the places of its submodules (`standins`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from aquatint.catalog import adapter_files
from aquatint.catalog.checkpoints import CheckpointError
from aquatint.catalog.loras import FIRST, SECOND
from aquatint.catalog.pipelines import LOADERS, is_denoiser
from aquatint.plan.steps import Component
from aquatint.runtime.engine import EngineError, Loaded
from aquatint.runtime.torch_engine.faults import engine_error
from aquatint.runtime.torch_engine.libraries import Libraries, require

PACKAGE = "peft"


@dataclass(eq=False, slots=True)
class LoraWeights:
    """A LoRA that is loaded: its tensors as its file has them, what is said beside them, and the class that reads it.

    `key` is its component's.
    """

    key: str
    reader: Any
    tensors: dict[str, Any] = field(repr=False)
    metadata: dict[str, Any] | None = field(repr=False)

    def read(self, module: Any, role: str) -> tuple[dict[str, Any], Any, Any]:
        """Return tensors, alphas and metadata in diffusers' form, for a `module` in `role`."""
        # By its configuration flat names are translated, which count a denoiser's blocks in another way.
        tensors, config = dict(self.tensors), module.config
        if not is_denoiser(role):
            tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("lora_unet_")}
            config = None
        # Of most readers the second of two is what a file says beside its tensors, which were given without it.
        state, *beside = self.reader.lora_state_dict(
            tensors, unet_config=config, return_alphas=True, return_lora_metadata=True
        )
        alphas = beside[0] if len(beside) > 1 else None
        return state, alphas, None if alphas else self.metadata


@dataclass(frozen=True, slots=True)
class Wanted:
    """A LoRA that a module is to have on, how much of it, and the role of the module by which its layers are named."""

    lora: LoraWeights
    weight: float
    role: str


def is_adapter(component: Component) -> bool:
    """Return whether `component` is an adapter, of whatever kind, and no part of a pipeline of the library."""
    return component.library == LOADERS


def load(libraries: Libraries, component: Component, reader: Any) -> Loaded:
    """Return the LoRA that `component` is, which the class `reader` reads; raise `EngineError`."""
    from safetensors import safe_open

    require(PACKAGE, "a LoRA", "lora")
    what = f"the LoRA from `{component.source}`"
    try:
        file = adapter_files.path(component.source, component.revision, component.subfolder)
    except CheckpointError as error:
        raise EngineError(error.message, error.help) from error
    with engine_error(f"can't load {what}"):
        from diffusers.loaders.lora_base import _load_sft_state_dict_metadata

        with safe_open(file, framework="pt") as stream:
            # In memory of its own: where it would be mapped from its file, products would be rounded otherwise.
            tensors = {name: stream.get_tensor(name).clone() for name in stream.keys()}  # noqa: SIM118
        metadata = _load_sft_state_dict_metadata(str(file))
    size = sum(int(tensor.nbytes) for tensor in tensors.values())
    return Loaded(component, LoraWeights(component.key, reader, tensors, metadata), size)


@contextmanager
def _as_it_is(module: Any) -> Iterator[None]:
    """Run the body, in which diffusers and peft ask `module` for its state to learn names, and answer with its tensors.

    On processors with AVX512-BF16 bitsandbytes otherwise unpacks its 4-bit layers for that, with scales that are
    rounded.
    """
    module.state_dict = lambda: {**dict(module.named_parameters()), **dict(module.named_buffers())}
    try:
        yield
    finally:
        del module.state_dict


class Loras:
    """What live modules have on."""

    def __init__(self, libraries: Libraries) -> None:
        self._libraries = libraries
        self._worn: WeakKeyDictionary[Any, tuple[Wanted, ...]] = WeakKeyDictionary()

    def wear(self, module: Any, wanted: Sequence[Wanted]) -> None:
        """Let `module` have exactly the LoRAs that are `wanted`; raise `EngineError`.

        After an error it has none.
        """
        now, wanted = self._worn.get(module, ()), tuple(wanted)
        if now == wanted:
            return
        with self._unnoticed(), engine_error("can't put the LoRAs on"):
            try:
                if [(each.lora, each.role) for each in now] != [(each.lora, each.role) for each in wanted]:
                    self.take_off(module)
                    for each in wanted:
                        self._worn[module] = (*self._worn.get(module, ()), each)
                        self._put_on(module, each.role, each.lora)
                if wanted:
                    self._weigh(module, wanted)
                    self._worn[module] = wanted
            except BaseException:
                self.take_off(module)
                raise

    def take_off(self, module: Any) -> None:
        """Let `module` have no LoRA, and be what it was before it had any."""
        if self._worn.pop(module, None) is None:
            return
        from diffusers.utils.peft_utils import recurse_remove_peft_layers

        recurse_remove_peft_layers(module)
        if getattr(module, "peft_config", None) is not None:
            del module.peft_config
        module._hf_peft_config_loaded = False

    def let_go(self, lora: LoraWeights) -> None:
        """Take `lora` off whatever has it on."""
        for module, worn in list(self._worn.items()):
            if any(each.lora is lora for each in worn):
                self.take_off(module)

    def _put_on(self, module: Any, role: str, lora: LoraWeights) -> None:
        state, alphas, metadata = lora.read(module, role)
        if role == SECOND and not any(name.startswith(f"{role}.") for name in state):
            role = FIRST  # as its file has it
        how = {"network_alphas": alphas, "adapter_name": lora.key, "metadata": metadata, "low_cpu_mem_usage": True}
        if isinstance(module, self._libraries.transformers.PreTrainedModel):
            lora.reader.load_lora_into_text_encoder(state, text_encoder=module, prefix=role, **how)
        else:
            with _as_it_is(module):
                module.load_lora_adapter(state, prefix=role, **how)
        # What has no place is left out with a word to a log, and what isn't given has no data.
        there = [tensor for name, tensor in module.named_parameters() if f".{lora.key}." in name and tensor.ndim > 1]
        given = [name for name, tensor in state.items() if name.startswith(f"{role}.") and tensor.ndim > 1]
        if not given or len(there) != len(given) or any(tensor.device.type == "meta" for tensor in there):
            raise EngineError(f"this LoRA is for another `{role}`: it changes layers that this one lacks")

    @staticmethod
    def _weigh(module: Any, wanted: Sequence[Wanted]) -> None:
        from diffusers.utils.peft_utils import set_weights_and_activate_adapters

        names, weights = [each.lora.key for each in wanted], [each.weight for each in wanted]
        set_weights_and_activate_adapters(module, names, weights)

    @contextmanager
    def _unnoticed(self) -> Iterator[None]:
        """Leave torch's random numbers as they are: peft draws some for what it then overwrites."""
        with self._libraries.torch.random.fork_rng(devices=[]):
            yield
