"""How mistakes are shown: summary, colours, other files' places, JSON; and what `explain` writes."""

import contextlib
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aquatint.codes import codes
from aquatint.diagnostics import Diagnostic, Diagnostics, Label, Severity, render
from aquatint.interface.cli import main
from aquatint.interface.colour import chosen_by, colours, live_console
from aquatint.interface.report import as_json, write_diagnostics
from aquatint.source import Source, Span

OUTER = Source("main.aqt", 'let a = 1\ninclude "part.aqt"\n')
INNER = Source("parts/part.aqt", "\n" * 11 + "let b = a + x\n")
BOTH = Diagnostic(
    "unknown-name", "there is no `x` here", Span(INNER, 23, 24), "did you mean `a`?",
    (Label(Span(OUTER, 10, 28), "included here"),),
)  # fmt: skip


def run(folder: Path, *arguments: str, **environment: str) -> str:
    """Return what a terminal shows of a command."""
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    process = subprocess.Popen(
        [sys.executable, "-m", "aquatint", *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=theirs,
        stderr=theirs, env=kept | {"TERM": "xterm-256color", "COLUMNS": "80"} | environment,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    # Linux ends the reading of a terminal that nobody writes to any more with an error, others with nothing.
    while part := _read(ours):
        shown += part
    os.close(ours)
    process.wait()
    return shown.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    (tmp_path / "x.aqt").write_text("let name = 1\nprint nme\n", encoding="utf-8")
    return tmp_path


def test_a_terminal_is_coloured_and_says_where_to_read_more(broken: Path) -> None:
    assert run(broken, "check", "x.aqt") == (
        "\x1b[1;31merror[unknown-name]\x1b[0m\x1b[1m: there is no `nme` here\x1b[0m\n"
        "\x1b[2m --> x.aqt:2:7\x1b[0m\n"
        "\x1b[2m  |\x1b[0m\n"
        "\x1b[2m2 | \x1b[0mprint nme\n"
        "\x1b[2m  | \x1b[0m\x1b[1;31m      ^^^\x1b[0m\n"
        "\x1b[36m  = help: did you mean `name`?\x1b[0m\n"
        "\n"
        "1 error; nothing was loaded or written\n"
        "for more: aquatint explain unknown-name\n"
    )


@pytest.mark.parametrize("off", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_a_terminal_without_colours(broken: Path, off: dict[str, str]) -> None:
    shown = run(broken, "check", "x.aqt", **off)
    assert shown.startswith("error[unknown-name]: there is no `nme` here\n --> x.aqt:2:7\n")
    assert "\x1b" not in shown + run(broken, "explain", "unknown-name", **off)


def test_which_streams_are_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    assert not colours(io.StringIO())
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert colours(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "")
    assert colours(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours(io.StringIO())


@pytest.mark.parametrize("command", [["check", "x.aqt"], ["plan", "x.aqt"], ["run", "x.aqt"], ["x.aqt"],
                                     ["explain", "unknown-name"], ["plan"], ["check", "y.aqt"], ["fmt", "-x"]],
                         ids=" ".join)  # fmt: skip
def test_the_command_line_decides_about_colours(
    broken: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(broken)

    def shown(*words: str) -> str:
        with contextlib.suppress(SystemExit):
            main(words)
        out, err = capsys.readouterr()
        return out + err

    for always, never in (("NO_COLOR", "FORCE_COLOR"), ("FORCE_COLOR", "NO_COLOR")):
        monkeypatch.setenv(always, "1")
        monkeypatch.delenv(never, raising=False)
        for words in ("--color", "always"), ("--color=always",), ("--color", "never", "--color", "always"):
            assert "\x1b[" in shown(*words, *command)
            assert "\x1b[" in shown(*command, *words)
        for words in ("--color", "never"), ("--color=never",), ("--color", "always", "--color", "never"):
            assert "\x1b[" not in shown(*words, *command)
            assert "\x1b[" not in shown(*command, *words)
        assert ("\x1b[" in shown("--color", "auto", *command)) == (always == "FORCE_COLOR")
    assert "argument --color: invalid choice: 'blue'" in shown("--color", "blue", *command)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("command", [["--version"], ["--help"], ["check", "sound.aqt"], ["explain"]])
def test_a_full_disk_for_the_output_is_no_bug(broken: Path, command: list[str]) -> None:
    (broken / "sound.aqt").write_text("print 1\n", encoding="utf-8")
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run([sys.executable, "-m", "aquatint", *command], cwd=broken, stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
    message = (
        "error[unwritable-file]: can't write the output: no space left for it\n  help: make room, and run it again\n"
    )
    assert (done.returncode, done.stderr) == (1, message)


def test_progress_has_the_colours_that_reports_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for choice, off in {"always": False, "never": True, "auto": True}.items():
        with chosen_by(["run", "--color", choice]):
            assert live_console(io.StringIO()).no_color == off


def test_each_place_shows_its_own_file_and_line() -> None:
    assert render(BOTH) == (
        "error[unknown-name]: there is no `x` here\n"
        "  --> parts/part.aqt:12:13\n"
        "   |\n"
        "12 | let b = a + x\n"
        "   |             ^\n"
        "  ::: main.aqt:2:1\n"
        "   |\n"
        ' 2 | include "part.aqt"\n'
        "   | ^^^^^^^^^^^^^^^^^^ included here\n"
        "   = help: did you mean `a`?"
    )


def test_carets_stand_below_what_they_mark() -> None:
    source = Source("x", "print '\N{CJK UNIFIED IDEOGRAPH-732B}e\N{COMBINING ACUTE ACCENT}', nme")
    assert render(Diagnostic("x", "y", Span(source, 13, 16))).splitlines()[-1] == "  | " + " " * 13 + "^^^"
    assert render(Diagnostic("x", "y", Span(source, 6, 11))).splitlines()[-1] == "  | " + " " * 6 + "^^^^^"


def test_mistakes_are_in_order_file_by_file() -> None:
    found = Diagnostics()
    for source, start in ((OUTER, 5), (INNER, 23), (OUTER, 0), (INNER, 3)):
        found.error(f"at-{start}", "x", Span(source, start, start + 1))
    found.error("nowhere", "x")
    assert [item.code for item in found] == ["nowhere", "at-0", "at-5", "at-3", "at-23"]


def summary(*severities: Severity) -> str:
    stream = io.StringIO()
    write_diagnostics([Diagnostic("x", "y", severity=each) for each in severities], stream)
    return stream.getvalue().rpartition("\n\n")[2]


def test_the_summary_counts_errors_and_warnings() -> None:
    assert summary() == ""
    assert summary("warning") == "1 warning\n"
    assert summary("error") == "1 error; nothing was loaded or written\n"
    assert summary("error", "warning", "error") == "2 errors, 1 warning; nothing was loaded or written\n"


def test_json_has_every_place() -> None:
    assert as_json(BOTH) == {
        "version": 1, "severity": "error", "code": "unknown-name", "message": "there is no `x` here",
        "file": "parts/part.aqt", "line": 12, "column": 13, "end_line": 12, "end_column": 14, "label": None,
        "help": "did you mean `a`?",
        "labels": [
            {"text": "included here", "file": "main.aqt", "line": 2, "column": 1, "end_line": 2, "end_column": 19}
        ],
        "explain": "aquatint explain unknown-name",
    }  # fmt: skip


def test_columns_are_code_points() -> None:
    source = Source("x", "print '\N{GRINNING FACE}', nme")
    place = as_json(Diagnostic("x", "y", Span(source, 11, 14)))
    assert (place["column"], place["end_column"]) == (12, 15)


def told(folder: Path, *arguments: str, stdin: bytes = b"") -> tuple[int, list[dict[str, Any]], str]:
    """Return the exit code of a command, the lines of JSON that it writes, and what it writes to the error stream."""
    done = subprocess.run(
        [sys.executable, "-m", "aquatint", *arguments, "--json"], cwd=folder, input=stdin, capture_output=True
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


def test_check_as_json_of_standard_input(tmp_path: Path) -> None:
    code, (mistake, end), err = told(tmp_path, "check", "-", stdin=b"print nme\n")
    assert (code, err) == (2, "")
    assert (mistake["event"], mistake["file"], mistake["code"]) == ("diagnostic", "<stdin>", "unknown-name")
    assert end == {"event": "checked", "version": 1, "file": "<stdin>", "errors": 1, "warnings": 0}


def test_warnings_beside_a_plan_are_json_on_the_error_stream(tmp_path: Path) -> None:
    script = b'model m { source: "builtin:shapes", offload: "model" }\ngenerate m { prompt: "x", seed: 1 }\n'
    (tmp_path / "x.aqt").write_bytes(script)
    done = subprocess.run(
        [sys.executable, "-m", "aquatint", "plan", "x.aqt", "--device", "cpu", "--json"], cwd=tmp_path,
        capture_output=True,
    )  # fmt: skip
    assert (done.returncode, json.loads(done.stdout)["version"]) == (0, 3)
    (warning,) = map(json.loads, done.stderr.splitlines())
    assert (warning["severity"], warning["code"]) == ("warning", "nothing-to-offload")
    code, lines, err = told(tmp_path, "check", "x.aqt", "--device", "cpu")
    assert (code, [line["event"] for line in lines], err) == (0, ["diagnostic", "checked"], "")
    assert (lines[1]["errors"], lines[1]["warnings"]) == (0, 1)


def test_a_file_that_is_not_there_as_json(tmp_path: Path) -> None:
    code, lines, err = told(tmp_path, "check", "none.aqt")
    assert (code, err) == (2, "")
    assert [(line["event"], line["code"], line.get("file")) for line in lines] == [("diagnostic", "missing-file", None)]


def test_explain_lists_every_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    listed = capsys.readouterr().out
    assert [code.name for code in codes() if f"  {code.name} " not in listed] == []
    assert listed.startswith("Text\n  bad-escape ")


def test_explain_writes_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "error[division-by-zero]:"]) == 0
    assert (
        capsys.readouterr().out
        == """\
error[division-by-zero]: a division by zero

The right side of `/`, `//` or `%` is 0, which has no result. `a / b if b else 0` divides only where it can:
of a conditional only the chosen side is evaluated.

    let images = 0
    print 100 / images

    error[division-by-zero]: division by zero
     --> script.aqt:2:13
      |
    2 | print 100 / images
      |             ^^^^^^

Instead:

    let images = 0
    print 100 / images if images else "no images"

"""
    )


def test_explain_on_a_terminal_has_colours(tmp_path: Path) -> None:
    shown = run(tmp_path, "explain", "division-by-zero")
    assert shown.startswith("\x1b[1;31merror[division-by-zero]\x1b[0m\x1b[1m: a division by zero\x1b[0m\n")
    assert "\x1b[36m    print 100 / images\x1b[0m\n" in shown


def test_the_session_explains_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = iter([":help not-a-lst", ":help not-a-list", ":quit"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    assert main(["repl", "--device", "cpu"]) == 0
    captured = capsys.readouterr()
    assert "error[not-a-list]: a loop through something that is no list\n" in captured.out
    assert (
        captured.err == "error[bad-command-line]: there is no help on `not-a-lst`\n  help: did you mean `not-a-list`?\n"
    )
