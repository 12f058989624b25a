"""The program that `docs/determinism.md` shows makes the same pixels as Aquatint does."""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "examples" / "plain_diffusers.py"


def run(folder: Path, *command: str) -> None:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--full"]], ids=["quantized", "full"])
def test_the_program_makes_the_pixels_of_its_script(tmp_path: Path, options: list[str]) -> None:
    said = (ast.get_docstring(ast.parse(PROGRAM.read_text(encoding="utf-8"))) or "").split("\n\n")
    script = textwrap.dedent(next(part for part in said if part.lstrip().startswith("model ")))
    if options:
        script = script.replace(', quantizer: "sdnq;type=int8;quant-conv=true"', "")
    (tmp_path / "circle.aqt").write_text(script, encoding="utf-8")
    run(tmp_path, "-m", "aquatint", "run", "--quiet", "circle.aqt")
    run(tmp_path, str(PROGRAM), "plain.png", *options)
    with Image.open(tmp_path / "circle.png") as one, Image.open(tmp_path / "plain.png") as other:
        assert one.convert("RGB").tobytes() == other.convert("RGB").tobytes()


def test_the_page_shows_the_program() -> None:
    page = (ROOT / "docs" / "determinism.md").read_text(encoding="utf-8")
    shown = page.split("```python\n")[1].split("```")[0]
    assert shown in PROGRAM.read_text(encoding="utf-8")
