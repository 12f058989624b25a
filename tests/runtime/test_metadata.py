"""What a picture says about itself can be read back, by us and by tools that know the `parameters` form."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from aquatint.plan.steps import Generate, Plan, Stored
from aquatint.runtime.engine import EngineError
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.metadata import about_image, embedded, read_metadata
from aquatint.runtime.outputs import OutputPolicy, Outputs
from support.fake_engine import FakeEngine, painted
from support.plans import component, generate, grid, load, pipeline, plan, simple_plan

FACTS = {"engine": "fake", "torch": "2.9"}


def parameters_of_the_web_ui(text: str) -> tuple[str, str, dict[str, str]]:
    """Return prompt, negative prompt and fields, read by the rules of the web UI's `parse_generation_parameters`."""
    field = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
    *lines, last = text.strip().split("\n")
    if len(field.findall(last)) < 3:
        lines, last = [*lines, last], ""
    prompts: dict[bool, list[str]] = {False: [], True: []}
    negative = False
    for line in lines:
        line = line.strip()
        if line.startswith("Negative prompt:"):
            negative = True
            line = line[len("Negative prompt:") :].strip()
        prompts[negative].append(line)
    fields = {name: json.loads(value) if value[:1] == '"' else value for name, value in field.findall(last)}
    return "\n".join(prompts[False]), "\n".join(prompts[True]), fields


def statement(plan: Plan) -> Generate:
    [found] = [step for step in plan.steps if isinstance(step, Generate)]
    return found


def plan_with(**arguments: Any) -> Plan:
    return simple_plan(load("u"), load("v"), generate("g7", "p", ["1.png"], **arguments))


def parameters(plan: Plan) -> str:
    step = statement(plan)
    return about_image(plan, step, step.outputs[0], (16, 16), {}).parameters


def test_the_parameters_text() -> None:
    text = parameters(plan_with(negative_prompt="blurry, dark", guidance_scale=7.5, num_inference_steps=20))
    assert text == (
        "a red circle\n"
        "Negative prompt: blurry, dark\n"
        "Steps: 20, CFG scale: 7.5, Seed: 1, Size: 16x16, Model: shapes, Quantizer unet: sdnq int8, "
        "Quantizer vae: none, Version: aquatint 0.1.0"
    )


def test_what_is_stored_quantized_is_called_by_what_its_files_hold() -> None:
    plan = plan_with()
    stored = Stored("bitsandbytes", "bnb", {"bits": 4}, "bnb nf4")
    held = msgspec.structs.replace(plan.components["v"], stored=stored)
    plan = msgspec.structs.replace(plan, components=plan.components | {"v": held})
    assert "Quantizer unet: sdnq int8, Quantizer vae: bnb nf4" in parameters(plan)
    step = statement(plan)
    record = about_image(plan, step, step.outputs[0], (16, 16), {}).record
    assert record["components"]["vae"]["stored"] == {
        "method": "bitsandbytes", "backend": "bnb", "options": {"bits": 4}, "name": "bnb nf4",
    }  # fmt: skip


def test_the_sampler_is_the_statements_or_the_pipelines() -> None:
    scheduler = msgspec.structs.replace(component("s", "scheduler"), class_name="EulerAncestralDiscreteScheduler")
    whole = plan([scheduler], [pipeline("p", {"scheduler": "s"})], [generate("g1", "p", ["1.png"])])
    assert "Sampler: Euler a," in parameters(whole)
    step = msgspec.structs.replace(statement(whole), scheduler="OddScheduler")
    assert "Sampler: Odd," in parameters(msgspec.structs.replace(whole, steps=[step]))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_everything_can_be_read_back(tmp_path: Path, suffix: str) -> None:
    whole = plan_with(prompt="“ein” Kreis, größer", negative_prompt="日本")
    step = statement(whole)
    about = about_image(whole, step, step.outputs[0], (16, 16), FACTS)
    path = Outputs(tmp_path, OutputPolicy.NUMBER).write(f"a.{suffix}", painted("a", (16, 16)), about)
    assert path is not None
    found = read_metadata(path)
    assert found == {"parameters": about.parameters, "aquatint": about.record}
    record = found["aquatint"]
    assert record["version"] == 1
    assert record["place"] == "shapes.aqt:7:1"
    assert record["seed"] == 1
    assert record["statement"] == step.statement
    assert record["arguments"]["prompt"] == "“ein” Kreis, größer"
    assert record["engine"] == FACTS
    assert record["pipeline"]["class"] == "StableDiffusionPipeline"
    assert sorted(record["components"]) == ["unet", "vae"]
    unet = record["components"]["unet"]
    assert unet["quantization"] == {
        "backend": "sdnq", "name": "q8", "options": {"group_size": 0, "weights_dtype": "int8"}
    }  # fmt: skip
    assert (unet["key"], unet["identity"], unet["dtype"]) == ("u", "sha256:u", "float32")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_metadata_false_leaves_all_text_out(tmp_path: Path, suffix: str) -> None:
    step = generate("g1", "p", [f"a.{suffix}"], metadata=False)
    Executor(FakeEngine(), lambda event: None, Options(output_dir=tmp_path)).run(
        simple_plan(load("u"), load("v"), step)
    )
    assert read_metadata(tmp_path / f"a.{suffix}") == {}
    body = (tmp_path / f"a.{suffix}").read_bytes()
    assert b"circle" not in body and b"Exif" not in body and b"tEXt" not in body


def test_a_sheet_says_what_it_shows(tmp_path: Path) -> None:
    whole = simple_plan(load("u"), load("v"), generate("g1", "p", ["a.png"]), grid("s1", "b.png", [("g1", 0)]))
    Executor(FakeEngine(), lambda event: None, Options(output_dir=tmp_path)).run(whole)
    record = read_metadata(tmp_path / "b.png")["aquatint"]
    assert (record["kind"], record["cells"]) == ("sheet", [{"step": "g1", "index": 0, "label": "g1 0"}])


text = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('",:\n\\{}'), max_size=40)


@settings(max_examples=150, deadline=None)
@given(prompt=text, negative=text, model=text)
@example(prompt='a "cat", b: c,\nSteps: 4, Seed: 9, Size: 1x1', negative="x\ny", model='a, "b": c\\')
@example(prompt="", negative="", model="")
def test_other_tools_read_any_prompt(prompt: str, negative: str, model: str) -> None:
    # Where the form has no way to say it: surrounding white space, and a line that looks like its own heading.
    prompt, negative = ("\n".join(line.strip() for line in part.split("\n")).strip() for part in (prompt, negative))
    if "Negative prompt:" in prompt + negative:
        return
    whole = plan_with(prompt=prompt, negative_prompt=negative)
    step = msgspec.structs.replace(statement(whole), model=model)
    whole = msgspec.structs.replace(whole, steps=[step])
    about = about_image(whole, step, step.outputs[0], (16, 16), {})
    with tempfile.TemporaryDirectory() as folder:
        path = Outputs(Path(folder), OutputPolicy.NUMBER).write("a.png", painted("a", (8, 8)), about)
        assert path is not None
        found = read_metadata(path)
    assert found["aquatint"]["arguments"]["prompt"] == prompt
    read_prompt, read_negative, fields = parameters_of_the_web_ui(found["parameters"])
    assert (read_prompt, read_negative) == (prompt, negative)
    assert fields["Seed"] == "1"
    assert fields["Size"] == "16x16"
    assert fields["Version"] == "aquatint 0.1.0"
    if model.strip() == model:
        assert fields.get("Model", "") == model


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_characters_that_files_cannot_hold_do_no_harm(tmp_path: Path, suffix: str) -> None:
    prompt = "a\0b \ud800 \x1b[31m"
    whole = plan_with(prompt=prompt)
    step = statement(whole)
    about = about_image(whole, step, step.outputs[0], (16, 16), {})
    path = Outputs(tmp_path, OutputPolicy.NUMBER).write(f"a.{suffix}", painted("a", (8, 8)), about)
    assert path is not None
    assert read_metadata(path)["aquatint"]["arguments"]["prompt"] == prompt


def test_text_too_long_for_a_jpeg_is_refused() -> None:
    whole = plan_with(prompt="word " * 20_000)
    step = statement(whole)
    about = about_image(whole, step, step.outputs[0], (16, 16), {})
    with pytest.raises(EngineError, match="too long for a JPEG") as caught:
        embedded("JPEG", about)
    assert "`sidecar: true`" in (caught.value.help or "")
    assert "exif" in embedded("WEBP", about)


@pytest.mark.parametrize(("words", "inside"), [(6_000, {"parameters"}), (20_000, set())])
def test_what_is_too_long_for_a_jpeg_stands_beside_it(tmp_path: Path, words: int, inside: set[str]) -> None:
    step = generate("g1", "p", ["a.jpg"], prompt="word " * words)
    step = msgspec.structs.replace(step, sidecar=True)
    whole = simple_plan(load("u"), load("v"), step)
    Executor(FakeEngine(), lambda event: None, Options(output_dir=tmp_path)).run(whole)
    assert set(read_metadata(tmp_path / "a.jpg")) == inside
    record = json.loads((tmp_path / "a.jpg.json").read_text())
    assert record["arguments"]["prompt"] == "word " * words


@pytest.mark.parametrize("metadata", [True, False])
def test_a_record_may_stand_beside_a_picture_that_says_nothing(tmp_path: Path, metadata: bool) -> None:
    step = msgspec.structs.replace(generate("g1", "p", ["a.png"], metadata=metadata), sidecar=True)
    sheet = msgspec.structs.replace(grid("s1", "b.png", [("g1", 0)]), sidecar=True)
    whole = simple_plan(load("u"), load("v"), step, sheet)
    Executor(FakeEngine(), lambda event: None, Options(output_dir=tmp_path)).run(whole)
    beside = json.loads((tmp_path / "a.png.json").read_text())
    assert beside["seed"] == 1
    assert read_metadata(tmp_path / "a.png").get("aquatint") == (beside if metadata else None)
    assert json.loads((tmp_path / "b.png.json").read_text()) == read_metadata(tmp_path / "b.png")["aquatint"]


def test_pictures_of_others_say_nothing(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        painted("a", (8, 8)).save(tmp_path / name)
        assert read_metadata(tmp_path / name) == {}
    exif = Image.Exif()
    exif[0x010E] = "a holiday"
    painted("a", (8, 8)).save(tmp_path / "b.jpg", exif=exif)
    assert read_metadata(tmp_path / "b.jpg") == {}
