"""`aquatint generate`: the script that a command line comes to, what is said of mistakes in it, and pictures."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from aquatint.catalog.model_types import FAMILIES
from aquatint.catalog.models import ADAPTERS
from aquatint.diagnostics import Diagnostics, render
from aquatint.interface.cli import _option_names, main
from aquatint.interface.commands import generate, run
from aquatint.interface.generate_script import model_name, quoted
from aquatint.interface.submodel_uri import Submodule, parse_submodule
from aquatint.plan.steps import Plan, Print, plan_from_json, plan_to_json
from aquatint.source import Source
from aquatint.syntax.formatting import formatted
from aquatint.syntax.parser import parse
from engine import plain
from support import cases, folders, tiny

SHAPES = ("builtin:shapes", "--prompts", "a red circle", "--seeds", "1", "--inference-steps", "2", "--device", "cpu")


def said(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Return the exit code, the output and the errors of a command line."""
    code = main(["generate", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def emitted(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the script of a command line."""
    code, out, err = said(*arguments, "--emit-script", capsys=capsys)
    assert (code, err) == (0, "")
    return out


def planned(script: str, name: str = "<command line>") -> Plan:
    """Return the plan of a script on a CPU."""
    evaluation = cases.evaluate(script, cases.options_of(f"--name '{name}'"))
    assert evaluation.plan is not None, cases.errors(evaluation)
    return evaluation.plan


def placeless(plan: Plan) -> dict[str, Any]:
    """Return `plan` without what only tells where its steps stand in the script, and how they are written."""

    def stripped(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: stripped(v) for k, v in value.items() if k not in ("place", "statement", "script", "name")}
        return [stripped(item) for item in value] if isinstance(value, list) else value

    made: dict[str, Any] = stripped(json.loads(plan_to_json(plan)))
    return made


SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
SD3 = "stabilityai/stable-diffusion-3.5-medium"

SCRIPTS = {
    "one picture": (
        [
            SDXL,
            "--model-type",
            "sdxl",
            "--dtype",
            "float16",
            "--variant",
            "fp16",
            "--quantizer",
            "bnb;bits=8",
            "--quantizer-map",
            "unet",
            "text_encoder",
            "text_encoder_2",
            "--inference-steps",
            "30",
            "--guidance-scales",
            "5",
            "--prompts",
            "a cute cat",
        ],
        """\
model stable_diffusion_xl_base_1_0 {
    source: "stabilityai/stable-diffusion-xl-base-1.0"
    type: "sdxl"
    dtype: float16
    variant: "fp16"
    quantizer: "bnb;bits=8"
    quantizer_map: ["unet", "text_encoder", "text_encoder_2"]
}

generate stable_diffusion_xl_base_1_0 {
    prompt: "a cute cat"
    guidance_scale: 5
    num_inference_steps: 30
}
""",
    ),
    "a submodule": (
        [
            SDXL,
            "--variant",
            "fp16",
            "--unet",
            f'{SDXL};subfolder=unet;quantizer="bnb;bits=8"',
            "--vae",
            "madebyollin/sdxl-vae-fp16-fix",
            "--prompts",
            "a cute cat",
        ],
        """\
model stable_diffusion_xl_base_1_0 {
    source: "stabilityai/stable-diffusion-xl-base-1.0"
    variant: "fp16"
    unet {
        source: "stabilityai/stable-diffusion-xl-base-1.0"
        subfolder: "unet"
        quantizer: "bnb;bits=8"
    }
    vae { source: "madebyollin/sdxl-vae-fp16-fix" }
}

generate stable_diffusion_xl_base_1_0 {
    prompt: "a cute cat"
}
""",
    ),
    "text encoders": (
        [
            SD3,
            "--transformer",
            "+;dtype=bfloat16;quantizer=none",
            "--text-encoders",
            "+",
            '+ ; quantizer = "sdnq;modules-dtype-dict={\\"int8\\":[\\"block\\"]}"',
            "null",
            "--image-encoder",
            "none",
            "--quantizer",
            "sdnq;type=int8",
            "--prompts",
            "a cat; a dog",
        ],
        """\
model stable_diffusion_3_5_medium {
    source: "stabilityai/stable-diffusion-3.5-medium"
    quantizer: "sdnq;type=int8"
    transformer { dtype: bfloat16, quantizer: none }
    text_encoder_2 { quantizer: 'sdnq;modules-dtype-dict={"int8":["block"]}' }
    text_encoder_3: none
    image_encoder: none
}

generate stable_diffusion_3_5_medium {
    prompt: "a cat"
    negative_prompt: "a dog"
}
""",
    ),
    "lists": (
        [
            "builtin:shapes",
            "--quantizer",
            "none",
            "sdnq;type=int8",
            "--prompts",
            "a red circle",
            "a blue star",
            "--negative-prompts",
            "blurry",
            "--guidance-scales",
            "3",
            "7.5",
            ".5",
            "-1",
            "1e2",
            "--inference-steps",
            "4",
            "8",
            "--seeds",
            "1",
            "2",
            "--output-size",
            "64x32",
            "--scheduler",
            "DDIMScheduler",
        ],
        """\
model shapes {
    source: "builtin:shapes"
}

for q in [none, "sdnq;type=int8"],
    prompt in ["a red circle", "a blue star"],
    guidance_scale in [3, 7.5, 0.5, -1, 100.0],
    num_inference_steps in [4, 8],
    seed in [1, 2] {
    generate (shapes with { quantizer: q }) {
        prompt: prompt
        negative_prompt: "blurry"
        guidance_scale: guidance_scale
        num_inference_steps: num_inference_steps
        seed: seed
        size: 64x32
        scheduler: "DDIMScheduler"
    }
}
""",
    ),
    "several pictures of one call": (
        ["builtin:shapes", "--prompts", "a circle", "--seeds", "1", "2", "--images-per-batch", "2"],
        """\
model shapes {
    source: "builtin:shapes"
}

for seed in [1, 2] {
    generate shapes {
        prompt: "a circle"
        seed: seed
        images_per_batch: 2
    }
}
""",
    ),
    "a video's frames in a second": (
        ["models/wan", "--prompts", "a circle", "--seeds", "1", "--fps", "12.5"],
        """\
model wan {
    source: "models/wan"
}

generate wan {
    prompt: "a circle"
    seed: 1
    fps: 12.5
}
""",
    ),
    "prompts with their own negatives": (
        ["builtin:shapes", "--prompts", "a circle; blue", "a star \\; or two", "it's {{ raw }};", "--seeds", "5"],
        """\
model shapes {
    source: "builtin:shapes"
}

for prompt, negative_prompt in [
    ["a circle", "blue"],
    ["a star ; or two", none],
    ['it' + "'" + 's {{ raw }}', ""],
] {
    generate shapes {
        prompt: prompt
        negative_prompt: negative_prompt
        seed: 5
    }
}
""",
    ),
    "an output that tells of a seed": (
        ["builtin:shapes", "--prompts", "a circle", "--seeds", "5", "--output", 'out/{{ seed }}-{{ "x" }}.png'],
        """\
model shapes {
    source: "builtin:shapes"
}

for seed in [5] {
    generate shapes {
        prompt: "a circle"
        seed: seed
        output: "out/{{ seed }}-{{ \\"x\\" }}.png"
    }
}
""",
    ),
    "nothing, in words": (
        [
            "builtin:shapes",
            "--dtype",
            "auto",
            "--variant",
            "null",
            "--revision",
            "none",
            "--quantizer-map",
            "null",
            "--unet",
            "+",
            "--prompts",
            "a circle",
            "--output-size",
            "64",
        ],
        """\
model shapes {
    source: "builtin:shapes"
}

generate shapes {
    prompt: "a circle"
    size: 64x64
}
""",
    ),
    "an upscaler and a weighter": (
        [
            "builtin:shapes",
            "--prompts",
            "a circle",
            "--prompt-upscaler",
            'magicprompt;model=builtin:captions;variations=2;quantizer="bnb;bits=8"',
            "--prompt-weighter",
            'llm4gen;encoder=xl-all;llm-quantizer="sdnq;type=int8"',
            "--seeds",
            "1",
        ],
        """\
upscaler better = 'magicprompt;model=builtin:captions;variations=2;quantizer="bnb;bits=8"'
model shapes {
    source: "builtin:shapes"
}

let prompts = upscale better { prompts: ["a circle"] }

for prompt in prompts {
    generate shapes {
        prompt: prompt
        seed: 1
        weighter: 'llm4gen;encoder=xl-all;llm-quantizer="sdnq;type=int8"'
    }
}
""",
    ),
    "upscalers in a row, with negative prompts for all": (
        [
            "builtin:shapes",
            "--prompts",
            "a circle",
            "a cross",
            "--negative-prompts",
            "red",
            "--prompt-upscaler",
            "magicprompt;model=builtin:captions;part=positive;variations=2",
            "--prompt-upscaler",
            "magicprompt;model=builtin:captions",
        ],
        """\
upscaler better = "magicprompt;model=builtin:captions;part=positive;variations=2"
upscaler better_2 = "magicprompt;model=builtin:captions"
model shapes {
    source: "builtin:shapes"
}

let prompts = upscale better_2 { prompts: upscale better { prompts: ["a circle", "a cross"] } }
let negative_prompts = upscale better_2 {
    prompts: upscale better { prompts: ["red"], part: "negative" }
    part: "negative"
}

for prompt in prompts, negative_prompt in negative_prompts {
    generate shapes {
        prompt: prompt
        negative_prompt: negative_prompt
    }
}
""",
    ),
    "an upscaler, with negative prompts of some": (
        [
            "builtin:shapes",
            "--prompts",
            "a circle; red",
            "a cross",
            "--prompt-upscaler",
            "magicprompt;model=builtin:captions;variations=3",
        ],
        """\
upscaler better = "magicprompt;model=builtin:captions;variations=3"
model shapes {
    source: "builtin:shapes"
}

let prompts = upscale better { prompts: ["a circle", "a cross"] }
let negative_prompts = (upscale better { prompts: ["red"], part: "negative" }) + [none] * (len(prompts) // 2)

for prompt, negative_prompt in zip(prompts, negative_prompts) {
    generate shapes {
        prompt: prompt
        negative_prompt: negative_prompt
    }
}
""",
    ),
    "files that are called what the prompts were before": (
        [
            "builtin:shapes",
            "--prompts",
            "a circle",
            "a cross",
            "--prompt-upscaler",
            "magicprompt;model=builtin:captions;variations=3",
            "--output",
            "{{ written | slug }}-{{ number }}.png",
        ],
        """\
upscaler better = "magicprompt;model=builtin:captions;variations=3"
model shapes {
    source: "builtin:shapes"
}

let prompts = upscale better { prompts: ["a circle", "a cross"] }
let written_prompts = ["a circle"] * (len(prompts) // 2) + ["a cross"] * (len(prompts) // 2)

for number, written, prompt in zip(1..len(prompts), written_prompts, prompts) {
    generate shapes {
        prompt: prompt
        output: "{{ written | slug }}-{{ number }}.png"
    }
}
""",
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_script_of_a_command_line(name: str, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, script = SCRIPTS[name]
    assert emitted(*arguments, capsys=capsys) == script
    planned(script)  # it has no mistakes


@pytest.mark.parametrize("options", [[], ["--device", "cuda:1"]], ids=["", "with-heading"])
@pytest.mark.parametrize("words", [20, 90])
def test_the_script_is_in_canonical_form(words: int, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    long = [f"{'a very long prompt ' * (words // 10)}{number}" for number in range(3)]
    uri = f'+;quantizer="sdnq;weights-dtype=int8;modules-to-not-convert={"some.module." * (words // 8)}x";dtype=float16'
    line = ["builtin:shapes", "--prompts", *long, "--seeds", *map(str, range(words)), "--unet", uri]
    line += ["--output", "{{ prompt | slug }}.png", "--quantizer", "bnb;bits=4", "bnb;bits=8", "--text-encoders", uri]
    line += options
    script = emitted(*line, capsys=capsys)
    assert formatted(parse(Source("x.aqt", script)).script) == script


@pytest.mark.parametrize("name", SCRIPTS)
def test_its_plan_is_the_script_s(name: str, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, script = SCRIPTS[name]
    code, out, err = said(*arguments, "--plan", "--json", "--device", "cpu", capsys=capsys)
    assert (code, err) == (0, "")
    assert out.encode() == plan_to_json(planned(script))


def test_a_file_is_not_called_what_an_upscaler_writes(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["builtin:shapes", "--prompts", "a", "--prompt-upscaler", "magicprompt;model=builtin:captions", "--output"]
    code, out, err = said(*line, "{{ prompt | slug }}.png", "--plan", capsys=capsys)
    assert (code, out) == (2, "")
    assert (
        err
        == """\
error[deferred-value]: `--output` names `prompt`, which `--prompt-upscaler` writes when the plan runs
 --> --output:1:4
  |
1 | {{ prompt | slug }}.png
  |    ^^^^^^
  = help: `{{ written | slug }}` is the prompt as it was before, and `{{ number }}` which of all prompts it is

1 error; nothing was loaded or written
"""
    )
    line[4] += ";part=negative"
    assert said(*line, "{{ prompt | slug }}.png", "--plan", capsys=capsys)[0] == 0


def test_a_quantizer_of_an_upscaler_whose_quotes_got_lost(capsys: pytest.CaptureFixture[str]) -> None:
    uri = "magicprompt;quantizer=bnb;bits=8"
    code, out, err = said("builtin:shapes", "--prompts", "a", "--prompt-upscaler", uri, "--plan", capsys=capsys)
    assert (code, out) == (2, "")
    assert (
        err
        == """\
error[unknown-setting]: upscaler plugin `magicprompt` has no setting `bits`
 --> <command line>:1:46
  |
1 | upscaler better = "magicprompt;quantizer=bnb;bits=8"
  |                                              ^^^^
  = help: put the whole quantizer in quotes: `quantizer="bnb;bits=8"`

1 error; nothing was loaded or written
"""
    )


def test_no_upscaler_and_no_weighter(capsys: pytest.CaptureFixture[str]) -> None:
    line = ("builtin:shapes", "--prompts", "a circle")
    none = ("--prompt-upscaler", "null", "--prompt-weighter", "none")
    assert emitted(*line, *none, capsys=capsys) == emitted(*line, capsys=capsys)


def test_options_of_running_are_told_in_a_comment(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--device", "cuda:1", "--plan-seed", "7", "--output-dir", "my\npictures", "--existing", "skip")
    first, _, rest = emitted(*SHAPES[:-2], *options, capsys=capsys).partition("\n\n")
    assert first == "# aquatint run FILE --device cuda:1 --plan-seed 7 --output-dir 'my?pictures' --existing skip"
    assert rest == emitted(*SHAPES[:-2], capsys=capsys)


def test_its_plan_is_that_of_a_script_written_by_hand(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_hand = """
        quantizer q8 { backend: bnb, bits: 8 }
        quantizer nf { backend: bnb, bits: 4, bits4_quant_type: nf4 }
        model stable_diffusion_xl_base_1_0 {
            source: "stabilityai/stable-diffusion-xl-base-1.0", dtype: float16, variant: "fp16"
            quantizer: q8, quantizer_map: ["unet", "text_encoder"]
            text_encoder_2 { quantizer: nf }
            defaults { num_inference_steps: 30, guidance_scale: 5, size: 1024x512 }
        }
        for p in ["a cat", "a dog"], s in 1..2 {
            generate stable_diffusion_xl_base_1_0 { prompt: p, seed: s, output: "{{ p | slug }}-{{ s }}.png" }
        }
    """
    code, out, _ = said(
        SDXL, "--dtype", "float16", "--variant", "fp16", "--quantizer", "bnb;bits=8", "--quantizer_map", "unet",
        "text-encoder", "--text_encoders", "+", '+;quantizer="bitsandbytes;bits=4;bits4_quant_type=nf4"',
        "--inference_steps", "30", "--guidance-scales", "5", "--output-size", "1024x512", "--prompts", "a cat", "a dog",
        "--seeds", "1", "2", "--output", "{{ prompt | slug }}-{{ seed }}.png", "--plan", "--json", "--device", "cpu",
        capsys=capsys,
    )  # fmt: skip
    assert code == 0
    hand, line = placeless(planned(by_hand)), placeless(plan_from_json(out.encode()))
    # What the quantizers are called differs, and nothing else.
    for plan in (hand, line):
        for step in plan["steps"]:
            step.pop("quantizers", None)
    assert line == hand


def test_every_mistake_is_told_at_once(models: Path, capsys: pytest.CaptureFixture[str], update_cases: bool) -> None:
    code, out, err = said(
        "models/sd", "--model-type", "sdxl", "--quantizer", "bnb;bits=5", "--unet", "models/sd;quantizer=bnb;bits=8",
        "--text-encoders", "null", '+;dtpye=float16;quantizer="bnb', "--vae", ";dtype=float16", "--seeds", "1", "two",
        "--inference-steps", "2.5", "--guidance-scales", "high", "1e999", "--output-size", "big", "--prompts",
        "a cat; a dog", "--negative-prompts", "a mouse", "--control-nets", "models/a", "models/b", "--device", "cpu",
        capsys=capsys,
    )  # fmt: skip
    assert (code, out) == (2, "")
    compare("generate-mistakes.txt", err, update_cases)


def compare(name: str, actual: str, update: bool) -> None:
    """Compare `actual` with the file called `name` beside this one, or write it anew."""
    file = Path(__file__).with_name(name)
    if update:
        file.write_text(actual, encoding="utf-8")
    assert actual == file.read_text(encoding="utf-8")


def test_several_controlnets_and_how_a_submodule_computes(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "edges.png", tmp_path / "depth.png"]
    for file in files:
        Image.new("RGB", (64, 48)).save(file)
    nets = ("--control-nets", "models/controlnet", "models/controlnet;quantizer=sdnq")
    line = ("models/sd", "--prompts", "x", "--seeds", "1", "--vae", "+;tiling=true", *nets)
    text = emitted(*line, "--images", *map(str, files), capsys=capsys)
    assert text.splitlines()[1:7] == [
        '    source: "models/sd"', "    vae { tiling: true }", '    controlnet { source: "models/controlnet" }',
        '    controlnet_2 { source: "models/controlnet", quantizer: "sdnq" }', "}", "",
    ]  # fmt: skip
    both = f'["{files[0]}","{files[1]}",]'
    assert f"image:{both}" in "".join(text.split())
    text = emitted(*line, "--images", str(files[0]), "--control-image", *map(str, files), capsys=capsys)
    assert f"control_image:{both}" in "".join(text.split())
    code, _, err = said(*line, "--images", str(files[0]), "--plan", "--device", "cpu", capsys=capsys)
    assert (code, err.partition("\n")[0]) == (
        2, "error[wrong-value]: the model has 2 controlnets, and `image` 1 picture"
    )  # fmt: skip


def test_a_controlnet_of_a_model_that_has_one(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = folders.SD | {"controlnet": ("diffusers", "ControlNetModel")}
    source = folders.write_pipeline(tmp_path / "steered", "StableDiffusionControlNetPipeline", parts)
    line = (str(source), "--prompts", "x", "--seeds", "1", "--control-nets")
    assert "    controlnet { dtype: float16 }\n" in emitted(*line, "+;dtype=float16", capsys=capsys)
    code, _, err = said(*line, "+;dtype=float17", "--device", "cpu", capsys=capsys)
    assert (code, err.partition("\n")[0]) == (2, 'error[wrong-value]: `dtype` can\'t be `"float17"`')
    code, _, err = said(*line, "+;dtype=float16", "--plan", "--device", "cpu", capsys=capsys)
    assert (code, err.partition("\n")[0]) == (2, "error[missing-setting]: this `generate` has no `image`")
    Image.new("RGB", (64, 48)).save(tmp_path / "edges.png")
    given = ("--images", str(tmp_path / "edges.png"), "--plan", "--device", "cpu")
    code, out, _ = said(*line, "+;dtype=float16", *given, capsys=capsys)
    assert code == 0
    assert f"image {tmp_path / 'edges.png'}, pipeline StableDiffusionControlNetPipeline" in out


def test_pictures_to_begin_from_multiply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one.png", "two.png", "mask.png"):
        Image.new("RGB", (64, 48)).save(name)
    line = (
        "builtin:shapes", "--prompts", "x", "--seeds", "1", "--images", "one.png", "two.png", "--strengths", "0.5",
        "0.8", "--mask-image", "mask.png",
    )  # fmt: skip
    script = """\
model shapes {
    source: "builtin:shapes"
}

for image in ["one.png", "two.png"], strength in [0.5, 0.8] {
    generate shapes {
        prompt: "x"
        image: image
        strength: strength
        seed: 1
        mask_image: "mask.png"
    }
}
"""
    assert emitted(*line, capsys=capsys) == script
    code, out, _ = said(*line, "--plan", "--device", "cpu", capsys=capsys)
    assert code == 0
    assert out.count("pipeline StableDiffusionInpaintPipeline") == 4


def test_the_guide_names_every_family() -> None:
    page = (Path(__file__).parents[2] / "docs" / "quantization" / "command-line.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for name, beginnings in FAMILIES.items():
        assert any(f"`{name}`" in row and all(f"`{each}...`" in row for each in beginnings) for row in rows), name


def test_the_guide_has_every_option() -> None:
    page = (Path(__file__).parents[2] / "docs" / "quantization" / "command-line.md").read_text(encoding="utf-8")
    commands = argparse.ArgumentParser().add_subparsers()
    own = _option_names(generate.add_parser(commands)) - _option_names(run.add_parser(commands))
    assert {name for name in own if f"`{name}" not in page} == set()


def test_mistakes_as_json(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said("models/sd", "--prompts", "x", "--seeds", "a", "--unet", "+;x=1", "--json", capsys=capsys)
    assert (code, err) == (2, "")
    told = [json.loads(line) for line in out.splitlines()]
    assert [(each["code"], each["file"], each["line"], each["column"], each["end_column"]) for each in told] == [
        ("unknown-setting", "--unet", 1, 3, 4), ("wrong-type", "--seeds", 1, 1, 2),
    ]  # fmt: skip


URIS: dict[str, Submodule | None] = {
    "null": None,
    " none ": None,
    "+": Submodule(None, {}),
    "a b/c ; subfolder = 'x;y' ; dtype=float16;": Submodule("a b/c", {"subfolder": "x;y", "dtype": "float16"}),
    'R;quantizer="bnb;bits=8"': Submodule("R", {"quantizer": "bnb;bits=8"}),
    r'R;quantizer="sdnq;m={\"a\":1}"': Submodule("R", {"quantizer": 'sdnq;m={"a":1}'}),
    r"C:\models\unet;subfolder='a\\b\c'": Submodule(r"C:\models\unet", {"subfolder": r"a\b\c"}),
    "it's;variant=null;dtype=auto": Submodule("it's", {"variant": None, "dtype": None}),
}


@pytest.mark.parametrize("uri", URIS)
def test_the_uri_of_a_submodule(uri: str) -> None:
    diagnostics = Diagnostics()
    assert parse_submodule("--unet", uri, diagnostics) == URIS[uri]
    assert not diagnostics.items


def test_malformed_uris(update_cases: bool) -> None:
    diagnostics = Diagnostics()
    uri = ";dtype;;varinat=fp16;dtype=a;dtype=b;revision=;model=x;source=y;subfolder='a'b"
    assert parse_submodule("--unet", uri, diagnostics) == Submodule(None, {"dtype": "a"})
    compare("generate-malformed-uri.txt", "\n\n".join(map(render, diagnostics)) + "\n", update_cases)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
@example("it's {{ a }}\n{% b %}")
@example("{" * 3 + "'" + "\\")
@example('\\" {# #} \u2028\x85\x00')
@settings(max_examples=300, deadline=None)
def test_text_is_quoted_so_that_it_stands_for_itself(text: str) -> None:
    plan = planned(f"print {quoted(text)}")
    [step] = plan.steps
    assert isinstance(step, Print)
    assert step.text == text


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("stabilityai/sdxl-turbo", "sdxl_turbo"), ("builtin:shapes", "shapes"), ("/a/b/My Model (v2)/", "my_model_v2"),
        ("C:\\models\\sd 1.5", "sd_1_5"), ("a/1.5", "model_1_5"), ("a/generate", "my_generate"), ("a/int8", "my_int8"),
        ("a/len", "my_len"), ("a/prompt", "my_prompt"), ("a/q", "my_q"), ("///", "my_model"), ("a/日本", "my_model"),
        ("a/sdnq", "my_sdnq"),
    ],
)  # fmt: skip
def test_the_model_s_name_is_free_in_a_script(source: str, name: str) -> None:
    assert model_name(source) == name
    planned(f"let {name} = 1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x",), "the following arguments are required: --prompts\n  help: see `aquatint generate --help`"),
        ((*SHAPES, "--guidence-scales", "5"), "unrecognized arguments: --guidence-scales 5\n"
         "  help: did you mean `--guidance-scales`?"),
        ((*SHAPES, "--plan", "--emit-script"), "argument --emit-script: not allowed with argument --plan\n"
         "  help: see `aquatint generate --help`"),
    ],
)  # fmt: skip
def test_a_command_line_that_is_none(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["generate", *arguments])
    assert capsys.readouterr().err == f"error[bad-command-line]: {message}\n"


def program(*arguments: str, cwd: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own; without `stdin` it has no standard input that it could read."""
    return subprocess.run(
        [sys.executable, "-m", "aquatint", *arguments], cwd=cwd, capture_output=True, text=True, input=stdin,
        env=os.environ | {"AQUATINT_TRACEBACK": "1"}, check=False,
    )  # fmt: skip


def pixels(folder: Path) -> dict[str, bytes]:
    """Return the pictures below `folder`, by name."""
    return {file.name: Image.open(file).tobytes() for file in sorted(folder.rglob("*.png"))}


def test_what_is_no_text(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "aquatint", "generate", "builtin:shapes", "--prompts", b"\xff"], capture_output=True,
        cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, b"error[not-utf-8]: an argument is not text in UTF-8\n")


@pytest.mark.parametrize("words", [["run", "-"], ["plan", "-"], ["check", "-"], ["repl"], []])
def test_standard_input_is_not_read_where_that_is_forbidden(words: list[str], tmp_path: Path) -> None:
    for line in (["--no-stdin", *words], [*words, "--no_stdin"]):
        done = program(*line, cwd=tmp_path, stdin='print "read"')
        assert (done.returncode, done.stdout) == (2, "")
        assert "`--no-stdin` forbids" in done.stderr


@pytest.mark.slow
def test_pictures_are_those_of_the_script(tmp_path: Path) -> None:
    line = (*SHAPES, "--seeds", "1", "2", "--quantizer", "sdnq;type=int8", "--unet", '+;quantizer="bnb;bits=8"')
    script = program("generate", *line, "--emit-script", cwd=tmp_path)
    made = program("--no-stdin", "generate", *line, "--output-path", "line", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    again = program("run", "-", "--output-dir", "script", "--device", "cpu", cwd=tmp_path, stdin=script.stdout)
    assert again.returncode == 0, again.stderr
    assert len(pixels(tmp_path / "line")) == 2
    assert pixels(tmp_path / "line") == pixels(tmp_path / "script")
    loaded = [event for line in made.stdout.splitlines() if (event := json.loads(line))["event"] == "load_finished"]
    assert {event["role"]: event["quantized_layers"] for event in loaded if event["quantized_layers"]} == {
        "text_encoder": 18, "unet": 50,
    }  # fmt: skip


@pytest.mark.slow
def test_sd3_without_its_third_encoder(tmp_path: Path) -> None:
    folder = tiny.build("sd3", tmp_path / "sd3")
    line = ("generate", str(folder), "--prompts", "a red cat", "--seeds", "1", "--inference-steps", "2",
            "--output-size", "64", "--device", "cpu", "--json")  # fmt: skip
    made = program(*line, "--text-encoders", "+", "+", "null", "--output", "without.png", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    roles = {event.get("role") for event in map(json.loads, made.stdout.splitlines())}
    assert "text_encoder_2" in roles
    assert "text_encoder_3" not in roles
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    (folder / "model_index.json").write_text(json.dumps(index | {"text_encoder_3": [None, None]}), encoding="utf-8")
    assert Image.open(tmp_path / "without.png").tobytes() == plain.paint(folder, "none", seed=1)


def test_adapters(capsys: pytest.CaptureFixture[str]) -> None:
    made = emitted(
        "builtin:shapes", "--prompts", "a cat", "--seeds", "1",
        "--lora", "ink.safetensors;weight=0.8", "more;weight_name=b.safetensors", "--lora", "none",
        "--textual-inversion", "toy.safetensors;token=<toy>",
        "--ip-adapter", "ip;scale=.5;image-encoder-folder=encoders/large", "--ip-adapter-image", "cat.png",
        capsys=capsys,
    )  # fmt: skip
    assert (
        made
        == """model shapes {
    source: "builtin:shapes"
    lora { source: "ink.safetensors", weight: 0.8 }
    lora { source: "more", weight_name: "b.safetensors" }
    textual_inversion { source: "toy.safetensors", token: "<toy>" }
    ip_adapter { source: "ip", scale: 0.5, image_encoder_folder: "encoders/large" }
}

generate shapes {
    prompt: "a cat"
    seed: 1
    ip_adapter_image: "cat.png"
}
"""
    )


def test_an_adapter_has_settings_of_its_own() -> None:
    diagnostics = Diagnostics()
    parse_submodule("--lora", "ink.safetensors;quantizer=bnb", diagnostics, ADAPTERS["lora"])
    [found] = diagnostics
    assert (
        render(found)
        == """error[unknown-setting]: `--lora` has no setting `quantizer`
 --> --lora:1:17
  |
1 | ink.safetensors;quantizer=bnb
  |                 ^^^^^^^^^
  = help: settings: `load_into_transformer_2`, `revision`, `subfolder`, `weight`, `weight_name`"""
    )
