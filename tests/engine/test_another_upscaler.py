"""An upscaler that another package brings: the example in `examples/phrases_upscaler`, installed by pip and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "phrases_upscaler"

SCRIPT = """
upscaler more { plugin: phrases, phrases: ["on a red background", "on a pink background"] }
model m { source: "builtin:shapes", defaults { num_inference_steps: 1, seed: 1 } }
let ps = upscale more { prompts: ["a star", "a heart"], variations: 2, seed: 4 }
for i, p in enumerate(ps) { generate m { prompt: p, output: "{{ i }}.png" } }
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the example's package is installed."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(folder), str(EXAMPLE)], check=True, capture_output=True)
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), os.environ.get("PYTHONPATH", "")))}


def aquatint(environment: dict[str, str], *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aquatint", *arguments]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=300)


def test_it_is_planned_like_any_other(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "s.aqt").write_text(SCRIPT)
    done = aquatint(environment, "plan", "--device", "cpu", "s.aqt", cwd=tmp_path)
    assert done.stdout.splitlines()[2:4] == [
        "upscale   more (phrases): u1[0] to u1[3]",
        '          "a star", "a heart", 2 variations each, seed 4',
    ]
    (tmp_path / "s.aqt").write_text("upscaler more { plugin: phrases, cound: 2 }")
    done = aquatint(environment, "check", "s.aqt", cwd=tmp_path)
    assert "upscaler plugin `phrases` has no setting `cound`" in done.stderr
    assert "did you mean `count`?" in done.stderr


@pytest.mark.slow
def test_a_script_uses_it(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "s.aqt").write_text(SCRIPT)
    done = aquatint(environment, "run", "--json", "--device", "cpu", "s.aqt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    [told] = [event for line in done.stdout.splitlines() if (event := json.loads(line))["event"] == "prompts_rewritten"]
    endings = [text.removeprefix(prompt) for prompt, text in zip(told["prompts"], told["texts"], strict=True)]
    assert set(endings) == {", on a red background", ", on a pink background"}
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["0.png", "1.png", "2.png", "3.png"]
