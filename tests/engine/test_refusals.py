"""What can't be done is said in a sentence: what, why, and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bitsandbytes
import msgspec
import pytest
import torch

from aquatint.plan.steps import Quantization
from aquatint.runtime.engine import Engine, EngineError, Generation
from aquatint.runtime.torch_engine import TorchEngine, sdnq_backend
from aquatint.runtime.torch_engine.faults import engine_error
from aquatint.runtime.torch_engine.libraries import libraries
from support.scenes import component, drawn, load, quantization, scene

Tiny = Callable[[str], Path]


@pytest.fixture
def copied(folder: Tiny, tmp_path: Path) -> Path:
    """A copy of the text encoder's and the UNet's folders, to be damaged."""
    target = tmp_path / "sd"
    target.mkdir()
    shutil.copy(folder("sd") / "model_index.json", target)
    for role in ("unet", "text_encoder"):
        shutil.copytree(folder("sd") / role, target / role)
    return target


def refusal(engine: Engine, asked: Any) -> EngineError:
    with pytest.raises(EngineError) as error:
        engine.load(asked)
    assert "\n" not in str(error.value)
    assert not str(error.value).endswith(".")
    return error.value


@pytest.mark.parametrize("role", ["unet", "text_encoder"])
def test_weights_that_are_pickles_are_not_read(engine: Engine, folder: Tiny, copied: Path, role: str) -> None:
    asked = component(folder("sd"), role, source=str(copied))
    [weights] = (copied / role).glob("*.safetensors")
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    before = engine.counters.loads
    assert "can run code" in str(refusal(engine, asked))
    assert engine.counters.loads == before


@pytest.mark.parametrize("role", ["unet", "text_encoder"])
@pytest.mark.parametrize("uri", [None, "sdnq", "bnb"])
def test_missing_weights_are_not_made_up(
    engine: Engine, folder: Tiny, copied: Path, role: str, uri: str | None
) -> None:
    from safetensors.torch import load_file, save_file

    [file] = (copied / role).glob("*.safetensors")
    held = load_file(file)
    lost = sorted(name for name in held if name.endswith("weight") and held[name].ndim == 2)[0]
    save_file({name: tensor for name, tensor in held.items() if name != lost}, file, {"format": "pt"})
    error = refusal(engine, component(folder("sd"), role, uri, source=str(copied)))
    if role == "unet" and uri == "bnb":
        assert "lack some weights" in (error.help or "")  # diffusers itself fails here, and not on the name
    else:
        assert lost.removeprefix("text_model.") in str(error)


@pytest.mark.parametrize("role", ["unet", "text_encoder"])
def test_a_cut_file_is_an_error_with_a_sentence(engine: Engine, folder: Tiny, copied: Path, role: str) -> None:
    [file] = (copied / role).glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:5000])
    refusal(engine, component(folder("sd"), role, source=str(copied)))


def test_a_config_that_is_no_json(engine: Engine, folder: Tiny, copied: Path) -> None:
    (copied / "unet" / "config.json").write_text("{")
    assert "is not JSON" in str(refusal(engine, component(folder("sd"), "unet", source=str(copied))))


def test_a_variant_that_is_not_there(engine: Engine, folder: Tiny) -> None:
    assert "variant `fp16`" in str(refusal(engine, component(folder("sd"), "unet", variant="fp16")))


def test_a_variant_that_is_there(engine: Engine, folder: Tiny, copied: Path) -> None:
    for role in ("unet", "text_encoder"):
        [file] = (copied / role).glob("*.safetensors")
        file.rename(file.with_suffix(".fp16.safetensors"))
        assert engine.load(component(folder("sd"), role, source=str(copied), variant="fp16")).bytes


def test_a_source_that_is_not_there(engine: Engine, folder: Tiny) -> None:
    assert "there is no folder" in str(refusal(engine, component(folder("sd"), "unet", source="/no/such/folder")))


@pytest.mark.parametrize(
    ("library", "class_name", "expected"),
    [
        ("diffusers", "NoSuchModel", "has no class `NoSuchModel`"),
        ("diffusers", "__version__", "has no class"),
        ("diffusers", "utils", "has no class"),
        ("os", "system", "code of its own"),
    ],
)
def test_only_classes_of_the_two_libraries_are_used(
    engine: Engine, folder: Tiny, library: str, class_name: str, expected: str
) -> None:
    asked = component(folder("sd"), "unet", library=library, class_name=class_name)
    assert expected in str(refusal(engine, asked))


def test_remote_code_is_not_run(engine: Engine, folder: Tiny, copied: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    config = json.loads((copied / "text_encoder" / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "evil.CLIPTextModel", "AutoConfig": "evil.CLIPTextConfig"}
    (copied / "text_encoder" / "config.json").write_text(json.dumps(config))
    (copied / "text_encoder" / "evil.py").write_text(f"open({str(mark)!r}, 'w')")
    engine.load(component(folder("sd"), "text_encoder", source=str(copied)))
    assert not mark.exists()


def test_a_dtype_that_is_none(engine: Engine, folder: Tiny) -> None:
    assert "as `int8`" in str(refusal(engine, component(folder("sd"), "unet", dtype="int8")))


@pytest.mark.parametrize(
    ("backend", "options", "expected"),
    [
        ("sdnq", {"weights_dtype": "uint9"}, "sdnq stores it wrongly"),
        ("sdnq", {"weights_dtype": "int77"}, "can't be"),
        ("gguf", {}, "no quantization backend"),
    ],
)
def test_a_quantizer_of_a_plan_written_by_hand_is_checked(
    engine: Engine, folder: Tiny, backend: str, options: dict[str, Any], expected: str
) -> None:
    asked = component(folder("sd"), "unet")
    wrong = msgspec.structs.replace(asked, quantization=Quantization(backend, options, "q"))
    assert expected in str(refusal(engine, wrong))


def test_a_part_without_weights_is_not_quantized(engine: Engine, folder: Tiny) -> None:
    asked = msgspec.structs.replace(component(folder("sd"), "tokenizer"), quantization=quantization("bnb"))
    assert "no weights" in str(refusal(engine, asked))


def test_a_part_with_weights_needs_a_dtype(engine: Engine, folder: Tiny) -> None:
    asked = msgspec.structs.replace(component(folder("sd"), "unet"), dtype=None)
    assert "no dtype" in str(refusal(engine, asked))


def test_a_tokenizer_with_code_of_its_own_is_refused_and_nobody_is_asked(
    engine: Engine, folder: Tiny, tmp_path: Path
) -> None:
    shutil.copytree(folder("sd") / "tokenizer", tmp_path / "tokenizer")
    config = tmp_path / "tokenizer" / "tokenizer_config.json"
    changed = json.loads(config.read_text()) | {
        "auto_map": {"AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"]}, "tokenizer_class": "Evil",
    }  # fmt: skip
    config.write_text(json.dumps(changed))
    (tmp_path / "tokenizer" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    asked = component(folder("sd"), "tokenizer", source=str(tmp_path), class_name="AutoTokenizer")
    refusal(engine, asked)
    assert not (tmp_path / "ran").exists()


def test_without_sdnq_the_install_line_is_given() -> None:
    with pytest.raises(EngineError) as error:
        sdnq_backend.require(replace(libraries(), sdnq=None))
    assert 'pip install "aquatint[sdnq]"' in (error.value.help or "")
    assert not sdnq_backend.is_quantized(replace(libraries(), sdnq=None), object())


def test_a_device_that_is_not_there() -> None:
    for device in ("cuda:7", "tpu"):
        with pytest.raises(EngineError, match="there is no device"):
            TorchEngine(device)


def test_int8_of_bnb_with_four_dimensions_on_a_cpu_is_explained() -> None:
    layer = bitsandbytes.nn.Linear8bitLt(128, 64, has_fp16_weights=False).to("cpu").eval()
    with pytest.raises(EngineError) as error, engine_error("can't make this image"):
        layer(torch.zeros(2, 3, 4, 128))
    assert "llm_int8_skip_modules" in (error.value.help or "")
    assert error.value.__cause__ is not None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"no_such_argument": 1}, "no_such_argument"),
        ({"width": 63}, "divisible by 8"),
        ({"return_dict": False}, "the program sets it"),
        ({"num_images_per_prompt": 2}, "the program sets it"),
    ],
)
def test_wrong_arguments(engine: Engine, folder: Tiny, changes: dict[str, Any], expected: str) -> None:
    made = scene(folder("sd"), **changes)
    pipeline = engine.assemble(made.pipeline, load(engine, made))
    with pytest.raises(EngineError, match=expected):
        drawn(engine, pipeline, made.generation, lambda done, total: None)


def test_a_picture_of_nan_is_not_passed_on_as_a_black_one(engine: Engine, folder: Tiny) -> None:
    made = scene(folder("sd"))
    parts = load(engine, made)
    vae = parts["vae"]
    assert vae is not None
    vae.object.decoder.conv_out.bias.fill_(float("nan"))
    pipeline = engine.assemble(made.pipeline, parts)
    with pytest.raises(EngineError, match="NaN"):
        drawn(engine, pipeline, made.generation, lambda done, total: None)


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [("sd", "NoSuchScheduler"), ("sd", "UNet2DModel"), ("sd", "FlowMatchEulerDiscreteScheduler"),
     ("flux", "EulerDiscreteScheduler")],
)  # fmt: skip
def test_a_scheduler_that_does_not_fit(engine: Engine, folder: Tiny, name: str, scheduler: str) -> None:
    made = scene(folder(name))
    pipeline = engine.assemble(made.pipeline, load(engine, made))
    with pytest.raises(EngineError, match=scheduler):
        drawn(engine, pipeline, Generation(made.generation.arguments, [1], scheduler), lambda done, total: None)


def test_parts_that_do_not_fit_a_pipeline(engine: Engine, folder: Tiny) -> None:
    made = scene(folder("sd"))
    with pytest.raises(EngineError, match="StableDiffusionPipeline"):
        engine.assemble(made.pipeline, {})
