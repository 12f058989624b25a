"""Parameters and the device on the command line: `--params`, `aquatint params`, `--device-memory`."""

import io
import json
import sys
from pathlib import Path

import pytest

from aquatint.interface.cli import main
from aquatint.interface.device import hardware

MALFORMED = "error[malformed-file]: can't make a value of"

SCRIPT = """\
#!/usr/bin/env aquatint
# Not about a parameter.

# What is drawn,
# in a few words.
param subject: string
param steps = 20   # of denoising
param file: path = "a.txt"
print subject, steps, file
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the script `x.aqt`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.aqt").write_text(SCRIPT)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    """Return what a command writes, which must end with `code`."""
    assert main(arguments) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    plan = json.loads(said(capsys, 0, "plan", "--json", "--device", "cpu", *arguments))
    return [step["text"] for step in plan["steps"]]


def given(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_later_files_win_and_set_wins_over_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "jobs").mkdir()
    (folder / "jobs" / "a.yaml").write_text("subject: a cat\nsteps: 3\nfile: b.txt\n")
    (folder / "b.json").write_text('{"steps": 4}')
    (folder / "c.toml").write_text('subject = "a dog"\n')
    files = ["--params", "jobs/a.yaml", "--params", "b.json", "--params", "c.toml"]
    assert printed(capsys, *files, "x.aqt") == [f"a dog 4 {folder}/jobs/b.txt"]
    assert printed(capsys, *files, "x.aqt", "--set", "steps=5") == [f"a dog 5 {folder}/jobs/b.txt"]


def test_standard_input(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, '{"subject": "a cat"}')
    assert printed(capsys, "x.aqt", "--params", "-") == ["a cat 20 a.txt"]
    refusal = (
        "error[bad-command-line]: `--params -` can't read standard input too\n"
        "  help: name a file for the parameters, or for the script\n"
    )
    given(monkeypatch, "print 1")
    assert said(capsys, 2, "plan", "-", "--params", "-") == refusal
    assert said(capsys, 2, "plan", "x.aqt", "--params", "-", "--no-stdin") == refusal
    assert said(capsys, 2, "plan", "x.aqt", "--params", "-", "--params", "-") == refusal


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "a: b: c",
         f"{MALFORMED} `a.yaml`: a `:` can't stand here: put the text around it in quotes (a.yaml:1:5)\n"),
        ("a.json", "[1", f"{MALFORMED} `a.json`: a comma or a closing bracket is missing here (a.json:1:3)\n"),
        ("a.toml", "a = 1\nb\n", f"{MALFORMED} `a.toml`: this is no TOML (a.toml:2:2)\n"),
        ("a.toml", "a = nan", f"{MALFORMED} `a.toml`: a number is too large, or none\n"),
        ("a.yaml", "- 1", "error[malformed-file]: `a.yaml` holds no map of parameters\n"
         "  help: write `name: value`, each on a line\n"),
        (None, "", "error[missing-file]: can't read `a.yaml`: no such file or directory\n"
         "  help: files there: `x.aqt`\n"),
    ],
)  # fmt: skip
def test_files_that_are_none(
    name: str | None, text: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name is not None:
        (folder / name).write_text(text)
    assert said(capsys, 2, "check", "x.aqt", "--params", name or "a.yaml") == message


def test_the_place_of_what_the_script_lacks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.toml").write_text('subject = "a cat"\n"stps" = 3\n')
    assert (
        said(capsys, 2, "check", "x.aqt", "--params", "a.toml")
        == """\
error[unknown-parameter]: the script has no parameter `stps`
 --> a.toml:2:2
  |
2 | "stps" = 3
  |  ^^^^
  = help: did you mean `steps`?

1 error; nothing was loaded or written
"""
    )


def test_a_plan_takes_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.yaml").write_text("steps: 3")
    (folder / "plan.json").write_text("{}")
    assert "a plan has no parameters" in said(capsys, 2, "run", "plan.json", "--params", "a.yaml")


def test_the_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        said(capsys, 0, "params", "x.aqt")
        == """\
subject: string must be given
    What is drawn, in a few words.
steps: int = 20
    of denoising
file: path = "a.txt"
"""
    )
    assert [json.loads(line) for line in said(capsys, 0, "params", "--json", "x.aqt").splitlines()] == [
        {"name": "subject", "type": "string", "default": None, "help": "What is drawn, in a few words."},
        {"name": "steps", "type": "int", "default": "20", "help": "of denoising"},
        {"name": "file", "type": "path", "default": '"a.txt"', "help": ""},
    ]
    (folder / "y.aqt").write_text("param = 3")
    assert said(capsys, 2, "params", "y.aqt").startswith("error[")


def test_memory_that_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "d.aqt").write_text("print device.kind, device.memory == 12GiB, device.memory < 16GiB")
    for device in ("cpu", "cuda:0", "mps"):
        plan = json.loads(said(capsys, 0, "plan", "--json", "d.aqt", "--device", device, "--device-memory", "12GiB"))
        assert plan["steps"][0]["text"] == f"{device.partition(':')[0]} true true"
        assert plan["inputs"]["device.memory"] == str(12 << 30)
    assert said(capsys, 2, "plan", "d.aqt", "--device-memory", "12") == (
        "error[bad-command-line]: `--device-memory 12` is no number of bytes\n  help: write it as in `12GiB`\n"
    )


def test_a_limit_out_of_reach_is_told_in_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for limit in ("0", "1001"):
        said_of_it = f"error[bad-command-line]: `--limit {limit}` must be from 1 to 1000\n"
        assert said(capsys, 2, "plan", "x.aqt", "--limit", limit) == said_of_it


def test_what_is_known_of_this_machine() -> None:
    found = hardware("cpu")
    assert found.name
    assert found.memory is None or found.memory > 1 << 20
    assert hardware("xpu").memory is None
