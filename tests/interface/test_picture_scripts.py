"""From records to scripts: the script of a picture plans the same picture, and what strangers write is text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aquatint.interface.recipe import expression, of_record, text_of
from aquatint.language.evaluate import Evaluation
from aquatint.plan.batches import companions
from aquatint.plan.steps import Generate, Output, PictureFile, Plan, Upscale
from aquatint.runtime.media import Sound
from aquatint.runtime.metadata import about_image
from aquatint.runtime.record import ImageRecord, image_record, read_json
from aquatint.source import Source
from aquatint.syntax.formatting import formatted
from aquatint.syntax.parser import parse
from support import cases, pictures

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.aqt"))
SPEC = sorted((ROOT / "tests" / "spec").glob("*.md"))
IMAGES = 24
"""Images of a plan that are tried: those of a long loop differ in little."""


def made_again(
    before: Evaluation, files: Mapping[str, str | bytes] | None = None
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return for each planned image what decides it there, and what decides it in the plan of its record's script.

    That script has no mistakes, and warnings only that the first one has.
    """
    plan = before.plan
    assert plan is not None
    known = {item.code for item in before.diagnostics}
    pairs = []
    images = [
        (step, output)
        for step in plan.steps
        if isinstance(step, Generate) and all(isinstance(each, PictureFile) for each in step.deferred.values())
        for output in step.outputs
    ]
    for step, output in images[:IMAGES]:
        has_no_size = output.path is None or output.path.endswith((".safetensors", ".wav"))
        sound = Sound(1, 8000, b"") if str(output.path).endswith(".wav") else None
        frames = None if step.fps is msgspec.UNSET else 9
        size = None if has_no_size else (64, 64)
        engine: dict[str, Any] = {"device": plan.device}
        text = about_image(plan, step, output, size, engine, frames=frames, sound=sound).text
        script = text_of(with_output(image_record(read_json(text))))
        assert formatted(parse(Source("", script)).script) == script
        evaluation = cases.evaluate(script, cases.options_of(f"--device {plan.device} --lint"), files or {})
        assert evaluation.plan is not None, cases.errors(evaluation)
        assert {item.code for item in evaluation.diagnostics} <= known, cases.errors(evaluation)
        made = [each for each in evaluation.plan.steps if isinstance(each, Generate)]
        assert len(made) == (len(companions(plan, output)) or 1)
        [again] = [each for each in made if each.outputs[0].path.startswith("again.")]
        pairs.append((deciding(plan, step, output), deciding(evaluation.plan, again, again.outputs[0])))
    return pairs


def with_output(record: ImageRecord) -> Any:
    recipe = of_record(record)
    seen = "png" if record.fps is None else "mp4"
    suffix = "wav" if record.samples is not None else "safetensors" if record.size is None else seen
    recipe.arguments["output"] = f"again.{suffix}"
    return recipe


def deciding(plan: Plan, step: Generate, output: Output) -> dict[str, Any]:
    pipeline = plan.pipelines[step.pipeline]
    scheduler = pipeline.parts.get("scheduler")
    own = None if scheduler is None else plan.components[scheduler].class_name
    return {
        "pipeline": msgspec.to_builtins(pipeline), "arguments": step.arguments, "seed": output.seed,
        "deferred": step.deferred, "scaled": step.scaled, "fps": step.fps,
        "batch": companions(plan, output), "index": None if output.batch is None else output.batch.index,
        "weighter": step.weighter and (step.weighter.plugin, step.weighter.options, step.weighter.quantization),
        "scheduler": step.scheduler or own, "types": {name: type(each) for name, each in step.arguments.items()},
    }  # fmt: skip


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_each_picture_of_an_example_is_planned_again(file: Path) -> None:
    evaluation = cases.evaluate(file.read_text(encoding="utf-8"), cases.options_of(""))
    pairs = made_again(evaluation)
    # Prompts that a language model writes are in no plan.
    assert pairs or any(isinstance(step, Upscale) for step in (evaluation.plan.steps if evaluation.plan else ()))
    for before, after in pairs:
        assert after == before


@pytest.mark.parametrize("file", SPEC, ids=lambda file: file.stem)
def test_each_picture_of_the_languages_cases_is_planned_again(file: Path, models: Path) -> None:
    for case in cases.read_cases(file):
        if case.heading.startswith("Too") or case.purpose in ("error", "fragment"):
            continue
        evaluation = cases.evaluate(case.script.text, case.options, case.files)
        if evaluation.plan is None:
            continue
        for before, after in made_again(evaluation, case.files):
            assert after == before, case.id


words = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"'\\{}%#\n"), max_size=30)


@settings(max_examples=60, deadline=None)
@given(prompt=words, negative=words, model=words, quantizer=words)
@example(prompt="{{ env('HOME') }}{% for x in y %}", negative="{# 'a' #}", model="for", quantizer="for")
@example(prompt="'{{ 1 }}'\u2028\n", negative='"', model="shapes", quantizer="shapes")
@example(prompt="a", negative="b", model="int8", quantizer="bnb;bits=8")
@example(prompt="a", negative="b", model="1", quantizer="sdnq;quant-conv=true")
def test_whatever_a_record_says_is_text(prompt: str, negative: str, model: str, quantizer: str) -> None:
    def change(record: dict[str, Any]) -> None:
        record["arguments"] |= {"prompt": prompt, "negative_prompt": negative}
        record["model"] = model
        record["components"]["unet"]["quantization"]["name"] = quantizer

    script = text_of(with_output(image_record(read_json(json.dumps(pictures.record(change))))))
    plan = pictures.planned(script)
    [step] = [step for step in plan.steps if isinstance(step, Generate)]
    assert step.arguments == {"prompt": prompt, "negative_prompt": negative, "num_inference_steps": 2}
    assert set(plan.inputs) == set(pictures.planned().inputs)
    assert plan.pipelines == pictures.planned().pipelines


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(value=st.dictionaries(words, values, max_size=3))
def test_an_expression_stands_for_exactly_its_value(value: dict[str, Any]) -> None:
    script = pictures.SCRIPT.replace("seed: 1", f"cross_attention_kwargs: {expression(value)}")
    [step] = [step for step in pictures.planned(script).steps if isinstance(step, Generate)]
    made = step.arguments["cross_attention_kwargs"]
    assert json.dumps(made, sort_keys=True) == json.dumps(value, sort_keys=True)


def test_the_script_says_on_which_devices_submodules_are(models: Path) -> None:
    script = """\
model m {
    source: "models/sd"
    dtype: float16
    device: "cuda:1"
    text_encoder { device: cpu }
    vae { device: cuda }
}

generate m {
    prompt: "a cat"
    seed: 1
    output: "again.png"
}
"""
    evaluation = cases.evaluate(script, cases.options_of("--device cuda"))
    assert evaluation.plan is not None, cases.errors(evaluation)
    [step] = [step for step in evaluation.plan.steps if isinstance(step, Generate)]
    text = about_image(evaluation.plan, step, step.outputs[0], (64, 64), {"device": "cuda"}).text
    assert text_of(with_output(image_record(read_json(text)))) == script


def test_the_script_says_where_submodules_differ(models: Path) -> None:
    script = """\
quantizer q8 { backend: sdnq, weights_dtype: int8 }
quantizer q4 extends q8 { weights_dtype: uint4, group_size: 32 }
model m {
    source: "models/sdxl"
    quantizer: q8
    text_encoder { quantizer: none, dtype: bfloat16 }
    text_encoder_2 { quantizer: "bnb;bits=8" }
    vae { source: "models/sd", quantizer: q4 }
}
generate m {
    prompt: "a {{ 'cat' }}", negative_prompt: "'{{ '{{' }}'", size: 64x32, guidance_scale: 3.5
    scheduler: "EulerAncestralDiscreteScheduler", clip_skip: none, num_inference_steps: 4
    cross_attention_kwargs: { scale: 0.5, "a b": [1, -2] }, seed: 7, images: 2, output: "cat.png"
}
"""
    evaluation = cases.evaluate(script, cases.options_of(""))
    assert evaluation.plan is not None, cases.errors(evaluation)
    _, second = pictures.records(evaluation.plan)
    assert (
        text_of(with_output(image_record(second)), ["Two", "lines\nof it"])
        == """\
# Two
# lines of it

quantizer q8 {
    backend: sdnq
    weights_dtype: int8
}

quantizer q4 {
    backend: sdnq
    group_size: 32
    weights_dtype: uint4
}

model m {
    source: "models/sdxl"
    dtype: float32
    quantizer: q8
    text_encoder { dtype: bfloat16, quantizer: none }
    text_encoder_2 { quantizer: "bnb;bits=8" }
    vae { source: "models/sd", subfolder: "vae", quantizer: q4 }
}

generate m {
    prompt: "a cat"
    negative_prompt: "'" + '{{' + "'"
    clip_skip: none
    cross_attention_kwargs: { ("a b"): [1, -2], scale: 0.5 }
    guidance_scale: 3.5
    num_inference_steps: 4
    size: 64x32
    scheduler: "EulerAncestralDiscreteScheduler"
    seed: 8
    output: "again.png"
}
"""
    )
