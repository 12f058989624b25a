"""The tokenizer: CLIP's byte-pair encoding, with merges learned so that each word of the world is one token."""

import json

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from shapes.captions import corpus

MAX_LENGTH = 40


def build() -> CLIPTokenizer:
    """Return the tokenizer; the same on every call."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=4096, min_frequency=0, end_of_word_suffix="</w>", show_progress=False)
    # A word is repeated so that every pair in it is frequent enough to be merged, down to whole words.
    learner.train_from_iterator([" ".join(corpus())] * 4, trainer)
    merges = [tuple(merge) for merge in _merges(learner)]
    pieces = [*letters, *(letter + "</w>" for letter in letters), *dict.fromkeys("".join(merge) for merge in merges)]
    vocabulary = {piece: index for index, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)


def _merges(tokenizer: Tokenizer) -> list[list[str]]:
    found = json.loads(tokenizer.to_str())["model"]["merges"]
    return [merge.split(" ") if isinstance(merge, str) else merge for merge in found]
