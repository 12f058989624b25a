"""Whether a component's configuration and the headers of its weights can be of one another, as far as that is cheap.

The libraries build a network by its configuration before they read a weight: a width that is a slip, or was written to
do harm, would show when much is loaded, or not before the memory is gone. Here nothing is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aquatint.catalog.checkpoints import Tensor

_WIDTH = re.compile(
    r"hidden_size|intermediate_size|d_model|d_ff|d_kv|vocab_size|(?:in|out|latent|block_out)_channels|attention_head_dim"
    r"|num_attention_heads|(?:cross|joint)_attention_dim|projection_dim"
)
_COUNT = re.compile(r"num_\w*layers|layers_per_block|n_layer")

_PACKED = 8
"""At most so many values are in one of a quantized tensor: those of one bit each in a byte."""

_CLIP = {
    "embeddings.token_embedding.weight": ("vocab_size", "hidden_size"),
    "encoder.layers.0.mlp.fc1.weight": ("intermediate_size", "hidden_size"),
    "text_projection.weight": ("projection_dim", "hidden_size"),
}
_T5 = {
    "shared.weight": ("vocab_size", "d_model"),
    "encoder.block.0.layer.1.DenseReluDense.wo.weight": ("d_model", "d_ff"),
}
_JOINT = {"x_embedder.weight": (None, "in_channels"), "context_embedder.weight": (None, "joint_attention_dim")}

_SIDES: Mapping[str, Mapping[str, tuple[str | None, ...]]] = {
    "UNet2DConditionModel": {
        "conv_in.weight": ("block_out_channels", "in_channels"), "conv_out.weight": ("out_channels",),
    },
    "AutoencoderKL": {
        "encoder.conv_in.weight": ("block_out_channels", "in_channels"),
        "decoder.conv_out.weight": ("out_channels",), "decoder.conv_in.weight": (None, "latent_channels"),
    },
    "CLIPTextModel": _CLIP, "CLIPTextModelWithProjection": _CLIP, "T5EncoderModel": _T5, "UMT5EncoderModel": _T5,
    "FluxTransformer2DModel": _JOINT,
    "SD3Transformer2DModel": {"context_embedder.weight": ("caption_projection_dim", "joint_attention_dim")},
}  # fmt: skip
"""By class, the settings that are the sides of a weight, in its order; of a list of settings, the first item."""


def contradiction(
    class_name: str, config: Mapping[str, Any], tensors: Sequence[Tensor], *, is_plain: bool
) -> str | None:
    """Return what is wrong with a setting of `config` beside the weights `tensors`, for a sentence about its file.

    None where nothing is. `is_plain` says that the tensors have the names and the shapes of the class's own weights.
    """
    most, count = sum(tensor.numel for tensor in tensors) * _PACKED, len(tensors)
    for name, number in _numbers(config):
        if number < (1 if _WIDTH.fullmatch(name) else 0):
            return f"has a `{name}` of {number}"
        if tensors and number > (most if _WIDTH.fullmatch(name) else count):
            return f"has a `{name}` of {number:,}, for which there are too few weights"
    if not is_plain or class_name not in _SIDES:
        return None
    wanted = _SIDES[class_name]
    # transformers puts the text model's own name before its weights, or doesn't.
    by_name = {tensor.name.removeprefix("text_model."): tensor for tensor in tensors}
    for weight, names in wanted.items():
        tensor = by_name.get(weight)
        sides = () if tensor is None else zip(names, tensor.shape, strict=False)
        for setting, side in sides:
            given = None if setting is None else config.get(setting)
            first = given[0] if isinstance(given, list | tuple) and given else given
            if isinstance(first, int) and first != side:
                return f"has a `{setting}` of {first}, where `{weight}` has {side}"
    return None


def _numbers(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for name, value in config.items():
        if _WIDTH.fullmatch(name) or _COUNT.fullmatch(name):
            for each in value if isinstance(value, list | tuple) else [value]:
                if isinstance(each, int) and not isinstance(each, bool):
                    yield name, each
