"""Checkpoints that are one file: what it holds, told from the names in its header, and whose configurations go with it.

diffusers' names for such files and the repositories with their configurations are data (`data/single_files.json`,
written by `scripts/make_single_file_catalog.py`); which layers a component has is `original_names`' business, loading
one that of the engine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aquatint.catalog import addresses, hub_names, original_names
from aquatint.catalog.pipelines import is_denoiser

if TYPE_CHECKING:
    from aquatint.catalog.checkpoints import Part, Tensor

SUFFIX = ".safetensors"

MAIN = "model.diffusion_model."
"""What the names of a denoiser begin with, where a file holds more than that."""

VAE = ("vae.", "first_stage_model.")
CLIP = ("cond_stage_model.transformer.", "conditioner.embedders.0.transformer.")
OPEN_CLIP = ("cond_stage_model.model.", "conditioner.embedders.1.model.", "conditioner.embedders.0.model.")
OF_SD3 = ("text_encoders.clip_l.transformer.", "text_encoders.clip_g.transformer.")
T5 = ("text_encoders.t5xxl.transformer.",)
_OTHERS = (*VAE, "cond_stage_model.", "conditioner.", "text_encoders.", "model_ema.", "audio_vae.")
"""What names begin with that are no denoiser's."""

TEXT_ENCODERS = ("CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel")
"""Classes of transformers that such files hold."""

OF_ONE = {"T2IAdapter": "adapter."}
"""Classes that have a file of their own, in diffusers' names, and what all of those begin with."""

_POSITIONS = "text_model.embeddings.position_embedding.weight"


def path(source: str) -> Path:
    """Return the file that `source` names; a relative one is taken from the current folder.

    One of the hub is where the local cache has it, and what an address gave where that is kept.
    """
    named = hub_names.parsed(source)
    if named is None and addresses.is_address(source):
        return addresses.kept(source)
    found = None if named is None else hub_names.cached(named)
    return Path(os.path.expanduser(source)) if found is None else found


def is_file(source: str) -> bool:
    """Return whether `source` names a file that is there, and no folder or repository."""
    try:
        return path(source).is_file()
    except (OSError, ValueError):
        return False


def is_loadable(class_name: str) -> bool:
    """Return whether components of a class can be taken from a single file."""
    return class_name in _catalog()["classes"] or class_name in TEXT_ENCODERS or class_name in OF_ONE


def left_out() -> Collection[str]:
    """Return the roles that diffusers leaves out of a pipeline that is made of a single file."""
    return tuple(_catalog()["left_out"])


def repository(kind: str) -> str:
    """Return the repository whose configurations are those of files of this `kind`."""
    return str(_catalog()["repositories"][kind])


def kind(header: Iterable[Tensor]) -> str | None:
    """Return diffusers' name for what a file holds, such as `v1` or `flux-dev`; None for what isn't known here."""
    held = {tensor.name: tensor.shape for tensor in header}
    keys: Mapping[str, list[str]] = _catalog()["keys"]

    def has(name: str) -> bool:
        return any(key in held for key in keys[name])

    def side(name: str, at: int) -> int | None:
        shapes = [held[key] for key in keys[name] if key in held]
        return shapes[0][at] if shapes and len(shapes[0]) > abs(at) - (at < 0) else None

    is_v2 = side("v2", -1) == 1024
    if side("inpainting", 1) == 9:
        return "inpainting_v2" if is_v2 else "xl_inpaint" if has("xl_base") else "inpainting"
    if is_v2:
        return "v2"
    for name in ("playground-v2-5", "xl_base", "xl_refiner", "upscale"):
        if has(name):
            return name
    if side("sd3", -1) == 9216:
        positions = held.get(f"{MAIN}pos_embed") or held.get("pos_embed") or ()
        return {36864: "sd3", 147456: "sd35_medium"}.get(positions[1] if len(positions) > 1 else 0)
    for name, found in (("sd35_large", "sd35_large"), ("flux2", "flux-2-dev"), ("chroma", "chroma")):
        if has(name):
            return found
    if has("flux"):
        if f"{MAIN}guidance_in.in_layer.bias" not in held and "guidance_in.in_layer.bias" not in held:
            return "flux-schnell"
        width = (held.get(f"{MAIN}img_in.weight") or held.get("img_in.weight") or (0, 0))[1]
        return {384: "flux-fill", 128: "flux-depth"}.get(width, "flux-dev")
    if all(key in held for key in keys["auraflow"]):
        return "auraflow"
    if side("instruct-pix2pix", 1) == 8:
        return "instruct-pix2pix"
    for name in ("z-image-turbo", "lumina2", "sana", "qwen-image-2.1", "krea2", "hidream"):
        if has(name):
            return name
    return "v1" if any(name.startswith(f"{MAIN}input_blocks.") for name in held) else None


def likely_roles(header: Iterable[Tensor]) -> frozenset[str]:
    """Return the roles that a file seems to hold, before it is known which its pipeline has."""
    names = [tensor.name for tensor in header]
    starts = {
        "vae": VAE, "text_encoder": (*CLIP, *OPEN_CLIP[:1], OF_SD3[0]),
        "text_encoder_2": (*OPEN_CLIP[1:], OF_SD3[1]), "text_encoder_3": T5,
    }  # fmt: skip
    found = {role for role, prefixes in starts.items() if any(name.startswith(prefixes) for name in names)}
    return frozenset(found | ({"unet", "transformer"} if _prefix_of_denoiser(names) is not None else set()))


def prefix(part: Part, config: Mapping[str, Any], header: Iterable[Tensor]) -> str | None:
    """Return what the names of a component's tensors begin with in a file, None if the file doesn't hold it.

    As diffusers decides: of two encoders of a file that one is taken which is as wide as `config` says.
    """
    if not is_loadable(part.class_name):
        return None
    header = list(header)
    held = {tensor.name: tensor.shape for tensor in header}
    if part.class_name in OF_ONE:
        return "" if held and all(name.startswith(OF_ONE[part.class_name]) for name in held) else None
    if part.class_name == "T5EncoderModel":
        return T5[0] if f"{T5[0]}shared.weight" in held else None
    if part.class_name in TEXT_ENCODERS:
        return _prefix_of_clip(held, config.get("hidden_size", 512))
    if part.class_name.startswith("Autoencoder"):
        starts = next((each for each in VAE if any(name.startswith(each) for name in held)), None)
        is_bare = starts is None and any(name.startswith(("encoder.", "decoder.")) for name in held)
        return "" if is_bare else starts
    start = _prefix_of_denoiser(held) if is_denoiser(part.role) else None
    if start == "" and not any(name.startswith(_IN_DIFFUSERS) for name in held) and kind(header) is None:
        return None
    return start


_IN_DIFFUSERS = ("transformer_blocks.", "down_blocks.", "conv_in.")
# What some names of a denoiser begin with that was written by diffusers.


def _prefix_of_denoiser(names: Iterable[str]) -> str | None:
    names = list(names)
    if any(name.startswith(MAIN) for name in names):
        return MAIN
    is_other = any(name.startswith((*_OTHERS, "encoder.", "decoder.", "text_model.")) for name in names)
    return None if is_other or not names else ""


def _prefix_of_clip(held: Mapping[str, tuple[int, ...]], width: int) -> str | None:
    def is_wide(name: str) -> bool:
        return name in held and held[name][-1:] == (width,)

    if f"{CLIP[0]}{_POSITIONS}" in held:
        return CLIP[0]
    for start in (CLIP[1], OF_SD3[0]):
        if is_wide(start + _POSITIONS):
            return start
    if f"{OPEN_CLIP[0]}token_embedding.weight" in held:
        return OPEN_CLIP[0]
    if is_wide(f"{OPEN_CLIP[1]}positional_embedding"):
        return OPEN_CLIP[1]
    if f"{OPEN_CLIP[2]}text_projection" in held:
        return OPEN_CLIP[2]
    return OF_SD3[1] if is_wide(OF_SD3[1] + _POSITIONS) else None


def own(part: Part, config: Mapping[str, Any], header: Iterable[Tensor]) -> list[Tensor]:
    """Return the tensors of a file that are a component's, without the beginning that their names have there."""
    held = list(header)
    start = prefix(part, config, held)
    if start is None:
        return []
    return [replace(each, name=each.name[len(start) :]) for each in held if each.name.startswith(start)]


def tensors(part: Part, config: Mapping[str, Any], header: Iterable[Tensor]) -> tuple[list[Tensor], bool]:
    """Return a component's tensors, and whether their names are diffusers' own: of some classes those aren't known."""
    found = own(part, config, header)
    renamed = original_names.translated(part.class_name, config, found)
    return (found, False) if renamed is None else (renamed, True)


_WIDTHS = {
    "UNet2DConditionModel": {"conv_in.weight": "in_channels", "attn2.to_k.weight": "cross_attention_dim"},
    "FluxTransformer2DModel": {"x_embedder.weight": "in_channels", "context_embedder.weight": "joint_attention_dim"},
}
# What the names of some weights of a class end in, and what its configuration calls their width.
_BLOCKS = {
    "UNet2DConditionModel": ("down_blocks.", "mid_block.", "up_blocks."),
    "FluxTransformer2DModel": ("transformer_blocks.", "single_transformer_blocks."),
}
# What the names of most weights of such a class begin with.


def misfit(part: Part, config: Mapping[str, Any], header: Iterable[Tensor]) -> str | None:
    """Return why a file's tensors can't be the component that `config` is of, None where nothing speaks against it.

    Of classes whose names in such files aren't known nothing is said.
    """
    found, is_named = tensors(part, config, header)
    if not is_named or part.class_name not in _BLOCKS:
        return None
    if not any(each.name.startswith(_BLOCKS[part.class_name]) for each in found):
        return f"it has no weights for a `{part.class_name}`"
    for name, setting in _WIDTHS[part.class_name].items():
        held = {each.shape[1] for each in found if f".{each.name}".endswith(f".{name}") and len(each.shape) > 1}
        wanted = config.get(setting)
        if isinstance(wanted, int) and len(held) == 1 and wanted not in held:
            return f"its `{setting}` is {held.pop()}, and the configuration says {wanted}"
    return None


@cache
def _catalog() -> dict[str, Any]:
    file = Path(__file__).with_name("data") / "single_files.json"
    catalog: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return catalog
