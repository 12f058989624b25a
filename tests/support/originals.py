"""Pipelines in diffusers' folders written as single files, in the layout of those who trained such models."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CLIP_OF_SD = "cond_stage_model.transformer."
CLIP_OF_SDXL = "conditioner.embedders.0.transformer."
OPEN_CLIP_OF_SDXL = "conditioner.embedders.1.model."

_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
_UNET = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip


def single_file(folder: Path, file: Path, roles: Mapping[str, str]) -> Path:
    """Write the components `roles` of the pipeline in `folder` into one safetensors `file`; return that.

    The values are what the names of a component's tensors begin with there.
    """
    from safetensors.torch import load_file, save_file

    tensors: dict[str, Any] = {}
    for role, start in roles.items():
        config = json.loads((folder / role / "config.json").read_text(encoding="utf-8"))
        held = load_file(next((folder / role).glob("*.safetensors")))
        tensors |= {start + name: tensor.contiguous() for name, tensor in _original(role, start, config, held).items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file)
    return file


def configurations(folder: Path, copy: Path, without: tuple[str, ...] = ()) -> Path:
    """Copy a pipeline's folder but for the weights of the components `without`; return the copy."""
    shutil.copytree(folder, copy)
    for role in without:
        for file in (copy / role).glob("*.safetensors"):
            file.unlink()
    return copy


def _original(role: str, start: str, config: Mapping[str, Any], held: Mapping[str, Any]) -> dict[str, Any]:
    if role == "unet":
        layers = config["layers_per_block"] + 1
        return {_unet(name, layers, held): tensor for name, tensor in held.items()}
    if role == "vae":
        blocks = len(config["up_block_types"])
        return {
            _vae(name, blocks): tensor[..., None, None] if _is_flattened(name, tensor) else tensor
            for name, tensor in held.items()
        }
    if start == OPEN_CLIP_OF_SDXL:
        return _open_clip(held)
    if role.startswith("text_encoder"):
        return {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in held.items()}
    return dict(held)


def _put(name: str, words: Mapping[str, str]) -> str:
    return next((new + name[len(old) :] for old, new in words.items() if name.startswith(f"{old}.")), name)


def _unet(name: str, layers: int, held: Mapping[str, Any]) -> str:
    if found := re.fullmatch(
        r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", name
    ):
        way, block, kind, layer, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
        first = block * layers + (way == "down")
        side = "input_blocks" if way == "down" else "output_blocks"
        if kind == "downsamplers":
            return f"{side}.{first + layers - 1}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            place = 2 if any(each.startswith(f"up_blocks.{block}.attentions.") for each in held) else 1
            return f"{side}.{first + layers - 1}.{place}.{rest}"
        return f"{side}.{first + layer}." + (f"0.{_put(rest, _RESNET)}" if kind == "resnets" else f"1.{rest}")
    if found := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", name):
        is_resnet, number = found[1] == "resnets", int(found[2])
        return f"middle_block.{2 * number + (not is_resnet)}." + (_put(found[3], _RESNET) if is_resnet else found[3])
    return _put(name, _UNET)


def _is_flattened(name: str, tensor: Any) -> bool:
    return ".attentions." in name and tensor.ndim == 2


def _vae(name: str, blocks: int) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample.", name)
    name = re.sub(r"up_blocks\.(\d+)", lambda found: f"up.{blocks - 1 - int(found[1])}", name)
    name = name.replace(".resnets.", ".block.").replace(".upsamplers.0.", ".upsample.")
    name = re.sub(r"mid_block\.block\.(\d+)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    if "mid_block.attentions.0." in name:
        name = name.replace("mid_block.attentions.0.", "mid.attn_1.").replace("group_norm", "norm")
        name = name.replace("to_out.0", "proj_out").replace("to_q", "q").replace("to_k", "k").replace("to_v", "v")
    return name


def _open_clip(held: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    made: dict[str, Any] = {}
    plain = {name.removeprefix("text_model."): tensor for name, tensor in held.items()}
    for name, tensor in plain.items():
        if name == "text_projection.weight":
            made["text_projection"] = tensor.T
        elif found := re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)", name):
            where, rest = f"transformer.resblocks.{found[1]}", found[2]
            if rest.startswith("self_attn.k_proj."):
                last = rest.rpartition(".")[2]
                parts = [plain[name.replace("k_proj", f"{each}_proj")] for each in "qkv"]
                made[f"{where}.attn.in_proj_{last}"] = torch.cat(parts)
            elif not re.match(r"self_attn\.[qv]_proj", rest):
                rest = rest.replace("self_attn", "attn").replace("layer_norm", "ln_")
                made[f"{where}.{rest.replace('fc1', 'c_fc').replace('fc2', 'c_proj')}"] = tensor
        else:
            words = {
                "embeddings.position_embedding.weight": "positional_embedding",
                "embeddings.token_embedding.weight": "token_embedding.weight",
                "final_layer_norm.weight": "ln_final.weight", "final_layer_norm.bias": "ln_final.bias",
            }  # fmt: skip
            made[words[name]] = tensor
    return made
