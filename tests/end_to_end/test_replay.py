"""Pictures made by the real libraries are made again from their files alone, the same to the last byte."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from aquatint.runtime.metadata import read_metadata

from .conftest import Aquatint

SCRIPT = """\
# Unquantized, by both backends, by a quantizer whose name no script can bind, and in every format.
quantizer q8 { backend: sdnq, weights_dtype: int8, quant_conv: true }
quantizer nf { backend: bnb, bits: 4, bits4_quant_type: nf4 }
model shapes { source: "builtin:shapes", defaults { num_inference_steps: 2, prompt: "a {{ 'red' }} circle" } }
let u4 = q8 with { weights_dtype: uint4 }
for q, suffix in [[none, "png"], [q8, "png"], [q8, "jpg"], [q8, "webp"], [nf, "jpg"], [u4, "webp"]] {
    let name = q.name if q else "full"
    generate (shapes with { quantizer: q }) {
        seed: 3, guidance_scale: 2.5, negative_prompt: "blue", size: 64x64, sidecar: true
        scheduler: "EulerAncestralDiscreteScheduler"
        output: "{{ name | slug }}.{{ suffix }}"
    }
}
generate shapes { output: "drawn.png" }
"""


@pytest.mark.slow
def test_the_same_bytes_come_again(aquatint: Aquatint, tmp_path: Path) -> None:
    made = aquatint("run", "-", "--quiet", "--threads", "1", "--plan-seed", "9", stdin=SCRIPT)
    assert (made.code, made.err) == (0, "")
    pictures = sorted(file for file in tmp_path.iterdir() if file.is_file() and file.suffix != ".json")
    assert len(pictures) == 7
    (tmp_path / "new").mkdir()
    for picture in pictures:
        answer = aquatint("replay", f"../{picture.name}", "--strict", "--quiet", cwd=tmp_path / "new")
        assert (answer.code, answer.err) == (0, ""), picture
        again = tmp_path / "new" / f"{picture.stem}-replay{picture.suffix}"
        assert again.read_bytes() == picture.read_bytes()
        if picture.stem != "drawn":
            beside = json.loads(picture.with_name(f"{picture.name}.json").read_text())
            assert beside == read_metadata(picture)["aquatint"]


TILED = """\
model shapes { source: "builtin:shapes", defaults { num_inference_steps: 2, seed: 1, size: 192x192 } }
generate shapes { prompt: "a red circle", output: "circle.png" }
"""


@pytest.mark.slow
def test_a_picture_in_tiles_is_made_again_in_tiles(aquatint: Aquatint, tmp_path: Path) -> None:
    assert aquatint("run", "-", "--quiet", "--threads", "1", "--tiling", stdin=TILED).code == 0
    tiled = (tmp_path / "circle.png").read_bytes()
    (tmp_path / "new").mkdir()
    answer = aquatint("replay", "../circle.png", "--strict", "--quiet", cwd=tmp_path / "new")
    assert (answer.code, answer.err) == (0, "")
    assert (tmp_path / "new" / "circle-replay.png").read_bytes() == tiled
    (tmp_path / "whole").mkdir()
    assert aquatint("run", "-", "--quiet", "--threads", "1", stdin=TILED, cwd=tmp_path / "whole").code == 0
    assert pixels(tmp_path / "whole" / "circle.png") != pixels(tmp_path / "circle.png")


BATCHES = """\
model shapes { source: "builtin:shapes", defaults { num_inference_steps: 2, images_per_batch: 3, size: 64x64 } }
for prompt in ["a red circle", "a {{ 'blue' }} square"], seed in [1, 5] {
    generate shapes { prompt: prompt, negative_prompt: "x", seed: seed, output: "{{ prompt | slug }}-{{ seed }}.webp" }
}
"""


@pytest.mark.slow
def test_a_picture_of_a_batch_is_made_again_by_its_whole_call(aquatint: Aquatint, tmp_path: Path) -> None:
    made = aquatint("run", "-", "--quiet", "--threads", "1", stdin=BATCHES)
    assert (made.code, made.err) == (0, "")
    together, alone = ["a-red-circle-1", "a-red-circle-5", "a-blue-square-1"], "a-blue-square-5"
    (tmp_path / "new").mkdir()
    for name in (*together, alone):
        answer = aquatint("replay", f"../{name}.webp", "--strict", "--quiet", cwd=tmp_path / "new")
        assert (answer.code, answer.err) == (0, ""), name
        assert (tmp_path / "new" / f"{name}-replay.webp").read_bytes() == (tmp_path / f"{name}.webp").read_bytes()
    assert len([file for file in (tmp_path / "new").iterdir() if file.is_file()]) == 4
    script = aquatint("script", "a-blue-square-1.webp").out
    (tmp_path / "by-script").mkdir()
    assert aquatint("run", "-", "--threads", "1", stdin=script, cwd=tmp_path / "by-script").code == 0
    for name, again in zip(together, ("-replay-1", "-replay-2", "-replay"), strict=True):
        assert pixels(tmp_path / "by-script" / f"a-blue-square-1{again}.webp") == pixels(tmp_path / f"{name}.webp")
    answer = aquatint("replay", "a-red-circle-1.webp", "--set", "images_per_batch=1", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    assert "batch" not in read_metadata(tmp_path / "a-red-circle-1-replay.webp")["aquatint"]
    answer = aquatint("replay", "a-red-circle-1.webp", "--set", "seed=3", "--output", "other.webp", "--json")
    [written] = answer.events_called("image_written")
    assert (written["path"], written["seed"]) == ("other.webp", 3)
    record = read_metadata(tmp_path / "other.webp")["aquatint"]
    assert [image["seed"] for image in record["batch"]["images"]] == [3, 5, 1]


@pytest.fixture
def circle(aquatint: Aquatint, tmp_path: Path) -> Path:
    """A picture, quantized by sdnq, made with one thread."""
    script = """\
model shapes { source: "builtin:shapes", quantizer: "sdnq;quant-conv=true" }
generate shapes { prompt: "a red circle", num_inference_steps: 2, seed: 1, output: "circle.png" }
"""
    answer = aquatint("run", "-", "--quiet", "--threads", "1", stdin=script)
    assert (answer.code, answer.err) == (0, "")
    return tmp_path / "circle.png"


@pytest.mark.slow
def test_a_picture_is_made_again_and_with_other_settings(aquatint: Aquatint, circle: Path) -> None:
    answer = aquatint("replay", "circle.png", "--strict")
    assert answer.code == 0
    assert (circle.parent / "circle-replay.png").read_bytes() == circle.read_bytes()
    script = aquatint("script", "circle.png", "--set", "seed=2", "--set", "unet.quantizer=sdnq;type=int8",
                      "--output", "by-script.png").out  # fmt: skip
    assert aquatint("run", "-", "--threads", "1", stdin=script).code == 0
    answer = aquatint("replay", "circle.png", "--set", "seed=2", "--set", "unet.quantizer=sdnq;type=int8", "--json")
    assert (answer.code, answer.err) == (0, "")
    [written] = answer.events_called("image_written")
    assert (written["path"], written["seed"]) == ("circle-replay-2.png", 2)
    one, other = (circle.parent / name for name in ("by-script.png", "circle-replay-2.png"))
    assert pixels(one) == pixels(other) != pixels(circle)
    record = read_metadata(other)["aquatint"]
    assert record["script"] == "<replay of circle.png>"
    assert record["components"]["unet"]["quantization"]["name"] == "sdnq;type=int8"


@pytest.mark.slow
def test_what_differs_is_told_before_anything_is_made(aquatint: Aquatint, circle: Path) -> None:
    with Image.open(circle) as image:
        image.load()
        record: dict[str, Any] = json.loads(image.info["aquatint"])
        record["engine"] |= {"threads": 2, "cpu": "SSE", "device": "cuda"}
        record["engine"]["versions"] |= {"torch": "1.0", "bitsandbytes": "0.1", "torchvision": "0.1"}
        record["components"]["vae"]["identity"] = "another"
        chunks = PngInfo()
        chunks.add_text("aquatint", json.dumps(record))
        image.save(circle.parent / "strange.png", pnginfo=chunks)
    told = [
        "the files of `vae` of `builtin:shapes` have changed since the picture was made",
        "the picture was made on `cuda`, and this is `cpu`",
        "the picture was made with threads: 2, here 1",
        "the picture was made on a processor with other kernels",
        f"the picture was made with other versions: torch 1.0 (here {torch_version(circle)})",
    ]
    answer = aquatint("replay", "strange.png", "--threads", "1", "--device", "cpu")
    assert answer.code == 0
    assert [line for line in answer.err.splitlines() if line.startswith("warning")] == [
        f"warning[not-as-recorded]: {each}" for each in told
    ]
    assert pixels(circle.parent / "strange-replay.png") == pixels(circle)
    strict = aquatint("replay", "strange.png", "--strict", "--output", "strict.png")
    assert strict.code == 2
    assert strict.err.startswith(f"error[not-as-recorded]: {told[0]}\n")
    assert not (circle.parent / "strict.png").exists()


@pytest.mark.slow
def test_a_checkpoint_that_has_changed(aquatint: Aquatint, tmp_path: Path) -> None:
    import aquatint as package

    shutil.copytree(Path(package.__file__).parent / "checkpoints" / "shapes", tmp_path / "model")
    script = (
        'model m { source: "model" }\ngenerate m { prompt: "a", num_inference_steps: 1, seed: 1, output: "a.png" }\n'
    )
    assert aquatint("run", "-", "--quiet", stdin=script).code == 0
    config = tmp_path / "model" / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text() + "\n")
    answer = aquatint("replay", "a.png", "--strict", "--quiet")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(
        "error[not-as-recorded]: the files of `scheduler` of `model` have changed since the picture was made\n"
    )
    shutil.rmtree(tmp_path / "model")
    answer = aquatint("replay", "a.png", "--quiet")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error[missing-model]: there is no folder `model`\n --> <replay of a.png>:5:13\n")


def pixels(file: Path) -> bytes:
    with Image.open(file) as image:
        return image.convert("RGB").tobytes()


def torch_version(picture: Path) -> str:
    return str(read_metadata(picture)["aquatint"]["engine"]["versions"]["torch"])
