"""What `--memory` and `--host-memory` come to for a plan's device."""

import json
from pathlib import Path

import pytest

from aquatint.catalog.working import PROGRAM
from aquatint.interface.cli import main

MIB = 1 << 20
SCRIPT = """\
model m { source: "builtin:shapes" }
generate m { prompt: "a red circle", seed: 1 }
generate (m with { unet { dtype: bfloat16 } }) { prompt: "a red circle", seed: 1 }
"""


def limit(options: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, int, int | None] | None:
    """Return the limit of the plan, the program's part in it, and that of what waits; None if there is none."""
    assert main(["plan", "--json", *options.split(), "x.aqt"]) == 0
    found = json.loads(capsys.readouterr().out)["memory"]
    return None if found is None else (found["bytes"], found["program"], found["host"])


@pytest.fixture(autouse=True)
def _script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.aqt").write_text(SCRIPT, encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--device cpu", None),
        ("--device cpu --memory 2GiB", None),
        ("--device cpu --memory 622MiB", (622 * MIB, PROGRAM, 0)),
        ("--device cpu --memory cpu=622MiB --memory cuda=1MiB", (622 * MIB, PROGRAM, 0)),
        ("--device cuda --memory 12MiB", (12 * MIB, 0, None)),
        ("--device cuda --memory cuda:0=12MiB --memory cuda:1=1MiB", (12 * MIB, 0, None)),
        ("--device cuda:1 --memory cuda:0=1MiB --memory cuda:1=12MiB", (12 * MIB, 0, None)),
        ("--device cuda --memory 12MiB --memory cpu=20MiB", (12 * MIB, 0, 20 * MIB)),
        ("--device cuda --memory 12MiB --host-memory 20MiB", (12 * MIB, 0, 20 * MIB)),
        ("--device cuda --memory 1MiB --memory 12MiB", (12 * MIB, 0, None)),
    ],
)
def test_what_the_limit_is(
    options: str, expected: tuple[int, int, int | None] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert limit(options, capsys) == expected


APART = """\
model m { source: "builtin:shapes", text_encoder { device: cpu }, vae { device: "cuda:1" } }
generate m { prompt: "a red circle", seed: 1 }
generate (m with { unet { dtype: bfloat16 } }) { prompt: "a red circle", seed: 1 }
generate m { prompt: "a red circle", seed: 2 }
"""


def test_each_device_has_a_limit_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.aqt").write_text(APART, encoding="utf-8")
    options = "--device cuda:0 --memory 12MiB --memory cuda:1=6MiB --memory cpu=20MiB --memory xpu=1MiB --order script"
    assert main(["plan", "--json", *options.split(), "x.aqt"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["memory"]["bytes"], plan["memory"]["host"]) == (12 * MIB, 20 * MIB)
    assert plan["memory"]["beside"] == {"cuda:1": 6 * MIB, "cpu": 20 * MIB}


def test_devices_are_looked_for_where_the_plan_is_for_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Nobody has a hundred of them.
    (tmp_path / "x.aqt").write_text(APART.replace("cuda:1", "cuda:99"), encoding="utf-8")
    for command in (["plan"], ["run", "--device", "cpu"]):
        assert main([*command, "x.aqt"]) == 2
        assert "error[missing-device]: there is no device `cuda:99` on this machine\n" in capsys.readouterr().err
    assert main(["plan", "--device", "cuda", "x.aqt"]) == 0


def test_all_that_is_free_but_some(capsys: pytest.CaptureFixture[str]) -> None:
    # Nothing here is larger than what is free: the size is only read.
    assert limit("--device cpu --memory -1MiB", capsys) is None
    assert limit("--device cpu --memory cpu=-1MiB", capsys) is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--memory gpu=1GiB", "error[bad-command-line]: there is no device `gpu`\n"
         "  help: devices are cpu, cuda, cuda:1, xpu, mps\n"),
        ("--device cuda --memory cuda=much", "error[bad-command-line]: `--memory much` is no number of bytes\n"
         "  help: write it as in `12GiB`\n"),
        ("--device cuda --memory cpu=1GiB --host-memory 2GiB",
         "error[bad-command-line]: `--memory cpu=1GiB` and `--host-memory` both say what waits may take\n"
         "  help: leave one of them out\n"),
    ],
)  # fmt: skip
def test_mistakes(options: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *options.split(), "x.aqt"]) == 2
    assert capsys.readouterr().err == expected
