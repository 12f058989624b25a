"""`expand`: what holds for every text with choices in it. Its cases are in `tests/spec/expand.md`."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aquatint.diagnostics import Diagnostics
from aquatint.language.evaluate import Interpreter
from aquatint.language.expanding import EXPAND, ExpansionMistakes
from aquatint.language.outside import Outside
from aquatint.language.patterns import parse_line, parse_pattern
from aquatint.language.world import World
from aquatint.plan.steps import Plan, Print
from aquatint.plan.texts import shown
from aquatint.source import Source
from aquatint.syntax.parser import parse

few = settings(max_examples=100, deadline=None, derandomize=True, database=None)

PIECES = [
    "{",
    "}",
    "|",
    "__",
    "__a__",
    "__b/*__",
    "$$",
    "2$$",
    "1-2$$",
    "-$$",
    "3::",
    "::",
    "\\",
    "\\{",
    "${",
    "_",
    "a",
    " ",
    "é",
]
texts = st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.text(max_size=40)


def expand(text: str, wildcards: Any = None, **named: Any) -> tuple[str, ...]:
    """Return what `expand` makes of `text`, with seed 77 where the plan would draw one."""
    found: tuple[str, ...] = EXPAND.call(Outside(World()), "", lambda: 77, text, wildcards or {}, **named)
    return found


@few
@given(texts)
def test_no_text_breaks_the_reading(text: str) -> None:
    for _, problems in (parse_pattern(text), parse_line(text)):
        for problem in problems:
            assert 0 <= problem.offset <= problem.offset + problem.length <= len(text), problem


@few
@given(texts, st.lists(texts, max_size=3), st.none() | st.integers(1, 5))
def test_every_text_is_expanded_or_has_mistakes_in_it(text: str, lines: list[str], count: int | None) -> None:
    wildcards = {"a": tuple(lines), "b": {"x": ("y", text)}}
    try:
        made = expand(text, wildcards, count=count)
    except ExpansionMistakes as problem:
        assert problem.mistakes
        assert all(0 <= each.offset <= each.offset + each.length <= len(text) for each in problem.mistakes)
        return
    assert made
    assert len(made) == len(set(made)) if count is None else len(made) == count


WORDS = st.text("abc", min_size=1, max_size=2)
choices = st.lists(WORDS, min_size=1, max_size=4, unique=True)


@few
@given(st.lists(choices, max_size=4))
def test_all_texts_are_the_product_of_the_options_in_order(groups: list[list[str]]) -> None:
    made = expand(";".join("{" + "|".join(group) + "}" for group in groups))
    assert len(made) == math.prod(map(len, groups))
    expected = [""]
    for number, group in enumerate(groups):
        expected = [text + (";" if number else "") + option for text in expected for option in group]
    assert list(made) == expected


@few
@given(choices, st.integers(0, 4), st.integers(0, 4))
def test_a_choice_of_several_has_each_set_once_in_the_written_order(options: list[str], low: int, high: int) -> None:
    least, most = sorted((min(low, len(options)), min(high, len(options))))
    made = expand(f"{{{least}-{most}$$+$${'|'.join(options)}}}")
    assert len(made) == sum(math.comb(len(options), count) for count in range(least, most + 1))
    sets = [text.split("+") if text else [] for text in made]
    assert all(least <= len(each) <= most and each == sorted(each, key=options.index) for each in sets)
    assert len({frozenset(each) for each in sets}) == len(sets)


@st.composite
def patterns(draw: st.DrawFn, depth: int = 2) -> str:
    """A text without mistakes."""
    parts = []
    for _ in range(draw(st.integers(0, 2))):
        options = draw(st.lists(patterns(depth - 1) if depth else WORDS, min_size=1, max_size=3))
        several = draw(st.sampled_from(["", "1-2$$", "-$$ and $$", "0-1$$", "__w__|", "2::"]))
        parts += [draw(WORDS), "{" + several + "|".join(options) + "}"]
    return "".join(parts)


@settings(few, max_examples=50)
@given(patterns(), st.integers(0, 2**40))
def test_what_is_drawn_is_one_of_all_and_a_longer_list_begins_like_a_shorter(text: str, seed: int) -> None:
    wildcards = {"w": ("x", "3::{y|z}")}
    drawn = expand(text, wildcards, count=8, seed=seed)
    assert expand(text, wildcards, count=3, seed=seed) == drawn[:3]
    try:
        every = expand(text, wildcards)
    except ExpansionMistakes:  # too many of them
        return
    assert set(drawn) <= set(every)


@few
@given(choices, choices, choices, st.integers(0, 2**40))
def test_a_choice_draws_for_itself(first: list[str], other: list[str], last: list[str], seed: int) -> None:
    ends = [
        [text.rpartition(";")[2] for text in expand(f"{{{'|'.join(some)}}};{{{'|'.join(last)}}}", count=5, seed=seed)]
        for some in (first, other)
    ]
    assert ends[0] == ends[1]


def test_draws_follow_the_weights() -> None:
    counts = Counter(expand("{6::a|3::b|1::c}", count=10_000, seed=3))
    assert {text: round(count / 1000) for text, count in counts.items()} == {"a": 6, "b": 3, "c": 1}
    # Of two in a row, as sequential draws without putting back give it: 1 - P(a first or second).
    pairs = Counter(expand("{2$$6::a|3::b|1::c}", count=10_000, seed=3))
    without_a = 0.3 * 0.1 / 0.7 + 0.1 * 0.3 / 0.9
    assert pairs["b, c"] / 10_000 == pytest.approx(without_a, abs=0.01)


def test_a_choice_of_several_ends_where_one_option_nearly_always_wins() -> None:
    assert set(expand("{3$$999999999::a|0.000000001::b|0.000000001::c}", count=20, seed=1)) == {"a, b, c"}


def planned(text: str) -> Plan:
    parsed = parse(Source("x.aqt", text))
    evaluation = Interpreter(World()).evaluate(parsed.script, parsed.diagnostics)
    assert evaluation.plan is not None, list(evaluation.diagnostics)
    return evaluation.plan


def printed(text: str) -> list[str]:
    return [shown(step.text) for step in planned(text).steps if isinstance(step, Print)]


def test_every_call_and_turn_draws_for_itself_whatever_the_layout_and_the_strings_around() -> None:
    script = 'for i in 1..2 { print expand("{1-99$$__n__}", { n: [str(n) for n in 1..99] }, count=2) }\n'
    once = printed(script)
    assert len(set(once)) == 2
    assert printed('# a comment\nprint "{{ [1, 2] | random }}"\n' + script)[1:] == once


def test_a_call_is_no_place_that_draws_beside_it() -> None:
    drawing = 'let names = ["a", "b"]\nprint "{{ range(100000) | random }}"'
    assert printed(drawing) == printed(drawing.replace("print", "let more = expand(names[0], count=1)\nprint"))


def test_files_of_wildcards_are_inputs_of_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words" / "far").mkdir(parents=True)
    (tmp_path / "words" / "a.txt").write_text("x\n")
    (tmp_path / "words" / "far" / "b.txt").write_text("\ufeff# c\r\ny\r\n", encoding="utf-8", newline="")
    plan = planned('print expand("__a__ __far/*__", "words")')
    assert [shown(step.text) for step in plan.steps if isinstance(step, Print)] == ['["x y"]']
    assert sorted(name for name in plan.inputs if "words" in name) == [
        "file words/a.txt", "file words/far/b.txt", "glob words/far/*.txt",
    ]  # fmt: skip


def test_a_file_that_is_too_large_for_a_wildcard(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 1_000_001)
    with pytest.raises(ExpansionMistakes) as problem:
        expand("b __a__", str(tmp_path))
    assert [(each.code, each.offset, each.length) for each in problem.value.mistakes] == [("too-large", 2, 5)]


def test_a_chain_of_wildcards_may_be_as_deep_as_choices_are() -> None:
    def chain(length: int) -> dict[str, tuple[str, ...]]:
        return {f"w{n}": (f"__w{n + 1}__",) for n in range(length)} | {f"w{length}": ("end",)}

    assert expand("__w0__", chain(40)) == ("end",)
    for length in (60, 5_000):
        with pytest.raises(ExpansionMistakes) as problem:
            expand("__w0__", chain(length))
        assert {each.code for each in problem.value.mistakes} == {"bad-expansion"}


def test_wildcards_that_multiply_come_to_an_end() -> None:
    wildcards = {f"w{n}": (f"__w{n + 1}____w{n + 1}__",) for n in range(40)} | {"w40": ("{|}",)}
    assert expand("__w0__", wildcards) == ("",)
    with pytest.raises(ExpansionMistakes) as problem:
        expand("__w0__", wildcards, count=1)
    assert [each.code for each in problem.value.mistakes] == ["too-large"]


def test_a_script_that_expands_without_end_is_stopped() -> None:
    text = 'for i in 1..100000 { let x = expand("{a|b}{a|b}{a|b}{a|b}{a|b}{a|b}{a|b}{a|b}{a|b}{a|b}{a|b}{a|b}") }'
    parsed = parse(Source("x.aqt", text))
    evaluation = Interpreter(World()).evaluate(parsed.script, Diagnostics())
    assert [each.code for each in evaluation.diagnostics] == ["too-large"]
