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
upscaler better = "magicprompt;model=builtin:captions"
weighter deep = "llm4gen"
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
        ('model m { quantizer: "b', ["bnb"]),
        ('model m { quantizer: "bnb;bi', ["bits4-compute-dtype=", "bits4-quant-storage=", "bits4-quant-type=",
                                         "bits4-use-double-quant=", "bits="]),
        ('model m { quantizer: "bnb;bits=', ["4", "8"]),
        ('model m { quantizer: "bnb;bits=4;bits4_quant_ty', ["bits4_quant_type="]),
        ('model m { quantizer: "bnb;bits=4;bit4', []),
        ('let q = "bnb;bits4-quant-type=', ["fp4", "nf4"]),
        ('generate shapes { scheduler: "EulerDiscreteScheduler;use-kar', ["use-karras-sigmas="]),
        ("# gen", []),
        (":mo", ["models"]),
        (":drop ", ["shapes"]),
        (":help gri", ["grid"]),
        (":plan generate shapes { see", ["seed"]),
        ("upscaler u { plug", ["plugin"]),
        ("upscaler u { plugin: magicp", ["magicprompt"]),
        ("upscaler u {\n  plugin: magicprompt\n  temp", ["temperature"]),
        ("upscaler u { plugin: magicprompt, part: ", ["both", "negative", "positive"]),
        ("upscaler u { plugin: magicprompt, quantizer: ", ["none", "q8"]),
        ('upscaler u { plugin: magicprompt, quantizer: "bnb;bits=', ["4", "8"]),
        ("upscaler u extends better { max_l", ["max_length"]),
        ("let u = better with { smart", ["smart_truncate"]),
        ("override deep { llm_d", ["llm_dtype"]),
        ("weighter w { plugin: llm4gen, llm_q", ["llm_quantizer"]),
        ("upscale ", ["better"]),
        ("upscale better { par", ["part"]),
        ("generate shapes { weighter: ", ["deep", "none"]),
        ('generate shapes { weighter: "llm4gen;llm-d', ["llm-dtype="]),
        ('model m { quantizer: "sd', ["sdnq"]),
        ('model m { quantizer: "sdnq;quant-conv=', ["false", "true"]),
        ('quantizer q = "bnb;bits=4;bits4_quant', ["bits4_quant_storage=", "bits4_quant_type="]),
        ('upscaler u = "magicp', ["magicprompt"]),
        ('upscaler u = "magicprompt;smart-truncate=true;smart', []),
        ('upscaler u = "magicprompt;part=', ["both", "negative", "positive"]),
        ("upscaler u = 'magicprompt;quantizer=\"bnb;bits4-quant-t", ["bits4-quant-type="]),
        ("upscaler u = 'magicprompt;quantizer=bn", ["bnb"]),
        ('upscaler u = "magi;part=', []),
        ('upscale "magicp', ["magicprompt"]),
    ],
)  # fmt: skip
def test_proposals(known: Interpreter, text: str, proposed: list[str]) -> None:
    assert list(completions(text, known).texts) == proposed


def test_in_a_uri_only_the_end_is_replaced(known: Interpreter) -> None:
    for text, length in (
        ('upscaler u = "magicprompt;variat', 6), ('upscaler u = "magicprompt;part=po', 2), ('quantizer q = "bn', 2),
        ("upscaler u = 'magicprompt;quantizer=\"sdnq;quant_co", 8), ("weighter w = 'llm4gen;llm-quantizer=s", 1),
    ):  # fmt: skip
        assert completions(text, known).length == length
        assert len(completions(text, known).texts) == 1


def test_files_stand_in_strings_and_folders_end_with_a_slash(
    known: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").touch()
    (tmp_path / "prompts.txt").touch()
    monkeypatch.chdir(tmp_path)
    assert completions('include "p', known).texts == ("pictures/", "prompts.txt")
    assert completions('upscaler u = "magicprompt;model=pi', known).texts == ("pictures/",)
    found = completions(":run pictures/", known)
    assert (found.length, found.texts) == (9, ("pictures/a.png",))


def test_hub_ids_are_those_of_the_cache(tmp_path: Path) -> None:
    for name in ("models--maker--model-1--b", "models--alone", "datasets--maker--words", ".locks"):
        (tmp_path / name).mkdir()
    assert cached_repositories(tmp_path) == ["alone", "maker/model-1--b"]
    assert cached_repositories(tmp_path / "nowhere") == []
