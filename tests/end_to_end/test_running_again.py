"""Runs that are killed, interrupted, out of disk or changed under, and what running again makes of them."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest

from support.lengths import at_length

from .conftest import PROGRAM, Aquatint

KILLS = at_length(50, ci=12)

SCRIPT = """\
model m { source: "builtin:shapes", defaults { num_inference_steps: 2 } }
for p in ["a red circle", "a blue star"], s in 1..3 {
    generate m { prompt: p, seed: s, output: "out/{{ p | slug }}-{{ s }}.png" }
}
grid { rows: "prompt", output: "sheet.jpg" }
"""
OUTPUTS = [*(f"out/a-{what}-{seed}.png" for what in ("red-circle", "blue-star") for seed in (1, 2, 3)), "sheet.jpg"]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "x.aqt"
    path.write_text(SCRIPT)
    return path


def files(folder: Path) -> dict[str, bytes]:
    """Return all that is in `folder` but scripts and the journal."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".aqt"]
    return {
        name.as_posix(): (folder / name).read_bytes()
        for name in (path.relative_to(folder) for path in found)
        if name.parts[0] != ".aquatint"
    }


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PROGRAM, "run", "x.aqt", "--json", *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def written(out: str) -> list[str]:
    """Return the images that a run said it wrote; its last line may be torn."""
    lines = [line for line in out.splitlines() if line.startswith('{"event":"image_written"') and line.endswith("}")]
    return [json.loads(line)["path"] for line in lines]


@pytest.mark.slow
def test_running_again_makes_nothing_and_imports_no_library(aquatint: Aquatint, script: Path, tmp_path: Path) -> None:
    answer = aquatint("status", "x.aqt")
    assert (answer.code, answer.err) == (1, "")
    assert answer.out == "".join(f"missing  {path}\n" for path in OUTPUTS) + "7 outputs: 7 missing\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.aqt"]
    assert aquatint("x.aqt").code == 0
    before = files(tmp_path)
    assert sorted(before) == sorted(OUTPUTS)
    program = (
        "import sys\nfrom aquatint.interface.cli import main\n"
        "for command in ('run', 'status'):\n    assert main([command, 'x.aqt']) == 0\n"
        "assert not {'torch', 'diffusers', 'transformers', 'bitsandbytes', 'sdnq'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    skipped = "".join(f"skipped x.aqt:3:5: `{path}` is done\n" for path in OUTPUTS[:-1])
    assert done.stderr == f"{skipped}skipped x.aqt:5:1: `sheet.jpg` is done\n7 outputs done already\n"
    assert done.stdout == "".join(f"done     {path}\n" for path in OUTPUTS) + "7 outputs: 7 done\n"

    # Another prompt, a file that someone changed, and one that is gone.
    script.write_text(script.read_text().replace("blue star", "blue square") + "# changed\n")
    (tmp_path / OUTPUTS[0]).write_bytes(before[OUTPUTS[0]] + b"\0")
    (tmp_path / OUTPUTS[1]).unlink()
    answer = aquatint("status", "x.aqt")
    assert (answer.code, answer.out) == (
        1,
        f"changed  {OUTPUTS[0]}\nmissing  {OUTPUTS[1]}\ndone     {OUTPUTS[2]}\n"
        + "".join(f"missing  out/a-blue-square-{seed}.png\n" for seed in (1, 2, 3))
        + "stale    sheet.jpg  differs in: pictures, row headers\n"
        + "7 outputs: 1 changed, 4 missing, 1 done, 1 stale\n",
    )
    lines = aquatint("status", "x.aqt", "--json").events
    assert lines[2] == {
        "event": "output", "version": 1, "path": OUTPUTS[2], "state": "done", "file": OUTPUTS[2], "why": [],
        "step": lines[2]["step"], "index": 0, "fingerprint": lines[2]["fingerprint"],
    }  # fmt: skip
    assert lines[-1] == {
        "event": "status", "version": 1, "file": "x.aqt", "outputs": 7, "done": 1, "stale": 1, "changed": 1,
        "unknown": 0, "missing": 4,
    }  # fmt: skip
    assert len(aquatint("run", "x.aqt", "--resume", "--json").events_called("image_written")) == 5
    after = files(tmp_path)
    assert after[OUTPUTS[0]] == before[OUTPUTS[0]] + b"\0"
    assert after["out/a-red-circle-1-2.png"] == before[OUTPUTS[0]]
    assert after["sheet.jpg"] != before["sheet.jpg"]
    assert aquatint("status", "x.aqt").out.startswith(f"done     {OUTPUTS[0]}  in out/a-red-circle-1-2.png\n")
    assert len(aquatint("run", "x.aqt", "--force", "--json").events_called("image_written")) == 6
    assert files(tmp_path) == after


@pytest.mark.slow
def test_one_interrupt_finishes_the_image_and_two_do_not(script: Path, tmp_path: Path) -> None:
    script.write_text(script.read_text().replace("1..3", "1..300").replace("steps: 2", "steps: 20"))
    for interrupts in (1, 2):
        process = start(tmp_path)
        assert process.stdout is not None and process.stderr is not None
        heard = ""
        for line in process.stdout:
            heard += line
            if '"event":"denoise_step"' in line and '"done":1,' in line:
                break
        process.send_signal(signal.SIGINT)
        if interrupts == 2:
            assert process.stderr.readline() == "\n"
            assert process.stderr.readline() == "stopping when this is finished; Ctrl-C again stops now\n"
            process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=120)
        assert process.returncode == 130
        assert "Traceback" not in errors
        events = [json.loads(line) for line in (heard + rest).splitlines()]
        last = events[-1]
        assert (last["event"], last["interrupted"], last["outputs"]) == ("run_finished", True, 601)
        assert len(written(heard + rest)) == (1 if interrupts == 1 else 0)
        assert last["done"] == 1  # of the first run, which the second one went on with
    process = subprocess.Popen(
        [PROGRAM, "x.aqt"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("wrote"):
            break
    process.send_signal(signal.SIGINT)
    assert process.stderr.read().endswith(" of 601 outputs done; run again to go on\n")
    assert process.wait() == 130


@pytest.mark.slow
def test_a_disk_that_is_full_for_a_while(aquatint: Aquatint, script: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "none", disk], capture_output=True).returncode:
        pytest.skip("file systems can't be mounted here")
    try:
        answer = aquatint("run", "x.aqt", "--output-dir", "disk", "--json")
        assert answer.code == 1
        said = written(answer.out)
        assert 0 < len(said) < 6
        for failure in answer.events_called("statement_failed"):
            assert failure["message"].endswith(": no space left on device")
        # What it said is there is there, and all that is there is whole.
        assert {str(Path("disk") / name) for name in files(disk)} >= set(said)
        assert not [name for name in files(disk) if ".aquatint-" in name]
        subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
        again = aquatint("run", "x.aqt", "--output-dir", "disk", "--json")
        assert again.code == 0
        assert not set(written(again.out)) & set(said)
        assert aquatint("run", "x.aqt", "--output-dir", "fresh").code == 0
        assert files(disk) == files(tmp_path / "fresh")
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_many_kills(aquatint: Aquatint, script: Path, tmp_path: Path) -> None:
    """kill -9 at random moments, then running again: the files of an undisturbed run, and nothing made twice."""
    fresh, folder = tmp_path / "fresh", tmp_path / "killed"
    for each in (fresh, folder):
        each.mkdir()
        shutil.copy(script, each)
    heard, _ = start(fresh).communicate()
    events = len(heard.splitlines())
    wanted = files(fresh)
    assert sorted(wanted) == sorted(OUTPUTS)
    drawn = random.Random(50)
    kills = finished = partly = 0
    told: list[str] = []
    while kills < KILLS or told:
        process = start(folder)
        assert process.stdout is not None
        heard = ""
        if kills < KILLS:
            # By events and not by seconds alone, for those depend on what else the machine does.
            for line in islice(process.stdout, drawn.randint(0, events)):
                heard += line
            time.sleep(drawn.uniform(0, 0.3))
            process.kill()
        rest, errors = process.communicate()
        assert "Traceback" not in errors
        new = written(heard + rest)
        told += new
        assert len(told) == len(set(told))
        if process.returncode != 0:
            assert process.returncode == -signal.SIGKILL
            kills += 1
            partly += bool(new)
            continue
        assert files(folder) == wanted
        finished += 1
        told = []
        for name in wanted:
            (folder / name).unlink()
    assert finished > 1 and partly > KILLS // 10
