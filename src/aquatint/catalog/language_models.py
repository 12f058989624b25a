"""A language model and its tokenizer as their folder tells them: transformers' layout, everything in one folder.

Only JSON files are read. What their weights come to is in `estimates`, finding and fetching them the language's and the
runtime's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aquatint.catalog import checkpoints, stored
from aquatint.catalog.checkpoints import CheckpointError, Part

MODEL, TOKENIZER = "llm", "llm_tokenizer"
"""The roles of what a prompt plugin works with."""

TOKENIZER_CLASS = "AutoTokenizer"
"""Transformers finds a tokenizer's class by its files; a class that a checkpoint brings along is refused by it."""

_CAUSAL = ("ForCausalLM", "LMHeadModel")
# What the names of transformers' causal language models end with.
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """The parts of a folder; `talks` says that it has a chat template."""

    model: Part
    tokenizer: Part
    talks: bool


def read(folder: Path, source: str, subfolder: str = "") -> LanguageModel:
    """Return what is in `subfolder` of `folder`, which `source` names. Raises `CheckpointError`."""
    inside = folder / subfolder
    named = f"{source}/{subfolder}" if subfolder else source
    if not inside.is_dir():
        raise CheckpointError("missing-model", f"`{source}` has no folder `{subfolder}`",
                              "name one of its folders, or leave `subfolder` out")  # fmt: skip
    if not (inside / "config.json").is_file():
        what = "it is a pipeline of diffusers" if (inside / "model_index.json").is_file() else "it has no `config.json`"
        raise CheckpointError("not-a-checkpoint", f"`{named}` is no language model: {what}",
                              "name the folder of a causal language model of transformers, or its hub id")  # fmt: skip
    config = checkpoints.read_config(folder, subfolder)
    if "auto_map" in config:
        raise CheckpointError("own-code", f"`{named}` asks for code of its own (`auto_map`)",
                              "only classes of transformers are loaded; no checkpoint's code is run")  # fmt: skip
    architectures = config.get("architectures")
    found = architectures[0] if isinstance(architectures, list) and architectures else None
    if not isinstance(found, str) or not found.isidentifier() or not found.endswith(_CAUSAL):
        is_told = f"it is a `{found}`" if isinstance(found, str) else "its `config.json` names no class"
        raise CheckpointError("wrong-component", f"`{named}` is no causal language model: {is_told}",
                              "take one whose class is a `...ForCausalLM` or a `...LMHeadModel`")  # fmt: skip
    names = {entry.name for entry in inside.iterdir()}
    if not names & set(_VOCABULARIES):
        raise CheckpointError("damaged-checkpoint", f"`{named}` has no tokenizer, such as a `tokenizer.json`",
                              "the download may be incomplete: fetch the checkpoint again")  # fmt: skip
    return LanguageModel(
        Part(MODEL, "transformers", found, subfolder, True, stored.read(config)),
        Part(TOKENIZER, "transformers", TOKENIZER_CLASS, subfolder, False),
        _talks(inside, names),
    )


def _talks(inside: Path, names: set[str]) -> bool:
    if names & {"chat_template.jinja", "chat_template.json"}:
        return True
    return "tokenizer_config.json" in names and bool(
        checkpoints.read_json(inside / "tokenizer_config.json").get("chat_template")
    )
