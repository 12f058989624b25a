"""What planning leaves alone, that it repeats, and what its keys tell apart."""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

from aquatint.plan.keys import component_key
from aquatint.plan.steps import Quantization

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo.aqt"

PLAN = """
import sys
from pathlib import Path
from aquatint.diagnostics import render
from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.plan.steps import plan_to_json
from aquatint.source import Source
from aquatint.syntax.parser import parse

def plan(file):
    parsed = parse(Source(file, Path(file).read_text(encoding="utf-8")))
    made = Interpreter(World()).evaluate(parsed.script, parsed.diagnostics)
    assert made.plan is not None, [render(item) for item in made.diagnostics]
    return plan_to_json(made.plan)
"""

WATCHED = """
import os
CHANGES = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.system"}
touched = []
def watch(event, arguments):
    if event.partition(".")[0] in ("socket", "subprocess", "shutil") or event in CHANGES:
        touched.append((event, str(arguments)[:80]))
    elif event == "open":
        path, mode, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        if writes or (isinstance(mode, str) and set(mode) & set("wax+")):
            touched.append((event, str(path)))
sys.addaudithook(watch)
"""


def run(code: str, *arguments: str, **environment: str) -> str:
    """Return what `code` prints in a program of its own."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, *arguments], capture_output=True, text=True,
        cwd=ROOT, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_planning_imports_no_model_library() -> None:
    loaded = run(PLAN + "plan(sys.argv[1]); print(*sys.modules)", str(DEMO)).split()
    heavy = {"torch", "diffusers", "transformers", "bitsandbytes", "accelerate", "sdnq", "numpy", "huggingface_hub"}
    assert heavy & set(loaded) == set()


def test_planning_opens_no_socket_and_writes_nothing() -> None:
    assert run(PLAN + WATCHED + "plan(sys.argv[1]); print(touched)", str(DEMO)).strip() == "[]"


def test_the_same_script_gives_the_same_bytes(tmp_path: Path) -> None:
    script = tmp_path / "random.aqt"
    script.write_text(
        """
        quantizer q { backend: sdnq, weights_dtype: int8 }
        model m { source: "builtin:shapes", defaults { num_inference_steps: 8 } }
        for x in [none, q], i in 1..3 {
            override m { quantizer: x, vae { dtype: float16 } }
            generate m { prompt: "{{ ['oil', 'ink', 'chalk'] | random }} {{ ['a', 'b', 'c'] | shuffle | join }}" }
        }
        print { b: 1, a: 2 }, unique(["z", "y", "z"])
        """,
        encoding="utf-8",
    )
    plans = {run(PLAN + "print(plan(sys.argv[1]).decode())", str(script), PYTHONHASHSEED=str(n)) for n in range(3)}
    assert len(plans) == 1
    prompts = [step["arguments"]["prompt"] for step in json.loads(plans.pop())["steps"] if step["type"] == "generate"]
    assert len(set(prompts)) > 1


def test_keys_tell_apart_all_that_differs() -> None:
    options = [
        None, {}, {"bits": 4}, {"bits": 8}, {"bits": 4.0}, {"bits": "4"}, {"bits": True}, {"bits": 1}, {"a": "1,b:2"},
        {"a": "1", "b": "2"}, {"a": ["1", "b"]}, {"a": [["1", "b"]]}, {"a": None}, {"a": "None"}, {"a": ""},
    ]  # fmt: skip
    requests = [
        {"source": source, "revision": revision, "subfolder": subfolder, "variant": variant, "dtype": dtype,
         "quantization": None if given is None else Quantization(backend=backend, options=given, name=name)}
        for source, revision, subfolder, variant, dtype, given, backend, name in product(
            ["a", "ab", "a/b"], [None, "", "main"], ["", "unet", "b"], [None, "fp16"], ["float16", "float32", None],
            options, ["bnb", "sdnq"], ["q", "r"])
    ]  # fmt: skip
    made: dict[str, str] = {}
    for request in requests:
        fixed = {"library": "diffusers", "class_name": "C", "identity": "1", "device": "cpu"}
        quantization = request["quantization"]
        # Names decide nothing; all else does.
        same = [*request.items()][:-1], quantization and (quantization.backend, json.dumps(quantization.options))
        assert made.setdefault(component_key(**fixed, **request), repr(same)) == repr(same)
    assert len(set(made.values())) == len(made)
