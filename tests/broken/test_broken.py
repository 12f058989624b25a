"""Scripts with mistakes, each beside what the program says of it; `--update-cases` writes that anew.

A first line `# with: --set NAME=VALUE` gives options of the command line.
"""

from pathlib import Path

import pytest

from support import cases

SCRIPTS = sorted(Path(__file__).parent.glob("*.aqt"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_broken(script: Path, models: Path, update_cases: bool) -> None:
    text = script.read_text(encoding="utf-8")
    first = text.partition("\n")[0]
    options = cases.options_of(first.partition("# with:")[2] + f" --name {script.name}")
    actual = cases.errors(cases.evaluate(text, options))
    beside = script.with_suffix(".txt")
    if update_cases:
        beside.write_text(actual, encoding="utf-8")
        return
    expected = beside.read_text(encoding="utf-8") if beside.is_file() else ""
    assert actual, "it has no mistakes"
    if actual != expected:
        pytest.fail(cases.difference(actual, expected), pytrace=False)
