"""`aquatint info`, `script`, and `replay` up to the plan: what they write, and say of pictures that won't do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aquatint.interface.cli import main
from aquatint.plan.steps import Generate, plan_from_json
from aquatint.runtime.media import Sound
from aquatint.runtime.media_files import encoded
from aquatint.runtime.metadata import About
from support import pictures, planned

Said = tuple[int, str, str]


def said(*arguments: str, capsys: pytest.CaptureFixture[str]) -> Said:
    """Return the exit code, the output and the errors of a command line."""
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a picture of every kind; terminals are 80 columns wide."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    pictures.write_pictures(tmp_path)
    pictures.write_record(tmp_path / "circle.png", plain_files)
    pictures.write_png(tmp_path / "other.png", parameters=A1111)
    pictures.write_png(tmp_path / "graph.png", prompt="{}", workflow="{}")
    return tmp_path


A1111 = """\
a {{ cat }} on a "mat"
Negative prompt: dogs
Steps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 6.5, Seed: 42, Size: 512x768, Model: deliberate_v2, \
Clip skip: 2, Hires prompt: "a\\nb"\
"""


def plain_files(record: dict[str, Any]) -> None:
    """Put plain words in the place of what the bundled checkpoint's training decides."""
    for role, part in record["components"].items():
        part["identity"] = f"fingerprint-of-{role}"
        part["held"] = None


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert said("info", "circle.png", capsys=capsys) == (0, """\
circle.png: PNG, 8x8, its record is of version 1

prompt                a red circle
num_inference_steps   2
seed                  1
size                  64x64
scheduler             DDIMScheduler
by default            eta 0.0, guidance_rescale 0.0, guidance_scale 7.5

model                 shapes, a StableDiffusionPipeline
source                builtin:shapes
scheduler             DDIMScheduler
                      files fingerprint-of-scheduler
text_encoder          CLIPTextModel, float32, not quantized
                      files fingerprint-of-text_encoder
tokenizer             CLIPTokenizer
                      files fingerprint-of-tokenizer
unet                  UNet2DConditionModel, float32, quantized by q8 (sdnq
                      int8+conv)
                      files fingerprint-of-unet
vae                   AutoencoderKL, float32, not quantized
                      files fingerprint-of-vae

made by               aquatint 0.1.0
on                    cpu, 1 thread, AVX2 kernels
with                  torch 2.0
in                    circle.aqt:3:1
                      generate shapes { prompt: "a red circle",
                      num_inference_steps: 2, seed: 1, output: "circle.png" }
""", "")  # fmt: skip


def test_info_of_sound(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def heard(record: dict[str, Any]) -> None:
        plain_files(record)
        del record["size"]
        record |= {"kind": "audio", "channels": 2, "samples": 12_000, "sampling_rate": 8000}

    about = About("", pictures.record(heard))
    (folder / "bell.wav").write_bytes(encoded(Sound(2, 8000, bytes(48_000)), "WAV", about))
    code, out, _ = said("info", "bell.wav", capsys=capsys)
    assert (code, out.splitlines()[0]) == (0, "bell.wav: WAV, its record is of version 1")
    assert "sound                 1.5 s, 2 channels, 8000 samples in a second\n" in out
    code, out, _ = said("script", "bell.wav", capsys=capsys)
    assert code == 0 and out.splitlines()[0].startswith("# ")
    assert 'output: "bell-replay.wav"' in out and "size" not in out


@pytest.mark.parametrize("width", [1, 10, 24, 40, 59, 60, 61, 79, 200])
def test_info_fits_any_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = said("info", "circle.png", "other.png", "sheet.png", capsys=capsys)
    assert code == 0
    assert max(map(len, out.splitlines())) <= max(width, 10)
    squeezed = "".join(out.split())
    assert "fingerprint-of-unet" in squeezed and "quantizedbyq8(sdnqint8+conv)" in squeezed


def test_info_of_what_others_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert said("info", "other.png", "graph.png", "sheet.png", capsys=capsys) == (0, """\
other.png: PNG, 8x8, not by Aquatint: a text in A1111's form

prompt                a {{ cat }} on a "mat"
negative prompt       dogs
Steps                 20
Sampler               Euler a
Schedule type         Karras
CFG scale             6.5
Seed                  42
Size                  512x768
Model                 deliberate_v2
Clip skip             2
Hires prompt          a
                      b

graph.png: PNG, 8x8, a graph of ComfyUI's is in it

sheet.png: PNG, 8x8, its record is of version 1

kind                  sheet
""", "")  # fmt: skip
    assert said("info", "--parameters", "other.png", capsys=capsys) == (0, A1111 + "\n", "")


def test_info_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said("info", "--json", "circle.png", "plain.png", "other.png", capsys=capsys)
    first, wrong, other = map(json.loads, out.splitlines())
    assert (code, err) == (2, "")
    assert first == {
        "file": "circle.png", "format": "PNG", "size": [8, 8], "record": pictures.record(plain_files), "beside": False,
        "parameters": None, "comfyui": False,
    }  # fmt: skip
    assert (wrong["event"], wrong["code"]) == ("diagnostic", "no-record")
    assert (other["record"], other["parameters"]) == (None, A1111)


def test_a_record_beside_the_picture_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "plain.png.json").write_text(json.dumps(pictures.record()))
    assert said("info", "plain.png", capsys=capsys)[1].startswith("plain.png: PNG, 8x8, its record is beside it\n")
    assert said("info", "plain.png.json", capsys=capsys)[1].startswith("plain.png.json: a record is of version 1\n")
    for name in ("plain.png", "plain.png.json"):
        assert 'output: "plain-replay.png"' in said("script", name, capsys=capsys)[1]
    (folder / "plain.png.json").write_text("{")
    assert said("info", "plain.png", capsys=capsys)[2].startswith(
        "error[bad-record]: the record of `plain.png.json` is not JSON\n"
    )


def test_no_text_steers_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b[2J\x07\u202eb"
    pictures.write_record(folder / "evil.png", lambda record: record["arguments"].update(prompt=evil))
    pictures.write_record(folder / "model.png", lambda record: record.update(model=evil, place=evil, statement=evil))
    pictures.write_record(folder / "wrong.png", lambda record: record.update(kind=evil))
    pictures.write_png(folder / "more.png", parameters=f"{evil}\nSteps: 1, {evil}: 2, Note: {evil}")
    for command in ("info", "script"):
        for name in ("evil.png", "model.png", "wrong.png", "more.png"):
            _, out, err = said(command, name, capsys=capsys)
            assert all(character.isprintable() or character == "\n" for character in out + err)


@pytest.mark.parametrize("command", ["info", "script", "replay"])
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("nowhere.png", "error[missing-file]: can't read `nowhere.png`: no such file\n"),
        (
            "circel.png",
            "error[missing-file]: can't read `circel.png`: no such file\n  help: did you mean `circle.png`?\n",
        ),
        ("no/a.png", "error[missing-file]: can't read `no/a.png`: no such file\n  help: there is no folder `no`\n"),
        (".", "error[missing-file]: can't read `.`: it is a folder\n"),
        ("pipe", "error[missing-file]: can't read `pipe`: it is a device or a pipe, not a file\n"),
        ("a\0b", "error[missing-file]: can't read `a\N{REPLACEMENT CHARACTER}b`: not a name of a file\n"),
        ("x" * 300, f"error[missing-file]: can't read `{'x' * 300}`: file name too long\n"),
        ("plain.png", "error[no-record]: `plain.png` doesn't say how it was made\n"),
        ("text.txt", "error[unreadable-picture]: `text.txt` is no kind of file that Aquatint writes\n"),
        ("empty.png", "error[unreadable-picture]: `empty.png` is empty\n"),
        ("huge.png", "error[unreadable-picture]: `huge.png` is larger than 256 MiB\n"),
        ("cut.png", "error[bad-record]: the record of `cut.png` is not JSON\n"),
        ("crafted.png", "error[bad-record]: the record of `crafted.png` is malformed: `output` is no argument\n"),
    ],
)
def test_files_that_will_not_do(
    folder: Path, command: str, name: str, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "text.txt").write_text("a holiday")
    (folder / "empty.png").touch()
    with open(folder / "huge.png", "wb") as huge:
        huge.truncate((256 << 20) + 1)
    os.mkfifo(folder / "pipe")
    code, out, err = said(command, name, capsys=capsys)
    assert (code, out) == (2, "")
    assert err.startswith(wrong)
    assert len(err.splitlines()) <= 2


def test_the_script_of_a_picture_of_another_program(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said("script", "other.png", capsys=capsys)
    assert (code, err) == (0, "")
    assert (
        out
        == """\
# What the text in A1111's form in other.png says.
# Its model has no place there: run this with --set source=..., a folder or a hub id.
# Not carried over:
#     Schedule type: Karras
#     Model: deliberate_v2
#     Clip skip: 2
#     Hires prompt: a b

param source: string

model picture {
    source: source
}

generate picture {
    prompt: 'a {{ cat }} on a "mat"'
    negative_prompt: "dogs"
    guidance_scale: 6.5
    num_inference_steps: 20
    size: 512x768
    scheduler: "EulerAncestralDiscreteScheduler"
    seed: 42
    output: "other-replay.png"
}
"""
    )
    Path("other.aqt").write_text(out)
    assert said("fmt", "--check", "other.aqt", capsys=capsys) == (0, "", "")
    assert said("check", "other.aqt", "--set", "source=builtin:shapes", capsys=capsys)[0] == 0
    code, out, err = said("replay", "other.png", capsys=capsys)
    assert err == (
        "error[no-record]: `other.png` has a text in A1111's form, and no record of Aquatint's\n"
        "  help: write a script with `aquatint script`, name the model in it, and run that\n"
    )


def test_the_script_is_accepted_by_the_other_commands(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said("script", "circle.png", capsys=capsys)
    assert (code, err) == (0, "")
    assert out.startswith(
        "# Makes circle.png again, as its record says.\n#     aquatint run --device cpu --threads 1 FILE\n"
    )
    Path("circle.aqt").write_text(out)
    assert said("fmt", "--check", "circle.aqt", capsys=capsys) == (0, "", "")
    assert said("check", "--deny", "warnings", "circle.aqt", capsys=capsys)[0] == 0


SETTINGS = {
    ("seed=5", "num_inference_steps=30", "prompt=a \"b\", 5"): ("seed: 5", "num_inference_steps: 30", "'a \"b\", 5'"),
    ("prompt=none", "negative-prompt=none"): ('prompt: "none"', "negative_prompt: none"),
    ("prompt=5", "guidance_scale=7.50"): ('prompt: "5"', "guidance_scale: 7.5"),
    ("size=64x32",): ("size: 64x32",),
    ("size=32",): ("size: 32x32",),
    ("width=32",): ("width: 32",),
    ("dtype=bfloat16", "offload=none"): ("dtype: bfloat16", "offload: none"),
    ("unet.quantizer=sdnq;type=uint4",): ('quantizer: "sdnq;type=uint4"',),
    ("unet.quantizer=none",): ("model shapes {\n    source: \"builtin:shapes\"\n    dtype: float32",),
    ("vae.dtype=bfloat16", "vae.quantizer=q8"): ("vae { dtype: bfloat16, quantizer: q8 }",),
    ("quantizer=bnb;bits=8",): ('    quantizer: "bnb;bits=8"\n}',),
    ("cross_attention_kwargs={\"scale\": 0.5}", "timesteps=[3, 2]"): ("{ scale: 0.5 }", "timesteps: [3, 2]"),
    ("scheduler=EulerDiscreteScheduler", "images=2", "metadata=false"): (
        'scheduler: "EulerDiscreteScheduler"', "images: 2", "metadata: false",
    ),
}  # fmt: skip


@pytest.mark.parametrize("changes", SETTINGS, ids=" ".join)
def test_the_command_line_wins(changes: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    options = [word for change in changes for word in ("--set", change)]
    code, out, err = said("script", "circle.png", *options, capsys=capsys)
    assert (code, err) == (0, "")
    for text in SETTINGS[changes]:
        assert text in out


def test_wrong_names_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ("sed=1", "unett.dtype=float16", "unet.quantiser=none", "unet=5", "size=big", "seed")
    options = [word for change in wrong for word in ("--set", change)]
    code, out, err = said("script", "circle.png", *options, capsys=capsys)
    assert (code, out) == (2, "")
    assert (
        err
        == """\
error[unknown-setting]: neither `generate` nor the model has a setting `sed`
 --> --set:1:1
  |
1 | sed=1
  | ^^^
  = help: did you mean `seed`?

error[unknown-submodule]: the picture's model has no submodule `unett`
 --> --set:1:1
  |
1 | unett.dtype=float16
  | ^^^^^^^^^^^
  = help: did you mean `unet`?

error[unknown-setting]: submodule `unet` has no setting `quantiser`
 --> --set:1:1
  |
1 | unet.quantiser=none
  | ^^^^^^^^^^^^^^
  = help: did you mean `quantizer`?

error[wrong-type]: `unet` is a submodule, and takes `none` only
 --> --set:1:1
  |
1 | unet=5
  | ^^^^
  = help: set what it has: `unet.source`, `unet.config`, `unet.subfolder`, `unet.dtype`, `unet.variant`, \
`unet.revision`, `unet.device`, `unet.quantizer`, `unet.compile`, or `unet=none`

error[wrong-type]: `size` takes a size, not `big`
 --> --set:1:6
  |
1 | size=big
  |      ^^^
  = help: such as 512x768, or 512

error[bad-command-line]: `--set seed` is not of the form NAME=VALUE
 --> --set:1:1
  |
1 | seed
  | ^^^^

6 errors; nothing was loaded or written
"""
    )
    code, out, err = said(
        "replay", "circle.png", "--set", "num_inference_steps=many", "--set", "unet=none", capsys=capsys
    )
    assert code == 2
    assert "error[needed-submodule]: `StableDiffusionPipeline` can't do without `unet`, which draws" in err
    assert " --> <replay of circle.png>:" in err


def test_the_plan_of_a_replay(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("circle.png", "--plan", "--json", "--set", "seed=9", "--output", "out/new.webp")
    code, out, _ = said("replay", *arguments, capsys=capsys)
    assert code == 0
    plan = plan_from_json(out.encode())
    [step] = [step for step in plan.steps if isinstance(step, Generate)]
    assert [(made.seed, made.path) for made in step.outputs] == [(9, "out/new.webp")]
    assert plan.pipelines == pictures.planned().pipelines


def test_what_another_step_made_is_in_no_record(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures.write_record(folder / "later.png", lambda record: record.update(deferred={"image": {"step": "g1"}}))
    assert said("info", "later.png", capsys=capsys)[0] == 0
    for command in ("script", "replay"):
        assert said(command, "later.png", capsys=capsys) == (
            2, "",
            "error[no-record]: `image` of `later.png` was another step's result, which it doesn't hold\n"
            "  help: run the script that made it; `aquatint info` shows its statement\n",
        )  # fmt: skip


def test_a_picture_that_was_given_is_given_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"path": "photo.png", "hash": "0" * 64}
    pictures.write_png(folder / "photo.png")
    pictures.write_record(
        folder / "after.png", lambda record: record.update(pictures={"image": [given]}, scaled=[64, 48])
    )
    code, out, _ = said("script", "after.png", capsys=capsys)
    assert code == 0
    assert '    image: "photo.png"\n' in out
    assert "    size: 64x48\n" in out
    code, out, _ = said("info", "after.png", capsys=capsys)
    assert "image                 photo.png, SHA-256" in out
    code, _, err = said("replay", "after.png", "--strict", capsys=capsys)
    assert code == 2
    assert "error[not-as-recorded]: `photo.png` is another picture than it was\n" in err
    (folder / "out").mkdir()
    (folder / "after.png").rename(folder / "out" / "after.png")
    code, _, err = said("replay", "out/after.png", "--strict", capsys=capsys)
    assert code == 2
    assert "error[not-as-recorded]: `photo.png` is another picture than it was\n" in err
    for wrong in ({"seed": [given]}, {"prompt": [given]}, {"image": []}, {"image": [{"path": "", "hash": ""}]}):
        pictures.write_record(folder / "wrong.png", lambda record, wrong=wrong: record.update(pictures=wrong))
        code, _, err = said("script", "wrong.png", capsys=capsys)
        assert (code, "is malformed" in err) == (2, True), wrong


def test_the_original_is_never_replaced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "circle.png").read_bytes()
    os.symlink("circle.png", folder / "link.png")
    for output in ("circle.png", "./link.png"):
        code, _, err = said("replay", "circle.png", "--existing", "overwrite", "--output", output, capsys=capsys)
        assert code == 2
        assert err.startswith("error[bad-command-line]: `circle.png` is the picture that is to be made again\n")
    assert (folder / "circle.png").read_bytes() == before


def test_strict_tells_all_that_differs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(record: dict[str, Any]) -> None:
        record["components"]["unet"]["identity"] = "another"
        record["components"]["image_encoder"] = record["components"]["vae"] | {"subfolder": "image_encoder"}
        record["pipeline"]["options"] = {}

    pictures.write_record(folder / "strict.png", change)
    code, out, err = said("replay", "strict.png", "--strict", capsys=capsys)
    assert (code, out) == (2, "")
    assert [line for line in err.splitlines() if line.startswith("error")] == [
        "error[not-as-recorded]: `builtin:shapes` has other settings of its pipeline than it had",
        "error[not-as-recorded]: the files of `unet` of `builtin:shapes` have changed since the picture was made",
        "error[not-as-recorded]: `builtin:shapes` has no submodule `image_encoder`, which it had",
    ]


def test_strict_tells_of_the_files_of_upscalers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If they are there: the prompt is in the record, and nothing of them is needed."""
    better = 'upscaler better { plugin: magicprompt, model: "builtin:captions" }\nprint upscale better { prompts: "a" }'
    told = ("class_name", "source", "subfolder", "variant", "revision", "dtype", "identity")
    parts = {each.role: {name: getattr(each, name) for name in told} for each in planned.components(better).values()}

    def strict(name: str, **changes: str) -> list[str]:
        components = parts | {name: parts[name] | changes}
        by = {"plugin": "magicprompt", "name": "better", "seed": 1, "variation": 0, "components": components}
        rewritten = {"prompt": {"written": "a circle", "by": [by]}}

        def change(record: dict[str, Any]) -> None:
            record["rewritten"] = rewritten
            record["components"]["unet"]["identity"] = "another"  # so that nothing is made in any case

        pictures.write_record(folder / "rewritten.png", change)
        code, _, err = said("replay", "rewritten.png", "--strict", capsys=capsys)
        assert code == 2
        return [line for line in err.splitlines() if line.startswith("error") and "with it" in line]

    assert strict("llm") == []
    changed = "of `builtin:captions` have changed since `better` rewrote a prompt with it"
    assert strict("llm", identity="another") == [f"error[not-as-recorded]: the files of `llm` {changed}"]
    tokenizer = strict("llm_tokenizer", identity="another")
    assert tokenizer == [f"error[not-as-recorded]: the files of `llm_tokenizer` {changed}"]
    assert strict("llm", identity="another", source="nowhere") == []


@pytest.mark.parametrize(
    ("name", "output"),
    [("a.PNG", "a-replay.PNG"), ("a", "a-replay.png"), ("b.c.jpeg", "b.c-replay.png"), ("é\u200b.png", "é-replay.png"),
     ("x" * 240 + ".png", "x" * 200 + "-replay.png")],
)  # fmt: skip
def test_names_of_new_pictures(folder: Path, name: str, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (8, 8)).save(folder / "base.png")
    pictures.write_record(folder / "new.png")
    (folder / "new.png").rename(folder / name)
    out = said("script", name, capsys=capsys)[1]
    expected = output if not name.endswith("jpeg") else "b.c-replay.jpeg"
    assert f'output: "{expected}"' in out
