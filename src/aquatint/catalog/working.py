"""What a component takes beside its weights: while it is loaded, and while it computes, estimated from its files.

Weights are known to the byte (`estimates`); this isn't, and can't be: what is live at a time depends on the libraries'
kernels. The factors are such that estimates are about the most that `benchmarks/working.py` measures on a CPU, or above
it; it prints both. On other devices they are assumed to hold: nothing here was run there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from aquatint.catalog.checkpoints import Tensor
from aquatint.catalog.layers import WIDTHS, Network
from aquatint.catalog.pipelines import is_denoiser, is_text_encoder

SPLIT = 2
"""Calls of a denoiser that are made as one: with the prompt and without it."""

TOKENS = 512
"""Of a prompt, at most: T5's and those of language models. CLIP's 77 are in its configuration."""

UNET = 28
"""Values that are live for each position of latents, by the channels of the outermost block, beside its skips."""

TRANSFORMER = 24
"""Values that are live for each token of a transformer, by its width."""

DECODER = 5
"""Values that are live for each pixel of a picture, by the channels of the last block but one."""

ENCODER = 16
"""Values that are live for each token of a text encoder, by its width."""

FRAGMENTS = 0.15
"""Of a component's bytes, what quantizing it takes at most beside its largest tensor: `benchmarks/loading.py`."""

_TABLE = re.compile(r"embed|shared\.weight|\bwte\b|lm_head")
"""Names of what is looked up in, and not computed with."""

PROGRAM = 600 << 20
"""Bytes that the program itself takes where it computes in the computer's memory: torch, the libraries, and what each
brings in when it is first used. `benchmarks/working.py` prints it."""

SCALE = 8
"""Pixels to a side of a position of latents, where no decoder tells."""


@dataclass(frozen=True, slots=True)
class Working:
    """Bytes beside weights: `loading` while it is loaded; `fixed`, and `each` for its size, while it computes.

    `each` is of a position of latents; of a pixel where `scale` isn't 0, which is then the pixels to a side of such a
    position. `side` is the positions to a side of a picture whose size the pipeline chooses, 0 if nothing says that.
    """

    loading: int
    fixed: int
    each: int
    scale: int = 0
    side: int = 0


def working(role: str, network: Network, tensors: Iterable[Tensor], held: int, is_quantized: bool) -> Working:
    """Return what a component that holds `held` bytes of weights takes beside them, in `role` of a pipeline."""
    numbers = stored = 0
    for tensor in tensors:
        stored = max(stored, tensor.end - tensor.start)
        if not _TABLE.search(tensor.name):
            numbers = max(numbers, tensor.numel)
    loading = stored + (int(FRAGMENTS * (held + stored)) if is_quantized else 0)
    width = WIDTHS[network.dtype]
    # Kernels lay weights out anew, and quantized ones are computed with in the type that they had.
    fixed = numbers * max(4, width)
    sides = _numbers(network, "sample_size")
    side = sides[0] if len(sides) == 1 else 0
    blocks = _numbers(network, "block_out_channels")
    if is_text_encoder(role):
        tokens = min([TOKENS, *_numbers(network, "max_position_embeddings")])
        return Working(loading, fixed + SPLIT * tokens * max(4, width) * ENCODER * _width(network), 0)
    if not is_denoiser(role):
        blocks = blocks or _numbers(network, "decoder_block_out_channels")
        # What has no such blocks makes no picture, or in a way that isn't known here.
        scale = 2 ** (len(blocks) - 1) if blocks else 0
        return Working(loading, fixed, DECODER * width * blocks[min(1, len(blocks) - 1)] if blocks else 0, scale)
    if blocks:
        layers = 1 + max(_numbers(network, "layers_per_block"), default=2)
        skips = sum(layers * channels / 4**level for level, channels in enumerate(blocks))
        return Working(loading, fixed, int(SPLIT * width * (skips + UNET * blocks[0])), side=side)
    patch = max((*_numbers(network, "patch_size"), *_numbers(network, "all_patch_size")), default=2)
    # Pipelines of FLUX.1's kind pack positions two by two before they come here.
    patch = 2 if patch == 1 and "num_single_layers" in network.config else patch
    token = SPLIT * width * TRANSFORMER * _width(network)
    return Working(loading, fixed + TOKENS * token, token // patch**2, side=side)


def _width(network: Network) -> int:
    """Return the numbers of a token in a transformer; 0 if its configuration doesn't say."""
    config = network.config
    for name in ("hidden_size", "d_model", "dim", "inner_dim"):
        if isinstance(config.get(name), int):
            return int(config[name])
    heads, of_each = _numbers(network, "num_attention_heads"), _numbers(network, "attention_head_dim")
    inner = config.get("text_config")
    if isinstance(inner, dict) and isinstance(inner.get("hidden_size"), int):
        return int(inner["hidden_size"])
    return max(heads, default=0) * max(of_each, default=0)


def _numbers(network: Network, name: str) -> list[int]:
    """Return the whole number, or the list of them, that the configuration has as `name`; else nothing."""
    found = network.config.get(name)
    listed = found if isinstance(found, list) else [found]
    return [each for each in listed if isinstance(each, int) and not isinstance(each, bool) and each > 0]
