"""A stream as programs drive it: the client of the examples, and clients that stop reading or are killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from .conftest import PROGRAM

CLIENT = Path(__file__).parents[2] / "examples" / "stream_client.py"
MODEL = b'model m { source: "builtin:shapes", defaults { num_inference_steps: 2, prompt: "a star" } }\n'
LOOP = b'for s in 1..500 { generate m { seed: s, output: "{{ s }}.png" } }\n'


@pytest.mark.slow
def test_the_client_of_the_examples(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, CLIENT], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == (
        "1: done\n"
        "2: wrote shapes-full-a-red-circle-on-a-white-background-1.png\n"
        "2: done\n"
        "<stdin>:3: error: there is no `circles` here\n"
        "3: not done\n"
        "4: wrote shapes-full-a-blue-square-on-a-black-background-1.png\n"
        "4: done\n"
    )


@pytest.mark.slow
def test_a_reader_that_comes_late_gets_every_line(tmp_path: Path) -> None:
    (tmp_path / "statements").write_bytes(b"".join(b"print %d\n" % number for number in range(300)))
    with open(tmp_path / "statements", "rb") as stream:
        process = subprocess.Popen([PROGRAM, "run", "-", "--stream"], stdin=stream, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with pytest.raises(subprocess.TimeoutExpired):  # its lines are more than a pipe holds: it waits for a reader
        process.wait(timeout=3)
    told = [json.loads(line) for line in process.stdout]
    assert process.wait(timeout=60) == 0
    assert [line["text"] for line in told if line["event"] == "printed"] == [str(number) for number in range(300)]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["closed", "interrupted"])
def test_a_stream_that_is_broken_off_leaves_whole_pictures(tmp_path: Path, how: str) -> None:
    process = subprocess.Popen(
        [PROGRAM, "run", "-", "--stream"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    process.stdin.write(MODEL + LOOP + b"print 1\n")
    process.stdin.flush()  # and it stays open: nothing but the output tells that the client has gone
    written = 0
    for line in process.stdout:
        written += b'"event":"image_written"' in line
        if written == 2:
            break
    if how == "closed":
        process.stdout.close()
        assert (process.wait(timeout=60), process.stderr.read()) == (0, b"")
    else:
        process.send_signal(signal.SIGINT)
        rest = [json.loads(line) for line in process.stdout]
        assert process.wait(timeout=60) == 130
        assert (rest[-2]["event"], rest[-2]["interrupted"]) == ("run_finished", True)
        assert (rest[-1]["event"], rest[-1]["ok"]) == ("done", False)
        assert len(rest[-1]["files"]) == len(pictures(tmp_path))
        assert b"Traceback" not in process.stderr.read()
    process.stdin.close()
    made = pictures(tmp_path)
    assert 2 <= len(made) < 500
    for file in made:
        with Image.open(file) as image:
            image.load()
    assert [path.name for path in tmp_path.glob(".*")] == [".aquatint"]


def pictures(folder: Path) -> list[Path]:
    """The pictures below `folder`."""
    return sorted(folder.glob("*.png"))
