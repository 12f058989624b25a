"""`aquatint dump`: what the pages of `tests/spec` don't hold, JSON and scripts with mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aquatint.interface.cli import main


def dumped(folder: Path, text: str, *arguments: str) -> int:
    file = folder / "x.aqt"
    file.write_text(text, encoding="utf-8")
    return main(["dump", str(file), *arguments])


def test_tokens_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dumped(tmp_path, "print 1", "--stage", "tokens", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"type": "PRINT", "text": "print", "start": [1, 1], "end": [1, 6]},
        {"type": "INT", "text": "1", "start": [1, 7], "end": [1, 8]},
    ]


def test_the_tree_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dumped(tmp_path, "print -a", "--stage", "ast", "--json") == 0
    reference = {"node": "Reference", "start": [1, 8], "end": [1, 9], "name": "a"}
    minus = {"node": "Unary", "start": [1, 7], "end": [1, 9], "operator": "-", "operand": reference}
    assert json.loads(capsys.readouterr().out) == [{"node": "Show", "start": [1, 1], "end": [1, 9], "values": [minus]}]


def test_the_plan_is_that_of_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dumped(tmp_path, "print 1", "--stage", "plan", "--device", "cpu") == 0
    dump = capsys.readouterr().out
    assert main(["plan", "--json", "--device", "cpu", str(tmp_path / "x.aqt")]) == 0
    assert dump == capsys.readouterr().out


def test_what_can_be_read_of_a_script_with_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dumped(tmp_path, "print 1\nprint (", "--stage", "ast") == 2
    out, err = capsys.readouterr()
    assert out == "Show 1:1-1:8\n  values:\n    Literal 1:7-1:8 value=1\n"
    assert err.startswith("error[open-bracket]: `(` is never closed\n")


def test_a_deep_tree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "print 1" + " + 1" * 5000
    assert dumped(tmp_path, text, "--stage", "ast") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + 4 * 5000 + 1
    assert dumped(tmp_path, text, "--stage", "ast", "--json") == 2
    refusal = json.loads(capsys.readouterr().out)
    assert (refusal["code"], refusal["message"]) == ("too-deep", "the tree is too deep for JSON")
