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
from aquatint.catalog.language_models import MODEL, is_causal
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

LOGITS = 4
"""Times that the logits of a string's next token are there, in 32 bits: as the model returns them, as transformers'
loop copies them, with the token that was drawn, and those of the token before."""

DRAWING = 8
"""Values of 64 bits for each word of the vocabulary while a token is drawn, one string after the other."""

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

    Of a causal language model `each` is of a token of a string, `read` of one that is told it at first, and `row` of a
    string beside its tokens; a string has `most` tokens at most, 0 if nothing says that.
    """

    loading: int
    fixed: int
    each: int
    scale: int = 0
    side: int = 0
    row: int = 0
    read: int = 0
    most: int = 0

    def rewriting(self, strings: int, told: int, tokens: int) -> int:
        """Return the bytes that a causal language model takes for so many strings at once, each of so many `tokens`.

        With `told` of them each begins.
        """
        told, tokens = (min(count, self.most or count) for count in (told, tokens))
        return self.fixed + strings * (self.row + self.read * told + self.each * tokens)


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
    if role == MODEL and is_causal(network.class_name):
        return _causal(network, loading, fixed)
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


def _causal(network: Network, loading: int, fixed: int) -> Working:
    """Return what a causal language model takes, which writes several strings at once, token by token.

    For each token that is read or written: keys and values of all layers (2 x layers x heads x width of a head), those
    of one layer twice, since they are copied to where there is room for one more. For each that is read: what a text
    encoder takes, since all of what strings begin with is read at once. For each string: its logits, `LOGITS` times.
    Beside them: what drawing takes.
    """
    width = WIDTHS[network.dtype]
    heads = max(_any(network, "num_attention_heads", "n_head", "num_heads", "n_heads"), 1)
    inner = _width(network) or _any(network, "n_embd", "n_embed")
    of_each = _any(network, "head_dim") or inner // heads
    layers = _any(network, "num_hidden_layers", "n_layer", "num_layers", "n_layers")
    kept = 2 * (layers + 1) * (_any(network, "num_key_value_heads") or heads) * of_each * width
    words = _any(network, "vocab_size")
    return Working(
        loading, fixed + 8 * DRAWING * words, kept, row=4 * LOGITS * words, read=max(4, width) * ENCODER * inner,
        most=_any(network, "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"),
    )  # fmt: skip


def _any(network: Network, *names: str) -> int:
    """Return the whole number that the configuration has under the first of `names` that it has; else 0.

    Some have those of their language model apart, since it is a part of theirs.
    """
    inner = network.config.get("text_config")
    told = {**network.config, **inner} if isinstance(inner, dict) else network.config
    found = (told.get(name) for name in names)
    return next((each for each in found if isinstance(each, int) and not isinstance(each, bool) and each > 0), 0)


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
