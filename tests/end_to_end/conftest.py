"""The program as a user starts it: a process of its own, in an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(sysconfig.get_path("scripts")) / "aquatint"

SWEEP = """\
quantizer q8 { backend: sdnq, weights_dtype: int8, quant_conv: true }
quantizer u4 extends q8 { weights_dtype: uint4 }
quantizer nf { backend: bnb, bits: 4, bits4_quant_type: nf4 }

model shapes {
    source: "builtin:shapes"
    defaults { num_inference_steps: 4 }
}

for q in [q8, u4, nf], prompt in ["a red circle on a white background", "a blue star on a black background"] {
    override shapes {
        quantizer: q
        text_encoder { quantizer: q8 }
    }
    for seed in 1..2 {
        generate shapes {
            prompt: prompt
            seed:   seed
            output: "{{ q.name }}/{{ prompt | slug }}-{{ seed }}.png"
        }
    }
}

grid { rows: "quantizer", output: "sheet.png" }
"""
"""Three quantizers, two prompts, two seeds, and the text encoder quantized alike throughout."""


@dataclass(frozen=True)
class Answer:
    """What a run of the program came to."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of a run with `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]

    def events_called(self, name: str) -> list[dict[str, Any]]:
        """The events of one kind."""
        return [event for event in self.events if event["event"] == name]


Aquatint = Callable[..., Answer]


@pytest.fixture
def aquatint(tmp_path: Path) -> Aquatint:
    """Run the program in an empty folder with `arguments` and the text `stdin`."""

    def run(*arguments: str, stdin: str | None = None, cwd: Path = tmp_path) -> Answer:
        done = subprocess.run(
            [PROGRAM, *arguments], input=stdin, stdin=subprocess.DEVNULL if stdin is None else None, cwd=cwd,
            capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert "Traceback" not in done.stderr + done.stdout
        return Answer(done.returncode, done.stdout, done.stderr)

    return run
