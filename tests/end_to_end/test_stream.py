"""A stream as programs drive it: the client of the examples, and clients that stop reading or are killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

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


@pytest.mark.slow
def test_many_statements_some_wrong_are_answered_in_order_and_take_no_more_memory(tmp_path: Path) -> None:
    numbers = range(2, 52)
    text = MODEL + b"".join(map(mixed, numbers))
    (tmp_path / "statements").write_bytes(text)
    with open(tmp_path / "statements", "rb") as stream:
        process = subprocess.Popen(
            [PROGRAM, "run", "-", "--stream", "--threads", "1"], cwd=tmp_path, stdin=stream, stdout=subprocess.PIPE,
        )  # fmt: skip
    assert process.stdout is not None
    told: dict[int, list[dict[str, Any]]] = {}
    for line in process.stdout:
        event = json.loads(line)
        told.setdefault(event["statement"], []).append(event)
    assert process.wait(timeout=60) == 1
    assert list(told) == [1, *numbers]
    for number in numbers:
        wrong = [event["code"] for event in told[number] if event["event"] == "diagnostic"]
        assert (told[number][-1]["ok"], wrong) == ((False, ["unknown-name"]) if number % 5 == 0 else (True, []))
    assert [int(file.stem) for file in sorted(pictures(tmp_path), key=lambda file: int(file.stem))] == [
        number for number in numbers if number % 5 not in (0, 1)
    ]
    memory = [event["resident"] for each in told.values() for event in each if event["event"] == "memory_used"]
    # The first pictures bring what every one needs; after those nothing more is held.
    assert max(memory[len(memory) // 2 :]) - max(memory[: len(memory) // 2]) < 8 << 20


def mixed(number: int) -> bytes:
    """A statement that is wrong, prints, or makes a picture."""
    match number % 5:
        case 0:
            return b"generate nothing { seed: 1 }\n"
        case 1:
            return b"print %d\n" % number
        case _:
            return b'generate m { seed: %d, num_inference_steps: 1, output: "%d.png" }\n' % (number, number)


CLIENT_TO_KILL = """
import subprocess, sys
server = subprocess.Popen([sys.argv[1], "run", "-", "--stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
server.stdin.write(open("statements", "rb").read())
server.stdin.flush()
print(server.pid, flush=True)
for line in server.stdout:
    print(line.decode(), end="", flush=True)
"""


@pytest.mark.slow
def test_a_client_that_is_killed_loses_no_picture_that_it_was_told_of(tmp_path: Path) -> None:
    (tmp_path / "statements").write_bytes(MODEL + LOOP)
    client = subprocess.Popen([sys.executable, "-c", CLIENT_TO_KILL, PROGRAM], cwd=tmp_path, stdout=subprocess.PIPE)
    assert client.stdout is not None
    server = int(client.stdout.readline())
    told: list[str] = []
    for line in client.stdout:
        event = json.loads(line)
        told += [event["path"]] if event["event"] == "image_written" else []
        if len(told) == 3:
            break
    client.kill()
    client.wait()
    client.stdout.close()
    until = time.monotonic() + 60
    while is_running(server) and time.monotonic() < until:
        time.sleep(0.1)
    assert not is_running(server)
    made = pictures(tmp_path)
    assert {tmp_path / name for name in told} <= set(made) and len(made) < 500
    for file in made:
        with Image.open(file) as image:
            image.load()
    assert [path.name for path in tmp_path.glob(".*")] == [".aquatint"]


def is_running(process: int) -> bool:
    """Whether a process that isn't ours goes on; one that has ended may wait for somebody to ask."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pictures(folder: Path) -> list[Path]:
    """The pictures below `folder`."""
    return sorted(folder.glob("*.png"))
