"""The registry of codes: it has the codes that the program can report, and each entry's examples do what it says.

An entry has a script that is wrong, what the program says of it, and one that is right; or, for what no script can
provoke, commands. `--update-cases` writes what is said anew.
"""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from aquatint.codes import GROUPS, Code, codes
from aquatint.interface.cli import main
from support import cases, pictures
from support.used_codes import used_codes

PACKAGE = Path(__file__).parents[2] / "src" / "aquatint"
CODES = codes()
DESCRIBED = {
    "backend-not-installed", "gated-model", "internal", "missing-revision", "no-engine", "package-does-not-fit",
    "package-not-installed", "too-little-disk", "too-many-errors", "unreachable-address", "unreachable-hub",
    "unreadable", "unwritable-file",
}  # fmt: skip
"""Those without an example that could be run anywhere: what was done for them is told in words."""

_COMMAND = re.compile(r"```console\n\$ aquatint (.*)\n((?:.*\n)*?)```\n")


def entry(code: Code) -> Path:
    return PACKAGE / "codes" / code.group / f"{code.name}.md"


def scripts(code: Code) -> list[cases.Case]:
    return cases.read_cases(entry(code))


WITH_SCRIPTS = [code for code in CODES if scripts(code)]
WITH_COMMANDS = [code for code in CODES if _COMMAND.search(code.text)]


def test_every_code_that_is_reported_is_registered_and_the_other_way_round() -> None:
    used, registered = used_codes(PACKAGE), {code.name for code in CODES}
    missing = {code: places for code, places in used.items() if code not in registered}
    assert missing == {}, "write an entry for each of these in src/aquatint/codes"
    assert registered - set(used) == set(), "nothing reports these"


def test_every_entry_is_in_a_group() -> None:
    assert {file.parent.name for file in (PACKAGE / "codes").rglob("*.md")} == set(GROUPS)
    assert len({code.name for code in CODES}) == len(CODES)


def test_every_entry_has_an_example_or_is_described() -> None:
    with_examples = {code.name for code in (*WITH_SCRIPTS, *WITH_COMMANDS)}
    assert {code.name for code in CODES} - with_examples == DESCRIBED
    assert with_examples & DESCRIBED == set()


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_an_entry_reads_well(code: Code) -> None:
    title, explanation = code.title, code.text.partition("```")[0]
    assert title[0].islower() or title[0] == "`"
    assert not title.endswith(".") and len(title) < 90
    assert len(explanation.split()) > 15
    assert max(map(len, explanation.splitlines())) <= 120


@pytest.mark.parametrize("code", WITH_SCRIPTS, ids=lambda code: code.name)
def test_the_wrong_script_gives_the_code_and_the_right_one_nothing(
    code: Code, models: Path, update_cases: bool
) -> None:
    wrong, right = scripts(code)
    evaluation = cases.evaluate(wrong.script.text, wrong.options, wrong.files)
    assert {(item.severity, item.code) for item in evaluation.diagnostics} == {(code.severities[0], code.name)}
    assert (evaluation.plan is None) == (code.severities[0] == "error") == (wrong.purpose == "error")
    assert cases.errors(cases.evaluate(right.script.text, right.options, right.files)) == ""
    said = cases.errors(evaluation)
    if update_cases:
        cases.update(wrong, {"errors": said})
    else:
        assert [block.text.rstrip() for block in wrong.expected] == [said.rstrip()]


@pytest.mark.parametrize("code", WITH_COMMANDS, ids=lambda code: code.name)
def test_the_command_gives_the_code(
    code: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], update_cases: bool
) -> None:
    (tmp_path / "circle.aqt").write_text("print 1\n", encoding="utf-8")
    (tmp_path / "latin-1.aqt").write_bytes("print 1  # größer\n".encode("latin-1"))
    (tmp_path / "no-plan.json").write_text('{"version": 0}\n', encoding="utf-8")
    pictures.write_pictures(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(found: re.Match[str]) -> str:
        try:
            assert main(shlex.split(found[1])) == 2
        except SystemExit as end:
            assert end.code == 2
        captured = capsys.readouterr()
        assert captured.err.startswith(f"{code.severities[0]}[{code.name}]: ")
        return f"```console\n$ aquatint {found[1]}\n{captured.out}{captured.err.rstrip()}\n```\n"

    before = entry(code).read_text(encoding="utf-8")
    after = _COMMAND.sub(run, before)
    if update_cases:
        entry(code).write_text(after, encoding="utf-8")
    else:
        assert after == before


def test_the_page_is_that_of_the_registry() -> None:
    root = PACKAGE.parents[1]
    spec = importlib.util.spec_from_file_location("page", root / "scripts" / "make_diagnostics_page.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "make docs-update"
