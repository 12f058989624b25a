"""Parsing beyond the cases: texts that are too long to be read in one."""

import random
from pathlib import Path

from aquatint.diagnostics import REPORT_LIMIT, Diagnostics, render
from aquatint.source import Source, Span
from aquatint.syntax.grammar import language, lex
from aquatint.syntax.parser import parse

ROOT = Path(__file__).parents[2]


def test_reading_ends_after_too_many_mistakes() -> None:
    for text in ["grid {\n" + "a b\n" * 5000 + "}\n", "a b\n" * 5000, "for x in xs {\n" + "a b\n" * 5000 + "}\n"]:
        found = list(parse(Source("script.aqt", text + "print 1\n")).diagnostics)
        assert len(found) == REPORT_LIMIT + 1
        assert [item.code for item in found].count("too-many-errors") == 1
        assert "more than 1,000 mistakes: no others are reported" in render(found[-1])


def test_tokens_are_those_of_larks_own_lexer() -> None:
    files = (
        sorted(ROOT.glob("examples/*.aqt")) + sorted(ROOT.glob("tests/**/*.md")) + sorted(ROOT.glob("tests/**/*.aqt"))
    )
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    random_ = random.Random(1)
    letters = "ab1x_. \"'\\\n\r\t#{}[]()=!<>*/%+-,;:2GiB\ufeff\u00e9`"
    texts += ["".join(random_.choices(letters, k=80)) for _ in range(2000)]
    for text in texts:
        expected = [(token.type, token.start_pos, token.end_pos) for token in language().lex(text)]
        assert list(lex(text)) == expected, text


def test_a_comma_between_targets_is_not_taken_for_one_between_settings() -> None:
    # Taken so, reading went on at the same place for ever.
    for text in ["quantizer q { backend: compare sdnq, a: 1, b 2 }", "let x = { a: compare b, c: 1 }",
                 "quantizer q { a: compare b, }"]:  # fmt: skip
        assert 1 <= len(parse(Source("script.aqt", text)).diagnostics) <= 2


def test_a_long_line_is_shown_around_the_mistake() -> None:
    text = "print " + " + ".join(f"name_{number}" for number in range(100_000)) + " + )"
    [found] = parse(Source("script.aqt", text)).diagnostics
    shown = render(found)
    assert len(shown) < 1000
    lines = shown.splitlines()
    assert lines[3][lines[4].index("^")] == ")"


def test_many_warnings_are_no_error_and_hide_none() -> None:
    found = Diagnostics()
    source = Source("script.aqt", "x" * 3000)
    for place in range(REPORT_LIMIT + 500):
        found.warning("unused-name", "never used", Span(source, place, place + 1))
    assert len(found) == REPORT_LIMIT + 1
    assert not found.has_errors
    found.error("unknown-name", "not there", Span(source, 2500, 2501))
    assert found.has_errors
