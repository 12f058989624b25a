"""Language models of prompt plugins and their tokenizers, as their folders tell them, in transformers' layout.

A causal one has its tokenizer beside it; the encoder of a T5 may have it elsewhere.

Only JSON files are read. What their weights come to is in `estimates`, finding and fetching them the language's and the
runtime's business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aquatint.catalog import checkpoints, stored
from aquatint.catalog.checkpoints import CheckpointError, Part, Tensor

MODEL, TOKENIZER, PROJECTOR = "llm", "llm_tokenizer", "llm_projector"
"""The roles of what a prompt plugin works with; a projector makes embeddings for a pipeline of the model's own."""

ROLES = (MODEL, TOKENIZER, PROJECTOR)
"""All of them: no pipeline of diffusers has a submodule of such a name. A weighter's are parts of a pipeline."""

TOKENIZER_CLASS = "AutoTokenizer"
"""Transformers finds a tokenizer's class by its files; a class that a checkpoint brings along is refused by it."""

ENCODER_CLASS = "T5EncoderModel"
"""What the encoder of a T5 is loaded as, whatever class its configuration names."""

PACKAGE = "sentencepiece"
"""What reads a tokenizer from a `spiece.model`, as that of a T5 is published; an extra of this program."""

INNER = "t5_encoder."
"""How the names of such an encoder's tensors begin in a checkpoint that has another network behind it, as RankGen's."""

_CAUSAL = ("ForCausalLM", "LMHeadModel")
# What the names of transformers' causal language models end with.

VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
"""Files one of which a tokenizer has."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A part that a weighter asks for: where it is, and the settings that say so, to point at in a script.

    `file` is the name of a projector's file in `subfolder`, None for its usual one.
    """

    role: str
    source: str
    revision: str | None
    subfolder: str = ""
    file: str | None = None
    setting: str = ""
    revision_setting: str = ""


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """The parts of a folder; `talks` says that it has a chat template."""

    model: Part
    tokenizer: Part
    talks: bool


def is_causal(class_name: str) -> bool:
    """Return whether a class of transformers of this name is a causal language model."""
    return class_name.endswith(_CAUSAL)


def read(folder: Path, source: str, subfolder: str = "") -> LanguageModel:
    """Return what is in `subfolder` of `folder`, which `source` names. Raises `CheckpointError`."""
    inside = folder / subfolder
    named = f"{source}/{subfolder}" if subfolder else source
    if not inside.is_dir():
        raise CheckpointError("missing-model", f"`{source}` has no folder `{subfolder}`",
                              "name one of its folders, or leave `subfolder` out")  # fmt: skip
    config = _config(
        folder, subfolder, named, "name the folder of a causal language model of transformers, or its hub id"
    )
    if "auto_map" in config:
        raise CheckpointError("own-code", f"`{named}` asks for code of its own (`auto_map`)",
                              "only classes of transformers are loaded; no checkpoint's code is run")  # fmt: skip
    architectures = config.get("architectures")
    found = architectures[0] if isinstance(architectures, list) and architectures else None
    if not isinstance(found, str) or not found.isidentifier() or not is_causal(found):
        is_told = f"it is a `{found}`" if isinstance(found, str) else "its `config.json` names no class"
        raise CheckpointError("wrong-component", f"`{named}` is no causal language model: {is_told}",
                              "take one whose class is a `...ForCausalLM` or a `...LMHeadModel`")  # fmt: skip
    if not isinstance(config.get("model_type"), str):
        what = "its `config.json` has no `model_type`"
        raise CheckpointError("not-a-checkpoint", f"`{named}` is no language model: {what}",
                              "the download may be incomplete: fetch the checkpoint again")  # fmt: skip
    names = _names(inside, named)
    # Not read as JSON: some have dozens of megabytes.
    told = (inside / "tokenizer.json").read_bytes().strip() if "tokenizer.json" in names else None
    if told is not None and not (told.startswith(b"{") and told.endswith(b"}") and b'"model"' in told):
        raise CheckpointError("damaged-checkpoint", f"the `tokenizer.json` of `{named}` is no tokenizer",
                              "the download may be incomplete: fetch the checkpoint again")  # fmt: skip
    return LanguageModel(
        Part(MODEL, "transformers", found, subfolder, True, stored.read(config)),
        Part(TOKENIZER, "transformers", TOKENIZER_CLASS, subfolder, False),
        _talks(inside, names),
    )


def read_encoder(folder: Path, source: str) -> tuple[Part, int]:
    """Return the encoder of the T5 in `folder`, which `source` names, and how wide its embeddings are.

    Code that the checkpoint brings along is not asked for. Raises `CheckpointError`.
    """
    help = "name the folder of a T5 of transformers, or its hub id"
    config = _config(folder, "", source, help)
    width = config.get("d_model")
    if config.get("model_type") != "t5" or not isinstance(width, int):
        raise CheckpointError("wrong-component", f"`{source}` is no T5: its `config.json` is of another model", help)
    return Part(MODEL, "transformers", ENCODER_CLASS, "", True, stored.read(config)), width


def read_tokenizer(folder: Path, source: str) -> Part:
    """Return the tokenizer in `folder`, which `source` names. Raises `CheckpointError`."""
    _names(folder, source)
    return Part(TOKENIZER, "transformers", TOKENIZER_CLASS, "", False)


def needs_package(folder: Path) -> bool:
    """Return whether the tokenizer in `folder` is stored in a form that `PACKAGE` reads."""
    return not (folder / "tokenizer.json").is_file() and (folder / "spiece.model").is_file()


def of_encoder(class_name: str, tensors: list[Tensor]) -> list[Tensor]:
    """Return those of a file's `tensors` that a component of `class_name` is made of, by their names in it."""
    inner = [tensor for tensor in tensors if tensor.name.startswith(INNER)] if class_name == ENCODER_CLASS else []
    return [replace(tensor, name=tensor.name.removeprefix(INNER)) for tensor in inner] or tensors


def _config(folder: Path, subfolder: str, named: str, help: str) -> dict[str, Any]:
    inside = folder / subfolder
    if not (inside / "config.json").is_file():
        what = "it is a pipeline of diffusers" if (inside / "model_index.json").is_file() else "it has no `config.json`"
        raise CheckpointError("not-a-checkpoint", f"`{named}` is no language model: {what}", help)
    return checkpoints.read_config(folder, subfolder)


def _names(inside: Path, named: str) -> set[str]:
    """Return the names of the files in a folder with a tokenizer. Raises `CheckpointError` if it has none."""
    names = {entry.name for entry in inside.iterdir()}
    if not names & set(VOCABULARIES):
        raise CheckpointError("damaged-checkpoint", f"`{named}` has no tokenizer, such as a `tokenizer.json`",
                              "the download may be incomplete: fetch the checkpoint again")  # fmt: skip
    return names


def _talks(inside: Path, names: set[str]) -> bool:
    if names & {"chat_template.jinja", "chat_template.json"}:
        return True
    return "tokenizer_config.json" in names and bool(
        checkpoints.read_json(inside / "tokenizer_config.json").get("chat_template")
    )
