"""The upscaler `magicprompt`: its settings, its record, and how much its language model writes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aquatint.catalog.models import DTYPES
from aquatint.catalog.prompt_plugins import PromptPlugin
from aquatint.catalog.settings import Schema, Setting

MAGICPROMPT_SCHEMA = Schema("magicprompt", (
    Setting("model", "str", "The language model: a hub id or a folder, of any causal language model of transformers.",
            "Gustavosta/MagicPrompt-Stable-Diffusion"),
    Setting("revision", "str", "The commit, branch or tag of a hub id."),
    Setting("subfolder", "str", "The folder of `model` that the language model and its tokenizer are in."),
    Setting("variant", "str", "The variant of the weights' files, such as `fp16`."),
    Setting("part", "str", "Which prompts are rewritten: the positive, the negative, or both.", "both",
            choices=("both", "positive", "negative")),
    Setting("dtype", "str", "The data type of weights that aren't quantized. `float32` on a CPU and `float16` "
            "elsewhere unless it is set.", choices=DTYPES),
    Setting("device", "str", "Where the language model is and computes: `cpu`, `cuda`, `cuda:1`, `xpu` or `mps`. What "
            "the plan is for unless it is set.", device=True),
    Setting("quantizer", "quantizer", "The quantizer of the language model: a quantizer's name, a URI, or `none`."),
    Setting("seed", "int", "The seed of what is drawn, where `upscale` sets none.", minimum=0, maximum=2**63 - 1),
    Setting("variations", "int", "How many prompts are made of each, where `upscale` doesn't say.", 1, minimum=1,
            maximum=10_000),
    Setting("max_length", "int", "The most tokens of a prompt, the written ones among them.", 100, minimum=1,
            maximum=100_000),
    Setting("temperature", "float", "How much chance has a say: near 0 the likeliest token nearly always wins.", 0.7,
            above=0),
    Setting("top_k", "int", "Draw among so many of the likeliest tokens; 0 for all.", 50, minimum=0),
    Setting("top_p", "float", "Draw among the likeliest tokens that come to this probability together.", 1.0, above=0,
            maximum=1),
    Setting("system", "str", "What a chat model is told before the prompts."),
    Setting("preamble", "str", "Text before the prompt that the model goes on from, and that is taken out again; a "
            "chat model is not talked to then."),
    Setting("remove_prompt", "bool", "Take the written prompt out of what the model wrote.", False),
    Setting("prepend_prompt", "bool", "Put the written prompt before what a chat model wrote.", False),
    Setting("batch", "bool", "Let the model write several prompts at once.", True),
    Setting("max_batch", "int", "The most prompts at once.", 50, minimum=1),
    Setting("block_regex", "str", "A regular expression: what matches it is written anew.", pattern=True),
    Setting("max_attempts", "int", "How often that is tried.", 10, minimum=1, maximum=1000),
    Setting("smart_truncate", "bool", "Cut a prompt that runs out of tokens after its last whole phrase.", False),
    Setting("cleanup", "names", "Regular expressions: what matches one of them is taken out.", pattern=True),
))  # fmt: skip

CHARACTERS = 3
"""Of a token: about as few as tokenizers make of English texts."""

AROUND = 32
"""Tokens that a chat template puts around a prompt, at most as a rule."""


def extent(options: Mapping[str, Any], lengths: Sequence[int], variations: int) -> tuple[int, int, int]:
    """Return how many strings are written at once, and their tokens at first and at most, as a record's `extent`."""
    strings = min(options["max_batch"], len(lengths) * variations) if options["batch"] else 1
    told = max(lengths) + sum(len(options[name] or "") for name in ("system", "preamble"))
    tokens = AROUND + told // CHARACTERS
    # What a chat model is told doesn't count to the length, what another goes on from does.
    return strings, tokens, tokens + options["max_length"]


MAGICPROMPT = PromptPlugin(
    kind="upscaler",
    name="magicprompt",
    help="Lets a language model of transformers write on from a prompt, or rewrite it.",
    schema=MAGICPROMPT_SCHEMA,
    engine="aquatint.runtime.torch_engine.magicprompt",
    language_model="model",
    extent=extent,
    needs={"max_batch": "batch", "max_attempts": "block_regex"},
)
