"""Packages that a pipeline's classes need and that aren't there are told while planning, by whoever needs them."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from aquatint.catalog import packages
from aquatint.catalog.pipelines import pipeline, pipeline_names
from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.source import Source
from aquatint.syntax.parser import parse


def said(text: str, *missing: str) -> list[tuple[str, str, str | None]]:
    """Return the code, message and help of each mistake of a script where these packages aren't installed."""
    parsed = parse(Source("script.aqt", text))
    world = World(is_installed=lambda package: package not in missing)
    found = Interpreter(world).evaluate(parsed.script, parsed.diagnostics).diagnostics
    return [(each.code, each.message, each.help) for each in found if each.code == "package-not-installed"]


def test_a_processor_of_videos_needs_torchvision(models: Path) -> None:
    text = 'model m { source: "models/edit" }\ngenerate m { prompt: "blue", image: "photo.png", seed: 1 }\n'
    assert said(text, "torchvision") == [(
        "package-not-installed", "a `Qwen2VLProcessor` needs `torchvision`, which is not installed",
        "install it: `pip install torchvision`",
    )]  # fmt: skip
    assert said(text) == []


@pytest.mark.parametrize(
    ("class_name", "role", "package"),
    [("PixtralProcessor", "tokenizer", "torchvision"), ("ChatGLMTokenizer", "tokenizer", "sentencepiece")],
)
def test_other_parts_have_packages_of_their_own(models: Path, class_name: str, role: str, package: str) -> None:
    info = pipeline("Flux2Pipeline" if package == "torchvision" else "KolorsPipeline")
    assert info is not None and role in info.components
    assert packages.needed(info, ["AutoencoderKL", class_name]) == {package: class_name}
    assert packages.needed(info, ["AutoencoderKL"]) == {}


def test_a_class_that_cleans_its_prompt_needs_ftfy(models: Path) -> None:
    text = (
        'model m { source: "models/wan-image" }\n'
        'generate m { prompt: "blue", image: "photo.png", seed: 1, output: "a.webp" }\n'
    )
    assert said(text, "ftfy", "torchvision") == [(
        "package-not-installed", "a `WanImageToVideoPipeline` needs `ftfy`, which is not installed",
        'install it: `pip install "aquatint[video]"`',
    )]  # fmt: skip


@pytest.mark.slow
def test_the_processors_are_those_that_transformers_gives_one_of_videos() -> None:
    import transformers

    named = {each for name in pipeline_names() if (info := pipeline(name)) for part in info.components.values()
             for each in part.classes if each.endswith("Processor")}  # fmt: skip
    for name in sorted(named | packages.WITH_VIDEOS):
        found = getattr(transformers, name, None)
        if found is not None:
            takes = "video_processor" in inspect.signature(found.__init__).parameters
            assert takes == (name in packages.WITH_VIDEOS), name
