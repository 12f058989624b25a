"""Videos that a pipeline of a VAE and an upsampler makes larger; no part of it takes a quantizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.runtime.engine import Engine
from aquatint.runtime.events import Event, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.media_files import read_clip
from aquatint.source import Source
from aquatint.syntax.parser import parse


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("ltx-upsampler", 9), ("ltx2-upsampler", 5)])
def test_the_frames_are_those_of_a_plain_program(
    engine: Engine, folder: Callable[[str], Path], tmp_path: Path, name: str, count: int
) -> None:
    import diffusers
    import torch

    frames = [
        Image.effect_mandelbrot((64, 64), (-2, -1.5, 1 + number / 2, 1.5), 60).convert("RGB") for number in range(count)
    ]
    for number, frame in enumerate(frames):
        frame.save(tmp_path / f"{number}.png")
    given = ", ".join(f'"{tmp_path}/{number}.png"' for number in range(count))
    call = f"video: [{given}], num_frames: {count}" if name == "ltx2-upsampler" else f"video: [{given}]"
    text = f'model m {{ source: "{folder(name)}" }}\ngenerate m {{ {call}, size: 64x64, seed: 7, output: "x.webp" }}'
    parsed = parse(Source("enlarged.aqt", text))
    evaluation = Interpreter(World()).evaluate(parsed.script, parsed.diagnostics)
    assert evaluation.plan is not None, [each.message for each in evaluation.diagnostics]
    events: list[Event] = []
    Executor(engine, events.append, Options(output_dir=tmp_path)).run(evaluation.plan)
    assert [event.message for event in events if isinstance(event, StatementFailed)] == []

    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder(name), dtype=torch.float32)
    more = {"num_frames": count} if name == "ltx2-upsampler" else {}
    made = pipeline(video=frames, width=64, height=64, generator=torch.Generator("cpu").manual_seed(7), **more)
    ours = read_clip(tmp_path / "x.webp").frames
    assert [frame.tobytes() for frame in ours] == [frame.convert("RGB").tobytes() for frame in made.frames[0]]
    assert ours[0].size == (128, 128) and len(set(ours[0].tobytes())) > 32
