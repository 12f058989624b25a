"""Statements in phases, with real libraries: the bits are those of a call that never waits, for each family.

Each part is loaded only for its phase, so that a call that reached for another one would show as a load that was not
planned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from aquatint.language.evaluate import Interpreter
from aquatint.language.world import Memory, World
from aquatint.plan.memory import moments
from aquatint.plan.steps import Load, Phase, Plan
from aquatint.runtime.events import Event, StatementFailed, Warned
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.torch_engine import TorchEngine
from aquatint.source import Source
from aquatint.syntax.parser import parse
from support.lengths import one_fast
from support.tiny import PIPELINES

FAMILIES = [name for name in PIPELINES if name != "controlnet"]
QUANTIZERS = {
    "none": "none",
    "int8": '"sdnq;type=int8;quant-conv=true"',
    "uint4": '"sdnq;type=uint4;quant-conv=true"',
    "bnb8": '"bnb;bits=8"',
    "nf4": '"bnb;bits=4;bits4-quant-type=nf4"',
}
SCRIPT = """
model m {{
    source: "{folder}", dtype: {dtype}, quantizer: {quantizer}
    defaults {{ num_inference_steps: 2, size: 64x64 }}
}}
for prompt in ["a red cat", "a small house"] {{
    generate m {{ prompt: prompt, seed: 3, images: 2, output: "{{{{ prompt | slug }}}}.png", metadata: false }}
}}
"""


def planned(text: str, order: str, memory: int | None = None) -> Plan:
    """Return the plan of the script `text`."""
    parsed = parse(Source("phases.aqt", text))
    world = World(order="script" if order == "script" else "least", memory=None if memory is None else Memory(memory))
    evaluation = Interpreter(world).evaluate(parsed.script, parsed.diagnostics)
    assert evaluation.plan is not None, [item.message for item in evaluation.diagnostics]
    return evaluation.plan


def run(plan: Plan, engine: TorchEngine, folder: Path) -> dict[str, str]:
    """Return a hash of each file that the plan makes; nothing was loaded out of turn."""
    events: list[Event] = []
    finished = Executor(engine, events.append, Options(output_dir=folder)).run(plan)
    assert [event for event in events if isinstance(event, StatementFailed | Warned)] == []
    assert finished.loads == len([step for step in plan.steps if isinstance(step, Load)])
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def least(plan: Plan) -> int:
    """Return the memory in which `plan`, whole and in the script's order, must be split as far as it can be."""
    weighty = [part for part in plan.components.values() if part.dtype is not None]
    encoders = sum(part.bytes for part in weighty if part.role.startswith("text_encoder"))
    return max(encoders, *(part.bytes for part in weighty)) + (1 << 20)


@pytest.mark.parametrize("family", one_fast(FAMILIES))
@pytest.mark.parametrize(
    ("quantizer", "dtype"),
    [("none", "float32")]
    # Backends compute in the type that the model has: what is quantized is tried in one type each.
    + [pytest.param(name, dtype, marks=pytest.mark.slow)
       for name, dtype in [("none", "bfloat16"), ("int8", "float32"), ("uint4", "bfloat16"), ("bnb8", "bfloat16"),
                           ("nf4", "float32")]],
)  # fmt: skip
def test_phases_change_no_bit(
    folder: Callable[[str], Path], tmp_path: Path, family: str, quantizer: str, dtype: str
) -> None:
    text = SCRIPT.format(folder=folder(family), quantizer=QUANTIZERS[quantizer], dtype=dtype)
    whole, split = planned(text, "script"), planned(text, "least")
    assert not any(isinstance(step, Phase) for step in whole.steps)
    assert any(isinstance(step, Phase) for step in split.steps)
    assert max(m.most for m in moments(split)) < max(m.most for m in moments(whole))
    expected = run(whole, TorchEngine(threads=1), tmp_path / "whole")
    assert len(expected) == 4
    assert run(split, TorchEngine(threads=1), tmp_path / "split") == expected
    finest = planned(text, "least", least(whole))
    engine = TorchEngine(threads=1)
    assert run(finest, engine, tmp_path / "finest") == expected
    # Two prompts of two images each: each prompt was encoded once, and so was what goes with both of them.
    assert engine.remembered.hits >= 2


def test_a_part_in_the_wrong_phase_costs_a_load_and_no_bit(folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Stable Diffusion's VAE is asked for when a call ends; here the plan forgets it until another step loads it."""
    import msgspec

    text = SCRIPT.format(folder=folder("sd"), quantizer="none", dtype="float32")
    plan = planned(text, "least")
    expected = run(plan, TorchEngine(threads=1), tmp_path / "right")
    vae = next(part.key for part in plan.components.values() if part.role == "vae")
    steps = [
        msgspec.structs.replace(step, roles=[role for role in step.roles if role != "vae"])
        if (roles := getattr(step, "roles", None)) and "vae" in roles
        else step
        for step in plan.steps
        if getattr(step, "component", None) != vae
    ]
    events: list[Event] = []
    engine = TorchEngine(threads=1)
    Executor(engine, events.append, Options(output_dir=tmp_path / "wrong")).run(
        msgspec.structs.replace(plan, steps=steps)
    )
    told = [event.message for event in events if isinstance(event, Warned)]
    assert told and all(message.startswith("`vae` was needed earlier than planned, and loaded (") for message in told)
    files = sorted((tmp_path / "wrong").iterdir())
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files} == expected
