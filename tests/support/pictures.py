"""Small pictures with records: sound, old, crafted and damaged ones, for the commands that read them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from aquatint.plan.steps import Generate, Plan
from aquatint.runtime.metadata import about_image
from support.cases import errors, evaluate, options_of

SCRIPT = """\
quantizer q8 { backend: sdnq, weights_dtype: int8, quant_conv: true }
model shapes { source: "builtin:shapes", unet { quantizer: q8 } }
generate shapes { prompt: "a red circle", num_inference_steps: 2, seed: 1, output: "circle.png" }
"""

ENGINE = {"device": "cpu", "threads": 1, "cpu": "AVX2", "versions": {"torch": "2.0"}}

Change = Callable[[dict[str, Any]], object]


def planned(script: str = SCRIPT) -> Plan:
    """Return the plan of a script on a CPU."""
    evaluation = evaluate(script, options_of("--name circle.aqt"))
    assert evaluation.plan is not None, errors(evaluation)
    return evaluation.plan


def records(plan: Plan) -> list[dict[str, Any]]:
    """Return the record of each image of `plan` that waits for no other step, as a file would have it."""
    return [
        json.loads(about_image(plan, step, output, (64, 64), ENGINE).text)
        for step in plan.steps if isinstance(step, Generate) and not step.deferred for output in step.outputs
    ]  # fmt: skip


def record(change: Change = lambda record: None) -> dict[str, Any]:
    """Return the record of the image of `SCRIPT` after `change`, which works in place."""
    [found] = records(planned())
    found = copy.deepcopy(found)
    change(found)
    return found


def write_png(file: Path, **texts: str) -> Path:
    """Write a small picture with `texts`, by keyword."""
    chunks = PngInfo()
    for keyword, text in texts.items():
        chunks.add_text(keyword, text)
    Image.new("RGB", (8, 8), "red").save(file, pnginfo=chunks)
    return file


def write_record(file: Path, change: Change = lambda record: None) -> Path:
    """Write a small picture with the record of the image of `SCRIPT` after `change`."""
    return write_png(file, aquatint=json.dumps(record(change)))


def write_pictures(folder: Path) -> None:
    """Write the pictures that the registry of codes shows mistakes with."""
    write_png(folder / "plain.png")
    write_png(folder / "sheet.png", aquatint='{"version":1,"kind":"sheet","cells":[]}')
    write_png(folder / "cut.png", aquatint=json.dumps(record())[:500])
    write_record(folder / "crafted.png", lambda record: record["arguments"].update(output="elsewhere.png"))
    write_record(folder / "older.png", lambda record: record["components"]["unet"].update(identity="another"))
