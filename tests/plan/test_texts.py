"""Texts with holes: putting them together later gives what putting them together now would have."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from aquatint.plan.steps import Hole, NumberRef, Text, TextRef
from aquatint.plan.texts import OPERATIONS, complete, problem, references, shown, text_of

WORDS = st.text(st.characters(codec="utf-8"), max_size=8)
STRINGS = {TextRef("u1", index): word for index, word in enumerate(["a cat", " Ärger ", "", "{x}"])}
NUMBERS = {NumberRef("c1", "psnr"): 31.25, NumberRef("c1", "ssim", 0): float("inf")}
KNOWN = {**STRINGS, **NUMBERS}
OF_STRINGS = st.sampled_from([["upper"], ["lower"], ["trim"], ["capitalize"], ["replace", "a", "o"]])


def holes(lines: st.SearchStrategy[Text]) -> st.SearchStrategy[Hole]:
    strings = st.sampled_from(sorted(STRINGS, key=str))
    of_strings = st.builds(Hole, strings | lines, st.lists(OF_STRINGS, max_size=2))
    of_numbers = st.builds(Hole, st.sampled_from(sorted(NUMBERS, key=str)))
    return of_strings | of_numbers


LINES = st.recursive(
    st.builds(Text, st.lists(WORDS, max_size=3)),
    lambda lines: st.builds(Text, st.lists(WORDS | holes(lines), max_size=4)),
)


def by_hand(line: str | Text) -> str:
    """Return what `line` is, one operation after the other."""
    if isinstance(line, str):
        return line
    made = ""
    for part in line.parts:
        if isinstance(part, str):
            made += part
            continue
        value = by_hand(part.ref) if isinstance(part.ref, Text) else KNOWN[part.ref]
        for name, *values in part.operations:
            value = OPERATIONS[name][1](value, *values)
        made += repr(value) if isinstance(value, float) else str(value)
    return made


@given(LINES)
def test_completing_a_text_does_what_its_parts_say(line: Text) -> None:
    assert complete(line, KNOWN) == by_hand(line)


@given(st.lists(WORDS | holes(LINES), max_size=5))
def test_a_text_is_its_parts_however_they_are_cut(parts: list[str | Hole]) -> None:
    whole = text_of(parts)
    assert complete(whole, KNOWN) == "".join(complete(text_of([part]), KNOWN) for part in parts)
    assert isinstance(whole, str) == (not any(isinstance(part, Hole) for part in parts))


@given(LINES)
def test_a_text_survives_json_and_knows_what_it_waits_for(line: Text) -> None:
    assert msgspec.json.decode(msgspec.json.encode(line), type=Text) == line
    waited = references(line)
    assert complete(line, {ref: KNOWN[ref] for ref in waited}) == complete(line, KNOWN)


def test_what_is_shown_names_steps_and_operations() -> None:
    inner = Text(["a ", Hole(TextRef("u1", 0))])
    line = Text(
        [Hole(inner, [["upper"]]), ": ", Hole(NumberRef("c2", "psnr"), [["round", 2]]), Hole(NumberRef("c2", "mse", 1))]
    )
    assert shown(line) == "{a {u1[0]} | upper}: {c2.psnr | round(2)}{c2[1].mse}"


def test_operations_are_held_to_their_types() -> None:
    assert problem("upper", False, []) is None
    assert problem("round", True, [2]) is None
    assert problem("round", True, []) is None
    assert problem("upper", True, []) == "`upper` takes a string"
    assert problem("round", False, []) == "`round` takes a number"
    assert problem("replace", False, ["a"]) == "`replace` can't be called like this"
    assert problem("replace", False, ["a", 1]) == "`replace` can't take this"
    assert problem("round", True, [True]) == "`round` can't take this"
    assert problem("round", True, [500]) == "`round` keeps less than 400 digits"
