"""A weighter that another package brings: the example in `examples/blend_weighter`, installed by pip and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "blend_weighter"

SCRIPT = """
model m { source: "builtin:shapes", defaults { num_inference_steps: 2, seed: 1, metadata: false } }
generate m { prompt: "a red circle | a blue square", weighter: "blend;share=0.3", output: "blended.png" }
generate m { prompt: "a red circle | a blue square", weighter: "blend;share=1", output: "all.png" }
generate m { prompt: "a red circle", weighter: "blend", output: "one.png" }
generate m { prompt: "a red circle", output: "plain.png" }
generate m { prompt: "a blue square", output: "other.png" }
"""


@pytest.mark.slow
def test_a_script_uses_it_like_any_other(tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    # From a copy of nothing but its own files: a build leaves some of its own.
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(installed), str(EXAMPLE)], check=True, capture_output=True)
    path = [str(installed), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}

    def aquatint(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "aquatint", *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    (tmp_path / "wrong.aqt").write_text(
        'model m { source: "builtin:shapes" }\ngenerate m { prompt: "a cat |", weighter: "blend", seed: 1 }\n'
    )
    wrong = aquatint("check", "wrong.aqt")
    assert wrong.returncode == 2
    assert wrong.stderr.splitlines()[:2] == [
        "error[malformed-prompt]: there is no prompt to blend here",
        " --> wrong.aqt:2:29",
    ]
    (tmp_path / "s.aqt").write_text(SCRIPT)
    done = aquatint("run", "--json", "--device", "cpu", "--threads", "1", "s.aqt")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["loads"] == 5
    files = {name: (tmp_path / f"{name}.png").read_bytes() for name in ("blended", "all", "one", "plain", "other")}
    assert files["all"] == files["one"] == files["plain"]
    assert len({*files.values()}) == 3
