"""Folders of language models that can't be used, and why: told from their JSON files, before anything is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from aquatint.catalog import language_models
from aquatint.catalog.checkpoints import CheckpointError, builtins_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(builtins_folder() / "captions", tmp_path / "words"))


def refused(folder: Path) -> tuple[str, str]:
    with pytest.raises(CheckpointError) as told:
        language_models.read(folder, "words")
    return told.value.code, str(told.value)


def configured(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))


def test_one_as_it_is(folder: Path) -> None:
    found = language_models.read(folder, "words")
    assert (found.model.class_name, found.talks) == ("LlamaForCausalLM", True)


def test_one_that_says_not_what_it_is(folder: Path) -> None:
    configured(folder, model_type=None)
    assert refused(folder) == (
        "not-a-checkpoint", "`words` is no language model: its `config.json` has no `model_type`"
    )  # fmt: skip


def test_one_that_reads_and_writes_apart(folder: Path) -> None:
    configured(folder, architectures=["T5ForConditionalGeneration"], model_type="t5")
    assert refused(folder) == (
        "wrong-component", "`words` is no causal language model: it is a `T5ForConditionalGeneration`"
    )  # fmt: skip


@pytest.mark.parametrize("text", ["", '{"version": "1.0"}', '{"model": {"type": "BPE"', "[]"])
def test_a_tokenizer_that_is_broken_off(folder: Path, text: str) -> None:
    (folder / "tokenizer.json").write_text(text)
    assert refused(folder) == ("damaged-checkpoint", "the `tokenizer.json` of `words` is no tokenizer")


def test_a_tokenizer_that_is_missing(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert refused(folder) == ("damaged-checkpoint", "`words` has no tokenizer, such as a `tokenizer.json`")
