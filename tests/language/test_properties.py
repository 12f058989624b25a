"""What holds for every text: parsing and evaluation end and never raise, and what comes out is sound."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aquatint.diagnostics import render
from aquatint.plan.render import render as render_plan
from aquatint.plan.steps import Plan, plan_from_json, plan_to_json
from aquatint.plan.validate import validate
from aquatint.source import Source
from aquatint.syntax.parser import Parse, parse
from support import cases, scripts
from support.lengths import at_length

# One test draws these with few examples; the same body is run longer under the mark `slow`.
FEW, MANY = 400, at_length(20_000, ci=3_000)
TURN_SECONDS = 20

options = cases.options_of("")


def examples(count: int) -> settings:
    return settings(
        max_examples=count, deadline=None, derandomize=count == FEW, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )  # fmt: skip


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Fail what takes longer than `seconds`."""

    def stop(*_: object) -> None:
        raise AssertionError(f"still busy after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check_parse(text: str) -> Parse:
    """Hold the parse of `text` to what every parse must be."""
    source = Source("script.aqt", text)
    with time_limit(TURN_SECONDS):
        parsed = parse(source)
    for item in parsed.diagnostics:
        assert item.span is not None and 0 <= item.span.start <= item.span.end <= len(text), item
        check_words(render(item))
    return parsed


def check_words(text: str) -> None:
    """Fail a message that speaks of what the program is made of."""
    for word in (
        "NoneType",
        "Traceback",
        "jinja",
        "Jinja",
        "lark",
        "UNKNOWN",
        "<class",
        "object at 0x",
        " dict",
        "tuple",
    ):
        assert word not in text, text


def check_evaluation(text: str) -> Plan | None:
    """Hold the evaluation of `text` to what every evaluation must be; return the plan."""
    with time_limit(TURN_SECONDS):
        evaluation = cases.evaluate(text, options)
    for item in evaluation.diagnostics:
        check_words(render(item))
    places = [(item.code, item.span.start, item.span.end) for item in evaluation.diagnostics if item.span]
    assert len(places) == len(set(places))
    assert (evaluation.plan is None) == evaluation.diagnostics.has_errors
    if evaluation.plan is not None:
        plan = evaluation.plan
        validate(plan)
        body = plan_to_json(plan)
        assert plan_from_json(body) == plan
        assert plan_to_json(plan_from_json(body)) == body
        render_plan(plan).encode()
    return evaluation.plan


TEXTS = st.one_of(st.text(), scripts.soups(), scripts.mutants())


@given(TEXTS)
@examples(FEW)
def test_parsing_never_raises(text: str) -> None:
    check_parse(text)


@given(scripts.mutants())
@examples(FEW)
def test_evaluation_of_mutants_never_raises(models: Path, text: str) -> None:
    check_evaluation(text)


@given(scripts.scripts())
@examples(FEW)
def test_evaluation_of_made_scripts_never_raises(models: Path, text: str) -> None:
    assert not [item for item in check_parse(text).diagnostics if item.code == "syntax"]
    check_evaluation(text)


@given(scripts.expressions())
@examples(FEW)
def test_evaluation_of_expressions_never_raises(models: Path, text: str) -> None:
    check_evaluation(scripts.PREAMBLE + f"print {text}\n")


@pytest.mark.slow
@given(TEXTS)
@examples(MANY)
def test_parsing_never_raises_at_length(text: str) -> None:
    check_parse(text)


@pytest.mark.slow
@given(st.one_of(scripts.mutants(), scripts.scripts(), scripts.expressions().map("print {}".format)))
@examples(MANY)
def test_evaluation_never_raises_at_length(models: Path, text: str) -> None:
    check_evaluation(text)


@pytest.mark.parametrize("text", scripts.sources(), ids=range(len(scripts.sources())))
def test_every_cut_of_a_script_parses(text: str) -> None:
    # What the REPL does at every key.
    for end in range(0, len(text), max(1, len(text) // 40)):
        check_parse(text[:end])


def test_recursion_limits_hold() -> None:
    assert sys.getrecursionlimit() <= 5000
    for text in ["-" * 5000 + "1", "not " * 5000 + "1", "1" + " + 1" * 5000, "x" + ".a" * 5000, "2 ** " * 5000 + "2",
                 "x" + "[0]" * 5000, "1 if 1 else " * 5000 + "1", "f" + "()" * 5000]:  # fmt: skip
        check_parse(f"print {text}")
        check_evaluation(f"print {text}")
