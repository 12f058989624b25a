"""The examples: each says how it is run, plans without errors and warnings, and writes below `out/` alone."""

from pathlib import Path

import pytest

from aquatint.interface.cli import main
from aquatint.plan.steps import Generate, Grid, Plan
from aquatint.source import Source
from support.cases import errors, evaluate, options_of

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.aqt"))


def planned(example: Path, options: str = "") -> Plan:
    evaluation = evaluate(example.read_text(encoding="utf-8"), options_of(options))
    assert errors(evaluation) == ""
    assert evaluation.plan is not None
    return evaluation.plan


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.name)
def test_an_example_plans(example: Path) -> None:
    plan = planned(example)
    paths = [output.path for step in plan.steps if isinstance(step, Generate) for output in step.outputs]
    paths += [step.path for step in plan.steps if isinstance(step, Grid)]
    assert len(paths) > 1
    assert [path for path in paths if not path.startswith("out/")] == []
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.name)
def test_an_example_says_what_it_shows_and_how_to_run_it(example: Path) -> None:
    lines = Source(example.name, example.read_text(encoding="utf-8")).text.splitlines()
    head = "\n".join(lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))])
    assert head.startswith("#!/usr/bin/env aquatint\n# ")
    assert f"aquatint run examples/{example.name}" in head


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.name)
def test_an_example_is_executable_and_listed(example: Path) -> None:
    assert example.stat().st_mode & 0o111 or example.name == "demo.aqt"
    assert example.name == "demo.aqt" or f"`{example.name}`" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_sweep_quantizes_each_part_once() -> None:
    plan = planned(ROOT / "examples" / "sweep.aqt")
    quantized = [component.role for component in plan.components.values() if component.quantization]
    assert sorted(quantized) == ["text_encoder", "unet", "unet", "unet"]


def test_parameters_that_params_says_can_be_set() -> None:
    params = ROOT / "examples" / "params.aqt"
    plan = planned(params, '--set subject="a blue square" --set seeds_=3,4,5 --set bits=4')
    assert [step.outputs[0].seed for step in plan.steps if isinstance(step, Generate)] == [3, 4, 5]
    planned(params, "--set area=128x64 --set full=true --set steps=8")
    assert evaluate(params.read_text(encoding="utf-8"), options_of("--set bits=5")).plan is None


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.name)
def test_an_example_runs(example: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    steps = ["--set", "steps=2"]
    assert main(["run", str(example), "--quiet", "--output-dir", str(tmp_path), *steps]) == 0, capfd.readouterr().err
    assert any(tmp_path.rglob("*.png"))
