"""Sound beside videos with the real libraries: a plain program's samples, in a file that is equal each time."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL.Image import Image

from aquatint.interface.recipe import of_record, text_of
from aquatint.runtime.engine import Engine
from aquatint.runtime.media import Clip, Sound
from aquatint.runtime.media_files import encoded
from aquatint.runtime.metadata import read_metadata
from aquatint.runtime.record import image_record
from support.planned import files_of
from support.tiny.soundtracks import RATE

Tiny = Callable[[str], Path]

pytestmark = pytest.mark.slow

CALL: dict[str, Any] = {
    "num_inference_steps": 2, "num_frames": 5, "frame_rate": 25.0, "max_sequence_length": 16,
    "spatio_temporal_guidance_blocks": [0],
}  # fmt: skip


def script(folder: Path, *statements: str) -> str:
    call = ", ".join(f"{argument}: {value}" for argument, value in CALL.items())
    defaults = f'defaults {{ prompt: "a red cat", seed: 7, size: 32x32, {call} }}'
    return "\n".join([f'model m {{ source: "{folder}", {defaults} }}', *statements])


@pytest.fixture(scope="module")
def plainly(folder: Tiny) -> Callable[..., Any]:
    """Return what a plain program's call makes, of weights in fresh memory: where they lie decides bits."""
    import diffusers
    import torch

    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder("ltx2"), dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    for module in pipeline.components.values():
        for tensor in (*module.parameters(), *module.buffers()) if isinstance(module, torch.nn.Module) else ():
            tensor.data = tensor.data.clone()

    def make(**call: Any) -> Any:
        generator = torch.Generator("cpu").manual_seed(7)
        with torch.no_grad():
            return pipeline(prompt="a red cat", width=32, height=32, **CALL, **call, generator=generator)

    return make


def sound_of(made: Any) -> Sound:
    samples = numpy.rint(numpy.clip(made.audio[0].numpy(), -1, 1) * 32767).astype("<i2")
    return Sound(len(samples), RATE, samples.T.tobytes())


def streams(body: bytes) -> dict[str, list[bytes]]:
    """Return what a file has encoded of each kind: equal if what was encoded is."""
    import av

    found: dict[str, list[bytes]] = {}
    with av.open(io.BytesIO(body)) as opened:
        for packet in opened.demux():
            found.setdefault(packet.stream.type, []).append(bytes(packet))
    return found


def test_a_video_has_the_frames_and_the_sound_of_a_plain_program_and_comes_again_from_its_record(
    engine: Engine, folder: Tiny, plainly: Callable[..., Any], tmp_path: Path
) -> None:
    text = script(folder("ltx2"), 'generate m { output: "one.mp4" }')
    assert files_of(engine, text, tmp_path) == ["one.mp4"]
    file, made = tmp_path / "one.mp4", plainly()
    frames: list[Image] = made.frames[0]
    sound = sound_of(made)
    # Encoding loses some of both, and the same of what is the same.
    there = streams(file.read_bytes())
    assert there == streams(encoded(Clip(tuple(frames), sound), "MP4", None, 25))
    louder = Sound(2, RATE, (numpy.frombuffer(sound.samples, "<i2") * 2).tobytes())
    assert there["audio"] != streams(encoded(Clip(tuple(frames), louder), "MP4", None, 25))["audio"]
    assert len(set(sound.samples)) > 50 and len(there["video"]) >= 5
    body = file.read_bytes()
    assert files_of(engine, text, tmp_path) == []  # it is done

    found = read_metadata(file)["aquatint"]
    record = image_record(found)
    assert (found["kind"], record.frames, record.fps, record.size) == ("video", 5, 25.0, (32, 32))
    assert (record.channels, record.sampling_rate, record.samples) == (2, RATE, sound.moments)
    recipe = of_record(record)
    recipe.arguments["output"] = "again.mp4"
    files_of(engine, text_of(recipe), tmp_path)
    other = read_metadata(tmp_path / "again.mp4")["aquatint"]
    assert {**other, "statement": "", "place": ""} == {**found, "statement": "", "place": ""}
    assert streams((tmp_path / "again.mp4").read_bytes()) == there
    file.unlink()
    files_of(engine, text, tmp_path)
    assert file.read_bytes() == body


def test_latents_of_both_go_on_and_a_file_without_room_says_nothing_of_sound(
    engine: Engine, folder: Tiny, plainly: Callable[..., Any], tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    text = script(
        folder("ltx2"),
        'let first = generate m { output: "first.safetensors" }',
        'generate m { latents: first.latents, audio_latents: first.audio_latents, output: "next.mp4" }',
        'generate m { output: "quiet.webp" }',
    )
    assert files_of(engine, text, tmp_path) == ["first.safetensors", "next.mp4", "quiet.webp"]
    tensors, made = load_file(tmp_path / "first.safetensors"), plainly(output_type="latent")
    assert tensors.keys() == {"latents", "audio_latents"}
    assert tensors["latents"].equal(made.frames) and tensors["audio_latents"].equal(made.audio)
    again = plainly(latents=made.frames, audio_latents=made.audio)
    written = streams((tmp_path / "next.mp4").read_bytes())
    assert written == streams(encoded(Clip(tuple(again.frames[0]), sound_of(again)), "MP4", None, 25))
    record = image_record(read_metadata(tmp_path / "quiet.webp")["aquatint"])
    assert (record.frames, record.channels, record.samples) == (5, None, None)
