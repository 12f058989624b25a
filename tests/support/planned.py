"""What a script comes to, from its text over its plan to live components."""

from __future__ import annotations

from pathlib import Path

from aquatint.plan.steps import Component, Plan
from aquatint.runtime.engine import Engine, Loaded
from support import cases


def plan(text: str) -> Plan:
    """Return the plan of a script, which must have one; warnings are no hindrance."""
    evaluation = cases.evaluate(text, cases.options_of(""))
    assert evaluation.plan is not None, cases.errors(evaluation)
    return evaluation.plan


def components(text: str) -> dict[str, Component]:
    """Return the components of a script's plan by role; it must have one model."""
    made = plan(text)
    assert len(made.pipelines) == 1
    [pipeline] = made.pipelines.values()
    return {role: made.components[key] for role, key in pipeline.parts.items() if key is not None}


def model(folder: Path, settings: str, before: str = "") -> str:
    """Return a script that draws with the checkpoint in `folder`; `settings` are the model's, `before` goes first."""
    return f"""
{before}
model m {{
    source: "{folder}"
    {settings}
}}
generate m {{ prompt: "a red cat", seed: 7, num_inference_steps: 2, width: 64, height: 64, output: "out.png" }}
"""


def load(engine: Engine, text: str) -> dict[str, Loaded]:
    """Return the live components of a script's plan by role."""
    return {role: engine.load(component) for role, component in components(text).items()}
