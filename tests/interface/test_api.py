"""What a Python program does with scripts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import aquatint
from aquatint.interface.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
SCRIPT = """\
param seed: int = 1
model m { source: "builtin:shapes", defaults { num_inference_steps: 2 } }
generate m { prompt: "a star", seed: seed }
"""


def test_importing_it_imports_nothing_of_it_and_planning_no_torch() -> None:
    code = (
        "import sys, aquatint; print(sorted(name for name in sys.modules if name.startswith('aquatint.'))); "
        "aquatint.compile('print 1'); aquatint.Session(); print({'torch', 'diffusers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\nset()\n", done.stderr


def test_the_plan_is_that_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from aquatint.plan.steps import plan_to_json

    file = tmp_path / "star.aqt"
    file.write_text(SCRIPT)
    plan = aquatint.compile(file, parameters={"seed": 5}, device="cpu", plan_seed=2, memory="2GiB")
    words = ["plan", "--json", "--device", "cpu", "--plan-seed", "2", "--memory", "2GiB", "--set", "seed=5"]
    assert main([*words, str(file)]) == 0
    assert capsys.readouterr().out == plan_to_json(plan).decode()
    assert isinstance(plan, aquatint.Plan)


def test_mistakes_are_raised_with_their_report() -> None:
    with pytest.raises(aquatint.ScriptError) as caught:
        aquatint.compile("print x, y")
    assert [each.code for each in caught.value.diagnostics] == ["unknown-name", "unknown-name"]
    assert str(caught.value).startswith("error[unknown-name]: there is no `x` here\n --> <script>:1:7\n")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"existing": "keep"}, "`existing` can't be `keep`"),
        ({"memory": "much"}, "`--memory much` is no number of bytes"),
        ({"device": "tpu"}, "there is no device `tpu`"),
        ({"threads": 0}, "`--threads 0` must be from 1 to 1024"),
    ],
)
def test_settings_are_checked_as_the_options_are(settings: dict[str, object], message: str) -> None:
    with pytest.raises(aquatint.Refusal) as caught:
        aquatint.Session(**settings)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_session_keeps_names_and_plans_without_effects(tmp_path: Path) -> None:
    told: list[aquatint.Event] = []
    session = aquatint.Session(device="cpu", output_dir=tmp_path, on_event=told.append)
    assert session.run("let a = 1") is None and session.names == ["a"]
    with pytest.raises(aquatint.ScriptError):
        session.run("let b = 2\nlet c = nothing")
    assert session.plan("let d = a").steps == [] and session.names == ["a"]
    assert told == []
    session.run("print a")
    assert [each.text for each in told if isinstance(each, aquatint.events.Printed)] == ["1"]
    with pytest.raises(aquatint.ScriptError, match="never closed"):
        session.run("let e = [1,")


def test_what_is_not_there_is_said_as_python_does() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = aquatint.nothing


@pytest.mark.slow
def test_the_program_of_the_page_writes_what_the_page_says(tmp_path: Path) -> None:
    code, output = (
        found[1] for kind in ("python", "output")
        if (found := re.search(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.stdout.replace("\\", "/"), done.returncode) == (output, 0), done.stderr
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
