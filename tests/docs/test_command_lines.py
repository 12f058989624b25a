"""Command lines that the guide shows for shells: shells take them apart alike, and each is one that plans."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aquatint.interface.cli import main
from support.cases import fenced

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = DOCS / "quantization"
BLOCKS = [
    pytest.param(block.text, id=f"{page.name}-{number}")
    for page in sorted(GUIDE.glob("*.md"))
    for number, block in enumerate(fenced(page), 1)
    if block.kind == "bash"
]


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """A folder with a program `aquatint` that writes its arguments, a list of JSON on a line."""
    program = tmp_path / "aquatint"
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n", encoding="utf-8")
    program.chmod(0o755)
    return tmp_path


def arguments(shell: str, folder: Path, text: str) -> list[list[str]]:
    """Return what each `aquatint` in `text` is given by `shell`."""
    script = folder / "commands"
    script.write_text(text, encoding="utf-8")
    environment = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder)}
    done = subprocess.run([shell, str(script)], cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_guide_has_command_lines() -> None:
    assert len(BLOCKS) >= 6


@pytest.mark.parametrize("text", BLOCKS)
def test_a_command_line_plans(text: str, said: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in arguments("bash", said, text):
        if command[0] == "generate":
            only = [] if {"--plan", "--emit-script"} & set(command) else ["--plan"]
            assert main([*command, *only, "--device", "cpu"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("shell", ["dash", "zsh", "fish"])
@pytest.mark.parametrize("text", BLOCKS)
def test_shells_agree(text: str, shell: str, said: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert arguments(shell, said, text) == arguments("bash", said, text)


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.relative_to(DOCS).as_posix())
def test_a_shown_command_can_be_copied_into_a_shell(page: Path, said: Path) -> None:
    commands = re.findall(r"@COMMAND_OUTPUT\[(aquatint .+)\]", page.read_text(encoding="utf-8"))
    assert arguments("bash", said, "\n".join(commands)) == [shlex.split(command)[1:] for command in commands]


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh", "fish"])
def test_quotes_that_a_page_calls_good_arrive(shell: str, said: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    page = (GUIDE / "submodules.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| bash, zsh, dash |"))
    forms = [form.strip("` ") for form in row.split("|")[2].split(", ")]
    assert len(forms) == 2
    for form in forms:
        assert arguments(shell, said, f"aquatint {form}\n") == [['+;quantizer="bnb;bits=8"']]
