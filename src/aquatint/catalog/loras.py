"""What a LoRA's file says about itself: which layers of which components it changes, and how large it is.

Reads the header of one safetensors file; never a pickle, never the network. Which class of diffusers reads a LoRA for a
pipeline is in `pipelines`; putting one on live components is the engine's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from aquatint.catalog.adapter_files import DTYPES, Kind
from aquatint.catalog.checkpoints import CheckpointError, Tensor, read_header
from aquatint.catalog.pipelines import is_denoiser

KIND = Kind("pytorch_lora_weights.safetensors", "not-a-lora")
"""What diffusers calls a LoRA's file."""

# The two halves of a change, as peft, diffusers' older versions and other trainers call them.
_DOWN = re.compile(r"(?P<module>.+?)\.(?:lora_A(?:\.default)?|lora_down|lora\.down|lora_linear_layer\.down)\.weight")
_UP = re.compile(r"(?P<module>.+?)\.(?:lora_B(?:\.default)?|lora_up|lora\.up|lora_linear_layer\.up)\.weight")
_BESIDE = re.compile(r".+\.(?:alpha|lora_[AB]\.bias|lora_[AB]\.default\.bias)")
_MAGNITUDE = re.compile(r"(?P<module>.+?)\.lora_magnitude_vector(?:\.default)?(?:\.weight)?")
_BIASES = re.compile(r".+\.diff_b|.+norm\w*\.diff")
_ANOTHER_KIND = re.compile(r"\.(dora_scale|hada_|lokr_|diff(?=_b$|$))")

# Other trainers write a component and the path of a layer as one word.
_FLAT = {"lora_unet_": None, "lora_transformer_": None, "lora_te_": "text_encoder", "lora_te1_": "text_encoder",
         "lora_te2_": "text_encoder_2"}  # fmt: skip

_OF_WAN = r"(?:diffusion_model\.|lora_unet_)blocks[._]\d+[._](?:self_attn|cross_attn|ffn)[._]"
_OF_FLUX = r"(?:diffusion_model\.|base_model\.model\.|lora_unet_)(?:double|single)_blocks[._]"
_REFINED = r"(?:layers|noise_refiner|context_refiner)[._]\d+[._]"
TRANSLATED = {
    reader: re.compile(marks)
    for reader, marks in {
        "StableDiffusionXLLoraLoaderMixin": r"lora_unet_(?:input_blocks|middle_block|output_blocks)_",
        # Of these the two matrices are called `lora_down` and `lora_up` alone.
        "FluxLoraLoaderMixin": rf"{_OF_FLUX}.+\.lora_(?:down|up)|base_model\.model\.(?:double|single)_blocks\."
        r"|lora_transformer_(?:single_)?transformer_blocks_",
        "Flux2LoraLoaderMixin": rf"{_OF_FLUX}|(?:diffusion_model|base_model\.model)\.(?:single_)?transformer_blocks\.",
        "WanLoraLoaderMixin": _OF_WAN,
        "SkyReelsV2LoraLoaderMixin": _OF_WAN,
        "HunyuanVideoLoraLoaderMixin": r"(?:transformer\.|diffusion_model\.)?(?:double|single)_blocks\.",
        "LTXVideoLoraLoaderMixin": r"diffusion_model\.transformer_blocks\.",
        "HiDreamImageLoraLoaderMixin": r"diffusion_model\.(?:double|single)_stream_blocks\.",
        "Lumina2LoraLoaderMixin": rf"diffusion_model\.{_REFINED}",
        "QwenImageLoraLoaderMixin": r"(?:diffusion_model\.|lora_unet_)?transformer_blocks[._]\d+[._]",
        "ZImageLoraLoaderMixin": rf"(?:diffusion_model\.|lora_unet_)?{_REFINED}",
    }.items()
}
"""How names of layers in other programs' forms begin that a reader of diffusers has its own for.

Which ones those are a header doesn't tell: only how wide they are is compared then.
"""

_WITH_BIASES = ("WanLoraLoaderMixin", "SkyReelsV2LoraLoaderMixin")
# The readers that take what other programs add to biases, and leave out what they add to norms, which is zeros.

FIRST, SECOND = "transformer", "transformer_2"
"""The roles of two denoisers that a file has one name for."""

WITHOUT_LAYERS = ("Kandinsky3UNet", "UNet3DConditionModel", "UNetControlNetXSModel")
"""Classes of denoisers that have no place for LoRAs, though the pipelines that they are of read them."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a LoRA adds to one layer: the product of a matrix with `rank` columns and one with `rank` rows.

    `module` is the layer's path, with `_` for its dots where it `is_flat`, and another program's where it
    `is_translated`; `inputs` and `outputs` are sizes of its weight.
    """

    module: str
    is_flat: bool
    is_translated: bool
    rank: int
    inputs: int
    outputs: int


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA: its changes by the role of the component that they are for, the torch dtype and bytes of its tensors."""

    changes: Mapping[str, tuple[Change, ...]]
    dtype: str
    bytes: int
    is_dora: bool = False  # whether it says how long the columns of what it changes are to be

    def for_second(self) -> Lora:
        """Return it for the second one of two transformers, whose layers its file calls like the first one's."""
        return replace(self, changes={SECOND if role == FIRST else role: each for role, each in self.changes.items()})

    @property
    def ranks(self) -> tuple[int, ...]:
        """Its ranks, each once, in order."""
        return tuple(sorted({change.rank for changes in self.changes.values() for change in changes}))


def read(file: Path, roles: Iterable[str], reader: str) -> Lora:
    """Return what the header of `file` says of a LoRA for components in `roles`, which the class `reader` reads.

    Raises `CheckpointError`.
    """
    tensors = read_header(file)
    is_translated = any(TRANSLATED[reader].match(each.name) for each in tensors) if reader in TRANSLATED else False
    beside = [_BESIDE] if is_translated else [_BESIDE, _MAGNITUDE]
    if is_translated and reader in _WITH_BIASES:
        beside.append(_BIASES)
    if odd := next((each.name for each in tensors if each.name.endswith("query_norm.scale")), None):
        raise CheckpointError(
            "not-supported-yet", f"`{file}` is a LoRA that makes a control model of another one, which this version "
            f"doesn't load: it has `{odd}`", "take a checkpoint of the control model itself, such as FLUX.1-Canny-dev",
        )  # fmt: skip
    if another := next((found for each in tensors if (found := _ANOTHER_KIND.search(f".{each.name}"))
                        and not any(pattern.fullmatch(each.name) for pattern in beside)), None):  # fmt: skip
        raise CheckpointError(
            "not-a-lora", f"`{file}` is an adapter of another kind than LoRA: it has tensors called `{another[1]}`",
            "take a LoRA without them: its two matrices are called `lora_A` and `lora_B`, or `lora_down` and `lora_up`",
        )  # fmt: skip
    downs = {found["module"]: each for each in tensors if (found := _DOWN.fullmatch(each.name))}
    ups = {found["module"]: each for each in tensors if (found := _UP.fullmatch(each.name))}
    others = [each.name for each in tensors if not any(p.fullmatch(each.name) for p in (_DOWN, _UP, *beside))]
    if not downs or downs.keys() != ups.keys() or others:
        odd = next(iter([*others, *sorted(downs.keys() ^ ups.keys())]), None)
        what = "" if odd is None else f": it has no use for `{odd}`"
        raise CheckpointError("not-a-lora", f"`{file}` is no LoRA{what}", "a whole model is named by `source`")
    known = list(roles)
    changes: dict[str, list[Change]] = {}
    for module, down in downs.items():
        role, inner, is_flat, is_foreign = _place(module, known, is_translated)
        if role is None:
            raise CheckpointError(
                "wrong-lora", f"`{file}` is a LoRA for another model than this one: it changes `{module}`",
                f"here {' and '.join(f'`{each}`' for each in known)} can be changed by one, in diffusers' form"
                + (" or one that it translates" if reader in TRANSLATED else ""),
            )  # fmt: skip
        changes.setdefault(role, []).append(_change(file, inner, is_flat, is_foreign, down, ups[module]))
    return Lora(
        {role: tuple(changes[role]) for role in known if role in changes}, _dtype(file, tensors),
        sum(each.end - each.start for each in tensors), any(_MAGNITUDE.fullmatch(each.name) for each in tensors),
    )  # fmt: skip


def _place(module: str, roles: list[str], is_translated: bool) -> tuple[str | None, str, bool, bool]:
    """Return the role of the component that `module` is in, its path there, and whether that is flat and foreign.

    It may be foreign where the file `is_translated`.
    """
    denoiser = next((role for role in roles if is_denoiser(role)), None)
    for prefix, role in _FLAT.items():
        if module.startswith(prefix):
            role = role or denoiser
            is_foreign = is_translated and role == denoiser
            return role if role in roles else None, module.removeprefix(prefix), True, is_foreign
    role, _, inner = module.partition(".")
    if is_translated and (role not in roles or role == denoiser):
        return denoiser, module, False, True
    return role if role in roles else None, inner, False, False


def _change(file: Path, module: str, is_flat: bool, is_translated: bool, down: Tensor, up: Tensor) -> Change:
    if len(down.shape) not in (2, 4) or len(up.shape) != len(down.shape) or up.shape[1] != down.shape[0]:
        shapes = f"{_sides(up.shape)} and {_sides(down.shape)}"
        raise CheckpointError("not-a-lora", f"`{file}` has matrices for `{module}` that don't go together: {shapes}",
                              "fetch or write that file again")  # fmt: skip
    return Change(module, is_flat, is_translated, down.shape[0], down.shape[1], up.shape[0])


def _dtype(file: Path, tensors: list[Tensor]) -> str:
    found = sorted({each.dtype for each in tensors if each.numel > 1})  # one number says how strong a change is
    if len(found) != 1 or found[0] not in DTYPES:
        raise CheckpointError("not-a-lora", f"`{file}` is of the data types {', '.join(found)}",
                              "one of `float32`, `float16` and `bfloat16` is taken")  # fmt: skip
    return DTYPES[found[0]]


def mismatch(changes: Iterable[Change], weights: Mapping[str, tuple[int, ...]], has_shapes: bool) -> str | None:
    """Return why `changes` aren't for a component with `weights`, shapes by the names of layers; None if they are.

    Without `has_shapes` the weights are stored in a form of which only the names tell. Names that are translated are
    believed where some layer takes as much as the change does.
    """
    flat = {name.replace(".", "_"): shape for name, shape in weights.items()}
    widths = {shape[1] for shape in weights.values() if len(shape) > 1}
    for change in changes:
        known = flat if change.is_flat else weights
        shape = _found(change.module, known, "text_model_" if change.is_flat else "text_model.")
        if shape is None:
            if change.is_translated and (change.inputs in widths or not has_shapes):
                continue
            if change.is_translated:
                return f"no layer of it takes {change.inputs} numbers, as `{change.module}` does"
            return f"it has no layer `{change.module}`"
        if has_shapes and shape[:2] != (change.outputs, change.inputs):
            wanted = _sides((change.outputs, change.inputs))
            return f"its layer `{change.module}` is of {_sides(shape[:2])}, not of {wanted}"
    return None


def _found(module: str, known: Mapping[str, tuple[int, ...]], prefix: str) -> tuple[int, ...] | None:
    # transformers has taken that part of the path away, and reads both.
    other = module.removeprefix(prefix) if module.startswith(prefix) else prefix + module
    return known.get(module, known.get(other))


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
