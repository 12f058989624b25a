"""The names that a single file's tensors have in diffusers: the layout of those who trained a model, by class.

For plans alone, which are made from headers: a load has the names from diffusers' own conversion, and a test holds the
two equal. Of a class that isn't here a plan knows the bytes, and not which layers a quantizer would take.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aquatint.catalog.checkpoints import Tensor

Renaming = Callable[["Tensor", Mapping[str, Any]], Iterator["Tensor"]]
"""Yields what a tensor of a file, whose name is without the component's prefix, is in a component of this `config`."""


def translated(class_name: str, config: Mapping[str, Any], tensors: Iterable[Tensor]) -> list[Tensor] | None:
    """Return `tensors` of a component as diffusers has them, None if that isn't known for its class."""
    held = list(tensors)
    marks, rename = _CLASSES.get(class_name, (None, None))
    if marks is None or rename is None:
        return None
    if not any(re.search(marks, tensor.name) for tensor in held):
        return held  # it is in diffusers' names
    return [made for tensor in held for made in rename(tensor, config)]


def _first(name: str, names: Mapping[str, str]) -> str | None:
    """Return `name` with its beginning put into diffusers' words, None if none of `names` is its beginning."""
    for old, new in names.items():
        if name == old or name.startswith(f"{old}."):
            return new + name[len(old) :]
    return None


def _renamed(tensor: Tensor, name: str | None) -> Iterator[Tensor]:
    if name is not None:
        yield replace(tensor, name=name)


def _split(tensor: Tensor, names: Iterable[tuple[str, int]]) -> Iterator[Tensor]:
    """Yield the parts of a tensor that is several, one below the other: names and numbers of rows."""
    rows, size = tensor.shape[0], tensor.end - tensor.start
    at = 0
    for name, count in names:
        begin, end = (tensor.start + size * row // max(rows, 1) for row in (at, at + count))
        yield replace(tensor, name=name, shape=(count, *tensor.shape[1:]), start=begin, end=end)
        at += count


_UNET = {
    "time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in", "out.0": "conv_norm_out", "out.2": "conv_out",
}  # fmt: skip
_RESNET = {
    "in_layers.0": "norm1", "in_layers.2": "conv1", "out_layers.0": "norm2", "out_layers.3": "conv2",
    "emb_layers.1": "time_emb_proj", "skip_connection": "conv_shortcut",
}  # fmt: skip


def _unet(tensor: Tensor, config: Mapping[str, Any]) -> Iterator[Tensor]:
    name = tensor.name
    if (known := _first(name, _UNET)) is not None:
        yield from _renamed(tensor, known)
    elif name.startswith("label_emb."):
        yield from _renamed(tensor, _of_label(name, config))
    elif found := re.fullmatch(r"(input_blocks|output_blocks)\.(\d+)\.(\d+)\.(.+)", name):
        side, number, layer, rest = found[1], int(found[2]), int(found[3]), found[4]
        is_up = side == "output_blocks"
        block, place = divmod(number - (not is_up), int(config.get("layers_per_block", 2)) + 1)
        where = f"{'up' if is_up else 'down'}_blocks.{block}"
        if rest.startswith("op."):
            yield from _renamed(tensor, f"{where}.downsamplers.0.conv.{rest[3:]}")
        elif layer > 0 and rest.startswith("conv."):
            yield from _renamed(tensor, f"{where}.upsamplers.0.{rest}")
        elif layer == 0:
            yield from _renamed(tensor, f"{where}.resnets.{place}.{_first(rest, _RESNET) or rest}")
        else:
            yield from _renamed(tensor, f"{where}.attentions.{place}.{rest}")
    elif found := re.fullmatch(r"middle_block\.(\d+)\.(.+)", name):
        number, rest = int(found[1]), found[2]
        kind, rest = ("attentions", rest) if number % 2 else ("resnets", _first(rest, _RESNET) or rest)
        yield from _renamed(tensor, f"mid_block.{kind}.{max(number - 1, 0)}.{rest}")


def _of_label(name: str, config: Mapping[str, Any]) -> str | None:
    if config.get("addition_embed_type") == "text_time":
        where = "add_embedding"
    elif config.get("class_embed_type") in ("timestep", "projection"):
        where = "class_embedding"
    else:
        has_classes = name == "label_emb.weight" and config.get("num_class_embeds") is not None
        return "class_embedding.weight" if has_classes else None
    return _first(name, {"label_emb.0.0": f"{where}.linear_1", "label_emb.0.2": f"{where}.linear_2"})


_VAE_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}


def _vae(tensor: Tensor, config: Mapping[str, Any]) -> Iterator[Tensor]:
    if tensor.name.startswith(("quant_conv.", "post_quant_conv.")):
        yield tensor
        return
    found = re.fullmatch(r"(encoder|decoder)\.(.+)", tensor.name)
    if found is None:
        return  # of what it was trained with
    coder, rest = found[1], found[2]
    if rest.startswith(("conv_in.", "conv_out.")):
        yield tensor
    elif rest.startswith("norm_out."):
        yield from _renamed(tensor, f"{coder}.conv_{rest}")
    elif level := re.fullmatch(r"(down|up)\.(\d+)\.(block|downsample|upsample)\.(.+)", rest):
        way, number, kind, inside = level[1], int(level[2]), level[3], level[4].replace("nin_shortcut", "conv_shortcut")
        if way == "up":
            number = len(config.get("up_block_types", ())) - 1 - number
        place = "resnets" if kind == "block" else f"{kind}rs.0"
        yield from _renamed(tensor, f"{coder}.{way}_blocks.{number}.{place}.{inside}")
    elif middle := re.fullmatch(r"mid\.block_(\d+)\.(.+)", rest):
        inside = middle[2].replace("nin_shortcut", "conv_shortcut")
        yield from _renamed(tensor, f"{coder}.mid_block.resnets.{int(middle[1]) - 1}.{inside}")
    elif rest.startswith("mid.attn_1."):
        name = _first(rest.removeprefix("mid.attn_1."), _VAE_ATTENTION)
        # A convolution of one pixel is a matrix there.
        flat = replace(tensor, shape=tensor.shape[:2])
        yield from _renamed(flat, None if name is None else f"{coder}.mid_block.attentions.0.{name}")


_OPEN_CLIP = {
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "token_embedding": "text_model.embeddings.token_embedding", "ln_final": "text_model.final_layer_norm",
}  # fmt: skip
_OPEN_CLIP_LAYER = {
    "ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}  # fmt: skip


def _clip(tensor: Tensor, config: Mapping[str, Any]) -> Iterator[Tensor]:
    name = tensor.name
    if (known := _first(name, _OPEN_CLIP)) is not None:
        yield from _renamed(tensor, known)
    elif name == "text_projection":
        if "CLIPTextModelWithProjection" in (config.get("architectures") or ()):
            yield replace(tensor, name="text_projection.weight", shape=tensor.shape[::-1])
    elif found := re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)", name):
        number, rest = int(found[1]), found[2]
        if number >= int(config.get("num_hidden_layers", 12)):
            return  # a last layer that is not used
        where = f"text_model.encoder.layers.{number}"
        if joint := re.fullmatch(r"attn\.in_proj_(weight|bias)", rest):
            rows = tensor.shape[0] // 3
            yield from _split(tensor, ((f"{where}.self_attn.{each}_proj.{joint[1]}", rows) for each in "qkv"))
        else:
            yield from _renamed(tensor, f"{where}.{_first(rest, _OPEN_CLIP_LAYER) or rest}")


_FLUX = {
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "txt_in": "context_embedder", "img_in": "x_embedder", "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}  # fmt: skip
_FLUX_DOUBLE = {
    "img_mod.lin": "norm1.linear", "txt_mod.lin": "norm1_context.linear",
    "img_attn.norm.query_norm.scale": "attn.norm_q.weight", "img_attn.norm.key_norm.scale": "attn.norm_k.weight",
    "txt_attn.norm.query_norm.scale": "attn.norm_added_q.weight",
    "txt_attn.norm.key_norm.scale": "attn.norm_added_k.weight",
    "img_mlp.0": "ff.net.0.proj", "img_mlp.2": "ff.net.2", "txt_mlp.0": "ff_context.net.0.proj",
    "txt_mlp.2": "ff_context.net.2", "img_attn.proj": "attn.to_out.0", "txt_attn.proj": "attn.to_add_out",
}  # fmt: skip
_FLUX_SINGLE = {
    "modulation.lin": "norm.linear", "norm.query_norm.scale": "attn.norm_q.weight",
    "norm.key_norm.scale": "attn.norm_k.weight", "linear2": "proj_out",
}  # fmt: skip
_FLUX_WIDTH = 3072
_FLUX_JOINT = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
}


def _flux(tensor: Tensor, config: Mapping[str, Any]) -> Iterator[Tensor]:
    if (known := _first(tensor.name, _FLUX)) is not None:
        yield from _renamed(tensor, known)
    elif found := re.fullmatch(r"double_blocks\.(\d+)\.(.+)", tensor.name):
        where, rest = f"transformer_blocks.{found[1]}", found[2]
        path, _, last = rest.rpartition(".")
        if (joint := _FLUX_JOINT.get(path)) is not None:
            yield from _split(tensor, ((f"{where}.{each}.{last}", tensor.shape[0] // 3) for each in joint))
        else:
            known = _first(rest, _FLUX_DOUBLE)
            yield from _renamed(tensor, None if known is None else f"{where}.{known}")
    elif found := re.fullmatch(r"single_blocks\.(\d+)\.(.+)", tensor.name):
        where, rest = f"single_transformer_blocks.{found[1]}", found[2]
        path, _, last = rest.rpartition(".")
        if path == "linear1":
            heads = [(f"{where}.attn.to_{each}.{last}", _FLUX_WIDTH) for each in "qkv"]
            yield from _split(tensor, [*heads, (f"{where}.proj_mlp.{last}", tensor.shape[0] - 3 * _FLUX_WIDTH)])
        else:
            known = _first(rest, _FLUX_SINGLE)
            yield from _renamed(tensor, None if known is None else f"{where}.{known}")


def _same(tensor: Tensor, config: Mapping[str, Any]) -> Iterator[Tensor]:
    yield tensor


_CLASSES: Mapping[str, tuple[str, Renaming]] = {
    "UNet2DConditionModel": (r"^input_blocks\.", _unet),
    "AutoencoderKL": (r"^(en|de)coder\.(mid\.|norm_out)", _vae),
    "CLIPTextModel": (r"^transformer\.resblocks\.", _clip),
    "CLIPTextModelWithProjection": (r"^transformer\.resblocks\.", _clip),
    "T5EncoderModel": (r"(?!)", _same),
    "FluxTransformer2DModel": (r"^double_blocks\.", _flux),
}
"""By class: what some of its names look like in the original layout, and what turns those names into diffusers'."""
