"""The tokenizer is the same every time, and knows each word of the world as one token."""

from shapes import captions, tokenizer


def test_each_word_is_one_token() -> None:
    built = tokenizer.build()
    assert {word: pieces for word in captions.corpus() if len(pieces := built.tokenize(word)) != 1} == {}


def test_merges_depend_on_the_words_alone() -> None:
    words = [["r", "e", "d</w>"], ["g", "r", "e", "e", "n</w>"], ["g", "r", "e", "y</w>"]]
    expected = [("r", "e"), ("g", "re"), ("e", "n</w>"), ("gre", "en</w>"), ("gre", "y</w>"), ("re", "d</w>")]
    assert tokenizer.learn(words) == expected
    assert tokenizer.learn(words[::-1]) == expected
