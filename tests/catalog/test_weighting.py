"""The weighting syntaxes: what prompts come to, and that no text is too odd to be read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aquatint.catalog import a1111, compel
from aquatint.catalog.weighting import DEEPEST, Reading
from support.lengths import at_length

A1111 = {
    "": [[]],
    "a cat": [[("a cat", 1)]],
    "a (cat) [dog] ((x))": [[("a ", 1), ("cat", 1.1), (" ", 1), ("dog", 0.909), (" ", 1), ("x", 1.21)]],
    "(a (b:1.2) c:1.5)": [[("a ", 1.5), ("b", 1.8), (" c", 1.5)]],
    "([a])": [[("a", 1)]],
    "(a [b] c:1.2)": [[("a ", 1.2), ("b", 1.091), (" c", 1.2)]],
    "(a : -.5 )": [[("a ", -0.5)]],
    "(a: b:1.1)": [[("a: b", 1.1)]],
    r"\(a\) \[b\] \\ \c (\(:1.3)": [[(r"(a) [b] \ \c ", 1), ("(", 1.3)]],
    "a BREAK b BREAK": [[("a", 1)], [("b", 1)], []],
    "(a BREAK b:1.2) BREAKING": [[("a", 1.2)], [("b", 1.2), (" BREAKING", 1)]],
    "a) b] (c [d": [[("a) b] ", 1), ("c ", 1.1), ("d", 1)]],
}
COMPEL = {
    "": [("", 1)],
    "a cat, well-known - b": [("a cat, well-known - b", 1)],
    "a cat++ dog": [("a", 1), ("cat", 1.21), ("dog", 1)],
    "cat--, b+!": [("cat", 0.81), (",", 1), ("b", 1.1), ("!", 1)],
    "(two words)1.3 x": [("two words", 1.3), ("x", 1)],
    "(a (b)1.2 c)++": [("a", 1.21), ("b", 1.452), ("c", 1.21)],
    "(a). (b)2.": [("a .", 1), ("b", 2), (".", 1)],
    '"two words"++ "x" "y': [("two words", 1.21), ('x " y', 1)],
    r"\(cat\)+ \"x\"": [("(cat)", 1.1), ('"x"', 1)],
    "+ a+b ++": [("+ a+b ++", 1)],
    "((a))": [("a", 1)],
}


def rounded(reading: Reading) -> list[list[tuple[str, float]]]:
    return [[(each.text, round(each.weight, 3)) for each in part] for part in reading.parts]


@pytest.mark.parametrize("prompt", A1111)
def test_a1111(prompt: str) -> None:
    reading = a1111.read(prompt)
    assert (rounded(reading), reading.mistakes) == (A1111[prompt], ())


@pytest.mark.parametrize("prompt", COMPEL)
def test_compel(prompt: str) -> None:
    reading = compel.read(prompt)
    assert (rounded(reading), reading.mistakes) == ([COMPEL[prompt]], ())


TEXTS = st.text('()[]\\":.+-1aB ,|\n', max_size=60) | st.lists(
    st.sampled_from(["(", ")", "[", "]", "BREAK", ":1.2)", "++", "word", '"', "\\", " ", ".and(", ":x)", "<lora:a:1>"])
).map("".join)


@given(TEXTS)
@settings(max_examples=at_length(400, 200), deadline=None)
def test_every_text_is_read_and_mistakes_are_inside_of_it(prompt: str) -> None:
    for syntax in (a1111, compel):
        for mistake in syntax.read(prompt).mistakes:
            assert 0 <= mistake.offset < mistake.offset + mistake.length <= len(prompt)


@given(st.text(st.characters(blacklist_characters='()[]\\"+-<'), max_size=40).filter(lambda t: "BREAK" not in t))
@settings(max_examples=at_length(200, 100), deadline=None)
def test_a_text_without_signs_is_itself(prompt: str) -> None:
    expected = [[(prompt, 1.0)]] if prompt else [[]]
    assert rounded(compel.read(prompt)) == [[(prompt, 1.0)]]
    if "AND" not in prompt:
        assert rounded(a1111.read(prompt)) == expected


@pytest.mark.parametrize("bracket", ["(", "["])
def test_brackets_end_somewhere(bracket: str) -> None:
    deepest = bracket * DEEPEST + "a"
    assert a1111.read(deepest).mistakes == ()
    [wrong] = a1111.read(bracket + deepest).mistakes
    assert (wrong.offset, wrong.message) == (DEEPEST, "brackets are more than 100 deep")
    assert len(a1111.read(bracket * 50_000).mistakes) == 1


def test_long_prompts_take_no_time_to_speak_of() -> None:
    for prompt in (
        "a+" * 50_000,
        "(" * 50_000,
        '"' * 50_000,
        "(a)" * 30_000,
        "a:" * 50_000,
        "1." * 50_000,
        "\\" * 90_000,
    ):
        a1111.read(prompt)
        compel.read(prompt)
