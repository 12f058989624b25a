"""The libraries are imported late, in the right order, with the right environment, and without a word."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers

from aquatint.runtime.engine import Engine
from aquatint.runtime.torch_engine.libraries import PACKAGES, libraries

ROOT = Path(__file__).parent.parent


def run(code: str, *flags: str, packages: Path | None = None) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SDNQ_")}
    path = os.pathsep.join(map(str, [ROOT.parent / "src", ROOT, *([packages] if packages else [])]))
    return subprocess.run(
        [sys.executable, *flags, "-c", code], env=kept | {"PYTHONPATH": path}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_importing_the_engine_imports_no_library() -> None:
    code = "import sys, aquatint.runtime.torch_engine; print({'torch', 'diffusers', 'sdnq'} & set(sys.modules))"
    assert run(code).stdout.strip() == "set()"


QUIET = """
import sys
from pathlib import Path
from support.scenes import everywhere, paint, scene
from aquatint.runtime.torch_engine import TorchEngine
engine = TorchEngine(threads=1)
for uri in ("bnb", "bnb;bits=4", "sdnq"):
    folder = Path(sys.argv[1])
    paint(engine, scene(folder, everywhere(folder, uri)))
import sdnq.common
assert not sdnq.common.use_torch_compile
"""


def test_a_run_says_nothing_and_compiles_nothing(folder: Callable[[str], Path]) -> None:
    code = QUIET.replace("sys.argv[1]", repr(str(folder("sd"))))
    done = run(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


WITHOUT_SDNQ = """
from pathlib import Path
from support.scenes import component, everywhere, paint, scene
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine import TorchEngine
engine = TorchEngine(threads=1)
folder = Path(FOLDER)
assert engine.describe()["versions"]["sdnq"] is None
paint(engine, scene(folder, everywhere(folder, "bnb")))
for role in ("unet", "text_encoder"):
    try:
        engine.load(component(folder, role, "sdnq"))
    except EngineError as error:
        print(error, error.help)
"""


@pytest.mark.slow
def test_everything_else_works_where_sdnq_is_not_installed(folder: Callable[[str], Path], tmp_path: Path) -> None:
    for entry in Path(torch.__file__).parent.parent.iterdir():
        if not entry.name.startswith("sdnq"):
            (tmp_path / entry.name).symlink_to(entry)
    # -S leaves out the environment's own packages, so that only what is linked is there.
    done = run(WITHOUT_SDNQ.replace("FOLDER", repr(str(folder("sd")))), "-S", packages=tmp_path)
    assert done.stderr == ""
    assert [line.startswith("sdnq is not installed") for line in done.stdout.splitlines()] == [True, True]


BESIDE_WHAT_FAILS = """
import sys
from pathlib import Path
from support.scenes import everywhere, paint, scene
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine import TorchEngine
from aquatint.runtime.torch_engine.libraries import libraries
from aquatint.runtime.torch_engine.loading import find_class
engine = TorchEngine(threads=1)
folder = Path(FOLDER)
paint(engine, scene(folder, everywhere(folder, "bnb")))
print(engine.describe()["versions"]["torchvision"])
print(find_class(libraries(), "transformers", "CLIPImageProcessor").__name__)
try:
    find_class(libraries(), "transformers", "Qwen2VLProcessor")
except EngineError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_torchvision_that_fails_is_kept_out(folder: Callable[[str], Path], tmp_path: Path) -> None:
    # As one does that is built for another torch; transformers would fail with it.
    (tmp_path / "torchvision").mkdir()
    raising = "raise RuntimeError('operator torchvision::nms does not exist')"
    (tmp_path / "torchvision" / "__init__.py").write_text(raising)
    (tmp_path / "torchvision-0.1.0.dist-info").mkdir()
    (tmp_path / "torchvision-0.1.0.dist-info" / "METADATA").write_text("Name: torchvision\nVersion: 0.1.0\n")
    done = run(BESIDE_WHAT_FAILS.replace("FOLDER", repr(str(folder("sd")))), packages=tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "None",
        "CLIPImageProcessorPil",
        "`Qwen2VLProcessor` needs `torchvision`, which can't be imported: "
        "RuntimeError: operator torchvision::nms does not exist",
    ]


def test_sdnq_is_known_to_transformers() -> None:
    # Otherwise a text encoder that sdnq stored loads as if its weights were plain.
    libraries()
    assert "sdnq" in transformers.quantizers.auto.AUTO_QUANTIZER_MAPPING


def test_what_decides_the_bits_is_described(engine: Engine) -> None:
    described = engine.describe()
    assert described["threads"] == 1
    assert described["device"] == "cpu"
    versions = described["versions"]
    assert isinstance(versions, dict)
    assert set(versions) == set(PACKAGES)
    assert versions["torch"]
