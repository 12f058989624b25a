"""Packages that a pipeline's classes need and that aren't there are told while planning, by whoever needs them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from aquatint.catalog import packages
from aquatint.catalog.packages import Misfit
from aquatint.catalog.pipelines import pipeline
from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.source import Source
from aquatint.syntax.parser import parse

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "make_processor_catalog.py"
DATA = ROOT / "src" / "aquatint" / "catalog" / "data" / "processors.json"

EDIT = 'model m { source: "models/edit" }\ngenerate m { prompt: "blue", image: "photo.png", seed: 1 }\n'


def said(text: str, *missing: str, unfit: Misfit | None = None) -> list[tuple[str, str, str | None]]:
    """Return the code, message and help of what is said of packages that aren't there or don't fit."""
    parsed = parse(Source("script.aqt", text))
    world = World(
        is_installed=lambda package: package not in missing,
        misfit=lambda package: unfit if package == packages.OF_PROCESSORS else None,
    )
    found = Interpreter(world).evaluate(parsed.script, parsed.diagnostics).diagnostics
    return [(each.code, each.message, each.help) for each in found if each.code.startswith("package-")]


def test_a_processor_of_videos_needs_torchvision(models: Path) -> None:
    assert said(EDIT, "torchvision") == [(
        "package-not-installed", "a `Qwen2VLProcessor` needs `torchvision`, which is not installed",
        f"install it: `{packages.installing_torchvision(packages.version('torch'))}`",
    )]  # fmt: skip
    assert said(EDIT) == []


def test_a_torchvision_of_another_torch_is_told(models: Path) -> None:
    unfit = Misfit("and 0.28.0+cu130 isn't built for torch 2.13.0+cpu", "install one that fits: `pip install x`")
    assert said(EDIT, unfit=unfit) == [(
        "package-does-not-fit",
        "a `Qwen2VLProcessor` needs `torchvision`, and 0.28.0+cu130 isn't built for torch 2.13.0+cpu",
        "install one that fits: `pip install x`",
    )]  # fmt: skip
    assert said('model m { source: "models/sd" }\ngenerate m { prompt: "blue", seed: 1 }\n', unfit=unfit) == []


WHEELS = "--index-url https://download.pytorch.org/whl"


@pytest.mark.parametrize(("torch", "line"), [
    ("2.13.0+cpu", f"pip install torchvision==0.28.0 {WHEELS}/cpu"),
    ("2.7.1+cu128", f"pip install torchvision==0.22.1 {WHEELS}/cu128"),
    ("2.6.0+rocm6.2.4", f"pip install torchvision==0.21.0 {WHEELS}/rocm6.2.4"),
    ("2.13.0", "pip install torchvision==0.28.0"),
    ("2.14.0a0+git1234567", "pip install torchvision"),
    (None, "pip install torchvision"),
])  # fmt: skip
def test_the_line_that_installs_torchvision_is_for_the_torch_that_is_there(torch: str | None, line: str) -> None:
    assert packages.installing_torchvision(torch) == line


@pytest.mark.parametrize(("torch", "torchvision", "wanted", "why"), [
    ("2.13.0+cpu", "0.28.0+cu130", "torch (==2.13.0)", "and 0.28.0+cu130 isn't built for torch 2.13.0+cpu"),
    ("2.13.0+cu118", "0.28.0+cu130", "torch==2.13.0", "and 0.28.0+cu130 isn't built for torch 2.13.0+cu118"),
    ("2.13.0+cpu", "0.28.0+rocm7.1", "torch==2.13.0", "and 0.28.0+rocm7.1 isn't built for torch 2.13.0+cpu"),
    ("2.13.0", "0.27.0", "torch==2.12.0", "and 0.27.0 is for torch 2.12.0, not 2.13.0"),
    ("2.13.0+cu130", "0.28.0+cu126", "torch==2.13.0", "and 0.28.0+cu126 isn't built for torch 2.13.0+cu130"),
    ("2.13.0+cu128", "0.28.0+cu126", "torch==2.13.0", None),  # of one CUDA, as far as that matters
    ("2.13.1+cpu", "0.28.0+cpu", "torch==2.13.0", None),
    ("2.13.0+cu130", "0.28.0+cpu", "torch==2.13.0", None),
    ("2.13.0", "0.28.0", "torch==2.13.0", None),
    ("2.13.0+cpu", "0.28.0a0+82df5f5", "torch", None),  # built here, and nothing is known of it
])  # fmt: skip
def test_which_torchvision_fits_is_told_from_versions(
    torch: str, torchvision: str, wanted: str, why: str | None
) -> None:
    assert packages.misfit_of_torchvision(torch, torchvision, ["numpy", wanted]) == why


def test_what_is_imported_fits_and_what_was_kept_out_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, packages.OF_PROCESSORS, types.ModuleType(packages.OF_PROCESSORS))
    assert packages.misfit(packages.OF_PROCESSORS) is None
    monkeypatch.setitem(sys.modules, packages.OF_PROCESSORS, None)
    found = packages.misfit(packages.OF_PROCESSORS)
    assert found is not None and found.message == "which can't be imported here"


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


def is_of_these_transformers() -> bool:
    return bool(json.loads(DATA.read_text())["transformers"] == importlib.metadata.version("transformers"))


@pytest.mark.skipif(not is_of_these_transformers(), reason="the catalog is of another transformers")
def test_the_processors_are_up_to_date(tmp_path: Path) -> None:
    subprocess.run([sys.executable, SCRIPT, tmp_path / "processors.json"], check=True, capture_output=True)
    assert (tmp_path / "processors.json").read_text() == DATA.read_text()


WITHOUT = """
import inspect, json, sys
sys.modules["torchvision"] = None
import transformers
lacking = []
for name in dir(transformers):
    if not name.endswith("Processor"):
        continue
    found = getattr(transformers, name)
    is_left_out = "torchvision" in getattr(found, "_backends", ())
    if is_left_out or "video_processor" in inspect.signature(found.__init__).parameters:
        lacking.append(name)
print(json.dumps(lacking))
"""


@pytest.mark.slow
@pytest.mark.skipif(not is_of_these_transformers(), reason="the catalog is of another transformers")
def test_the_processors_are_those_that_transformers_lacks_without_it() -> None:
    environment = {**os.environ, "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run([sys.executable, "-c", WITHOUT], env=environment, check=True, capture_output=True, text=True)
    # The one beside is no part of a checkpoint: others derive from it.
    assert set(json.loads(done.stdout)) - {"BaseVideoProcessor"} == packages.processors()
