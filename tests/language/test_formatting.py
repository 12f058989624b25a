"""What holds for every script: a printed tree is read as it was, and the canonical form says the same and is one."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aquatint.diagnostics import render
from aquatint.source import Source
from aquatint.syntax import nodes as n
from aquatint.syntax.formatting import WIDTH, formatted
from aquatint.syntax.parser import parse
from support import scripts, trees
from support.lengths import at_length

FEW, MANY = 100, at_length(20_000, ci=2_000)

Made = tuple[tuple[n.Statement, ...], random.Random]


def examples(count: int) -> settings:
    return settings(
        max_examples=count, deadline=None, derandomize=count == FEW, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip


def read(text: str) -> n.Script:
    """Return the script of `text`, which has no mistakes."""
    parsed = parse(Source("script.aqt", text))
    assert "".join(render(item) for item in parsed.diagnostics) == ""
    return parsed.script


def comments(script: n.Script) -> list[str]:
    return [comment.text.rstrip() for comment in script.comments]


def check_form(text: str) -> None:
    """Hold the canonical form of `text` to what every canonical form must be."""
    script = read(text)
    form = formatted(script)
    again = read(form)
    # By the test's own reading of trees and not by the formatter's.
    assert trees.shape(again.statements) == trees.shape(script.statements)
    assert comments(again) == comments(script)
    assert formatted(again) == form
    assert form == "" or (form.endswith("\n") and not form.endswith("\n\n"))
    strings = {line for item in again.statements for line in item.span.text.split("\n") if '"""' in item.span.text}
    for line in form.split("\n"):
        assert line == line.rstrip() or line in strings or line.endswith("\u2028")


def check_tree(made: Made) -> None:
    tree, draw = made
    expected = trees.shape(tree)
    assert trees.shape(read(trees.Plain().script(tree)).statements) == expected
    text = trees.Noisy(draw).script(tree)
    script = read(text)
    assert trees.shape(script.statements) == expected
    assert len(script.comments) == text.count(trees.COMMENT)
    check_form(text)


def check_text(text: str) -> None:
    if not parse(Source("script.aqt", text)).diagnostics.has_errors:
        check_form(text)


TEXTS = st.one_of(st.text(), scripts.soups(), scripts.mutants())


@given(trees.trees())
@examples(FEW)
def test_trees_are_read_as_they_are_printed(made: Made) -> None:
    check_tree(made)


@given(TEXTS)
@examples(FEW)
def test_the_form_of_a_text_says_the_same(text: str) -> None:
    check_text(text)


@pytest.mark.slow
@given(trees.trees())
@examples(MANY)
def test_trees_are_read_as_they_are_printed_at_length(made: Made) -> None:
    check_tree(made)


@pytest.mark.slow
@given(TEXTS)
@examples(MANY)
def test_the_form_of_a_text_says_the_same_at_length(text: str) -> None:
    check_text(text)


@pytest.mark.parametrize("text", scripts.sources(), ids=range(len(scripts.sources())))
def test_the_form_of_a_real_script_says_the_same(text: str) -> None:
    check_text(text)


def test_the_width_is_exact() -> None:
    fits = "grid { title: " + '"' + "x" * (WIDTH - 18) + '" }\n'
    assert len(fits) == WIDTH + 1
    assert formatted(read(fits)) == fits
    longer = fits.replace("xx", "xxx", 1)
    assert formatted(read(longer)) == longer.replace("{ ", "{\n    ").replace(" }", "\n}")


def test_deep_and_long_scripts_are_formatted() -> None:
    for text in ["print " + "-" * 5000 + "1\n", "print 1" + " + 1" * 5000 + "\n", "print x" + ".a" * 5000 + "\n",
                 "print " + "[" * 98 + "]" * 98 + "\n", "print 1\n" * 5000]:  # fmt: skip
        assert formatted(read(text)) == text
