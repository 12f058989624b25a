"""Sound of tiny pipelines with the real libraries: a plain program's samples, in files that are equal each time."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from aquatint.interface.recipe import of_record, text_of
from aquatint.runtime.engine import Engine
from aquatint.runtime.metadata import read_metadata
from aquatint.runtime.record import image_record
from support.planned import files_of

Tiny = Callable[[str], Path]

CALLS: dict[str, dict[str, Any]] = {
    "stable-audio": {"audio_end_in_s": 0.5, "num_inference_steps": 3},
    "audioldm": {"audio_length_in_s": 0.02, "num_inference_steps": 3},
}


def script(name: str, folder: Path, more: str = "") -> str:
    call = ", ".join(f"{argument}: {value}" for argument, value in CALLS[name].items())
    return f'model m {{ source: "{folder}" }}\ngenerate m {{ prompt: "a red cat", seed: 7, {call}{more} }}\n'


def plainly(folder: Path, name: str, **call: Any) -> Any:
    """Return what a plain program's call makes, of weights in fresh memory: where they lie decides bits."""
    import diffusers
    import torch

    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    for module in pipeline.components.values():
        for tensor in (*module.parameters(), *module.buffers()) if isinstance(module, torch.nn.Module) else ():
            tensor.data = tensor.data.clone()
    generator = torch.Generator("cpu").manual_seed(7)
    with torch.no_grad():
        return pipeline(prompt="a red cat", **CALLS[name], **call, generator=generator).audios


def written(file: Path) -> tuple[int, int, bytes]:
    with wave.open(str(file)) as opened:
        assert opened.getsampwidth() == 2
        return opened.getnchannels(), opened.getframerate(), opened.readframes(opened.getnframes())


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_a_file_has_the_samples_of_a_plain_program_and_comes_again_from_its_record(
    engine: Engine, folder: Tiny, tmp_path: Path, name: str
) -> None:
    text = script(name, folder(name))
    assert files_of(engine, text, tmp_path) == ["m-full-a-red-cat-7.wav"]
    file = tmp_path / "m-full-a-red-cat-7.wav"
    # Stereo goes by channels in the libraries, and by moments in files.
    made = numpy.atleast_2d(plainly(folder(name), name, output_type="np")[0])
    samples = numpy.rint(numpy.clip(made, -1, 1) * 32767).astype("<i2").T.tobytes()
    channels, rate = (2, 500) if name == "stable-audio" else (1, 16000)
    assert written(file) == (channels, rate, samples)
    assert len(set(samples)) > 50
    body = file.read_bytes()
    assert files_of(engine, text, tmp_path) == []  # it is done

    found = read_metadata(file)["aquatint"]
    record = image_record(found)
    assert (found["kind"], record.channels, record.sampling_rate) == ("audio", channels, rate)
    assert record.samples == made.shape[1] and record.size is None
    recipe = of_record(record)
    recipe.arguments["output"] = "again.wav"
    files_of(engine, text_of(recipe), tmp_path)
    other = read_metadata(tmp_path / "again.wav")["aquatint"]
    assert {**other, "statement": "", "place": ""} == {**found, "statement": "", "place": ""}
    assert written(tmp_path / "again.wav") == written(file)
    file.unlink()
    files_of(engine, text, tmp_path)
    assert file.read_bytes() == body


@pytest.mark.slow
def test_its_latents_are_tensors(engine: Engine, folder: Tiny, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    name = "stable-audio"
    assert files_of(engine, script(name, folder(name), ', output: "x.safetensors"'), tmp_path) == ["x.safetensors"]
    [latents] = load_file(tmp_path / "x.safetensors").values()
    assert latents.equal(plainly(folder(name), name, output_type="latent"))
