"""What a LoRA's file says about itself: which layers of which components it changes, and how large it is.

Reads the header of one safetensors file; never a pickle, never the network. Which class of diffusers reads a LoRA for a
pipeline is in `pipelines`; putting one on live components is the engine's business.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aquatint.catalog import checkpoints
from aquatint.catalog.checkpoints import (
    WEIGHT_SUFFIXES,
    CheckpointError,
    Found,
    Tensor,
    fingerprint,
    locate,
    missing_folder,
    read_header,
)
from aquatint.catalog.pipelines import is_denoiser
from aquatint.diagnostics import did_you_mean

USUAL_NAME = "pytorch_lora_weights.safetensors"
"""What diffusers calls a LoRA's file; it is taken where there are others beside it."""

DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""The torch dtypes of LoRAs, by the names of the format."""

# The two halves of a change, as peft, diffusers' older versions and other trainers call them.
_DOWN = re.compile(r"(?P<module>.+?)\.(?:lora_A(?:\.default)?|lora_down|lora\.down|lora_linear_layer\.down)\.weight")
_UP = re.compile(r"(?P<module>.+?)\.(?:lora_B(?:\.default)?|lora_up|lora\.up|lora_linear_layer\.up)\.weight")
_BESIDE = re.compile(r".+\.(?:alpha|lora_[AB]\.bias|lora_[AB]\.default\.bias)")
_ANOTHER_KIND = re.compile(r"\.(dora_scale|lora_magnitude_vector|hada_|lokr_|diff)")

# Other trainers write a component and the path of a layer as one word.
_FLAT = {"lora_unet_": None, "lora_transformer_": None, "lora_te_": "text_encoder", "lora_te1_": "text_encoder",
         "lora_te2_": "text_encoder_2"}  # fmt: skip

TRANSLATED = {
    "StableDiffusionXLLoraLoaderMixin": ("input_blocks_", "middle_block_", "output_blocks_"),
    "FluxLoraLoaderMixin": ("double_blocks_", "single_blocks_"),
}
"""How flat names of layers begin that a reader of diffusers has others for: a header doesn't tell which."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a LoRA adds to one layer: the product of a matrix with `rank` columns and one with `rank` rows.

    `module` is the layer's path, with `_` for its dots where it `is_flat`; `inputs` and `outputs` are sizes of its
    weight.
    """

    module: str
    is_flat: bool
    rank: int
    inputs: int
    outputs: int


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA: its changes by the role of the component that they are for, the torch dtype and bytes of its tensors."""

    changes: Mapping[str, tuple[Change, ...]]
    dtype: str
    bytes: int

    @property
    def ranks(self) -> tuple[int, ...]:
        """Its ranks, each once, in order."""
        return tuple(sorted({change.rank for changes in self.changes.values() for change in changes}))


def find(source: str, revision: str | None, subfolder: str | None, weight_name: str | None) -> tuple[Found, str]:
    """Return where `source` is, and the LoRA's file as a path in it, empty for `source` itself.

    Raises `CheckpointError`.
    """
    own = Path(os.path.expanduser(source))
    if source.strip() and own.is_file():
        if named := next((name for name in (subfolder, weight_name) if name), None):
            raise CheckpointError("missing-model", f"`{source}` is a file, and has no `{named}` in it",
                                  "name its folder, or leave `weight_name` and `subfolder` out")  # fmt: skip
        _require_safetensors(source, own.name)
        return Found(own, None), ""
    root = checkpoints.find(source, revision)
    folder = root.folder / (subfolder or "")
    if not folder.is_dir():
        raise missing_folder(root.folder, subfolder or "")
    names = [entry.name for entry in folder.iterdir() if entry.is_file()]
    return root, str(PurePosixPath(subfolder or "") / chosen(names, source, weight_name))


def chosen(names: Iterable[str], source: str, weight_name: str | None) -> str:
    """Return which of the files `names` in a folder of `source` is the LoRA that is meant. Raises `CheckpointError`."""
    there = sorted(names)
    found = [name for name in there if name.endswith(".safetensors")]
    if weight_name is not None:
        _require_safetensors(f"{source}/{weight_name}", weight_name)
        if weight_name not in found:
            raise CheckpointError("missing-model", f"`{source}` has no file `{weight_name}`",
                                  did_you_mean(weight_name, found, "its files"))  # fmt: skip
        return weight_name
    if len(found) == 1 or USUAL_NAME in found:
        return USUAL_NAME if USUAL_NAME in found else found[0]
    if found:
        raise CheckpointError("missing-setting", f"`{source}` has {len(found)} files that may be meant",
                              "say which: " + ", ".join(f'`weight_name: "{name}"`' for name in found[:4]))  # fmt: skip
    for name in there:
        if name.endswith(WEIGHT_SUFFIXES):
            _require_safetensors(f"{source}/{name}", name)
    raise CheckpointError("not-a-lora", f"`{source}` has no safetensors file", "name the file, or its folder")


def _require_safetensors(called: str, name: str) -> None:
    if not name.endswith(".safetensors"):
        raise CheckpointError(
            "unsafe-weights", f"`{called}` is no safetensors file, and other formats can run code when read",
            "convert it to safetensors once, with a program and a source that you trust",
        )  # fmt: skip


def path(source: str, revision: str | None, inside: str) -> Path:
    """Return the file that `find` found. Raises `CheckpointError` if there is none any more."""
    own = Path(os.path.expanduser(source))
    found = own if not inside and own.is_file() else locate(source, revision) / inside
    if not found.is_file():
        raise CheckpointError("missing-model", f"there is no file `{found}`", "fetch it again, or plan anew")
    return found


def identity(file: Path) -> str:
    """Return a fingerprint of a LoRA's file, the same on every machine that has the same file."""
    return hashlib.blake2b(json.dumps(["lora", fingerprint(file)]).encode(), digest_size=16).hexdigest()


def read(file: Path, roles: Iterable[str]) -> Lora:
    """Return what the header of `file` says of a LoRA for components in `roles`. Raises `CheckpointError`."""
    tensors = read_header(file)
    if another := next((found for each in tensors if (found := _ANOTHER_KIND.search(f".{each.name}"))), None):
        raise CheckpointError(
            "not-a-lora", f"`{file}` is an adapter of another kind than LoRA: it has tensors called `{another[1]}`",
            "take a LoRA without them: its two matrices are called `lora_A` and `lora_B`, or `lora_down` and `lora_up`",
        )  # fmt: skip
    downs = {found["module"]: each for each in tensors if (found := _DOWN.fullmatch(each.name))}
    ups = {found["module"]: each for each in tensors if (found := _UP.fullmatch(each.name))}
    others = [each.name for each in tensors if not any(p.fullmatch(each.name) for p in (_DOWN, _UP, _BESIDE))]
    if not downs or downs.keys() != ups.keys() or others:
        odd = next(iter([*others, *sorted(downs.keys() ^ ups.keys())]), None)
        what = "" if odd is None else f": it has no use for `{odd}`"
        raise CheckpointError("not-a-lora", f"`{file}` is no LoRA{what}", "a whole model is named by `source`")
    known = list(roles)
    changes: dict[str, list[Change]] = {}
    for module, down in downs.items():
        role, inner, is_flat = _place(module, known)
        if role is None:
            raise CheckpointError(
                "wrong-lora", f"`{file}` is a LoRA for another model than this one: it changes `{module}`",
                f"here {' and '.join(f'`{each}`' for each in known)} can be changed by one, in diffusers' form",
            )  # fmt: skip
        changes.setdefault(role, []).append(_change(file, inner, is_flat, down, ups[module]))
    return Lora(
        {role: tuple(changes[role]) for role in known if role in changes}, _dtype(file, tensors),
        sum(each.end - each.start for each in tensors),
    )  # fmt: skip


def _place(module: str, roles: list[str]) -> tuple[str | None, str, bool]:
    """Return the role of the component that `module` is in, its path there, and whether that is flat."""
    denoiser = next((role for role in roles if is_denoiser(role)), None)
    for prefix, role in _FLAT.items():
        if module.startswith(prefix):
            role = role or denoiser
            return role if role in roles else None, module.removeprefix(prefix), True
    role, _, inner = module.partition(".")
    return role if role in roles else None, inner, False


def _change(file: Path, module: str, is_flat: bool, down: Tensor, up: Tensor) -> Change:
    if len(down.shape) not in (2, 4) or len(up.shape) != len(down.shape) or up.shape[1] != down.shape[0]:
        shapes = f"{_sides(up.shape)} and {_sides(down.shape)}"
        raise CheckpointError("not-a-lora", f"`{file}` has matrices for `{module}` that don't go together: {shapes}",
                              "fetch or write that file again")  # fmt: skip
    return Change(module, is_flat, down.shape[0], down.shape[1], up.shape[0])


def _dtype(file: Path, tensors: list[Tensor]) -> str:
    found = sorted({each.dtype for each in tensors if each.shape})  # one number says how strong a change is
    if len(found) != 1 or found[0] not in DTYPES:
        raise CheckpointError("not-a-lora", f"`{file}` is of the data types {', '.join(found)}",
                              "one of `float32`, `float16` and `bfloat16` is taken")  # fmt: skip
    return DTYPES[found[0]]


def mismatch(
    changes: Iterable[Change], weights: Mapping[str, tuple[int, ...]], reader: str, has_shapes: bool
) -> str | None:
    """Return why `changes` aren't for a component with `weights`, shapes by the names of layers; None if they are.

    Without `has_shapes` the weights are stored in a form of which only the names tell. Flat names that `reader` has
    others for are believed.
    """
    flat = {name.replace(".", "_"): shape for name, shape in weights.items()}
    for change in changes:
        known = flat if change.is_flat else weights
        shape = _found(change.module, known, "text_model_" if change.is_flat else "text_model.")
        if shape is None:
            if change.is_flat and change.module.startswith(TRANSLATED.get(reader, ())):
                continue
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
