"""What a Python program does with scripts."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import aquatint
from aquatint.interface.cli import main, parser
from aquatint.interface.settings import Planning, Running

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
        ({"limit": 0}, "`--limit 0` must be from 1 to 1000"),
        ({"order": "best"}, "`order` can't be `best`"),
        ({"memory": ["cpu=1GiB", "cpu=2 much"]}, "`--memory 2 much` is no number of bytes"),
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


def test_what_is_wrong_is_data_and_warnings_are_told_of_a_plan() -> None:
    found = aquatint.check("let a = 1\nprint 2", device="cpu")
    assert found.plan is not None
    assert [(each.severity, each.code) for each in found.diagnostics] == [("warning", "unused-name")]
    assert not aquatint.check("let a = 1\nprint 2", lint=False).diagnostics.items
    assert not aquatint.check("let a = 1\nprint 2", allow=["unused-name"]).diagnostics.items
    with pytest.raises(aquatint.ScriptError, match="unused-name"):
        aquatint.compile("let a = 1\nprint 2", deny=["warnings"])


def test_a_session_that_keeps_nothing_is_one_of_whole_scripts() -> None:
    session = aquatint.Session(device="cpu", keep=False)
    outcome = session.feed("let a = 1\nprint 2")
    assert [each.code for each in outcome.diagnostics] == ["unused-name"] and session.names == []
    outcome = session.feed("let a = [1,")
    assert [each.code for each in outcome.diagnostics] == ["open-bracket"] and not outcome.incomplete
    kept = aquatint.Session(device="cpu").feed("let a = [1,")
    assert kept.incomplete and kept.plan is None


def test_how_outputs_stand_is_data(tmp_path: Path) -> None:
    plan = aquatint.compile(SCRIPT, device="cpu")
    (tmp_path / "m-full-a-star-1.png").write_bytes(b"another's")
    standings = [(each.planned.path, each.state.value) for each in aquatint.status(plan, output_dir=tmp_path)]
    assert standings == [("m-full-a-star-1.png", "unknown")]


def test_a_file_below_the_output_folder_is_one_under_both_its_names(tmp_path: Path) -> None:
    model, *_ = SCRIPT.splitlines()[1:]
    names = ["a.png", (tmp_path / "out" / "a.png").as_posix()]
    twice = "\n".join([model, *(f'generate m {{ prompt: "a star", seed: 1, output: "{name}" }}' for name in names)])
    found = aquatint.check(twice, output_dir=tmp_path / "out")
    assert [each.code for each in found.diagnostics] == ["duplicate-output"]
    assert aquatint.check(twice, output_dir=tmp_path).plan is not None


def test_the_network_is_not_asked_where_the_environment_forbids_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(aquatint.Refusal, match="HF_HUB_OFFLINE forbids the network"):
        aquatint.fetch("print 1")


@pytest.mark.parametrize(
    ("command", "settings", "no_options", "others"),
    [
        # What a command has beside settings: what it reads, and what it shows.
        (["check", "x"], Planning, {"parameters", "lint", "output_dir"}, {"file", "set", "params", "json"}),
        (["run", "x"], Running, {"parameters", "lint", "keep", "on_event"},
         {"file", "set", "params", "json", "quiet", "stream"}),
        (["repl"], Running, {"parameters", "lint", "deny", "allow", "keep", "on_event", "fail_fast"},
         {"json", "quiet", "no_preview"}),
    ],
)  # fmt: skip
def test_an_option_is_a_setting_with_its_default(
    command: list[str], settings: type[Planning], no_options: set[str], others: set[str]
) -> None:
    options = vars(parser([command[0]]).parse_args(command))
    defaults = {name: value for name, value in vars(settings()).items() if name not in no_options}
    assert {name: options[name] or None for name in defaults} == {name: each or None for name, each in defaults.items()}
    assert options.keys() - defaults.keys() == others | {"command", "commands", "no_stdin"}


def test_what_there_is_and_every_setting_are_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    told = set(re.findall(r"[`.]([A-Za-z_]+)[`(]", page))
    records = {"Counts", "Diagnostic", "Evaluation", "Held", "Standing"}  # what is returned
    assert {*aquatint.__all__, *vars(Running())} - records <= told
    assert "device: 'str | None' = None" in str(inspect.signature(aquatint.Session))


@pytest.mark.slow
def test_the_programs_of_the_page_write_what_the_page_says(tmp_path: Path) -> None:
    programs, outputs = (
        re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        for kind in ("python", "output")
    )
    # One goes on where the one before it ended.
    code = "\nprint('---')\n".join(programs)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.stdout.replace("\\", "/"), done.returncode) == ("---\n".join(outputs), 0), done.stderr
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
