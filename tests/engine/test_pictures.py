"""Pictures that one statement makes and the next one takes, and the measures of pictures, with real libraries."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy
import pytest
from PIL import Image

from aquatint.diagnostics import Diagnostics, render
from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.runtime.engine import Engine, EngineError
from aquatint.runtime.events import Event, Measured, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.torch_engine.measuring import measure
from aquatint.source import Source
from aquatint.syntax.parser import parse
from support.tiny import build


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tiny Stable Diffusion as `sd`, and with the same parts as `img2img`."""
    made = tmp_path_factory.mktemp("pictures")
    build("sd", made / "sd")
    shutil.copytree(made / "sd", made / "img2img")
    index = json.loads((made / "img2img/model_index.json").read_text())
    index["_class_name"] = "StableDiffusionImg2ImgPipeline"
    (made / "img2img/model_index.json").write_text(json.dumps(index))
    return made


CHAIN = """
model base {{ source: "{0}/sd", defaults {{ prompt: "a cat", seed: 1, num_inference_steps: 2 }} }}
model after extends base {{ source: "{0}/img2img" }}
let one = generate base {{ size: 64x64, output: "one.png" }}
let two = generate after {{ image: one, strength: 0.5, output: "two.png" }}
compare one, two, one {{ metrics: ["psnr", "ssim", "mse"] }}
"""


def run(text: str, engine: Engine, folder: Path) -> list[Event]:
    """Return what running the script `text` told."""
    parsed = parse(Source("chain.aqt", text))
    evaluation = Interpreter(World()).evaluate(parsed.script, parsed.diagnostics)
    assert evaluation.plan is not None, [render(item) for item in evaluation.diagnostics]
    events: list[Event] = []
    Executor(engine, events.append, Options(output_dir=folder)).run(evaluation.plan)
    assert [event for event in events if isinstance(event, StatementFailed)] == []
    return events


def test_an_image_goes_on_to_a_pipeline_that_takes_one(models: Path, engine: Engine, tmp_path: Path) -> None:
    import diffusers
    import torch

    events = run(CHAIN.format(models), engine, tmp_path)
    pipeline = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(models / "img2img", torch_dtype=torch.float32)
    with Image.open(tmp_path / "one.png") as first:
        expected = pipeline("a cat", image=first.convert("RGB"), strength=0.5, num_inference_steps=2,
                            generator=torch.Generator("cpu").manual_seed(1)).images[0]  # fmt: skip
    with Image.open(tmp_path / "two.png") as second:
        assert second.tobytes() == expected.tobytes()
    different, equal = [event.values for event in events if isinstance(event, Measured)]
    assert equal == {"psnr": math.inf, "ssim": pytest.approx(1.0), "mse": 0.0}
    assert different["mse"] > 0 and different["ssim"] < 1


def test_the_picture_is_needed_and_its_kind_is_checked(models: Path) -> None:
    text = f"""
model after {{ source: "{models}/img2img", defaults {{ prompt: "a cat", seed: 1 }} }}
generate after {{ output: "a.png" }}
generate after {{ image: "cat.png", output: "b.png" }}
generate after {{ image: 7, output: "c.png" }}
"""
    parsed = parse(Source("chain.aqt", text))
    Interpreter(World()).evaluate(parsed.script, parsed.diagnostics)
    assert [item.message for item in Diagnostics(list(parsed.diagnostics))] == [
        "this `generate` has no `image`",
        "can't read `cat.png`: no such file or directory",
        "`image` takes an image, not a number",
    ]


def picture(seed: int, side: int = 32) -> Image.Image:
    """Return a picture of noise."""
    return Image.fromarray(numpy.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=numpy.uint8))


def test_measures_are_those_of_their_definitions() -> None:
    import torch

    one, other = picture(1), picture(2)
    a, b = (numpy.asarray(image, dtype=numpy.float64) for image in (one, other))
    found = measure(torch, one, other, ["psnr", "mse", "mae", "max_error"])
    assert found["mse"] == pytest.approx(((a - b) ** 2).mean())
    assert found["mae"] == pytest.approx(abs(a - b).mean())
    assert found["max_error"] == abs(a - b).max()
    # https://en.wikipedia.org/wiki/Peak_signal-to-noise_ratio
    assert found["psnr"] == pytest.approx(10 * math.log10(255**2 / found["mse"]))


def test_ssim_is_that_of_its_paper_on_grey_pictures() -> None:
    """Wang et al. 2004, equation 13, with a Gaussian window of 11 pixels, by hand; reflected at the edges."""
    import torch
    from scipy.signal import convolve2d

    one, other = (Image.merge("RGB", [image.convert("L")] * 3) for image in (picture(3), picture(4)))
    a, b = (numpy.asarray(image, dtype=numpy.float64)[..., 0] for image in (one, other))
    offsets = numpy.arange(11) - 5
    line = numpy.exp(-(offsets**2) / (2 * 1.5**2))
    window = numpy.outer(line, line) / line.sum() ** 2

    def mean(values: numpy.ndarray) -> numpy.ndarray:
        return convolve2d(numpy.pad(values, 5, mode="reflect"), window, mode="valid")

    first, second = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    means, square = mean(a) * mean(b), mean(a) ** 2 + mean(b) ** 2
    spread = mean(a * a) + mean(b * b) - square
    similarity = (2 * means + first) * (2 * (mean(a * b) - means) + second) / ((square + first) * (spread + second))
    assert measure(torch, one, other, ["ssim"])["ssim"] == pytest.approx(similarity.mean(), abs=1e-6)


def test_pictures_that_are_too_small_for_the_window() -> None:
    import torch

    with pytest.raises(EngineError, match="at least 11 pixels"):
        measure(torch, picture(1, 8), picture(2, 8), ["ssim"])
