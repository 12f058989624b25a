"""What is proposed where the cursor stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from aquatint.catalog.checkpoints import cached_repositories
from aquatint.interface.repl.completion import completions
from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.source import Source
from aquatint.syntax.parser import parse

SCRIPT = """\
quantizer q8 { backend: sdnq, weights_dtype: int8 }
model shapes { source: "builtin:shapes" }
"""


@pytest.fixture(scope="module")
def known() -> Interpreter:
    interpreter = Interpreter(World())
    parsed = parse(Source("<repl>", SCRIPT))
    assert not interpreter.evaluate(parsed.script, parsed.diagnostics, keep=True).diagnostics.has_errors
    return interpreter


@pytest.mark.parametrize(
    ("text", "proposed"),
    [
        ("gen", ["generate"]),
        ("up", ["upscale", "upscaler"]),
        ("for s in 1..3 {\n  sav", ["save"]),
        ("generate ", ["shapes"]),
        ("generate s", ["shapes"]),
        ("generate shapes { see", ["seed"]),
        ("generate shapes { num_in", ["num_inference_steps"]),
        ("generate shapes { seed: 1, se", []),
        ("model m { of", ["offload"]),
        ("model m { offload: ", ["group", "model", "sequential"]),
        ('model m {\n  source: "builtin:shapes"\n  te', ["text_encoder"]),
        ('model m { source: "builtin:shapes", unet { s', ["slicing", "source", "subfolder"]),
        ('model m { source: "builtin:shapes", unet { quantizer: ', ["none", "q8"]),
        ('model m { source: "builtin:shapes", defaults { num_inf', ["num_inference_steps"]),
        ('model m { source: "built', ["builtin:shapes"]),
        ('generate shapes { scheduler: "EulerD', ["EulerDiscreteScheduler"]),
        ('model m { type: "sdx', ["sdxl", "sdxl-pix2pix"]),
        ("model m extends shapes { va", ["vae", "variant"]),
        ("override shapes { un", ["unet"]),
        ("let m = shapes with { un", ["unet"]),
        ("quantizer q { backend: ", ["bnb", "sdnq"]),
        ("quantizer q extends q8 { weights_dtype: int15", []),
        ("print shapes.offl", ["offload"]),
        ("# gen", []),
        (":mo", ["models"]),
        (":drop ", ["shapes"]),
        (":help gri", ["grid"]),
        (":plan generate shapes { see", ["seed"]),
    ],
)  # fmt: skip
def test_proposals(known: Interpreter, text: str, proposed: list[str]) -> None:
    assert list(completions(text, known).texts) == proposed


def test_files_stand_in_strings_and_folders_end_with_a_slash(
    known: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").touch()
    (tmp_path / "prompts.txt").touch()
    monkeypatch.chdir(tmp_path)
    assert completions('include "p', known).texts == ("pictures/", "prompts.txt")
    found = completions(":run pictures/", known)
    assert (found.length, found.texts) == (9, ("pictures/a.png",))


def test_hub_ids_are_those_of_the_cache(tmp_path: Path) -> None:
    for name in ("models--maker--model-1--b", "models--alone", "datasets--maker--words", ".locks"):
        (tmp_path / name).mkdir()
    assert cached_repositories(tmp_path) == ["alone", "maker/model-1--b"]
    assert cached_repositories(tmp_path / "nowhere") == []
