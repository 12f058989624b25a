"""Videos of a tiny pipeline with the real libraries: a plain program's frames, in files that are equal each time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aquatint.interface.recipe import of_record, text_of
from aquatint.runtime.engine import Engine
from aquatint.runtime.media_files import read_clip
from aquatint.runtime.metadata import read_metadata
from aquatint.runtime.record import image_record
from support.planned import files_of, plan_here

Tiny = Callable[[str], Path]

CALL: dict[str, Any] = {"num_inference_steps": 2, "width": 32, "height": 32}
SETTINGS = 'prompt: "a red cat", seed: 7, num_inference_steps: 2, size: 32x32'


def script(folder: Path, *statements: str) -> str:
    lines = (f"generate w {{ {SETTINGS}, {each} }}" for each in statements)
    return "\n".join([f'model w {{ source: "{folder}" }}', *lines])


@pytest.fixture(scope="module")
def plainly(folder: Tiny) -> Callable[..., list[bytes]]:
    """Return the frames of a plain program's video, by a class that is made of the same parts."""
    import diffusers
    import torch

    @cache
    def parts() -> dict[str, Any]:
        found: dict[str, Any] = diffusers.WanPipeline.from_pretrained(folder("wan"), dtype=torch.float32).components
        return found

    def make(class_name: str = "WanPipeline", **call: Any) -> list[bytes]:
        taken = ("scheduler", "text_encoder", "tokenizer", "transformer", "vae")
        pipeline = getattr(diffusers, class_name)(**{role: parts()[role] for role in taken})
        pipeline.set_progress_bar_config(disable=True)
        generator = torch.Generator("cpu").manual_seed(7)
        made = pipeline(prompt="a red cat", **CALL, **call, generator=generator, output_type="pil")
        return [frame.convert("RGB").tobytes() for frame in made.frames[0]]

    return make


def pixels(file: Path) -> list[bytes]:
    return [frame.tobytes() for frame in read_clip(file).frames]


@pytest.mark.slow
def test_a_lossless_file_has_the_frames_of_a_plain_program(
    engine: Engine, folder: Tiny, plainly: Callable[..., list[bytes]], tmp_path: Path
) -> None:
    files_of(engine, script(folder("wan"), 'num_frames: 9, fps: 12, output: "one.webp"'), tmp_path)
    assert pixels(tmp_path / "one.webp") == plainly(num_frames=9)
    with Image.open(tmp_path / "one.webp") as opened:
        shown = []
        for number in range(9):
            opened.seek(number)
            opened.load()
            shown.append(opened.info["duration"])
    # A twelfth of a second is no whole number of milliseconds: none is lost over the whole.
    assert (set(shown), sum(shown)) == ({83, 84}, 750)


@pytest.mark.slow
def test_an_mp4_is_near_those_frames_and_has_them_all(
    engine: Engine, folder: Tiny, plainly: Callable[..., list[bytes]], tmp_path: Path
) -> None:
    import av
    import numpy

    files_of(engine, script(folder("wan"), 'num_frames: 9, fps: 12, output: "one.mp4"'), tmp_path)
    with av.open(str(tmp_path / "one.mp4")) as opened:
        [stream] = opened.streams
        assert (stream.codec_context.name, stream.average_rate, stream.frames) == ("h264", 12, 9)
    ours, theirs = pixels(tmp_path / "one.mp4"), plainly(num_frames=9)
    errors = numpy.frombuffer(b"".join(ours), "u1").astype(float) - numpy.frombuffer(b"".join(theirs), "u1")
    # What is lost is colours, of which four pixels share one: a tiny model's noise is the worst case.
    assert len(ours) == 9 and abs(errors.mean()) < 2
    grey = [
        numpy.asarray(Image.frombytes("RGB", (32, 32), frame).convert("L"), float) for frame in (ours[4], theirs[4])
    ]
    assert abs(grey[0] - grey[1]).mean() < 8


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "webp", "gif"])
def test_a_file_says_how_it_was_made_and_comes_again_to_the_byte(
    engine: Engine, folder: Tiny, tmp_path: Path, suffix: str
) -> None:
    text = script(folder("wan"), f'num_frames: 5, output: "one.{suffix}"')
    for name in ("first", "again"):
        assert files_of(engine, text, tmp_path / name) == [f"one.{suffix}"]
    body = (tmp_path / "first" / f"one.{suffix}").read_bytes()
    assert (tmp_path / "again" / f"one.{suffix}").read_bytes() == body
    assert files_of(engine, text, tmp_path / "first") == []  # it is done
    found = read_metadata(tmp_path / "first" / f"one.{suffix}")["aquatint"]
    record = image_record(found)
    assert (found["kind"], record.frames, record.fps, record.size) == ("video", 5, 16.0, (32, 32))
    recipe = of_record(record)
    recipe.arguments["output"] = f"one.{suffix}"
    # The place and the text of the statement are another's; with them left out the rest is the same.
    files_of(engine, text_of(recipe), tmp_path / "replayed")
    other = read_metadata(tmp_path / "replayed" / f"one.{suffix}")["aquatint"]
    assert {**other, "statement": "", "place": ""} == {**found, "statement": "", "place": ""}
    assert pixels(tmp_path / "replayed" / f"one.{suffix}") == pixels(tmp_path / "first" / f"one.{suffix}")


@pytest.mark.slow
def test_a_video_of_a_video_is_made_of_what_its_file_holds(
    engine: Engine, folder: Tiny, plainly: Callable[..., list[bytes]], tmp_path: Path
) -> None:
    first = f'let one = generate w {{ {SETTINGS}, num_frames: 5, output: "one.mp4" }}'
    text = script(folder("wan"), 'video: one, strength: 0.9, output: "two.webp"').replace("\n", f"\n{first}\n", 1)
    assert files_of(engine, text, tmp_path) == ["one.mp4", "two.webp"]
    frames = [Image.frombytes("RGB", (32, 32), frame) for frame in pixels(tmp_path / "one.mp4")]
    assert pixels(tmp_path / "two.webp") == plainly("WanVideoToVideoPipeline", video=frames, strength=0.9)
    # A file of the same frames is like the result, and a lossless one, or a list of its pictures, like each other.
    frames[0].save(tmp_path / "frames.webp", save_all=True, append_images=frames[1:], lossless=True)
    for number, frame in enumerate(frames):
        frame.save(tmp_path / f"{number}.png")
    names = [f"{tmp_path}/{number}.png" for number in range(len(frames))]
    for given in (f'"{tmp_path}/one.mp4"', f'"{tmp_path}/frames.webp"', str(names).replace("'", '"')):
        again = script(folder("wan"), f'video: {given}, strength: 0.9, output: "three.webp"')
        (tmp_path / "three.webp").unlink(missing_ok=True)
        files_of(engine, again, tmp_path)
        assert pixels(tmp_path / "three.webp") == pixels(tmp_path / "two.webp")
        found = read_metadata(tmp_path / "three.webp")["aquatint"]
        recipe = of_record(image_record(found))
        assert plan_here(text_of(recipe)).steps  # its record gives the same video
        assert recipe.arguments["video"] == (names if "png" in given else given.strip('"'))
    body = (tmp_path / "two.webp").read_bytes()
    (tmp_path / "two.webp").unlink()
    assert files_of(engine, text, tmp_path) == ["two.webp"]  # with the first one read from its file
    assert (tmp_path / "two.webp").read_bytes() == body
