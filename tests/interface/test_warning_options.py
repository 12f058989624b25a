"""`--deny` and `--allow`: which warnings are said, which are errors, and that nothing runs after one."""

from __future__ import annotations

from pathlib import Path

import pytest

from aquatint.interface.cli import main

SCRIPT = 'let a = 1\nfor x in [] { print x }\nprint "it ran"\n'


@pytest.fixture
def script(tmp_path: Path) -> str:
    file = tmp_path / "x.aqt"
    file.write_text(SCRIPT, encoding="utf-8")
    return str(file)


def heads(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("error", "warning"))]


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ([], 0, ["warning[unused-name]: `a` is never used", "warning[empty-loop]: this loop goes over nothing"]),
        (
            ["--deny", "empty-loop"],
            2,
            ["warning[unused-name]: `a` is never used", "error[empty-loop]: this loop goes over nothing"],
        ),
        (
            ["--deny", "warnings"],
            2,
            ["error[unused-name]: `a` is never used", "error[empty-loop]: this loop goes over nothing"],
        ),
        (
            ["--deny", "warnings", "--allow", "unused-name"],
            2,
            ["error[empty-loop]: this loop goes over nothing"],
        ),
        (["--allow", "unused-name", "--allow", "empty-loop"], 0, []),
        (["--allow", "warnings"], 0, []),
        (["--allow", "warnings", "--deny", "empty-loop"], 2, ["error[empty-loop]: this loop goes over nothing"]),
    ],
)
@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_what_is_said(
    script: str, command: str, arguments: list[str], code: int, expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, script, "--device", "cpu", *arguments]) == code
    out, err = capsys.readouterr()
    assert heads(err) == expected
    assert ("it ran" in out) == (command != "check" and code == 0)


def test_an_unknown_code(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", script, "--deny", "unused-nam"]) == 2
    assert capsys.readouterr().err == (
        "error[bad-command-line]: `--deny unused-nam`: there is no such warning\n  help: did you mean `unused-name`?\n"
    )
