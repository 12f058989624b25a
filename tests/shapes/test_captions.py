"""The bundled language model `captions` and its training."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from aquatint.catalog.checkpoints import builtins_folder
from captions import pairs, tokenizer
from shapes.captions import corpus

TRAINING = Path(__file__).parents[2] / "training"
FOLDER = builtins_folder() / "captions"


def test_a_whole_caption_keeps_all_that_the_short_one_asks_for() -> None:
    random_ = random.Random(5)
    made = [pairs.pair(random_) for _ in range(500)]
    assert [pair for pair in made if not pairs.is_kept(*pair)] == []
    assert not pairs.is_kept("a red circle", "a blue circle on a white background")
    assert not pairs.is_kept("a circle", "a blue circle")
    assert not pairs.is_kept("a circle", "a blue circle above a red star on a white background")


def test_each_word_is_one_token_and_any_text_comes_back() -> None:
    built = tokenizer.build()
    assert {word: pieces for word in corpus() if len(pieces := built.tokenize(word)) != 1} == {}
    text = "caf\u00e9, 2 \u732b on a red background"
    assert built.decode(built(text)["input_ids"], skip_special_tokens=True).strip() == text


def test_the_checkpoint_is_small_and_has_the_tokenizer_of_its_training() -> None:
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 3_000_000
    assert AutoTokenizer.from_pretrained(FOLDER).get_vocab() == tokenizer.build().get_vocab()
    assert sum(each.numel() for each in AutoModelForCausalLM.from_pretrained(FOLDER).parameters()) < 1_000_000


@pytest.mark.slow
def test_a_whole_training_in_small(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "captions.train", "--steps", "2", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=TRAINING, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "step 2, loss " in done.stdout
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == sorted(file.name for file in FOLDER.iterdir())
