"""A backend that another package brings: the example in `examples/torchao_backend`, installed by pip and run.

torchao itself is put beside the environment by `make setup` (diffusers imports it wherever it finds it, which would
slow every other test), and comes in here by the path.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "torchao_backend"
TORCHAO = Path(sys.prefix) / "examples"

SCRIPT = """
quantizer ao { backend: torchao, weights_dtype: int8 }
model m { source: "builtin:shapes", defaults { num_inference_steps: 2 } }
generate (m with { quantizer: ao })                        { prompt: "a red circle", seed: 1, output: "int8.png" }
generate (m with { quantizer: "torchao;type=float8_e4m3fn" }) { prompt: "a red circle", seed: 1, output: "float8.png" }
generate m                                                 { prompt: "a red circle", seed: 1, output: "full.png" }
"""

PLAIN = """
import sys, torch
from diffusers import TorchAoConfig, UNet2DConditionModel
from torchao.quantization import Int8WeightOnlyConfig
from aquatint.catalog.checkpoints import builtins_folder
from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.runtime.torch_engine import TorchEngine
from aquatint.source import Source
from aquatint.syntax.parser import parse

parsed = parse(Source("s", open(sys.argv[1]).read()))
plan = Interpreter(World(device="cpu")).evaluate(parsed.script, parsed.diagnostics).plan
asked = [c for c in plan.components.values() if c.quantization is not None]
loaded = [TorchEngine("cpu").load(each) for each in asked]
ours = next(each for each in loaded if each.component.role == "unet")
plain = UNet2DConditionModel.from_pretrained(
    builtins_folder() / "shapes", subfolder="unet", torch_dtype=torch.float32,
    quantization_config=TorchAoConfig(Int8WeightOnlyConfig()),
).eval()
arguments = torch.randn(1, plain.config.in_channels, 8, 8), 5, torch.randn(1, 9, plain.config.cross_attention_dim)
with torch.no_grad():
    difference = (ours.object(*arguments)[0] - plain(*arguments)[0]).abs().max()
print(float(difference), ours.quantized_layers)
for told in ([each.bytes for each in loaded], [c.held.least for c in asked], [c.held.most for c in asked]):
    print(told)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the example's package and torchao are installed."""
    assert (TORCHAO / "torchao").is_dir(), "torchao is not there: run `make setup`"
    folder = tmp_path_factory.mktemp("installed")
    # From a copy of nothing but its own files: a build leaves some of its own.
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(folder), str(EXAMPLE)], check=True, capture_output=True)
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(TORCHAO)))}


def aquatint(environment: dict[str, str], *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aquatint", *arguments]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_a_script_uses_it_like_any_other(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "s.aqt").write_text(SCRIPT)
    done = aquatint(environment, "run", "--json", "--device", "cpu", "s.aqt", cwd=tmp_path)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    loads = [event for event in events if event["event"] == "load_finished" and event["role"] == "unet"]
    started = [event["quantizer"] for event in events if event["event"] == "load_started" and event["role"] == "unet"]
    assert started == ["torchao int8", "torchao float8_e4m3fn", None]
    int8, float8, full = (event["bytes"] for event in loads)
    assert int8 < 0.75 * full and float8 < 0.75 * full
    assert [event["quantized_layers"] for event in loads] == [50, 50, 0]
    pictures = [(tmp_path / f"{name}.png").read_bytes() for name in ("int8", "float8", "full")]
    assert len(set(pictures)) == 3


@pytest.mark.slow
def test_what_it_loads_is_what_the_library_alone_makes(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "s.aqt").write_text(SCRIPT)
    (tmp_path / "plain.py").write_text(PLAIN)
    command = [sys.executable, "plain.py", "s.aqt"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    first, held, *planned = done.stdout.splitlines()[-4:]
    difference, layers = first.split()
    # The memory of the library's own copy is aligned otherwise, which changes the last bits.
    assert float(difference) < 1e-5
    assert int(layers) == 50
    assert planned == [held, held]


@pytest.mark.slow
def test_what_it_quantized_is_saved_and_read_back(environment: dict[str, str], tmp_path: Path) -> None:
    settings = 'defaults { num_inference_steps: 2, prompt: "a red circle", seed: 1 }'
    (tmp_path / "save.aqt").write_text(f"""
model m {{ source: "builtin:shapes", quantizer: "torchao;type=float8_e4m3fn", {settings} }}
generate m {{ output: "first.png", metadata: false }}
save m {{ to: "saved" }}
""")
    (tmp_path / "use.aqt").write_text(f"""
model m {{ source: "saved", {settings} }}
generate m {{ output: "second.png", metadata: false }}
""")
    for script in ("save.aqt", "use.aqt"):
        done = aquatint(environment, "run", "--json", "--device", "cpu", script, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    # How it is quantized only its own configuration says, which the record does not read.
    assert [event["quantizer"] for event in events if event.get("role") == "unet" and "quantizer" in event] == [
        "torchao"
    ]
    assert events[-1]["quantizations"] == 0
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


def test_its_mistakes_are_found_like_any_other(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "s.aqt").write_text('quantizer q { backend: torchao, weights_dtype: int9, skip: "x" }\n')
    done = aquatint(environment, "check", "s.aqt", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        'error[wrong-value]: quantizer `q`: `weights_dtype` can\'t be `"int9"`\n'
        " --> s.aqt:1:48\n"
        "  |\n"
        '1 | quantizer q { backend: torchao, weights_dtype: int9, skip: "x" }\n'
        "  |                                                ^^^^\n"
        "  = help: did you mean `int8`?\n\n"
        "error[unknown-setting]: quantizer backend `torchao` has no setting `skip`\n"
        " --> s.aqt:1:54\n"
        "  |\n"
        '1 | quantizer q { backend: torchao, weights_dtype: int9, skip: "x" }\n'
        "  |                                                      ^^^^\n"
        "  = help: settings: `modules_to_not_convert`, `skip_modules`, `type`, `weights_dtype`\n\n"
        "2 errors; nothing was loaded or written\n"
    )


def test_planning_imports_none_of_it(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "s.aqt").write_text(SCRIPT)
    code = (
        "import sys; from aquatint.interface.cli import main; main(['plan', '--device', 'cpu', 's.aqt']); "
        "print({'torch', 'torchao', 'aquatint_torchao.engine'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()"
