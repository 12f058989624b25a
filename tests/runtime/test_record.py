"""A record that a stranger wrote is a record, or it is said why not; nothing else comes of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aquatint.runtime.metadata import METADATA_VERSION
from aquatint.runtime.record import RecordError, image_record, read_json
from support import pictures

SOUND = pictures.record()


def test_what_is_written_is_read() -> None:
    record = image_record(read_json(json.dumps(SOUND)))
    assert record.version == METADATA_VERSION
    assert (record.seed, record.model, record.scheduler) == (1, "shapes", "DDIMScheduler")
    assert record.arguments == {"num_inference_steps": 2, "prompt": "a red circle"}
    assert record.defaults["guidance_scale"] == 7.5
    assert record.pipeline.class_name == "StableDiffusionPipeline"
    unet = record.components["unet"]
    assert unet.quantization is not None
    assert (unet.quantization.name, unet.quantization.options["quant_conv"]) == ("q8", True)
    assert record.engine == pictures.ENGINE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[1]", "is no JSON object"),
        ("[" * 100_000, "is not JSON"),
        ('{"version":1,"kind":"image","x":' + "[" * 500 + "]" * 500 + "}", "is nested too deep"),
        ('{"version":' + "9" * 5000 + "}", "is not JSON"),
        ('{"version":1,"kind":"image","x":NaN}', "is not JSON"),
        ("{}", "doesn't say what it is"),
        ('{"version":true,"kind":"image"}', "doesn't say what it is"),
        ('{"version":1}', "doesn't say what it is"),
        ('{"version":2,"kind":"image"}', "is of version 2; this program reads version 1"),
    ],
)
def test_texts_that_are_no_record(text: str, said: str) -> None:
    with pytest.raises(RecordError) as caught:
        read_json(text)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("kind", "sheet", "is that of a sheet, not of an image"),
        ("seed", -1, "is malformed: expected `int` >= 0 - at `$.seed`"),
        ("seed", 2**63, "is malformed: expected `int` <= 9223372036854775807 - at `$.seed`"),
        ("seed", "1; import os", "is malformed: expected `int`, got `str` - at `$.seed`"),
        ("arguments.output", "/tmp/x.png", "is malformed: `output` is no argument"),
        ("arguments.metadata", False, "is malformed: `metadata` is no argument"),
        ("arguments.a b", 1, "is malformed: `a b` is no argument"),
        ("arguments.eta", float("1e400"), None),
        ("arguments.eta", 2**63, None),
        ("arguments.prompt", "\ud800", "is malformed: `prompt` has a number or a character that can't be written"),
        ("weighter", {"plugin": "../x", "options": {}}, "is malformed: its weighter: `../x` is no plugin"),
        ("weighter", {"plugin": "compel", "options": {"a b": 1}}, "is malformed: its weighter: `a b` is no option"),
        ("weighter", {"plugin": "compel", "options": {"x": 1}}, "is malformed: its weighter: there is no option `x`"),
        ("pipeline.class", "os.system", "is malformed: `os.system` is no pipeline"),
        ("pipeline.offload", "everything", "is malformed: `everything` is no way of offloading"),
        ("pipeline.loras", {"style": {"weight": 1.0, "roles": ["unet"]}}, "is malformed: `style` is no LoRA of it"),
        ("pipeline.loras", {"unet": {"weight": 1.0, "roles": ["a b"]}},
         "is malformed: the LoRA `unet` can't be added as it says"),
        ("pipeline.textual_inversions", {"style": {"token": "<a>", "vectors": 1, "tensors": {"text_encoder": "a"}}},
         "is malformed: `style` is no textual inversion of it"),
        ("pipeline.textual_inversions", {"unet": {"token": "a b", "vectors": 1, "tensors": {"text_encoder": "a"}}},
         "is malformed: the textual inversion `unet` can't be used as it says"),
        ("pipeline.textual_inversions", {"unet": {"token": "<a>", "vectors": 0, "tensors": {"text_encoder": "a"}}},
         "is malformed: expected `int` >= 1 - at `$.pipeline.textual_inversions[...].vectors`"),
        ("pipeline.computing", {"vae": {"tiling": "yes"}}, "is malformed: `vae`: `tiling` is not true"),
        ("pipeline.computing", {"unet": {"tiling": True}},
         "is malformed: `unet`: a `UNet2DConditionModel` can't do `tiling`"),
        ("pipeline.computing", {"x": {"tiling": True}}, "is malformed: `x` is no submodule that computes as it says"),
        ("components.lora", SOUND["components"]["vae"], "is malformed: `lora` is no submodule"),
        ("components.textual_inversion", SOUND["components"]["vae"],
         "is malformed: `textual_inversion` is no submodule"),
        ("pipeline.omitted", ["source"], "is malformed: `source` is no submodule"),
        ("pipeline.source", "\udfff", "is malformed: it has a character that can't be written"),
        ("components.defaults", SOUND["components"]["vae"], "is malformed: `defaults` is no submodule"),
        ("components.x } print 1", SOUND["components"]["vae"], "is malformed: `x } print 1` is no submodule"),
        ("components.unet.dtype", "float8", "is malformed: `unet` is of the data type `float8`"),
        ("components.unet.dtype", None, "is malformed: `unet` is quantized, and has no data type"),
        ("components.unet.quantization.backend", "a b", "is malformed: the quantizer of `unet`: `a b` is no backend"),
        ("components.unet.quantization.options.a b", 1, "is malformed: the quantizer of `unet`: `a b` is no option"),
        ("components.unet.quantization.options.weights_dtype", "int99",
         "is malformed: the quantizer of `unet`: `weights_dtype` can't be `\"int99\"`"),
        ("components.unet.identity", None,
         "is malformed: expected `str`, got `null` - at `$.components[...].identity`"),
    ],
)  # fmt: skip
def test_records_that_are_none(path: str, value: Any, said: str | None) -> None:
    record = copy.deepcopy(SOUND)
    *way, last = path.split(".")
    place = record
    for name in way:
        place = place[name]
    place[last] = value
    with pytest.raises(RecordError) as caught:
        image_record(read_json(json.dumps(record).replace("Infinity", "1e400")))
    assert str(caught.value) == (said or "is malformed: `eta` has a number or a character that can't be written")


def batch(*prompts: Any, seeds: Sequence[int] = (1, 2), index: int = 0) -> dict[str, Any]:
    images = [{"seed": seed, "prompts": own} for seed, own in zip(seeds, prompts, strict=True)]
    return {"index": index, "images": images}


RED, BLUE = {"prompt": "a red circle"}, {"prompt": "a blue circle"}


def test_the_images_of_a_call_are_read() -> None:
    record = image_record(SOUND | {"batch": batch(BLUE, RED, seeds=(2, 1), index=1)})
    assert record.batch is not None
    assert (record.batch.index, [each.seed for each in record.batch.images]) == (1, [2, 1])


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (batch(RED, BLUE, index=2), "it has no place in its batch"),
        (batch(RED, BLUE, index=-1), "it has no place in its batch"),
        (batch(RED, BLUE, index=1), "it isn't what its batch has in its place"),
        (batch(RED, BLUE, seeds=(7, 1)), "it isn't what its batch has in its place"),
        (batch(RED | {"output": "/tmp/x"}, BLUE | {"output": "/y"}), "it isn't what its batch has in its place"),
        (batch(RED, BLUE | {"output": "/tmp/x"}), "the images of its batch have other arguments of their own"),
        (batch(RED, {}), "the images of its batch have other arguments of their own"),
        (batch(RED, {"prompt": "\ud800"}), "its batch has a character that can't be written"),
        (batch(RED, seeds=(1,)), "expected `array` of length >= 2 - at `$.batch.images`"),
        (batch(RED, {"prompt": 1}), "expected `str`, got `int` - at `$.batch.images[1].prompts[...]`"),
        (batch(RED, BLUE, seeds=(1, -1)), "expected `int` >= 0 - at `$.batch.images[1].seed`"),
        (batch(*[RED] * 1001, seeds=[1] * 1001), "expected `array` of length <= 1000 - at `$.batch.images`"),
    ],
)
def test_calls_that_are_none(found: dict[str, Any], said: str) -> None:
    with pytest.raises(RecordError) as caught:
        image_record(SOUND | {"batch": found})
    assert str(caught.value) == f"is malformed: {said}"


def test_too_many_submodules() -> None:
    parts = {f"part_{number}": SOUND["components"]["vae"] for number in range(65)}
    with pytest.raises(RecordError, match="more than 64 submodules"):
        image_record(SOUND | {"components": parts})


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), value=junk)
def test_any_junk_anywhere_is_refused_or_harmless(data: st.DataObject, value: Any) -> None:
    record = copy.deepcopy(SOUND)
    place: Any = record
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        place = inner
    place[key] = value
    try:
        image_record(read_json(json.dumps(record)))
    except RecordError as error:
        assert "\n" not in str(error).replace(str(value), "")
