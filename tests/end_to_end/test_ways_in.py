"""Files, shebangs, standard input and the REPL; exit codes; failures and interrupts while a run goes."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from .conftest import PROGRAM, Aquatint

MODEL = 'model m { source: "builtin:shapes", defaults { num_inference_steps: 2 } }\n'


def test_a_script_can_be_a_program_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "hello.aqt"
    script.write_text(f'#!{PROGRAM}\nprint "hello from", 6 * 7\n')
    script.chmod(0o755)
    done = subprocess.run([script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "hello from 42\n")


@pytest.mark.parametrize("arguments", [(), ("-",), ("run", "-")])
def test_standard_input_is_a_script(aquatint: Aquatint, arguments: tuple[str, ...]) -> None:
    answer = aquatint(*arguments, stdin='for i in 1..2 { print "turn", i }\n')
    assert (answer.code, answer.out) == (0, "turn 1\nturn 2\n")


def test_parameters_come_from_the_command_line(aquatint: Aquatint) -> None:
    script = 'param n: int = 1\nparam names: list[string] = ["a"]\nprint n + 1, names\n'
    assert aquatint("run", "-", "--set", "n=4", "--set", "names=x, y", stdin=script).out == '5 ["x", "y"]\n'
    answer = aquatint("run", "-", "--set", "n=four", stdin=script)
    assert (answer.code, answer.err) == (
        2,
        'error[wrong-type]: parameter `n` is a whole number; `--set` gave it `"four"`\n'
        " --> <stdin>:1:7\n  |\n1 | param n: int = 1\n  |       ^\n\n1 error; nothing was loaded or written\n",
    )


def test_a_wrong_script_ends_with_2_and_a_wrong_command_line_too(aquatint: Aquatint) -> None:
    answer = aquatint("run", "-", stdin="prnt 1\n")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error[unknown-keyword]: `prnt` begins no statement\n --> <stdin>:1:1\n")
    assert (
        aquatint("run", "nowhere.aqt").err
        == "error[missing-file]: can't read `nowhere.aqt`: no such file or directory\n"
    )
    assert (
        aquatint("run", "nowhere.aqt").code
        == aquatint("run", "x", "--existing", "eat").code
        == aquatint("rum").code
        == 2
    )


@pytest.mark.slow
def test_a_failed_statement_takes_nothing_else_down(aquatint: Aquatint, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder is wanted")
    script = MODEL + "\n".join(
        f'generate m {{ prompt: "a red circle", seed: {seed}, output: "{path}" }}'
        for seed, path in enumerate(["one.png", "taken/two.png", "three.png"])
    )
    answer = aquatint("run", "-", stdin=script)
    assert answer.code == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == [".aquatint", "one.png", "taken", "three.png"]
    assert "taken" in answer.err and "<stdin>:3:1" in answer.err
    assert "2 of 3 images" in answer.err and "1 failure" in answer.err
    answer = aquatint("run", "-", "--fail-fast", "--existing", "skip", stdin=script)
    assert answer.code == 1


@pytest.mark.slow
def test_an_existing_file_is_kept_unless_told_otherwise(aquatint: Aquatint, tmp_path: Path) -> None:
    script = MODEL + 'generate m { prompt: "a red circle", seed: 1, output: "a.png" }\n'
    target = tmp_path / "a.png"
    target.write_bytes(b"mine")
    assert aquatint("run", "-", stdin=script).code == 0
    assert target.read_bytes() == b"mine"
    with Image.open(tmp_path / "a-2.png") as image:
        assert image.size == (64, 64)
    assert aquatint("run", "-", "--existing", "error", stdin=script).code == 1
    assert aquatint("run", "-", "--existing", "skip", stdin=script).code == 0
    assert target.read_bytes() == b"mine"
    assert aquatint("run", "-", "--existing", "overwrite", stdin=script).code == 0
    assert target.read_bytes() == (tmp_path / "a-2.png").read_bytes()


@pytest.mark.slow
def test_an_interrupt_ends_with_130_and_leaves_whole_files(tmp_path: Path) -> None:
    script = tmp_path / "long.aqt"
    script.write_text(MODEL + 'for s in 1..500 { generate m { prompt: "a star", seed: s, output: "{{ s }}.png" } }\n')
    process = subprocess.Popen(
        [PROGRAM, "run", script, "--json"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    written = 0
    for line in process.stdout:
        written += '"event":"image_written"' in line
        if written == 2:
            break
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert '"interrupted":true' in rest.splitlines()[-1] and "Traceback" not in errors
    made = sorted(tmp_path.glob("*.png"))
    assert 2 <= len(made) < 500
    for file in made:
        with Image.open(file) as image:
            image.load()
    assert [path.name for path in tmp_path.glob(".*")] == [".aquatint"]


def test_the_repl_keeps_models_warm(tmp_path: Path) -> None:
    steps = [
        ("1 + 2", r"\n3\r\n"),
        ("let xs = [1,", r"\.\.\.> "),
        ("2]", r"aqt> $"),
        ("xs", r"\[1, 2\]"),
        ("nope", r"there is no `nope` here"),
        (MODEL.strip(), r"aqt> $"),
        ('generate m { prompt: "a red circle", seed: 1, output: "a.png" }', r"5 loads \(0 quantized\), 0 reuses"),
        ('generate m { prompt: "a blue star", seed: 2, output: "b.png" }', r"0 loads \(0 quantized\), 5 reuses"),
        ('grid { output: "both.png" }', r"sheet of 2 pictures"),
        (":models", r"unet +UNet2DConditionModel, 15.2 MiB, loaded .* ago"),
        (':plan generate m { prompt: "a star", seed: 3 }', r"reuse .*unet"),
        (":drop m", r"released unet +15.2 MiB"),
        (":save session.aqt", r"wrote session.aqt: 7 texts, 3 files"),
    ]
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM], cwd=tmp_path, stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True,
        env={**os.environ, "TERM": "dumb", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    os.close(terminal)
    try:
        _wait(controller, r"aqt> $")
        for line, answer in steps:
            os.write(controller, line.encode() + b"\n")
            _wait(controller, answer)
        os.write(controller, b"\x04")
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        os.close(controller)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        ".aquatint",
        "a.png",
        "b.png",
        "both.png",
        "session.aqt",
    ]


@pytest.mark.slow
def test_the_repl_has_an_editor_where_the_terminal_can_show_it(tmp_path: Path) -> None:
    steps = [
        (b"for s in 1..2 {\rprint s * 21\r}\r", r"42\r\n"),
        (b":nam\t", r"es"),
        (b"\r", r"nothing is bound yet"),
        (b"1 + 2", r"2"),
    ]
    controller, terminal = pty.openpty()
    # This terminal answers no questions about its cursor, so that nothing is shown below the text.
    around = {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "XDG_STATE_HOME": str(tmp_path / "state")}
    process = subprocess.Popen(
        [PROGRAM], cwd=tmp_path, stdin=terminal, stdout=terminal, stderr=terminal, close_fds=True,
        env={**os.environ, **around},
    )  # fmt: skip
    os.close(terminal)
    try:
        _wait(controller, r"aqt>")
        for keys, answer in steps:
            os.write(controller, keys)
            _wait(controller, answer)
        os.write(controller, b"\x03")
        _wait(controller, r"aqt>")
        os.write(controller, b"\x04")
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        os.close(controller)
    assert "\n+    print s * 21\n+}\n" in (tmp_path / "state" / "aquatint" / "history").read_text()


def _wait(controller: int, pattern: str, seconds: float = 90) -> None:
    """Read from the terminal until `pattern` has come and nothing follows for a moment."""
    text, end = "", time.monotonic() + seconds
    while time.monotonic() < end:
        if select.select([controller], [], [], 0.2)[0]:
            text += os.read(controller, 4096).decode(errors="replace")
        elif re.search(pattern, text):
            return
    raise AssertionError(f"{pattern!r} did not come; what came was {text!r}")


def test_no_library_is_imported_to_plan(tmp_path: Path) -> None:
    script = tmp_path / "x.aqt"
    script.write_text(MODEL + 'generate m { prompt: "a red circle" }\n')
    program = (
        "import sys\nfrom aquatint.interface.cli import main\n"
        "for command in ('check', 'plan'):\n    assert main([command, sys.argv[1]]) == 0\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'bitsandbytes', 'sdnq', 'numpy', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
