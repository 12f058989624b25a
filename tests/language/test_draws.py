"""What a plan draws by chance: the same for the same script, whatever its comments and layout."""

from __future__ import annotations

from aquatint.language.evaluate import Interpreter
from aquatint.language.world import World
from aquatint.plan.steps import Generate, Plan
from aquatint.source import Source
from aquatint.syntax.parser import parse

SCRIPT = """\
model m { source: "builtin:shapes" }
for x in 1..2 {
    generate m { prompt: "a {{ ['red', 'blue', 'green', 'pink', 'black'] | random }} star" }
    generate m { prompt: "{{ x }} circles" }
}
"""


def planned(text: str, interpreter: Interpreter, keep: bool = False) -> Plan:
    parsed = parse(Source("x.aqt", text))
    evaluation = interpreter.evaluate(parsed.script, parsed.diagnostics, keep=keep)
    assert evaluation.plan is not None, list(evaluation.diagnostics)
    return evaluation.plan


def drawn(plan: Plan) -> list[tuple[object, int]]:
    return [(step.arguments["prompt"], step.outputs[0].seed) for step in plan.steps if isinstance(step, Generate)]


def test_comments_and_layout_change_nothing_that_is_drawn() -> None:
    other = "# a comment\n\n" + SCRIPT.replace(" generate", "  generate").replace("{ prompt", "{\n  prompt")
    assert drawn(planned(SCRIPT, Interpreter(World()))) == drawn(planned(other, Interpreter(World())))


def test_every_place_and_turn_draws_for_itself() -> None:
    seeds = [seed for _, seed in drawn(planned(SCRIPT, Interpreter(World())))]
    assert len(set(seeds)) == 4
    assert set(seeds).isdisjoint(seed for _, seed in drawn(planned(SCRIPT, Interpreter(World(plan_seed=1)))))


def test_a_line_typed_twice_draws_anew() -> None:
    session = Interpreter(World())
    planned('model m { source: "builtin:shapes" }', session, keep=True)
    line = 'generate m { prompt: "a star" }'
    assert drawn(planned(line, session, keep=True)) != drawn(planned(line, session, keep=True))
