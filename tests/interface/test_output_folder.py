"""Which names of outputs are one file depends on the folder that outputs are below."""

from pathlib import Path

import pytest

from aquatint.interface.cli import main

SCRIPT = """\
model m {{ source: "builtin:shapes", defaults {{ prompt: "a red circle", seed: 1 }} }}
generate m {{ output: "a.png" }}
generate m {{ output: "{folder}/a.png" }}
"""


def test_two_names_of_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "x.aqt"
    for folder, command in (
        (tmp_path, ["check"]),
        (tmp_path, ["plan"]),
        (f"/{tmp_path}", ["check"]),
        (tmp_path / "out" / "..", ["check"]),
        (tmp_path / "out", ["run", "--output-dir", "out"]),
        (tmp_path / "out", ["run", "--output-dir", f"{tmp_path}/out"]),
    ):
        script.write_text(SCRIPT.format(folder=folder), encoding="utf-8")
        assert main([*command, "x.aqt"]) == 2
        message = f"error[duplicate-output]: `{folder}/a.png` is written by an earlier statement\n"
        assert message in capsys.readouterr().err
    # The same script writes two files where outputs are below another folder.
    assert main(["check", "x.aqt"]) == 0
    assert capsys.readouterr().out == "x.aqt: no mistakes found\n"
