"""Completion in real shells, and the help of the whole program."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aquatint.interface.cli import _COMMANDS, main
from aquatint.interface.commands.completion import SHELLS, completion

# What is typed, and what it may become.
ASKED = [
    ("ru", {"run"}),
    ("re", {"repl", "replay"}),
    ("store l", {"list"}),
    ("run --exi", {"--existing"}),
    ("run --existing re", {"resume", "redo"}),
    ("run dem", {"demo.aqt"}),
    ("run --json dem", {"demo.aqt"}),
    ("run --output-dir su", {"sub/"}),
    ("explain unknown-n", {"unknown-name"}),
    ("completion z", {"zsh"}),
]

BASH = """\
source completion.bash
ask() {
    COMP_WORDS=(aquatint "$@"); COMP_CWORD=$#; COMPREPLY=()
    _shtab_aquatint aquatint "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
    echo "${COMPREPLY[*]}"
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("typed")
    (folder / "demo.aqt").touch()
    (folder / "sub").mkdir()
    for shell in SHELLS:
        (folder / f"completion.{shell}").write_text(completion(shell))
    return folder


def needs(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} isn't installed")
    return found


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_written_is_a_script_of_that_shell(shell: str, folder: Path) -> None:
    done = subprocess.run([needs(shell), "-n", str(folder / f"completion.{shell}")], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_bash_completes_commands_options_choices_and_files(folder: Path) -> None:
    asking = "".join(f"ask {typed}; " for typed, _ in ASKED)
    done = subprocess.run(
        [needs("bash"), "-c", BASH + asking], cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    told = [{word + "/" * (folder / word).is_dir() for word in line.split()} for line in done.stdout.splitlines()]
    assert told == [found for _, found in ASKED], done.stderr


def test_fish_completes_the_same(folder: Path) -> None:
    asking = "".join(f"echo (complete -C 'aquatint {typed}' | string split -f1 \\t); " for typed, _ in ASKED)
    done = subprocess.run(
        [needs("fish"), "--no-config", "-c", f"source completion.fish; {asking}"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert [set(line.split()) for line in done.stdout.splitlines()] == [found for _, found in ASKED], done.stderr


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"COLUMNS": "200"}])
def test_help_fits_a_terminal_of_24_lines_and_has_every_command(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert len(told.splitlines()) < 24 and max(map(len, told.splitlines())) < 80 and "\x1b" not in told
    words = set(told.replace(",", " ").split())
    assert [name for name in _COMMANDS if name not in words] == []


def test_help_imports_no_command() -> None:
    code = "import sys; sys.argv[1:] = ['--help']; from aquatint.interface.cli import main; main(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not [name for name in loaded if name.startswith(("aquatint.interface.commands.", "lark", "rich", "shtab"))]


@pytest.mark.parametrize("columns", [40, 200])
def test_narrow_and_wide_terminals_get_lines_of_their_width(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    lines = capsys.readouterr().out.splitlines()
    # What the first lines say of an option is never broken.
    assert [line for line in lines if len(line) > columns and line.strip()[0] not in "[-"] == []
    assert max(map(len, lines)) > min(columns, 100) // 2
