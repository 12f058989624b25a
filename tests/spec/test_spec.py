"""Every case of the Markdown files here, and every script in the documentation; `support.cases` has their form."""

from pathlib import Path

import pytest

from aquatint.source import Source
from aquatint.syntax.parser import parse
from support import cases

ROOT = Path(__file__).parents[2]
SPEC = [case for file in sorted(Path(__file__).parent.glob("*.md")) for case in cases.read_cases(file)]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DOCS = [case for file in PAGES for case in cases.read_cases(file)]


@pytest.mark.parametrize("case", SPEC, ids=lambda case: case.id)
def test_case(case: cases.Case, models: Path, update_cases: bool) -> None:
    check(case, update_cases)
    assert update_cases or case.expected, "the case expects nothing; --update-cases adds a block"


@pytest.mark.parametrize("case", DOCS, ids=lambda case: case.id)
def test_documentation(case: cases.Case, models: Path, update_cases: bool) -> None:
    if case.purpose == "fragment":
        parsed = parse(Source(case.file.name, case.script.text))
        assert "".join(cases.render_diagnostic(item) + "\n" for item in parsed.diagnostics) == ""
    else:
        check(case, update_cases and bool(case.expected))


@pytest.mark.parametrize("case", DOCS, ids=lambda case: case.id)
def test_documentation_is_in_canonical_form(case: cases.Case, update_cases: bool) -> None:
    text = cases.canonical(case)
    if text is None or case.purpose == "loose":
        return
    if update_cases:
        cases.rewrite(case, text)
    elif text != case.script.text:
        pytest.fail(cases.difference(text, case.script.text), pytrace=False)


def check(case: cases.Case, update: bool) -> None:
    """Hold a case's script to what follows it, or write that anew."""
    evaluation = cases.evaluate(case.script.text, case.options, case.files)
    kinds = [block.kind for block in case.expected] or ["errors" if len(evaluation.diagnostics) else "plan"]
    outputs = {kind: cases.output(case, kind, evaluation) for kind in kinds}
    if update:
        cases.update(case, outputs)
        return
    if case.purpose == "error":
        assert evaluation.plan is None, "it plans without errors"
    elif all(block.kind not in ("errors", "tokens", "ast", "format") for block in case.expected):
        assert cases.errors(evaluation) == ""
    for block in case.expected:
        if not cases.same(outputs[block.kind], block.text):
            pytest.fail(cases.difference(outputs[block.kind], block.text), pytrace=False)
