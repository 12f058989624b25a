"""Saved models from a user's side: written by one run, read by the next, and whole after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from .conftest import PROGRAM, Aquatint

SAVE = """\
model shapes {
    source: "builtin:shapes"
    quantizer: "sdnq;type=uint4;quant-conv=true"
    defaults { num_inference_steps: 4, prompt: "a red circle", seed: 1 }
}
save shapes { to: "saved" }
generate shapes { output: "first.png" }
"""

USE = """\
model shapes {
    source: "saved"
    quantizer: "sdnq;type=uint4;quant-conv=true"
    defaults { num_inference_steps: 4, prompt: "a red circle", seed: 1 }
}
generate shapes { output: "second.png" }
"""


def pixels(file: Path) -> bytes:
    """Return the pixels of a picture."""
    with Image.open(file) as image:
        return image.tobytes()


@pytest.mark.slow
def test_a_model_is_saved_by_one_run_and_used_by_the_next(aquatint: Aquatint, tmp_path: Path) -> None:
    (tmp_path / "save.aqt").write_text(SAVE)
    (tmp_path / "use.aqt").write_text(USE)
    first = aquatint("run", "save.aqt", "--json")
    assert first.code == 0, first.err
    finished = first.events_called("run_finished")[0]
    assert (finished["saved"], finished["written"]) == (1, ["saved", "first.png"])
    second = aquatint("run", "use.aqt", "--json")
    assert second.code == 0, second.err
    assert second.events_called("run_finished")[0]["quantizations"] == 0
    assert pixels(tmp_path / "second.png") == pixels(tmp_path / "first.png")
    again = aquatint("run", "save.aqt", "--existing", "skip")
    assert again.code == 0
    assert "skipped save.aqt:6:1: `saved` exists" in again.err
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".aquatint", "first.png", "save.aqt", "saved", "second.png", "use.aqt",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_kill_while_a_model_is_saved_leaves_none_or_all_of_it(aquatint: Aquatint, tmp_path: Path) -> None:
    (tmp_path / "save.aqt").write_text(SAVE)
    process = subprocess.Popen(
        [PROGRAM, "run", "save.aqt", "--json"], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "save_started":
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    if (tmp_path / "saved").exists():
        files = json.loads((tmp_path / "saved/aquatint.json").read_text())["files"]
        assert all((tmp_path / "saved" / file).is_file() for file in files)
    answer = aquatint("run", "save.aqt", "--existing", "overwrite")
    assert answer.code == 0, answer.err
    assert sorted(path.name for path in tmp_path.iterdir()) == [".aquatint", "first.png", "save.aqt", "saved"]


@pytest.mark.slow
def test_the_lines_on_the_card_load_the_model(aquatint: Aquatint, tmp_path: Path) -> None:
    (tmp_path / "save.aqt").write_text("""\
model shapes { source: "builtin:shapes", vae { dtype: bfloat16 }, unet { quantizer: "sdnq;type=int8" } }
save shapes { to: "saved", variant: "small" }
save shapes { to: "parts", variant: "small", components: ["unet", "text_encoder", "tokenizer"] }
""")
    answer = aquatint("run", "save.aqt")
    assert answer.code == 0, answer.err
    tell = {
        "saved": "print(*(f'{n} {p.dtype}' for n, p in sorted(pipeline.components.items()) if hasattr(p, 'dtype')))",
        "parts": "print(text_encoder.dtype, unet.dtype, type(unet.mid_block.resnets[0].time_emb_proj).__name__)",
    }
    said = {}
    for folder, line in tell.items():
        card = (tmp_path / folder / "README.md").read_text()
        program = card.split("```python\n")[1].split("```")[0].replace("FOLDER", folder)
        done = subprocess.run(
            [sys.executable, "-c", f"{program}\n{line}"], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "SDNQ_USE_TORCH_COMPILE": "0"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said[folder] = done.stdout.splitlines()[-1]
    assert said == {
        "saved": "text_encoder torch.float32 unet torch.float32 vae torch.bfloat16",
        "parts": "torch.float32 torch.float32 SDNQLinear",
    }
