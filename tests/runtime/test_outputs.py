"""Files appear whole or not at all, and never in place of another unless that was asked for."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aquatint.runtime.engine import EngineError
from aquatint.runtime.metadata import About
from aquatint.runtime.outputs import FORMATS, OutputPolicy, Outputs
from support.fake_engine import painted

PICTURE = painted("a", (16, 16))


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.jpg", "a.jpeg", "a.webp", "deep/er/a.png"])
def test_formats_by_suffix(tmp_path: Path, name: str) -> None:
    path = Outputs(tmp_path, OutputPolicy.NUMBER).write(name, PICTURE, None)
    assert path == tmp_path / name
    with Image.open(path) as image:
        assert image.format == FORMATS[path.suffix.lower()]
        if image.format != "JPEG":
            assert image.convert("RGB").tobytes() == PICTURE.tobytes()
    assert [item.name for item in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["a", "a.gif", "a.png.exe", ".png", "a\0.png", "a/.webp"])
def test_a_name_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EngineError, match="can't write"):
        Outputs(tmp_path, OutputPolicy.NUMBER).write(name, PICTURE, None)
    assert list(tmp_path.iterdir()) == []


def test_absolute_paths_stay_absolute(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "a.png"
    assert Outputs(tmp_path / "root", OutputPolicy.NUMBER).write(str(target), PICTURE, None) == target


def test_the_users_folder_is_meant_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    outputs = Outputs(tmp_path / "root", OutputPolicy.NUMBER)
    assert outputs.write("~/pictures/a.png", PICTURE, None) == tmp_path / "home/pictures/a.png"
    assert [entry.name for entry in tmp_path.iterdir()] == ["home"]


def test_a_link_to_nothing_is_a_taken_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "nothing.png")
    outputs = Outputs(tmp_path, OutputPolicy.NUMBER)
    assert outputs.exists("a.png")
    assert outputs.write("a.png", PICTURE, None) == tmp_path / "a-2.png"
    assert not (tmp_path / "nothing.png").exists()


def test_a_folder_that_cannot_be_looked_into_is_not_swept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    Outputs(tmp_path, OutputPolicy.NUMBER).sweep([f"{'x' * 300}/a.png", "file/a.png", "gone/a.png"])


def test_the_users_umask_holds(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        path = Outputs(tmp_path, OutputPolicy.NUMBER).write("a.png", PICTURE, None)
    finally:
        os.umask(before)
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o640


def test_error_and_skip_leave_the_file_that_appeared_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("mine")
    with pytest.raises(EngineError, match="exists"):
        Outputs(tmp_path, OutputPolicy.ERROR).write("a.png", PICTURE, None)
    assert Outputs(tmp_path, OutputPolicy.SKIP).write("a.png", PICTURE, None) is None
    assert (tmp_path / "a.png").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_name_taken_between_look_and_write_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_text("mine")
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    assert Outputs(tmp_path, OutputPolicy.NUMBER).write("a.png", PICTURE, None) == tmp_path / "a-2.png"
    assert (tmp_path / "a.png").read_text() == "mine"


def test_file_systems_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: object, target: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    outputs = Outputs(tmp_path, OutputPolicy.NUMBER)
    assert outputs.write("a.png", PICTURE, None) == tmp_path / "a.png"
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    assert outputs.write("a.png", PICTURE, None) == tmp_path / "a-2.png"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a-2.png", "a.png"]


@pytest.mark.parametrize("policy", list(OutputPolicy))
def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: OutputPolicy
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EngineError, match=r"can't write `.*a\.png`: no space left on device") as caught:
        Outputs(tmp_path, policy).write("a.png", PICTURE, None)
    assert caught.value.help is not None
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_writing_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Outputs(tmp_path, OutputPolicy.NUMBER).write("a.png", PICTURE, None)
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    name = "x" * 251 + ".png"
    outputs = Outputs(tmp_path, OutputPolicy.NUMBER)
    assert outputs.write(name, PICTURE, None) == tmp_path / name
    with pytest.raises(EngineError, match="name too long"):
        outputs.write(name, PICTURE, None)  # the number does not fit


@settings(max_examples=40, deadline=None)
@given(
    names=st.lists(st.sampled_from(["a.png", "b.png", "a-2.png", "a.webp"]), max_size=8),
    there=st.sets(st.sampled_from(["a.png", "a-2.png", "a-3.png", "b.png"])),
)
def test_numbering_never_touches_a_file_and_loses_no_picture(names: list[str], there: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in there:
            (root / name).write_text(name)
        outputs = Outputs(root, OutputPolicy.NUMBER)
        written = [outputs.write(name, PICTURE, None) for name in names]
        assert len(set(written)) == len(names)
        assert {item.name for item in root.iterdir()} == there | {path.name for path in written if path is not None}
        assert all((root / name).read_text() == name for name in there)


WRITE_FOREVER = """
import sys
from pathlib import Path
from PIL import Image
from aquatint.runtime.outputs import OutputPolicy, Outputs

# Noise: it does not compress, so that writing takes a while.
picture = Image.effect_noise((400, 400), 90).convert("RGB")
outputs = Outputs(Path(sys.argv[1]), OutputPolicy(sys.argv[2]))
outputs.write("a.png", picture, None)
print("ready", flush=True)
while True:
    outputs.write("a.png", picture, None)
"""


@pytest.mark.parametrize("policy", [OutputPolicy.NUMBER, OutputPolicy.OVERWRITE])
def test_a_kill_at_any_moment_leaves_only_whole_files(tmp_path: Path, policy: OutputPolicy) -> None:
    chance = random.Random(7)
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITE_FOREVER, str(tmp_path), policy],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert child.stdout is not None
        with child.stdout:
            assert child.stdout.readline() == b"ready\n"
            time.sleep(0.02 + 0.1 * chance.random())
            child.send_signal(signal.SIGKILL)
        child.wait()
    visible = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert visible
    for path in visible:
        with Image.open(path) as image:
            image.load()
            assert image.size == (400, 400)


def about(beside: bool = True) -> About:
    return About("", {"seed": 1}, beside=beside)


def test_the_record_goes_into_a_file_beside_the_picture(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path, OutputPolicy.NUMBER)
    assert outputs.write("a.png", PICTURE, about()) == tmp_path / "a.png"
    assert outputs.write("a.webp", PICTURE, about()) == tmp_path / "a.webp"
    assert outputs.write("b.png", PICTURE, about(beside=False)) == tmp_path / "b.png"
    assert (tmp_path / "a.png.json").read_text() == about().text == '{"seed":1}'
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "a.png.json", "a.webp", "a.webp.json", "b.png"]


def test_both_names_have_to_be_free(tmp_path: Path) -> None:
    for name in ("a.png", "a-2.png.json"):
        (tmp_path / name).write_text("mine")
    assert Outputs(tmp_path, OutputPolicy.NUMBER).write("a.png", PICTURE, about()) == tmp_path / "a-3.png"
    assert (tmp_path / "a.png").read_text() == (tmp_path / "a-2.png.json").read_text() == "mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a-2.png.json", "a-3.png", "a-3.png.json", "a.png"]


def test_the_file_beside_it_follows_the_policy(tmp_path: Path) -> None:
    beside = tmp_path / "a.png.json"
    beside.write_text("old")
    with pytest.raises(EngineError, match=r"`.*a\.png\.json` exists"):
        Outputs(tmp_path, OutputPolicy.ERROR).write("a.png", PICTURE, about())
    assert [file.name for file in tmp_path.iterdir()] == ["a.png.json"]
    # One without its picture is left over from a run that was cut off.
    assert Outputs(tmp_path, OutputPolicy.SKIP).write("a.png", PICTURE, about()) == tmp_path / "a.png"
    assert beside.read_text() == about().text
    beside.write_text("old")
    assert Outputs(tmp_path, OutputPolicy.SKIP).write("a.png", PICTURE, about()) is None
    assert beside.read_text() == "old"
    assert Outputs(tmp_path, OutputPolicy.OVERWRITE).write("a.png", PICTURE, about()) == tmp_path / "a.png"
    assert beside.read_text() == about().text


def test_a_picture_that_appeared_meanwhile_gets_no_file_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_text("mine")
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    assert Outputs(tmp_path, OutputPolicy.NUMBER).write("a.png", PICTURE, about()) == tmp_path / "a-2.png"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a-2.png", "a-2.png.json", "a.png"]


@pytest.mark.parametrize("policy", list(OutputPolicy))
def test_a_full_disk_leaves_nothing_beside_it_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: OutputPolicy
) -> None:
    calls = iter([None, OSError(errno.ENOSPC, "No space left on device")])

    def full(descriptor: int) -> None:
        if (error := next(calls)) is not None:
            raise error

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EngineError, match="no space left on device"):
        Outputs(tmp_path, policy).write("a.png", PICTURE, about())
    assert list(tmp_path.iterdir()) == []
