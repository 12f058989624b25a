"""Parsing beyond the cases: texts that are too long to be read in one."""

from aquatint.diagnostics import render
from aquatint.source import Source
from aquatint.syntax.parser import REPORT_LIMIT, parse


def test_reading_ends_after_too_many_mistakes() -> None:
    for text in ["grid {\n" + "a b\n" * 5000 + "}\n", "a b\n" * 5000, "for x in xs {\n" + "a b\n" * 5000 + "}\n"]:
        found = list(parse(Source("script.aqt", text + "print 1\n")).diagnostics)
        assert len(found) == REPORT_LIMIT + 1
        assert [item.code for item in found].count("too-many-errors") == 1
        assert "more than 1,000 mistakes: nothing is read from here on" in render(found[-1])
