"""`aquatint fmt`: which files it rewrites, and what it writes where."""

from __future__ import annotations

import io
import os
import resource
import sys
from pathlib import Path

import pytest

from aquatint.interface.cli import main

ROOT = Path(__file__).parents[2]
LOOSE, FORM = "print 1;print  2 # two", "print 1\nprint 2  # two\n"
WRONG = "print (1\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fmt(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Return the exit code of `aquatint fmt`, and what it wrote."""
    code = main(["fmt", *arguments])
    return (code, *capsys.readouterr())


def test_files_are_rewritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.aqt").write_text(LOOSE)
    Path("b.aqt").write_text(FORM)
    os.chmod("a.aqt", 0o751)
    os.utime("b.aqt", ns=(5, 5))
    assert fmt(capsys, "a.aqt", "b.aqt") == (0, "a.aqt: formatted\n", "")
    assert Path("a.aqt").read_bytes() == FORM.encode()
    assert Path("a.aqt").stat().st_mode & 0o777 == 0o751
    assert Path("b.aqt").stat().st_mtime_ns == 5
    assert sorted(file.name for file in folder.iterdir()) == ["a.aqt", "b.aqt"]
    assert fmt(capsys, "a.aqt", "b.aqt") == (0, "", "")


def test_a_link_stays_a_link(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.aqt").write_text(LOOSE)
    Path("link.aqt").symlink_to("a.aqt")
    assert fmt(capsys, "link.aqt") == (0, "link.aqt: formatted\n", "")
    assert Path("link.aqt").is_symlink()
    assert Path("a.aqt").read_text() == FORM


def test_line_ends_become_line_feeds_but_not_in_strings(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.aqt").write_bytes(b'\xef\xbb\xbfprint 1 # a\r\n\r\nprint """\r\nx"""\r\n')
    assert fmt(capsys, "a.aqt")[0] == 0
    assert Path("a.aqt").read_bytes() == b'print 1  # a\n\nprint """\r\nx"""\n'


def test_standard_input_goes_to_standard_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments in ([], ["-"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LOOSE.encode())))
        assert fmt(capsys, *arguments) == (0, FORM, "")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LOOSE.encode())))
    assert fmt(capsys, "--check") == (1, "", "<stdin>: not in canonical form\n")


def test_check_and_diff_write_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.aqt").write_text(LOOSE)
    Path("b.aqt").write_text(FORM)
    check = "a.aqt: not in canonical form\n"
    diff = """\
--- a.aqt
+++ a.aqt
@@ -1 +1,2 @@
-print 1;print  2 # two
\\ No newline at end of file
+print 1
+print 2  # two
"""
    assert fmt(capsys, "--check", "a.aqt", "b.aqt") == (1, "", check)
    assert fmt(capsys, "--diff", "a.aqt", "b.aqt") == (0, diff, "")
    assert fmt(capsys, "--diff", "--check", "a.aqt", "b.aqt") == (1, diff, check)
    assert fmt(capsys, "--check", "b.aqt") == (0, "", "")
    assert Path("a.aqt").read_text() == LOOSE


def test_with_a_mistake_no_file_is_changed(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.aqt").write_text(LOOSE)
    Path("b.aqt").write_text(WRONG)
    errors = """\
error[open-bracket]: `(` is never closed
 --> b.aqt:1:7
  |
1 | print (1
  |       ^
  = help: add `)`

1 error; nothing was loaded or written
"""
    for option in ("--check", "--diff", "--"):
        assert fmt(capsys, option, "a.aqt", "b.aqt") == (2, "", errors)
    assert Path("a.aqt").read_text() == LOOSE
    assert Path("b.aqt").read_text() == WRONG


def test_a_file_that_is_not_there_changes_none(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.aqt").write_text(LOOSE)
    code, out, err = fmt(capsys, "a.aqt", "c.aqt")
    assert (code, out) == (2, "")
    assert err.startswith("error[missing-file]: can't read `c.aqt`: no such file or directory\n")
    assert Path("a.aqt").read_text() == LOOSE


def test_what_can_not_be_written_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = LOOSE + "\n" + "print 3\n" * 100
    Path("a.aqt").write_text(text)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        result = fmt(capsys, "a.aqt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result == (2, "", "error[unwritable-file]: can't write `a.aqt`: file too large\n")
    assert Path("a.aqt").read_text() == text
    assert [file.name for file in folder.iterdir()] == ["a.aqt"]


def test_a_form_that_would_say_something_else_is_not_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from aquatint.syntax import formatting

    Path("a.aqt").write_text(LOOSE)
    monkeypatch.setattr(formatting, "_print", lambda atoms: "print 1\n")
    code, out, err = fmt(capsys, "a.aqt")
    assert (code, out) == (1, "")
    assert err.startswith("error[internal]: a bug in aquatint: ")
    assert Path("a.aqt").read_text() == LOOSE


def test_the_examples_are_in_canonical_form(capsys: pytest.CaptureFixture[str]) -> None:
    examples = sorted(map(str, (ROOT / "examples").rglob("*.aqt")))
    assert examples
    assert fmt(capsys, "--check", *examples) == (0, "", "")
