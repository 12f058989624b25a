"""Pictures from addresses on the web: fetched once before a run, drawn with like files, and named by what is made."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aquatint.interface.cli import main
from support.web import Page, Web


@dataclass(frozen=True)
class Answer:
    """What a command line came to; the server's address is `WEB` in it."""

    code: int
    out: str
    err: str

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for line in self.out.splitlines() if (event := json.loads(line))["event"] == name]


Run = Callable[..., Answer]


@pytest.fixture
def web() -> Iterator[Web]:
    """A server with a picture."""
    with Web() as serving:
        serving.pages["/photo"] = Page(png("orange"))
        yield serving


@pytest.fixture
def aquatint(tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the program with `arguments`, beside a script that draws with the server's picture and with a file of it."""
    (tmp_path / "photo.png").write_bytes(png("orange"))
    script = """\
model shapes { source: "builtin:shapes", defaults { num_inference_steps: 4, strength: 0.5, seed: 1 } }
for name, image in zip(["web", "file"], ["WEB/photo", "photo.png"]) {
    generate shapes { prompt: "a red circle", image: image, output: "{{ name }}.png" }
}
"""
    (tmp_path / "x.aqt").write_text(script.replace("WEB", web.address))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AQUATINT_DOWNLOADS", str(tmp_path / "kept"))

    def run(*arguments: str) -> Answer:
        # The engine forbids the network to the libraries, as long as the process lasts.
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        code = main(list(arguments))
        said = capsys.readouterr()
        return Answer(code, said.out.replace(web.address, "WEB"), said.err.replace(web.address, "WEB"))

    return run


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.slow
def test_a_picture_from_the_web_is_drawn_with_like_a_file(aquatint: Run, web: Web, tmp_path: Path) -> None:
    for command in (["plan"], ["run", "--offline"]):
        answer = aquatint(*command, "x.aqt")
        assert answer.code == 2
        assert answer.err.startswith("error[missing-file]: `WEB/photo` has not been fetched yet\n --> x.aqt:3:")
        assert "  = help: fetch it first: `aquatint fetch x.aqt`;" in answer.err
    assert web.asked == {}

    answer = aquatint("run", "x.aqt", "--json", "--threads", "1")
    assert (answer.code, answer.err) == (0, "")
    (started,) = answer.events("download_started")
    (finished,) = answer.events("download_finished")
    assert started["address"] == finished["address"] == "WEB/photo"
    assert finished["bytes"] == len(png("orange")) and not finished["failed"]
    drawn = (tmp_path / "web.png").read_bytes()
    with Image.open(tmp_path / "web.png") as one, Image.open(tmp_path / "file.png") as other:
        assert one.tobytes() == other.tobytes()

    # It is kept: a later run has nothing to do and asks nobody.
    answer = aquatint("run", "x.aqt", "--json", "--threads", "1")
    assert (answer.code, answer.events("image_written")) == (0, [])
    assert web.asked == {"/photo": 1}

    # What it was made with is in its record, by which it is fetched and drawn again.
    shutil.rmtree(tmp_path / "kept")
    assert 'image: "WEB/photo"' in aquatint("script", "web.png").out
    answer = aquatint("replay", "web.png", "--strict", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    assert (tmp_path / "web-replay.png").read_bytes() == drawn
    assert web.asked == {"/photo": 2}


def test_another_picture_at_an_address_is_another_plan(aquatint: Run, web: Web, tmp_path: Path) -> None:
    def hash() -> str:
        return json.loads(aquatint("plan", "--json", "x.aqt").out)["inputs"]["address WEB/photo"]

    assert aquatint("fetch", "x.aqt", "--quiet") == Answer(0, "", "")
    before = hash()
    web.pages["/photo"] = Page(png("blue"))
    assert aquatint("fetch", "x.aqt", "--quiet") == Answer(0, "", "")
    assert hash() == before
    assert aquatint("fetch", f"{web.address}/photo", "--quiet") == Answer(0, "", "")
    assert hash() != before

    web.pages["/photo"] = Page(b"<html>moved</html>")
    shutil.rmtree(tmp_path / "kept")
    answer = aquatint("run", "x.aqt", "--quiet")
    assert answer.code == 2 and answer.err.startswith("error[malformed-file]: what `WEB/photo` gives is no picture of")
    assert " --> x.aqt:3:" in answer.err
