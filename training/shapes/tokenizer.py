"""The tokenizer: CLIP's byte-pair encoding, with merges learned so that each word of the world is one token."""

from collections import Counter
from itertools import pairwise

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from shapes.captions import corpus

MAX_LENGTH = 40
END = "</w>"  # CLIP's mark of a word's last piece

Pair = tuple[str, str]


def build() -> CLIPTokenizer:
    """Return the tokenizer; the same on every call."""
    merges = learn([[*word[:-1], word[-1] + END] for word in corpus()])
    letters = sorted(ByteLevel.alphabet())
    pieces = [*letters, *(letter + END for letter in letters), *dict.fromkeys(a + b for a, b in merges)]
    vocabulary = {piece: index for index, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)


def learn(split: list[list[str]]) -> list[Pair]:
    """Return the merges, first to last, that make each word, given in pieces, one piece.

    Written out because the trainer of `tokenizers` breaks ties between pairs differently from run to run.
    """
    merges: list[Pair] = []
    while pairs := Counter(pair for pieces in split for pair in pairwise(pieces)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split = [_merged(pieces, best) for pieces in split]
    return merges


def _merged(pieces: list[str], pair: Pair) -> list[str]:
    result: list[str] = []
    for piece in pieces:
        if result and (result[-1], piece) == pair:
            result[-1] += piece
        else:
            result.append(piece)
    return result
