"""The bytes of weights that a component comes to hold, from the headers of its files: no weight is read.

What the tensors belong to is in `layers`; what a backend makes of one layer is in its own record. A component that is
stored quantized holds what its files do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aquatint.catalog import checkpoints, language_models
from aquatint.catalog.backend import Backend
from aquatint.catalog.checkpoints import DTYPE_BYTES, FLOATS, Part, Tensor
from aquatint.catalog.gguf_files import PLAIN
from aquatint.catalog.layers import BY_DIMENSIONS, WIDTHS, Held, Layer, Left, Network, Unfit, kind

# What the libraries store beside a quantized weight. They stay in the type that they are stored in.
_COMPANIONS = frozenset({
    "scale", "scale_2", "scale_zero_point", "zero_point", "zero_point_scale", "zero_point_2", "svd_up", "svd_down",
    "SCB", "absmax", "quant_map", "nested_absmax", "nested_quant_map",
})  # fmt: skip
# As `runtime.torch_engine` counts layers; what a backend takes beside these counts too.
_COUNTED = frozenset({"Linear", "Conv1d", "Conv2d", "Conv3d", "Conv1D"})
# Descriptions that the libraries read and drop.
_DESCRIPTIONS = re.compile(r"\.(quant_state\.bitsandbytes__\w+|weight_format)$")


@dataclass(frozen=True, slots=True)
class Kept:
    """Layers that a backend leaves as they are, all for one reason; `is_gap` as in `Left`."""

    why: str
    is_gap: bool
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a component comes to: bytes of weights, and what becomes of its layers.

    `least` and `most` differ where a backend decides by the weights' values, or says nothing of bytes: `most` is then
    what it holds unquantized.
    """

    least: int
    most: int
    parameters: int
    layers: int = 0  # those that a backend could take
    quantized: int = 0
    left: tuple[Kept, ...] = ()  # the most layers first
    unfit: tuple[tuple[Layer, Unfit], ...] = ()
    is_known: bool = True  # what becomes of the layers

    @property
    def is_exact(self) -> bool:
        """Whether nothing but the names and shapes decides."""
        return self.least == self.most


def read(folder: Path, part: Part, variant: str | None, dtype: str) -> tuple[Network, list[Tensor]]:
    """Return a component of a checkpoint, to be loaded as the torch dtype `dtype`, and the tensors of its files.

    Raises `CheckpointError`.
    """
    config = checkpoints.read_config(folder, part.subfolder)
    tensors, is_named = checkpoints.part_tensors(folder, part, variant)
    tensors = language_models.of_encoder(part.class_name, tensors)
    return Network(part.library, part.class_name, dtype, config, is_named), tensors


def as_filed(folder: Path, part: Part, variant: str | None, dtype: str) -> Estimate:
    """Return what a component holds that is loaded as it is in its files. Raises `CheckpointError`."""
    return as_read(part, *read(folder, part, variant, dtype))


def as_read(part: Part, network: Network, tensors: Iterable[Tensor]) -> Estimate:
    """Return what a component holds that is loaded as it is in its files, which were read."""
    if part.file is not None and part.stored is not None:
        return packed(network, tensors)
    return (plain if part.stored is None else stored)(network, tensors)


def packed(network: Network, tensors: Iterable[Tensor]) -> Estimate:
    """Return what a component holds whose weights stay as a GGUF file has them."""
    held = list(tensors)
    size = sum(tensor_bytes(network, tensor) if tensor.dtype in PLAIN else tensor.end - tensor.start for tensor in held)
    matrices = [tensor for tensor in held if tensor.name.endswith(".weight") and len(tensor.shape) == 2]
    count = sum(tensor.dtype not in PLAIN for tensor in matrices)
    return Estimate(size, size, sum(tensor.numel for tensor in held), len(matrices), count)


def plain(network: Network, tensors: Iterable[Tensor]) -> Estimate:
    """Return what a component holds that nothing quantizes."""
    held = list(loaded(network, tensors))
    size = sum(tensor_bytes(network, tensor) for tensor in held) + _unfiled_bytes(network, held)
    count = sum(layer.base in _COUNTED for layer in layers(network, held))
    return Estimate(size, size, sum(tensor.numel for tensor in held), count)


def stored(network: Network, tensors: Iterable[Tensor]) -> Estimate:
    """Return what a component holds whose files have it quantized.

    Parameters are those that the files have: packed ones count as the numbers that they are packed in.
    """
    held = [tensor for tensor in tensors if not _DESCRIPTIONS.search(tensor.name)]
    quantized = {_owner(tensor.name) for tensor in held if tensor.name.rpartition(".")[2] in _COMPANIONS}
    size = 0
    for tensor in held:
        if _is_widened(network, tensor.name):
            size += 4 * tensor.numel
        elif _owner(tensor.name) in quantized and not tensor.name.endswith(".bias"):
            size += tensor.end - tensor.start
        else:
            size += tensor_bytes(network, tensor)
    # The offset of nested scales is in their description.
    size += 4 * sum(tensor.name.endswith("nested_absmax") for tensor in held) + _unfiled_bytes(network, held)
    return Estimate(size, size, sum(tensor.numel for tensor in held), len(quantized), len(quantized))


def _is_widened(network: Network, name: str) -> bool:
    """Return whether a stored tensor is float32 once read: sdnq's low-rank factors through diffusers, as its scales."""
    told = network.config.get("quantization_config")
    is_wide = not isinstance(told, Mapping) or told.get("dequantize_fp32", True)
    return network.is_diffusers and bool(is_wide) and name.endswith((".svd_up", ".svd_down"))


def quantized(network: Network, tensors: Iterable[Tensor], backend: Backend, options: Mapping[str, Any]) -> Estimate:
    """Return what a component holds that `backend` quantizes with its canonical `options`."""
    before = plain(network, held := list(tensors))
    if backend.held is None or not network.is_named:
        return Estimate(0, before.most, before.parameters, before.layers, is_known=False)
    least = most = before.most
    count = others = 0
    left: dict[Left, list[Layer]] = {}
    unfit = []
    for layer in layers(network, held):
        match backend.held(options, layer):
            case Held() if network.class_name == _CASTING[0] and layer.name == _CASTING[1]:
                unfit.append((layer, _cast(backend)))
            case Held() as size:
                least += size.least - layer.bytes
                most += size.most - layer.bytes
                count += 1
                others += layer.base not in _COUNTED
            case Left() as reason:
                left.setdefault(reason, []).append(layer)
            case Unfit() as fault:
                unfit.append((layer, fault))
    kept = tuple(Kept(each.why, each.is_gap, tuple(those)) for each, those in left.items())
    kept = tuple(sorted(kept, key=lambda each: -len(each.layers)))
    return Estimate(least, most, before.parameters, before.layers + others, count, kept, tuple(unfit))


_CASTING = ("UNet2DConditionModel", "encoder_hid_proj.image_embeds")
# The layer of Kandinsky's decoders for which diffusers (0.40) turns what it is given into its weight's own type.


def _cast(backend: Backend) -> Unfit:
    skips = next((each.name for each in backend.schema.settings if each.name in _SKIPPING), None)
    help = None if skips is None else f'set `{skips}: ["encoder_hid_proj"]`'
    return Unfit("diffusers turns what goes into this layer into the type that its weights are stored in", help)


_SKIPPING = ("modules_to_not_convert", "llm_int8_skip_modules")
# What backends call the setting that names modules to leave as they are.


def _unfiled_bytes(network: Network, tensors: Iterable[Tensor]) -> int:
    """Return the bytes of what a component makes for itself: a position for each row of some tables."""
    ends = tuple(f"{table}.weight" for table in network.facts.positions)
    return sum(8 * tensor.shape[0] for tensor in tensors if ends and tensor.name.endswith(ends))


def layers(network: Network, tensors: Iterable[Tensor]) -> Iterator[Layer]:
    """Yield the layers of a component that is stored unquantized: its matrices and convolutions."""
    for tensor in loaded(network, tensors):
        name, dot, attribute = tensor.name.rpartition(".")
        if attribute == "weight" and dot and len(tensor.shape) in BY_DIMENSIONS and tensor.dtype in FLOATS:
            yield Layer(name, kind(network, name, len(tensor.shape)), tensor.shape, dtype_of(network, tensor), network)


def loaded(network: Network, tensors: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield those of `tensors` that a component comes to hold: each shared one once, and none that is not read."""
    facts = network.facts
    held = list(tensors)
    names = {tensor.name for tensor in held}
    ties = facts.tied_always or bool(network.config.get("tie_word_embeddings", facts.tied_by_default))
    for tensor in held:
        if any(re.search(pattern, tensor.name) for pattern in facts.ignored):
            continue
        if ties and facts.tied and _has(names, facts.tied.get(tensor.name)):
            continue
        yield tensor


def _has(names: Iterable[str], name: str | None) -> bool:
    """Return whether one of `names` is `name`: files of older versions have other first parts."""
    end = ".".join((name or "").split(".")[-2:])
    return name is not None and any(each == end or each.endswith(f".{end}") for each in names)


def dtype_of(network: Network, tensor: Tensor) -> str:
    """Return the torch dtype that a floating tensor is loaded as where no backend takes it."""
    facts = network.facts
    parts = tensor.name.split(".")
    # diffusers keeps those of its list in float32 always, transformers some of them only from float16.
    names = facts.float32_always
    if network.is_diffusers or network.dtype == "float16":
        names += facts.float32
    return "float32" if any(name in parts for name in names) else network.dtype


def tensor_bytes(network: Network, tensor: Tensor) -> int:
    """Return the bytes of a tensor that no backend takes, once it is loaded."""
    width = WIDTHS[dtype_of(network, tensor)] if tensor.dtype in FLOATS else DTYPE_BYTES.get(tensor.dtype, 1)
    return tensor.numel * width


def _owner(name: str) -> str:
    """Return the module of a tensor: `a.b` for `a.b.weight` and for `a.b.weight.absmax`."""
    path = name.rpartition(".")[0]
    return path.removesuffix(".weight")
