"""What a script comes to, from its text over its plan to live components and pictures."""

from __future__ import annotations

from pathlib import Path

from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.plan.steps import Component, Generate, Plan
from aquatint.runtime.engine import Engine, Generation, Loaded
from aquatint.runtime.events import Event, ImageWritten, StatementFailed
from aquatint.runtime.executor import Executor, Options
from aquatint.runtime.journal import Journal
from aquatint.runtime.outputs import OutputPolicy
from aquatint.source import Source
from aquatint.syntax.parser import parse
from support import cases
from support.scenes import drawn

DRAW = 'generate m { prompt: "a red cat", seed: 7, num_inference_steps: 2, width: 64, height: 64, output: "out.png" }'


def plan(text: str) -> Plan:
    """Return the plan of a script, which must have one; warnings are no hindrance."""
    evaluation = cases.evaluate(text, cases.options_of(""))
    assert evaluation.plan is not None, cases.errors(evaluation)
    return evaluation.plan


def model(folder: Path, settings: str, before: str = "", after: str = DRAW) -> str:
    """Return a script with a model `m` of the checkpoint in `folder`; `settings` are the model's."""
    return f'{before}\nmodel m {{\n    source: "{folder}"\n    {settings}\n}}\n{after}\n'


def components(text: str) -> dict[str, Component]:
    """Return the components of a script's plan by role; it must have one pipeline."""
    made = plan(text)
    [pipeline] = made.pipelines.values()
    return {role: made.components[key] for role, key in pipeline.parts.items() if key is not None}


def load(engine: Engine, text: str) -> dict[str, Loaded]:
    """Return the live components of a script's plan by role; it must have one pipeline."""
    return {role: engine.load(component) for role, component in components(text).items()}


def paint(engine: Engine, text: str) -> list[bytes]:
    """Return the pixels of every picture of a script; each component is loaded once."""
    made = plan(text)
    live = {key: engine.load(component) for key, component in made.components.items()}
    pictures = []
    for step in made.steps:
        if isinstance(step, Generate):
            pipeline = made.pipelines[step.pipeline]
            parts = {role: None if key is None else live[key] for role, key in pipeline.parts.items()}
            assembled = engine.assemble(pipeline, parts)
            for output in step.outputs:
                generation = Generation(step.arguments, [output.seed], step.scheduler, weighter=step.weighter)
                pictures.append(drawn(engine, assembled, generation, lambda done, total: None).tobytes())
    return pictures


def plan_here(text: str) -> Plan:
    """Return the plan of a script that names files of this computer, which must have one."""
    parsed = parse(Source("script.aqt", text))
    evaluation = Interpreter(World()).evaluate(parsed.script, parsed.diagnostics)
    assert evaluation.plan is not None, [each.message for each in evaluation.diagnostics]
    return evaluation.plan


def files_of(engine: Engine, text: str, out: Path) -> list[str]:
    """Run a script, of which nothing fails, and return the names of the files that were written below `out`."""
    events: list[Event] = []
    Executor(engine, events.append, Options(out, OutputPolicy.RESUME, journal=Journal(out))).run(plan_here(text))
    assert [event.message for event in events if isinstance(event, StatementFailed)] == []
    return [Path(event.path).name for event in events if isinstance(event, ImageWritten) and event.path]
